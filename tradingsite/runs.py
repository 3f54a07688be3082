"""Run: one recorded execution of something (a backtest, an import, a report), as a row that ends exactly once.

The row is the record, a message to a worker only wakes it up. So a message that is lost, late or delivered twice does
nothing: work begins with `claim`, an UPDATE that only one process can win, and every later write of that attempt names
the attempt's number, so that a process which was taken for dead cannot write over the one that took its place.
`sweep` gives back what a dead process left, and sends again what no message ever reached.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections, models, transaction
from django.db.models import F, Q
from django.dispatch import Signal
from django.utils import timezone

from domain.errors import BadInput
from tradingsite import logs
from tradingsite.scrubbing import scrub_text

MAX_ATTEMPTS = 3
BEAT_SECONDS = 2.0
# A worker that has said nothing for so long is dead: long enough for a machine that swaps, or a failover.
STALE_SECONDS = 30.0
# A queued row whose message was sent so long ago gets another; messages expire then, so that they never pile up.
RESEND_SECONDS = 60.0
LOG_TAIL_CHARACTERS = 8_000
ERROR_CHARACTERS = 4_000

DIED = "the process died (killed, out of memory or over the hard time limit)"

log = logging.getLogger(__name__)

run_succeeded = Signal()
"""Sent with `run` inside the transaction that ends a run as succeeded: what follows from it is committed with it."""


class RunCancelled(KeyboardInterrupt):
    """Somebody asked for the end of this run. No Exception, so that a strategy's own `except` lets it pass."""


class WorkerEnding(KeyboardInterrupt):
    """This process is told to end before its run has: another one shall have it."""


class RunLost(KeyboardInterrupt):
    """This process was taken for dead and its run given to another: leave everything as it is."""


class Run(models.Model):
    """Queued, then running, then one of three ends."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    class Origin(models.TextChoices):
        COMMAND = "command", "command line"
        WEB = "web", "web"
        API = "api", "API"
        SCHEDULE = "schedule", "schedule"
        RUN = "run", "another run"

    queue: ClassVar[str]
    task: ClassVar[str]
    """Name of the Celery task that takes this row's id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=9, choices=State.choices, default=State.QUEUED)
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.COMMAND)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    effect_key = models.CharField(
        max_length=160, unique=True, null=True, blank=True, help_text="what it does, where that may be done only once"
    )
    created = models.DateTimeField(auto_now_add=True)
    enqueued = models.DateTimeField(null=True, blank=True, help_text="when a worker was last told")
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True, help_text="process of the latest attempt")
    heartbeat = models.DateTimeField(null=True, blank=True)
    cancel_requested = models.DateTimeField(null=True, blank=True)
    progress = models.FloatField(default=0.0, help_text="share done, 0 to 1")
    error = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)
    config = models.JSONField(default=dict, help_text="everything that decides the result")

    class Meta:
        abstract = True
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="queued", started__isnull=True, finished__isnull=True)
                | Q(state="running", started__isnull=False, finished__isnull=True)
                | Q(state__in=["succeeded", "failed", "cancelled"], finished__isnull=False),
                name="%(class)s_times_fit_state",
            ),
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="%(class)s_progress_is_a_share"),
        ]
        indexes = [
            models.Index(fields=["-created"], name="%(class)s_newest"),
            models.Index(
                fields=["state", "heartbeat"], condition=Q(state__in=["queued", "running"]), name="%(class)s_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} ({self.state})"

    @property
    def run_id(self) -> str:
        """The id that a person sees on screen, in logs and in the admin."""
        return str(self.pk)

    @property
    def log_tags(self) -> dict[str, str]:
        """What every log line says while the run is worked on."""
        return {"run_id": self.run_id}

    @property
    def ended(self) -> bool:
        return self.state not in (self.State.QUEUED, self.State.RUNNING)


R = TypeVar("R", bound=Run)


def run_models() -> list[type[Run]]:
    """Every kind of run, in the order of the apps."""
    return list(Run.__subclasses__())


# ---- telling a worker --------------------------------------------------------------------------------------------


def enqueue(run: Run) -> None:
    """Tell a worker once the row is committed. To be called at the edge: by views, admin, tasks and commands."""
    transaction.on_commit(lambda: send(run))


def send(run: Run) -> bool:
    """Send the row's message; False where the queue is out of reach: the row stays queued, and `sweep` sends again."""
    from kombu.exceptions import OperationalError as QueueError

    from tradingsite.celery import app

    try:
        app.send_task(run.task, args=[str(run.pk)], queue=run.queue, expires=RESEND_SECONDS)
    except (QueueError, OSError) as error:
        log.warning("run %s: the queue is out of reach (%s); it will be told later", run.run_id, error)
        return False
    type(run)._default_manager.filter(pk=run.pk).update(enqueued=timezone.now())
    return True


# ---- the life of a row -------------------------------------------------------------------------------------------


def claim(model: type[R], pk: Any) -> R | None:
    """Begin an attempt at a queued run; None where it is not queued (any more): the message came twice or too late."""
    now = timezone.now()
    waiting = model._default_manager.filter(
        pk=pk, state=Run.State.QUEUED, attempts__lt=MAX_ATTEMPTS, cancel_requested__isnull=True
    )
    begun = waiting.update(
        state=Run.State.RUNNING,
        attempts=F("attempts") + 1,
        started=now,
        heartbeat=now,
        worker=process_name(),
        progress=0.0,
    )
    return model._default_manager.get(pk=pk) if begun else None


def finish(run: Run, state: Run.State, **fields: Any) -> bool:
    """End this attempt's run, once. False where the run is not this attempt's any more; then nothing changed."""
    if state == Run.State.SUCCEEDED:
        fields["progress"] = 1.0
    fields |= {"state": state, "finished": timezone.now()}
    with transaction.atomic():
        if not _own(run).update(**fields):
            return False
        for name, value in fields.items():
            setattr(run, name, value)
        if state == Run.State.SUCCEEDED:
            run_succeeded.send(sender=type(run), run=run)
    return True


def cancel(run: Run) -> bool:
    """Ask for the end of a run: a queued one ends now, a running one at its next beat. False where it has ended."""
    rows = type(run)._default_manager.filter(pk=run.pk)
    now = timezone.now()
    if rows.filter(state=Run.State.QUEUED).update(
        state=Run.State.CANCELLED, finished=now, cancel_requested=now, error="cancelled before it began"
    ):
        return True
    return bool(rows.filter(state=Run.State.RUNNING).update(cancel_requested=now))


def retry(run: Run) -> bool:
    """Queue a failed or cancelled run again, with its attempts counted anew. False where it has not ended so."""
    ended = type(run)._default_manager.filter(pk=run.pk, state__in=[Run.State.FAILED, Run.State.CANCELLED])
    return bool(ended.update(**_QUEUED_AGAIN, attempts=0, error="", log_tail=""))


_QUEUED_AGAIN: dict[str, Any] = {
    "state": Run.State.QUEUED,
    "started": None,
    "finished": None,
    "heartbeat": None,
    "enqueued": None,
    "cancel_requested": None,
    "progress": 0.0,
}


class Swept(NamedTuple):
    """Runs that a sweep gave back to the queue, ended, and sent again."""

    requeued: int
    ended: int
    sent: int


def sweep(now: datetime, *, reclaim: bool = True) -> Swept:
    """Give back what dead processes left (where `reclaim`), end what died too often, and send what waits unheard."""
    requeued = ended = sent = 0
    for model in run_models():
        if reclaim:
            more = reclaim_dead(model, now)
            requeued, ended = requeued + more[0], ended + more[1]
        unheard = Q(enqueued__isnull=True) | Q(enqueued__lt=now - timedelta(seconds=RESEND_SECONDS))
        for run in model._default_manager.filter(unheard, state=Run.State.QUEUED).order_by("created")[:1000]:
            if not send(run):
                break
            sent += 1
    return Swept(requeued, ended, sent)


def reclaim_dead(model: type[Run], now: datetime) -> tuple[int, int]:
    """(runs given back to the queue, runs ended) of those whose process has said nothing for STALE_SECONDS.

    Nobody waits for a command that died: it ends at once. The others get MAX_ATTEMPTS.
    """
    requeued = ended = 0
    stale = now - timedelta(seconds=STALE_SECONDS)
    for run in model._default_manager.filter(state=Run.State.RUNNING, heartbeat__lt=stale):
        changed, state = _give_back(run, now, _own(run).filter(heartbeat__lt=stale))
        requeued += changed and state == Run.State.QUEUED
        ended += changed and state != Run.State.QUEUED
    return requeued, ended


def _give_back(run: Run, now: datetime, rows: models.QuerySet[Any]) -> tuple[bool, Run.State]:
    """Queue a run whose process is gone again, or end it; whether its row (one of `rows`) changed, and to what."""
    fields: dict[str, Any]
    if run.cancel_requested:
        fields = {"state": Run.State.CANCELLED, "finished": now, "error": "cancelled while its process died"}
    elif run.origin == Run.Origin.COMMAND or run.attempts >= MAX_ATTEMPTS:
        tries = f" in each of {run.attempts} attempts" if run.attempts > 1 else ""
        fields = {"state": Run.State.FAILED, "finished": now, "error": DIED + tries}
    else:
        fields = _QUEUED_AGAIN
    return bool(rows.update(**fields)), fields["state"]


def _own(run: R) -> models.QuerySet[R]:
    """The row as long as it is this attempt's."""
    return type(run)._default_manager.filter(pk=run.pk, state=Run.State.RUNNING, attempts=run.attempts)


def process_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


# ---- one attempt -------------------------------------------------------------------------------------------------


class Attempt:
    """A process at work on a run. `report` and `write` may be called as often as wanted; a thread tells the row every
    BEAT_SECONDS and asks it whether to stop."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._progress = run.progress
        self._log = ""
        self._told: tuple[float, str] = (run.progress, "")
        self._stop = threading.Event()
        self._verdict: type[KeyboardInterrupt] | None = None
        self._armed = threading.Lock()
        self._worker: int | None = None
        self.fields: dict[str, Any] = {}
        """What the row says beside its state once the run has succeeded."""

    def report(self, share: float) -> None:
        """Say how much is done, 0 to 1. Raises what the watching thread has found where no signal can."""
        self._progress = min(max(share, 0.0), 1.0)
        if self._verdict is not None:
            raise self._verdict

    def write(self, line: str) -> None:
        """Add a line to the log tail that the row shows."""
        self._log = f"{self._log}{scrub_text(line)}\n"[-LOG_TAIL_CHARACTERS:]

    @property
    def log_tail(self) -> str:
        return self._log

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While it lasts the row's heartbeat goes on, and a cancel reaches the caller as RunCancelled."""
        global _interruptible
        thread = threading.Thread(target=self._watch, name=f"run {self.run.run_id}", daemon=True)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR2, _interrupt)
            self._worker, _interruptible = threading.get_ident(), self
        thread.start()
        try:
            yield
        finally:
            with self._armed:
                self._stop.set()
                if self._worker is not None:
                    self._worker, _interruptible = None, None

    def _watch(self) -> None:
        try:
            while not self._stop.wait(BEAT_SECONDS):
                try:
                    verdict = self._beat()
                except DatabaseError as error:  # the work goes on; whoever sweeps meanwhile cannot reach it either
                    log.warning("run %s: no heartbeat, the database does not answer (%s)", self.run.run_id, error)
                    connections.close_all()
                    continue
                if verdict is not None:
                    self._interrupt(verdict)
        finally:
            connections.close_all()

    def _beat(self) -> type[KeyboardInterrupt] | None:
        fields: dict[str, Any] = {"heartbeat": timezone.now()}
        if (self._progress, self._log) != self._told:
            self._told = (self._progress, self._log)
            fields |= {"progress": self._progress, "log_tail": self._log}
        if not _own(self.run).update(**fields):
            return None if self._stop.is_set() else RunLost
        asked = _own(self.run).filter(cancel_requested__isnull=False)
        return RunCancelled if asked.exists() else None

    def _interrupt(self, verdict: type[KeyboardInterrupt]) -> None:
        with self._armed:
            if self._stop.is_set():
                return
            self._verdict = verdict
            if self._worker is not None:
                signal.pthread_kill(self._worker, signal.SIGUSR2)


_interruptible: Attempt | None = None


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise what the watching thread found, in the main thread. The handler stays, so that a signal which comes as the
    run ends finds it and does nothing."""
    attempt = _interruptible
    if attempt is not None and attempt._verdict is not None:
        raise attempt._verdict(f"run {attempt.run.run_id}")


@contextmanager
def attempting(run: Run) -> Iterator[Attempt]:
    """Work on a claimed run inside this block: its row ends as the block ends, with `attempt.fields` where it succeeds.

    What the block raises goes on to the caller. Where the database fails, or the run was given to another process, the
    row is left as it is: `sweep` gives the run another attempt.
    """
    with logs.bound(**run.log_tags):
        yield from _attempt(Attempt(run))


def _attempt(attempt: Attempt) -> Iterator[Attempt]:
    run = attempt.run
    try:
        with attempt.watched(), memory_limit(settings.RUN_MEMORY_MB):
            yield attempt
    except RunLost:
        log.warning("run %s: taken over by another process", run.run_id)
        raise
    except WorkerEnding:
        log.warning("run %s: given back, its worker is told to end", run.run_id)
        _give_back(run, timezone.now(), _own(run))
        raise
    except (OperationalError, InterfaceError) as error:
        log.error("run %s: left to the next attempt, the database does not answer (%s)", run.run_id, error)
        raise
    except KeyboardInterrupt:
        finish(run, Run.State.CANCELLED, error="cancelled by the user", log_tail=attempt.log_tail)
        raise
    except (Exception, SystemExit) as error:
        if not isinstance(error, BadInput):
            attempt.write(traceback.format_exc(limit=-8))
        log.error("run %s failed: %s", run.run_id, explain(error))
        finish(run, Run.State.FAILED, error=explain(error), log_tail=attempt.log_tail)
        raise
    else:
        finish(run, Run.State.SUCCEEDED, **{"log_tail": attempt.log_tail} | attempt.fields)


def perform(model: type[R], pk: Any, work: Callable[[Attempt], None]) -> None:
    """What a task does: claim the run, work, and let the row say how it went."""
    if not _came_by_its_queue(model):
        return
    run = claim(model, pk)
    if run is None:
        return
    try:
        with _given_back_on_sigterm(), attempting(run) as attempt:
            work(attempt)
    except (OperationalError, InterfaceError):
        raise
    except (Exception, RunCancelled, RunLost, SystemExit):  # noqa: BLE001 - recorded in the row
        return
    except WorkerEnding:
        raise SystemExit(1) from None


def _came_by_its_queue(model: type[Run]) -> bool:
    """A message from before an upgrade may wait in a queue whose workers are not made for this any more: it is dropped,
    and `sweep` sends another to where the work belongs now."""
    from celery import current_task

    delivery = (current_task.request.delivery_info if current_task else None) or {}
    queue = delivery.get("routing_key")
    if queue is None or queue == model.queue:
        return True
    log.warning("%s: a message came by the queue %s; it is sent again by %s", model.task, queue, model.queue)
    return False


@contextmanager
def _given_back_on_sigterm() -> Iterator[None]:
    """A worker's child is told so at a hard time limit, and when the worker stops before its runs have ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise WorkerEnding

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(error: BaseException) -> str:
    """One line for a person: what it was, and what to do where that is known."""
    name = type(error).__name__
    if isinstance(error, BadInput):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = f"it needed more than {settings.RUN_MEMORY_MB} MB; raise RUN_MEMORY_MB or ask for fewer bars"
    elif name == "SoftTimeLimitExceeded":
        text = "it took longer than is allowed; ask for less, or raise BACKTEST_SECONDS"
    else:
        text = f"{name}: {error}"
    return scrub_text(text)[:ERROR_CHARACTERS]


@contextmanager
def memory_limit(megabytes: int) -> Iterator[None]:
    """MemoryError instead of a machine without memory, where the system can say so (not on macOS). 0: no limit."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if not megabytes or platform.system() != "Linux":
        yield
        return
    limit = megabytes * 1_000_000
    hard = before[1] if before[1] == resource.RLIM_INFINITY else min(limit, before[1])
    with suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else hard, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
