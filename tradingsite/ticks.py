"""What beat fires. Which run is due is a question of rows and trading calendars, asked by the tick's task."""

from __future__ import annotations

from typing import Any, NamedTuple


class Tick(NamedTuple):
    task: str
    seconds: int
    description: str


TICKS = {
    "sweep runs": Tick(
        "tradingsite.tasks.sweep_runs", 10, "gives back what dead workers left, sends again what none has heard of"
    ),
    "start due backtests": Tick("strategies.tasks.start_due_backtests", 20, "starts scheduled backtests that are due"),
    # A plan says how often (every 5 minutes by default); the tick only looks which are due.
    "fill gaps": Tick("marketdata.tasks.start_due_loads", 60, "starts the loads of load plans that are due"),
    "ask every queue": Tick("tradingsite.tasks.send_pulses", 30, "asks the workers of every queue for a sign of life"),
    "watch links": Tick(
        "reports.tasks.watch_links", 30, "makes an alert where a connection to the gateway is down for long"
    ),
    "compare the tape": Tick(
        "marketdata.tasks.compare_tape", 3600, "compares settled days of the live tape with the history that came later"
    ),
    "tidy loads": Tick(
        "marketdata.tasks.tidy_loads", 6 * 3600, "removes loads and questions to IB that ended long ago"
    ),
    "tidy uploads": Tick("marketdata.tasks.tidy_uploads", 6 * 3600, "removes uploads whose import ended a week ago"),
    "tidy runs": Tick("strategies.tasks.tidy_runs", 6 * 3600, "removes what killed backtests half wrote"),
    "tidy up": Tick("tradingsite.tasks.tidy", 6 * 3600, "removes expired sessions, tokens and answered requests"),
}


def write_ticks(**_: Any) -> None:
    """Make beat's rows where they are missing; runs after every `migrate`. Interval and on/off stay as they were."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    for name, tick in TICKS.items():
        fixed = {
            "task": tick.task,
            "queue": "maintenance",
            "description": tick.description,
            "args": "[]",
            "kwargs": "{}",
        }
        row = PeriodicTask.objects.filter(name=name).first()
        if row is None:
            interval, _made = IntervalSchedule.objects.get_or_create(
                every=tick.seconds, period=IntervalSchedule.SECONDS
            )
            PeriodicTask.objects.create(name=name, interval=interval, expire_seconds=2 * tick.seconds, **fixed)
        elif any(getattr(row, field) != value for field, value in fixed.items()):
            PeriodicTask.objects.filter(pk=row.pk).update(**fixed)
