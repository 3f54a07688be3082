"""When something that follows a trading calendar is due next."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from domain.sessions import SessionTable

MINUTE_NS = 60_000_000_000
# 1970-01-01 was a Thursday, and a week begins on Monday.
_FIRST_MONDAY = 3


class Every(StrEnum):
    """Which sessions: all of them, or the last of each week or month (a half day or the day before a holiday too)."""

    SESSION = "session"
    WEEK = "week"
    MONTH = "month"


class Moment(StrEnum):
    OPEN = "open"
    CLOSE = "close"


def next_slot(sessions: SessionTable, every: Every, moment: Moment, offset_minutes: int, after_ns: int) -> int | None:
    """The first due moment after `after_ns`, both UTC nanoseconds; None where the calendar ends before it.

    A slot is the open or close of a session moved by `offset_minutes` (negative: before). The last week and month of
    the table count only if the table goes beyond them, since their last session is not known otherwise.
    """
    chosen = np.ones(len(sessions), np.bool_)
    if every is not Every.SESSION:
        if every is Every.WEEK:
            period = (sessions.label + _FIRST_MONDAY) // 7
        else:
            period = sessions.label.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        chosen[:-1] = period[1:] != period[:-1]
        chosen[-1] = False
    moments = (sessions.open if moment is Moment.OPEN else sessions.close)[chosen] + offset_minutes * MINUTE_NS
    at = int(np.searchsorted(moments, after_ns, side="right"))
    return int(moments[at]) if at < len(moments) else None
