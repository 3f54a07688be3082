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
import time
import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple, TypeVar

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import F, Q
from django.dispatch import Signal
from django.utils import timezone

MAX_ATTEMPTS = 3
# A worker that has said nothing for so long is dead: long enough for a machine that swaps, or a failover.
STALE_SECONDS = 30.0
# A queued row whose message was sent so long ago gets another; messages expire then, so that they never pile up.
RESEND_SECONDS = 60.0
# One that gave way, since it waits for something, gets its next message so soon.
WAIT_SECONDS = 15.0
_POLL_SECONDS = 0.1

DIED = "the process died (killed, out of memory or over the hard time limit)"

log = logging.getLogger(__name__)

run_succeeded = Signal()
"""Sent with `run` inside the transaction that ends a run as succeeded: what follows from it is committed with it."""


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
    max_attempts: ClassVar[int] = MAX_ATTEMPTS

    @property
    def message_priority(self) -> int:
        """Which of a queue's messages a worker takes first: 0, 3, 6 or 9, the smaller the sooner."""
        return 0

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
    waits_for = models.CharField(max_length=200, blank=True, help_text="why it is queued; empty: for a worker")
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
        app.send_task(
            run.task,
            args=[str(run.pk)],
            queue=run.queue,
            priority=run.message_priority,
            expires=RESEND_SECONDS,
        )
    except (QueueError, OSError) as error:
        log.warning("run %s: the queue is out of reach (%s); it will be told later", run.run_id, error)
        return False
    type(run)._default_manager.filter(pk=run.pk).update(enqueued=timezone.now())
    return True


def wait_for(run: Run, seconds: float) -> None:
    """Until the run has ended, waits for something, or so long. Inside a transaction (the first answer to a request
    that is to be answered once) no worker sees the run before its end: then not at all."""
    end = time.monotonic() + seconds
    while not run.ended and not run.waits_for and not connection.in_atomic_block and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        run.refresh_from_db()


# ---- the life of a row -------------------------------------------------------------------------------------------


def claim(model: type[R], pk: Any) -> R | None:
    """Begin an attempt at a queued run; None where it is not queued (any more): the message came twice or too late."""
    now = timezone.now()
    waiting = model._default_manager.filter(
        pk=pk, state=Run.State.QUEUED, attempts__lt=model.max_attempts, cancel_requested__isnull=True
    )
    begun = waiting.update(
        state=Run.State.RUNNING,
        attempts=F("attempts") + 1,
        started=now,
        heartbeat=now,
        worker=process_name(),
        progress=0.0,
        waits_for="",
    )
    return model._default_manager.get(pk=pk) if begun else None


def finish(run: Run, state: Run.State, **fields: Any) -> bool:
    """End this attempt's run, once. False where the run is not this attempt's any more; then nothing changed."""
    if state == Run.State.SUCCEEDED:
        fields["progress"] = 1.0
    fields |= {"state": state, "finished": timezone.now()}
    with transaction.atomic():
        if not own(run).update(**fields):
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
        changed, state = give_back(run, now, own(run).filter(heartbeat__lt=stale))
        requeued += changed and state == Run.State.QUEUED
        ended += changed and state != Run.State.QUEUED
    return requeued, ended


def give_back(run: Run, now: datetime, rows: models.QuerySet[Any]) -> tuple[bool, Run.State]:
    """Queue a run whose process is gone again, or end it; whether its row (one of `rows`) changed, and to what."""
    fields: dict[str, Any]
    if run.cancel_requested:
        fields = {"state": Run.State.CANCELLED, "finished": now, "error": "cancelled while its process died"}
    elif run.origin == Run.Origin.COMMAND or run.attempts >= run.max_attempts:
        tries = f" in each of {run.attempts} attempts" if run.attempts > 1 else ""
        fields = {"state": Run.State.FAILED, "finished": now, "error": DIED + tries}
    else:
        fields = _QUEUED_AGAIN
    return bool(rows.update(**fields)), fields["state"]


def give_way(run: Run, reason: str, **fields: Any) -> bool:
    """Queue this attempt's run again as if it had not begun; what it has done is its own affair. False where the run is
    not this attempt's any more. The number of the attempt is free again, and nobody else has it: those that died
    before keep theirs."""
    told = timezone.now() - timedelta(seconds=RESEND_SECONDS - WAIT_SECONDS)
    again = _QUEUED_AGAIN | {"enqueued": told, "waits_for": reason[:200]}
    return bool(own(run).update(**again | fields, attempts=F("attempts") - 1))


def own(run: R) -> models.QuerySet[R]:
    """The row as long as it is this attempt's."""
    return type(run)._default_manager.filter(pk=run.pk, state=Run.State.RUNNING, attempts=run.attempts)


def process_name() -> str:
    return f"{platform.node()}:{os.getpid()}"
