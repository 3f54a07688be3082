"""The platform's own ticks."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from tradingsite import heartbeats, runs
from tradingsite.celery import app
from tradingsite.models import AnsweredRequest, ApiToken, Heartbeat
from tradingsite.queues import QUEUES, limits

SWEEPER = "sweeper"


@shared_task(**limits("maintenance"))
def sweep_runs() -> None:
    """Give back what dead processes left, and send what no worker has heard of.

    After a silence of its own (the database was gone, the machine slept) the runs have been silent as well and are
    not dead for that: they get one round to speak up.
    """
    now = timezone.now()
    before = Heartbeat.objects.filter(name=SWEEPER).first()
    awake = before is not None and (now - before.seen).total_seconds() < runs.STALE_SECONDS
    runs.sweep(now, reclaim=awake)
    heartbeats.beat(SWEEPER)


@shared_task(**limits("maintenance"))
def send_pulses() -> None:
    """Ask every queue for a sign of life from the inside of its workers."""
    for queue in QUEUES:
        app.send_task("tradingsite.tasks.answer_pulse", args=[queue], queue=queue, expires=heartbeats.SILENT_SECONDS)


@shared_task(acks_late=False)
def answer_pulse(queue: str) -> None:
    heartbeats.beat(f"queue:{queue}")


@shared_task(**limits("maintenance"))
def tidy() -> None:
    """Remove what has lost its use: answered requests, expired tokens and sessions, heartbeats of hosts long gone."""
    from django.contrib.sessions.models import Session

    now = timezone.now()
    AnsweredRequest.objects.filter(created__lt=now - timedelta(days=2)).delete()
    ApiToken.objects.filter(expiry__lt=now - timedelta(days=30)).delete()
    Session.objects.filter(expire_date__lt=now).delete()
    Heartbeat.objects.filter(seen__lt=now - timedelta(days=7)).delete()
