"""Scheduled backtests in plain words."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from domain.errors import BadInput
from marketdata import calendars
from strategies.models import ScheduledBacktest


def next_schedules(shown: int = 6) -> list[dict[str, Any]]:
    """The scheduled backtests that come next, the soonest first."""
    rows = ScheduledBacktest.objects.filter(enabled=True).select_related("strategy_config")
    return [
        {"row": row, "words": in_words(row), "due": exchange_time(row.calendar, row.next_run_at)}
        for row in rows.order_by("next_run_at", "name")[:shown]
    ]


def in_words(schedule: ScheduledBacktest) -> str:
    """`every session, 30 minutes after the close of XNYS`."""
    minutes = schedule.offset_minutes
    edge = f"the {schedule.get_at_display()} of {schedule.calendar}"
    if minutes:
        unit = "minute" if abs(minutes) == 1 else "minutes"
        edge = f"{abs(minutes)} {unit} {'after' if minutes > 0 else 'before'} {edge}"
    else:
        edge = f"at {edge}"
    return f"{schedule.get_every_display()}, {edge}"


def exchange_time(calendar: str, moment: dt.datetime | None) -> str:
    """A moment on the exchange's clock: `Fri 27 Nov 2026, 13:30 (UTC-05:00)`; in UTC where its calendar is unknown."""
    if moment is None:
        return "not planned: switched off, or its calendar ends before"
    try:
        sessions = calendars.sessions(calendar)
    except BadInput:
        return f"{moment.astimezone(dt.UTC):%a %d %b %Y, %H:%M} UTC"
    row = max(int(np.searchsorted(sessions.open, int(moment.timestamp()) * 1_000_000_000, side="right")) - 1, 0)
    zone = dt.timezone(dt.timedelta(seconds=int(sessions.utc_offset[row]) // 1_000_000_000))
    return f"{moment.astimezone(zone):%a %d %b %Y, %H:%M} ({zone})".replace("-", "\N{MINUS SIGN}")
