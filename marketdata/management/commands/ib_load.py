import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from domain.errors import BadInput, UnknownName
from domain.timeframe import Timeframe
from marketdata import loadprogress, pacing, previews, questions
from marketdata.loadprogress import Progress
from marketdata.loadruns import queue_load, result_of
from marketdata.lookup import Candidate, check_wanted
from marketdata.models import Instrument, LoadRun, Restatement, Watchlist, What
from marketdata.models.loads import Mode
from marketdata.moments import as_ns
from marketdata.planning import check_ask
from marketdata.previews import Preview
from marketdata.services import check_symbol
from tradingsite import linkrows, runs
from tradingsite.models import GatewayLink
from tradingsite.runs import Run, enqueue

WRONG_USE, NOT_ALL, ONLY_QUEUED, INTERRUPTED = 2, 1, 3, 130
_POLL_SECONDS = 0.5
# How long a connection that is being made is waited for.
_PATIENCE_SECONDS = 20.0
_DISCOVERY_SECONDS = 60.0
# Where no terminal shows it move, a line now and then.
_LINE_SECONDS = 10.0
_FAILURES_SHOWN = 10


class Command(BaseCommand):
    help = (
        "Load bars from Interactive Brokers: what is missing, and nothing twice. The data worker does the work; this "
        "command follows it. Exit codes: 0 complete, 1 a part or all of it failed, 2 wrong use, 3 queued only, since "
        "no data worker or gateway answers, 130 stopped following (the load goes on)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "words", nargs="+", metavar="SYMBOL … TIMEFRAME", help="EURUSD 1h; QQQ@ARCA where several exchanges list it"
        )
        parser.add_argument("--watchlist", metavar="NAME", help="its active members instead of symbols")
        parser.add_argument(
            "--mode",
            choices=[mode.value for mode in Mode if mode is not Mode.REBUILD],
            default=Mode.TAIL.value,
            help="tail (default): from the last bar held to now; backfill: before it; full: all that is missing. The "
            "first load is full in any mode",
        )
        parser.add_argument("--start", help="2024-01-31, or a time with its zone; default: as the mode says")
        parser.add_argument("--end", help="default: now")
        parser.add_argument("--what", choices=What.values, default="", help="default: trades; of forex the midpoint")
        parser.add_argument("--dry-run", action="store_true", help="say what it would take, and load nothing")
        parser.add_argument("--no-wait", action="store_true", help="queue it and do not follow it")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        self.quiet = options["json"]
        try:
            found = self._preview(options)
        except BadInput as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        if not found:
            raise CommandError("the watchlist has no active members", returncode=WRONG_USE)
        requests = sum(each.plan.requests for each in found)
        ask = found[0].plan.ask
        minutes = pacing.minutes_for(requests, ask.timeframe, ask.what)
        if options["dry_run"]:
            self._print_previews(found, requests, minutes)
            return
        began = time.monotonic()
        loads = self._queue(found)
        if options["no_wait"]:
            self._say_queued(loads)
            return
        try:
            ended = self._follow(loads, found)
        except KeyboardInterrupt:
            raise CommandError(
                "not followed any more; what was asked for goes on in the data worker. The page Runs and "
                "/api/v1/data/loads show and cancel it; the same command follows it again",
                returncode=INTERRUPTED,
            ) from None
        self._print_results(found, ended, time.monotonic() - began)

    # ---- what is asked -----------------------------------------------------------------------------------------------

    def _preview(self, options: dict[str, Any]) -> list[Preview]:
        *symbols, last = options["words"]
        frame = Timeframe.parse(last)
        if bool(symbols) == bool(options["watchlist"]):
            raise BadInput("give symbols and then a timeframe (`ib_load EURUSD 1h`), or --watchlist and a timeframe")
        if options["watchlist"]:
            watchlist = Watchlist.objects.named(options["watchlist"])
            instruments = list(watchlist.instruments.filter(active=True).order_by("memberships__position"))
        else:
            instruments = [self._instrument(symbol, options) for symbol in dict.fromkeys(symbols)]
        now = previews.gateway_now(timezone.now())
        wish = {name: options[name] for name in ("mode", "what", "start", "end")}
        asks = [check_ask(instrument=each, timeframe=str(frame), now_ns=as_ns(now), **wish) for each in instruments]
        return [previews.preview(ask, now) for ask in asks]

    def _instrument(self, text: str, options: dict[str, Any]) -> Instrument:
        symbol, _, exchange = text.partition("@")
        try:
            return Instrument.objects.named(check_symbol(symbol), exchange=exchange)
        except UnknownName:
            if options["dry_run"]:
                raise BadInput(
                    f"no instrument {text} is held; `manage.py ib_discover {symbol}` asks IB which contract it is"
                ) from None
        return self._discovered(symbol, exchange)

    def _discovered(self, symbol: str, exchange: str) -> Instrument:
        """Ask IB, through the data worker, which contract the symbol is. Of several none is chosen."""
        wanted = check_wanted(symbol=symbol, exchange=exchange)
        answer = questions.answer_to(wanted, timezone.now())
        if answer is None:
            self._say(f"{wanted} is not held yet: IB is asked which contract it is")
            question = questions.ask_which(wanted=wanted, origin=Run.Origin.API)
            enqueue(question)
            standing = linkrows.standing(linkrows.DATA)
            runs.wait_for(question, 0 if standing.state == GatewayLink.State.OFF else _DISCOVERY_SECONDS)
            answer = question.answer
            if answer is None and question.ended:
                raise CommandError(question.error, returncode=NOT_ALL)
            if answer is None:
                raise CommandError(
                    f"{wanted}: IB has not said yet which contract that is. {_why(standing)}; the question is queued, "
                    "nothing is loaded: ask again later",
                    returncode=ONLY_QUEUED,
                )
        if answer["candidates"]:
            listed = "; ".join(str(Candidate(**each)) for each in answer["candidates"])
            raise BadInput(f"{wanted} may be several contracts: {listed}. Name one: `manage.py ib_discover … --con-id`")
        return Instrument.objects.get(pk=answer["instrument"])

    def _queue(self, found: list[Preview]) -> list[LoadRun]:
        loads = []
        for each in found:
            if each.is_needless:
                continue
            # Not as a command: a worker does it, and where that dies another one.
            run = queue_load(ask=each.plan.ask, origin=Run.Origin.API)
            if run.state == Run.State.QUEUED:
                enqueue(run)
            loads.append(run)
        return loads

    # ---- while it runs -----------------------------------------------------------------------------------------------

    def _follow(self, loads: list[LoadRun], found: list[Preview]) -> list[LoadRun]:
        """The runs as they ended, with those that rebuild what IB has restated."""
        if not loads:
            return []
        requests = {each.plan.ask.instrument.pk: each.plan.requests for each in found}
        previewed = {run.pk: requests[run.instrument_id] for run in loads}
        keys = list(previewed)
        began = told = time.monotonic()
        idle_since = began
        first: Progress | None = None
        while True:
            rows = list(LoadRun.objects.filter(pk__in=keys).select_related("instrument"))
            now, clock = loadprogress.measure(rows, previewed), time.monotonic()
            first = first or now
            paced = pacing.minutes_for(now.total - now.done, Timeframe(loads[0].timeframe), loads[0].what) * 60
            left = loadprogress.seconds_left(now, first, clock - began, paced)
            is_over = all(row.ended for row in rows)
            if self.stderr.isatty() or is_over or clock - told >= _LINE_SECONDS:
                told = clock
                self._show(loadprogress.line(now, left), is_over)
            if is_over:
                rebuilds = _rebuilds(rows, keys)
                if not rebuilds:
                    return rows
                keys += rebuilds
            elif any(row.state == Run.State.RUNNING for row in rows):
                idle_since = clock
            else:
                self._see_that_somebody_works(rows, clock - idle_since)
            time.sleep(_POLL_SECONDS)

    def _see_that_somebody_works(self, rows: list[LoadRun], idle_seconds: float) -> None:
        standing = linkrows.standing(linkrows.DATA)
        is_off = standing.state == GatewayLink.State.OFF
        if standing.ok or (idle_seconds < _PATIENCE_SECONDS and not is_off):
            return
        number = sum(not row.ended for row in rows)
        raise CommandError(
            f"{_counted(number, 'load')} queued, and not begun. {_why(standing)}. They begin by themselves then",
            returncode=ONLY_QUEUED,
        )

    def _show(self, text: str, is_last: bool) -> None:
        if self.quiet:
            return
        if not self.stderr.isatty():
            self.stderr.write(text, style_func=str)
            return
        self.stderr.write(f"\r{text}\033[K", style_func=str, ending="\n" if is_last else "")
        self.stderr.flush()

    # ---- what is said ------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.stderr.write(text, style_func=str)

    def _print_previews(self, found: list[Preview], requests: int, minutes: float) -> None:
        if self.quiet:
            self.stdout.write(json.dumps([each.as_dict() for each in found], indent=1))
            return
        for each in found:
            told = each.as_dict()
            at_most = "" if told["head_known"] or told["mode"] == Mode.TAIL else " at most"
            self.stdout.write(
                f"{told['symbol']} {told['timeframe']} {told['what']}, {told['mode']}: {told['cached']:,} bars held, "
                f"{told['missing']:,} missing in {_counted(told['gaps_found'], 'gap')}, "
                f"{_counted(told['requests'], 'request')}{at_most}"
            )
            for gap in told["gaps"][:5]:
                self.stdout.write(f"  {gap['start']} to {gap['end']}: {gap['missing']:,} bars")
            if told["gaps_found"] > 5:
                self.stdout.write(f"  and {told['gaps_found'] - 5:,} more")
        self.stdout.write(f"{_counted(requests, 'request')}, about {loadprogress.duration(minutes * 60)}")

    def _say_queued(self, loads: list[LoadRun]) -> None:
        if self.quiet:
            self.stdout.write(json.dumps([{"run": run.run_id, "state": run.state} for run in loads], indent=1))
        else:
            for run in loads:
                self.stdout.write(f"{run.instrument.symbol} {run.timeframe} {run.what}: run {run.run_id} {run.state}")
            if not loads:
                self.stdout.write("nothing is missing")
        standing = linkrows.standing(linkrows.DATA)
        if loads and not standing.ok:
            raise CommandError(f"queued only. {_why(standing)}", returncode=ONLY_QUEUED)

    def _print_results(self, found: list[Preview], ended: list[LoadRun], seconds: float) -> None:
        results = [previews.up_to_date(each.plan) | {"run": None} for each in found if each.is_needless]
        results += [result_of(run) | {"run": run.run_id, "error": run.error} for run in ended]
        if self.quiet:
            self.stdout.write(json.dumps(results, indent=1))
        else:
            for result in results:
                self._print_result(result)
            requests = sum(result["ib_requests_made"] for result in results)
            self.stdout.write(f"cost: {_counted(requests, 'request')} to IB in {loadprogress.duration(seconds)}")
        failed = [run for run in ended if run.state != Run.State.SUCCEEDED]
        if failed:
            names = ", ".join(f"{run.instrument.symbol} {run.timeframe}" for run in failed[:_FAILURES_SHOWN])
            raise CommandError(f"{len(failed)} of {_counted(len(results), 'series')} not complete: {names}")

    def _print_result(self, result: dict[str, Any]) -> None:
        self.stdout.write(
            f"{result['symbol']} {result['timeframe']} {result['what']}, {result['mode']}: {result['status']}"
        )
        segments = result["segments_fetched"] + result["segments_failed"]
        self.stdout.write(
            f"  {_counted(result['fetched_bars'], 'bar')} fetched, {result['cached_before']:,} held before, "
            f"{_counted(result['gaps_analyzed'], 'gap')} analyzed, {result['segments_fetched']:,} of "
            f"{_counted(segments, 'segment')} fetched, {_counted(result['ib_requests_made'], 'request')} made"
        )
        if result["merged_file"]:
            self.stdout.write(f"  {result['merged_file']}")
        for failure in result["failures"][:_FAILURES_SHOWN]:
            self.stdout.write(f"  failed: {failure['start']} to {failure['end']}: {failure['error']}")
        if result.get("error") and not result["failures"]:
            self.stdout.write(f"  {result['error']}")


def _rebuilds(rows: list[LoadRun], known: list[Any]) -> list[Any]:
    """Loads that take over from those that found the past restated."""
    restated = [row.instrument_id for row in rows if row.outcome == LoadRun.Outcome.RESTATED]
    if not restated:
        return []
    found = Restatement.objects.filter(
        instrument__in=restated,
        timeframe=rows[0].timeframe,
        what__in={row.what for row in rows},
        rebuild__isnull=False,
        rebuilt__isnull=True,
    )
    return [key for key in found.values_list("rebuild", flat=True) if key not in known]


def _why(standing: linkrows.Standing) -> str:
    if standing.ok:
        return "The data worker is busy"
    return f"The gateway is {standing.state} ({standing.cause}): {standing.remedy}"


def _counted(number: int, noun: str) -> str:
    if noun == "series":
        return f"{number:,} {noun}"
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
