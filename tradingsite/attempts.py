"""Attempt: one process at work on a run. Its row's heartbeat goes on, a cancel reaches it, and the row ends with it."""

from __future__ import annotations

import logging
import platform
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.utils import timezone

from domain.errors import BadInput
from tradingsite import logs
from tradingsite.runs import R, Run, claim, finish, give_back, give_way, own, send
from tradingsite.scrubbing import scrub_text

BEAT_SECONDS = 2.0
LOG_TAIL_CHARACTERS = 8_000
ERROR_CHARACTERS = 4_000

log = logging.getLogger(__name__)


class RunCancelled(KeyboardInterrupt):
    """Somebody asked for the end of this run. No Exception, so that a strategy's own `except` lets it pass."""


class WorkerEnding(KeyboardInterrupt):
    """This process is told to end before its run has: another one shall have it."""


class RunLost(KeyboardInterrupt):
    """This process was taken for dead and its run given to another: leave everything as it is."""


class GiveWay(KeyboardInterrupt):
    """This attempt ends well and its run goes on later: it waits for something (`reason`), or lets others go first.

    The attempt is not counted. `at_once`: a worker is told now, not at the next round of the sweep's.
    """

    def __init__(self, reason: str, *, at_once: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_once = at_once


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
    def progress(self) -> float:
        return self._progress

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
        if not own(self.run).update(**fields):
            return None if self._stop.is_set() else RunLost
        asked = own(self.run).filter(cancel_requested__isnull=False)
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
    except GiveWay as way:
        give_way(run, way.reason, log_tail=attempt.log_tail, progress=attempt.progress)
        if way.at_once:
            send(run)
    except WorkerEnding:
        log.warning("run %s: given back, its worker is told to end", run.run_id)
        give_back(run, timezone.now(), own(run))
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
    """MemoryError in the block that takes this much more than its process holds, instead of a machine without memory.

    Linux alone can say so. The limit is the whole process's, so it is set only on the main thread: runs that share a
    process (the data worker's threads) would take the limit away from each other, or leave it behind. 0: no limit.
    """
    if not megabytes or platform.system() != "Linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + megabytes * 1_000_000
    for given in (soft, hard):
        if given != resource.RLIM_INFINITY:
            limit = min(limit, given)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1_024
    return 0
