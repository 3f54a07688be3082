"""Loading: what the data worker does with a load run.

The run's Fetch rows are planned once, and each says how it ended in the very transaction that stores its bars. So
whatever ends the work (a kill, a lost connection, a worker told to stop), the next attempt goes on with the fetches
that are still pending, and asks for nothing that is stored.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from domain.bars import BarSeries, merge
from domain.errors import BadInput
from domain.gaps import Place, unexpected_bars
from domain.pacing import Priority
from domain.segments import Segment, duration, halves
from domain.timeframe import SECOND_NS, Timeframe
from gateway.codes import PACED
from gateway.connection import Connection
from gateway.errors import (
    BadFrame,
    ConnectionLost,
    GatewayError,
    NoAnswer,
    NotReady,
    OperatorNeeded,
    Refused,
    Throttled,
)
from gateway.history import HistoryRequest, ProvenEmpty
from marketdata import calendars, discovery, pacing, planning, proofs, quality, questions, rebuilding, store
from marketdata.contracts import basis_of, contract_of, regular_hours
from marketdata.loadruns import queue_load, result_of
from marketdata.models import Fetch, GatewayQuestion, LoadRun, What
from marketdata.models.loads import Mode
from marketdata.moments import as_datetime, as_ns
from marketdata.proofs import Proof
from tradingsite import attempts, endings, linkrows, links
from tradingsite.attempts import Attempt, GiveWay
from tradingsite.runs import Run, own

REQUEST_SECONDS = 120.0
RETRY_SECONDS = (15, 30, 60, 120, 300, 600)
"""Before each of MAX_RETRIES in a run, and from there on before another load may ask for what failed."""
MAX_RETRIES = 3
TURN_SECONDS = 60.0
"""How long a load works while others wait for a thread."""
FLUSH_SECONDS, FLUSH_BARS = 5.0, 50_000
"""Answers are stored together: each store writes the year's file again."""
READY_SECONDS = 10.0
SETTLE_SECONDS = 600
"""What is younger and did not come may still come."""
FEW_REQUESTS = 3
PAUSE_SECONDS = 0.25

__all__ = ["Loading", "load_bars", "queue_load", "result_of"]

log = logging.getLogger(__name__)


class _Answer(NamedTuple):
    """Of one fetch, to be stored: its bars (None: proven empty) and what it proves (None: nothing)."""

    fetch: Fetch
    bars: BarSeries | None
    proof: Proof | None


def load_bars(attempt: Attempt) -> None:
    """Work on the load until nothing is pending. Raises BadInput where a part failed: the row says which."""
    Loading(attempt).work()


class Loading:
    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        run = attempt.run
        assert isinstance(run, LoadRun)  # nosec B101
        self.run = run
        self.instrument = run.instrument
        self.frame = Timeframe(run.timeframe)
        self.began = self.stored_at = time.monotonic()
        self.answers: list[_Answer] = []
        self.requests = 0
        self.pending: list[Fetch] = []
        self.all = 0

    def work(self) -> None:
        self._let_others_finish()
        self.connection = self._connection()
        try:
            self._look_up()
            if self.run.planned is None:
                self._plan()
        except (NotReady, ConnectionLost, NoAnswer) as error:
            raise GiveWay(f"the gateway: {error.words}", at_once=True) from error
        self.pending = list(self.run.fetches.filter(state=Fetch.State.PENDING).order_by("id"))
        self.all = self.run.fetches.exclude(state=Fetch.State.SPLIT).count()
        try:
            while self.pending:
                self._next()
        finally:
            # Also where somebody cancelled, or the turn is over: what came is kept. Not where the process is dying.
            self._store()
        self._end()

    # ---- before --------------------------------------------------------------------------------------------------

    def _let_others_finish(self) -> None:
        """One load of a series at a time: of two, the one that started first goes on."""
        run = self.run
        others = LoadRun.objects.filter(
            instrument=run.instrument, timeframe=run.timeframe, what=run.what, state=Run.State.RUNNING
        ).exclude(pk=run.pk)
        mine = (run.started, str(run.pk))
        if any((other.started, str(other.pk)) < mine for other in others):
            raise GiveWay("another load of these bars")

    def _connection(self) -> Connection:
        """The data connection, ready; waits for it a little, then lets the run wait in the queue."""
        end = time.monotonic() + READY_SECONDS
        while True:
            found: Connection | None = links.connection("data")
            try:
                if found is not None:
                    found.wait_ready(1.0)
                    return found
            except (NotReady, OperatorNeeded) as error:
                reason = f"the gateway: {error.words}"
            else:
                reason = f"the gateway: {linkrows.standing('data').cause}"
            if time.monotonic() > end:
                self._store()
                raise GiveWay(reason)
            self._pause(PAUSE_SECONDS)

    def _look_up(self) -> None:
        """What time it is at the gateway, and whether the contract is still what the row says."""
        self.ahead_ns = self.connection.server_time() * SECOND_NS - time.time_ns()
        row = self.instrument
        if not discovery.is_fresh(row, timezone.now()):
            found = discovery.refresh(row, self.connection)
            for note in found.notes:
                self.attempt.write(note)
            row.refresh_from_db()
            if found.instrument != row:
                raise BadInput(f"{row}: IB's contract {row.con_id} belongs to {found.instrument} now; load that one")
        self.basis = basis_of(row, self.run.what)
        self.sessions = calendars.sessions(row.calendar)
        self.regular_hours = regular_hours(row)

    def _plan(self) -> None:
        """Write what is to be asked, once."""
        run = self.run
        ask = planning.LoadAsk(
            run.instrument,
            self.frame,
            run.what,
            Mode(run.mode),
            None if run.start is None else as_ns(run.start),
            None if run.end is None else as_ns(run.end),
        )
        ask = rebuilding.mode_for(ask, simulated=source() == planning.SIMULATED)
        is_scheduled = run.plan_id is not None
        plan = planning.make_plan(ask, self._now_ns(), scheduled=is_scheduled)
        # Knowing where the history begins costs a request, and saves those before it.
        if plan.requests > FEW_REQUESTS or (plan.requests and ask.start_ns is None and plan.mode is not Mode.TAIL):
            self._learn_head()
            plan = planning.make_plan(ask, self._now_ns(), scheduled=is_scheduled)
        rows = [
            Fetch(
                load_run=run,
                instrument=run.instrument,
                timeframe=run.timeframe,
                what=run.what,
                gap=each.gap,
                start=as_datetime(each.start_ns),
                end=as_datetime(each.end_ns),
                duration=each.duration,
            )
            for each in plan.segments
        ]
        self._write(
            rows,
            mode=str(plan.mode),
            planned=timezone.now(),
            cached_before=plan.cached,
            gaps_analyzed=len(plan.gaps),
            ib_requests_made=F("ib_requests_made") + self.requests,
        )
        self.requests = 0
        self.attempt.write(
            f"{plan.mode}: {plan.bars:,} bars missing, gaps: {len(plan.gaps):,}, requests: {plan.requests:,}"
        )

    def _write(self, rows: list[Fetch], **fields: Any) -> None:
        with transaction.atomic():
            if not own(self.run).update(**fields):
                raise attempts.RunLost
            Fetch.objects.bulk_create(rows, batch_size=500)
        self.run.refresh_from_db()

    def _learn_head(self) -> None:
        """Ask where the history begins, unless that was asked lately."""
        what = proofs.head_of(self.run.what)
        try:
            _, asked = questions.ask_head(
                self.connection, self.instrument, what, priority=Priority(self.run.priority), wait=self._wait
            )
        except Refused as error:
            raise BadInput(f"{self.instrument}: {explain(error)}") from error
        self.requests += asked

    # ---- one request ---------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Ask for the first fetch that is due, or wait until one is."""
        now = timezone.now()
        fetch = next((each for each in self.pending if each.due is None or each.due <= now), None)
        if fetch is None:
            soonest = min(each.due for each in self.pending if each.due is not None)
            self._wait((soonest - now).total_seconds())
            return
        self._take_turns()
        try:
            self._ask(fetch)
        except (ConnectionLost, NotReady, BadFrame) as error:
            self._say(fetch, f"{error.words}; it is asked again once the gateway is back")
            self.connection = self._connection()
        except Throttled:
            self._wait(1.0)

    def _ask(self, fetch: Fetch) -> None:
        contract = contract_of(self.instrument)
        is_adjusted = self.run.what == What.ADJUSTED_LAST
        length = fetch.duration
        if is_adjusted:  # it always ends now
            length = duration(as_ns(fetch.start), self._now_ns(), self.frame, self.sessions)
        request = HistoryRequest(
            contract, self.frame, length, self.run.what, self.regular_hours, None if is_adjusted else as_ns(fetch.end)
        )
        try:
            with pacing.slot(pacing.ask_of(request), Priority(self.run.priority), wait=self._wait):
                self.requests += 1
                answer = self.connection.history(request, self.sessions, REQUEST_SECONDS)
        except (ConnectionLost, NotReady, BadFrame, Throttled):
            raise
        except (GatewayError, BadInput) as error:
            self._failed(fetch, error)
        else:
            self._answered(fetch, answer)

    def _now_ns(self) -> int:
        """By the gateway's clock: what is complete is for it to say."""
        return time.time_ns() + self.ahead_ns

    # ---- its answer ----------------------------------------------------------------------------------------------

    def _answered(self, fetch: Fetch, answer: BarSeries | ProvenEmpty) -> None:
        fetch.tries += 1
        start, end = as_ns(fetch.start), as_ns(fetch.end)
        bars: BarSeries | None = None
        if isinstance(answer, BarSeries):
            found = replace(answer, adjustment=self.basis).between(start, end)
            bars = self._expected(found) if len(found) else None
        if bars is None or not len(bars):
            bars, fetch.state = None, Fetch.State.EMPTY
            self._say(fetch, answer.text if isinstance(answer, ProvenEmpty) else "no bars in the range")
        else:
            fetch.state, fetch.bars = Fetch.State.DONE, len(bars)
            self._say(fetch, f"{len(bars):,} bars")
            if self.run.mode != Mode.REBUILD and rebuilding.is_restated(self.run, bars, self.basis, self.attempt):
                self.pending = []
                self._drop_pending()
                return
            if self.run.mode == Mode.REBUILD:
                rebuilding.stage(fetch, bars)
        self.answers.append(_Answer(fetch, bars, self._proof(start, end, bars)))
        self.pending.remove(fetch)
        if sum(each.fetch.bars for each in self.answers) >= FLUSH_BARS:
            self._store()
        self._tell()

    def _expected(self, bars: BarSeries) -> BarSeries:
        """Without those outside all sessions: they are told of, not kept. A bar off the grid (the hour of a pair that
        begins with the market at 17:15) is what IB has."""
        odd = unexpected_bars(bars.start, self.sessions, self.frame)
        outside = odd.row[odd.place != Place.OFF_GRID]
        if not len(outside):
            return bars
        self.attempt.write(f"  {len(outside)} bars stand outside the sessions of {self.sessions.calendar}: left out")
        return bars.without(outside)

    def _proof(self, start: int, end: int, bars: BarSeries | None) -> Proof | None:
        """What the answer proves: up to the next bar that may be asked for, but nothing that may still come."""
        now_ns = self._now_ns()
        if end > now_ns - SETTLE_SECONDS * SECOND_NS and (bars is None or int(bars.end[-1]) != end):
            return None if bars is None else Proof(start, int(bars.end[-1]))
        following, _ = self.sessions.expected_bars(self.frame, end, end + planning.LOOK_NS)
        return Proof(start, int(following[0]) if len(following) else end)

    def _failed(self, fetch: Fetch, error: GatewayError | BadInput) -> None:
        """Ask again later, in halves where it took too long, or not at all."""
        text = explain(error)
        code = getattr(error, "code", 0)
        if text.startswith(PACED):  # the whole login waits, and nothing is this segment's fault
            pacing.pause()
            self._say(fetch, text)
            return
        fetch.tries += 1
        fetch.code, fetch.error = code, text[:500]
        now = timezone.now()
        if isinstance(error, Refused | OperatorNeeded | BadInput):
            self._give_up(fetch, now)
            if isinstance(error, OperatorNeeded) or code == 200 or proofs.is_permission(code, text):
                self._give_up_all(fetch, now)  # the others would hear the same
            return
        if isinstance(error, NoAnswer) and self._halve(fetch, now):
            return
        if fetch.tries > MAX_RETRIES:
            self._give_up(fetch, now)
            return
        wait = RETRY_SECONDS[fetch.tries - 1]
        fetch.due = now + timedelta(seconds=wait)
        fetch.save(update_fields=["tries", "code", "error", "due"])
        self._say(fetch, f"{text}; try {fetch.tries + 1} in {wait} s")

    def _halve(self, fetch: Fetch, now: datetime) -> bool:
        whole = Segment(fetch.gap, as_ns(fetch.start), as_ns(fetch.end), fetch.duration, 0)
        parts = [] if self.run.what == What.ADJUSTED_LAST else halves(whole, self.sessions, self.frame)
        if not parts or fetch.tries > MAX_RETRIES:
            return False
        due = now + timedelta(seconds=RETRY_SECONDS[fetch.tries - 1])
        rows = [
            Fetch(
                load_run=self.run,
                instrument=self.instrument,
                timeframe=self.run.timeframe,
                what=self.run.what,
                gap=part.gap,
                start=as_datetime(part.start_ns),
                end=as_datetime(part.end_ns),
                duration=part.duration,
                tries=fetch.tries,
                due=due,
            )
            for part in parts
        ]
        with transaction.atomic():
            if not own(self.run).update(heartbeat=now):
                raise attempts.RunLost
            Fetch.objects.filter(pk=fetch.pk).update(
                state=Fetch.State.SPLIT, tries=fetch.tries, error=fetch.error, ended=now
            )
            Fetch.objects.bulk_create(rows)
        self._say(fetch, f"{fetch.error}; asked in two halves instead")
        self.pending.remove(fetch)
        self.pending += rows
        self.all += 1
        return True

    def _give_up(self, fetch: Fetch, now: datetime) -> None:
        """Mark it failed; the longer it has failed, the later the next load may try."""
        failed_before = Fetch.objects.filter(
            instrument=self.instrument,
            timeframe=self.run.timeframe,
            what=self.run.what,
            state=Fetch.State.FAILED,
            start__lt=fetch.end,
            end__gt=fetch.start,
        ).count()
        wait = RETRY_SECONDS[min(MAX_RETRIES + failed_before, len(RETRY_SECONDS) - 1)]
        fetch.state, fetch.ended, fetch.due = Fetch.State.FAILED, now, now + timedelta(seconds=wait)
        with transaction.atomic():
            if not own(self.run).update(segments_failed=F("segments_failed") + 1):
                raise attempts.RunLost
            fetch.save(update_fields=["state", "ended", "due", "tries", "code", "error"])
        self._say(fetch, f"failed: {fetch.error}")
        self.pending.remove(fetch)

    def _give_up_all(self, first: Fetch, now: datetime) -> None:
        for fetch in list(self.pending):
            fetch.code, fetch.error = first.code, first.error
            self._give_up(fetch, now)

    # ---- storing -------------------------------------------------------------------------------------------------

    def _store(self) -> None:
        """Bars, what they prove and how their fetches ended, in one transaction."""
        self.stored_at = time.monotonic()
        answers, self.answers = self.answers, []
        if not answers and not self.requests:
            return
        now = timezone.now()
        came = [each.bars for each in answers if each.bars is not None]
        is_rebuild = self.run.mode == Mode.REBUILD
        writes = []
        if came and not is_rebuild:
            writes = [store.BarWrite(self.instrument, merge(came), source(), self.run.what)]
        counts = {
            "ib_requests_made": F("ib_requests_made") + self.requests,
            "segments_fetched": F("segments_fetched") + len(answers),
            "fetched_bars": F("fetched_bars") + sum(map(len, came)),
        }

        def along() -> None:
            if not own(self.run).update(**counts):
                raise attempts.RunLost
            for each in answers:
                each.fetch.ended = now
            Fetch.objects.bulk_update(
                [each.fetch for each in answers], ["state", "tries", "bars", "staged", "ended"], batch_size=100
            )
            if not is_rebuild:
                self._prove(answers, now)

        store.write_all(writes, along)
        self.requests = 0
        if writes:
            quality.note(instrument=self.instrument, what=self.run.what, bars=writes[0].series, now=now)

    def _prove(self, answers: list[_Answer], now: datetime) -> None:
        proofs.record(
            instrument=self.instrument,
            timeframe=self.frame,
            what=self.run.what,
            proofs=[each.proof for each in answers if each.proof is not None],
            now=now,
        )

    def _drop_pending(self) -> None:
        self.run.fetches.filter(state=Fetch.State.PENDING).delete()

    # ---- after ---------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        run = self.run
        run.refresh_from_db()
        ends = list(run.fetches.values_list("state", flat=True))
        failed, answered = ends.count(Fetch.State.FAILED), ends.count(Fetch.State.DONE) + ends.count(Fetch.State.EMPTY)
        outcome = LoadRun.Outcome
        if run.outcome:
            return  # restated: the rebuild brings the rest
        if failed:
            found = outcome.PARTIAL if answered else outcome.NOTHING
        else:
            found = outcome.COMPLETE if ends else outcome.UP_TO_DATE
        if run.mode == Mode.REBUILD and not failed:
            rebuilding.swap(run, self.basis, source())
        if not own(run).update(outcome=found):
            raise attempts.RunLost
        self.attempt.write(f"{found.label}; bars: {run.fetched_bars:,}, requests: {run.ib_requests_made:,}")
        if failed:
            first = run.fetches.filter(state=Fetch.State.FAILED).order_by("start").first()
            assert first is not None  # nosec B101
            raise BadInput(
                f"{failed:,} of {failed + answered:,} segments failed; the first, from {first.start:%Y-%m-%d %H:%M}Z: "
                f"{first.error}"
            )

    # ---- waiting -------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        """As long as asked, but a cancel, the worker's end and others' turns are heeded, and answers are stored."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.answers and time.monotonic() - self.stored_at > FLUSH_SECONDS:
                self._store()
            self._pause(min(left, PAUSE_SECONDS))

    def _pause(self, seconds: float) -> None:
        self._tell()
        endings.worker_ends.wait(seconds)
        self._take_turns()

    def _take_turns(self) -> None:
        """Let others use this thread once the turn is over, or the worker is told to end."""
        if endings.worker_ends.is_set():
            raise GiveWay("another worker: this one ends")
        if time.monotonic() - self.began < TURN_SECONDS:
            return
        waiting = {"state": Run.State.QUEUED, "waits_for": "", "cancel_requested__isnull": True}
        if not any(model._default_manager.filter(**waiting).exists() for model in (LoadRun, GatewayQuestion)):
            self.began = time.monotonic() - TURN_SECONDS + 5.0  # asked again in five seconds
            return
        raise GiveWay("its next turn", at_once=True)

    def _tell(self) -> None:
        done = self.all - len(self.pending)
        self.attempt.report(done / self.all if self.all else 0.0)

    def _say(self, fetch: Fetch, text: str) -> None:
        line = f"{fetch.start:%Y-%m-%d %H:%M} to {fetch.end:%Y-%m-%d %H:%M}Z: {text}"
        self.attempt.write(line)
        log.info("%s %s %s", self.instrument.symbol, self.frame, line)


def source() -> str:
    """Where bars come from, as their files say it."""
    return planning.SIMULATED if settings.TRADING_MODE == "simulated" else planning.IB


def explain(error: Exception) -> str:
    words = str(error)
    remedy = getattr(error, "remedy", "")
    return f"{words}; {remedy}" if remedy else words
