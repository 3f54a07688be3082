"""Times as messages spell them: always with a zone, or as epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from domain.bars import Times
from domain.sessions import Days, SessionTable

SECOND_NS = 1_000_000_000
_OFFSET_PIECE = 900
"""Seconds in which no zone changes its offset."""


def zoned(time_ns: int, zone: str) -> str:
    """`20261123 09:30:00 US/Eastern`. Raises ZoneInfoNotFoundError for a zone that is none."""
    return f"{_moment(time_ns // SECOND_NS, zone):%Y%m%d %H:%M:%S} {zone}"


def utc_dashed(time_ns: int) -> str:
    """`20261123-14:30:00`, in UTC, as head timestamps have it."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y%m%d-%H:%M:%S}"


def utc_news(time_ns: int) -> str:
    """`2026-11-23 14:30:00.0`, in UTC, as the history of news has it."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S}.0"


def day(label: int) -> str:
    """`20261123` of a day since 1970."""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=label):%Y%m%d}"


def _moment(seconds: int, zone: str) -> datetime:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone))


@lru_cache(maxsize=65536)
def _offset(piece: int, zone: str) -> int:
    """Local time minus UTC in seconds, in the quarter of an hour that is `piece` of them after 1970."""
    offset = _moment(piece * _OFFSET_PIECE, zone).utcoffset()
    return round(offset.total_seconds()) if offset is not None else 0


@lru_cache(maxsize=16384)
def _day_text(label: int) -> str:
    return day(label)


_CLOCK = tuple(f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}" for s in range(86400))


def epoch_column(starts_ns: Times) -> list[str]:
    """Bar dates as epoch seconds: what formatDate 2 asks for."""
    return list(map(str, (np.asarray(starts_ns, np.int64) // SECOND_NS).tolist()))


def zoned_column(starts_ns: Times, zone: str) -> list[str]:
    """Bar dates as `zoned` spells them, for many at once: what formatDate 1 asks for."""
    seconds = np.asarray(starts_ns, np.int64) // SECOND_NS
    pieces, piece_of = np.unique(seconds // _OFFSET_PIECE, return_inverse=True)
    offsets = np.array([_offset(piece, zone) for piece in pieces.tolist()], np.int64)
    local = seconds + offsets[piece_of] if len(seconds) else seconds
    labels, clock = (local // 86400).tolist(), (local % 86400).tolist()
    return [f"{_day_text(label)} {_CLOCK[second]} {zone}" for label, second in zip(labels, clock, strict=True)]


def day_column(labels: Days) -> list[str]:
    """Dates of daily bars and longer: the trading day, in both formats."""
    return [_day_text(label) for label in np.asarray(labels, np.int64).tolist()]


def hours(table: SessionTable, zone: str, first_day: int, days: int) -> str:
    """Trading hours as contract details have them, for the days since 1970 from `first_day` on.

    `20261123:0400-20261123:2000;20261128:CLOSED`; a lunch break makes two spans of a day, joined by a comma. Days
    that the table does not cover are left out.
    """
    rows = {int(label): row for row, label in enumerate(table.label)}
    known = range(max(first_day, int(table.label[0])), min(first_day + days, int(table.label[-1]) + 1))
    return ";".join(
        _spans(table, rows[label], zone) if label in rows else f"{_day_text(label)}:CLOSED" for label in known
    )


def _spans(table: SessionTable, row: int, zone: str) -> str:
    edges = [int(table.open[row]), int(table.close[row])]
    if table.break_start[row]:
        edges[1:1] = [int(table.break_start[row]), int(table.break_end[row])]
    texts = [f"{_moment(edge // SECOND_NS, zone):%Y%m%d:%H%M}" for edge in edges]
    return ",".join(f"{start}-{end}" for start, end in zip(texts[::2], texts[1::2], strict=True))
