"""Bar sizes and durations as IB spells them."""

from __future__ import annotations

import re
from typing import NamedTuple

_DAY_SECONDS = 86_400


class BarSize(NamedTuple):
    """`seconds` is 0 for a week and a month, which have no fixed length; a day is a session."""

    text: str
    seconds: int

    @property
    def is_intraday(self) -> bool:
        return 0 < self.seconds < _DAY_SECONDS

    @property
    def nominal_seconds(self) -> int:
        return self.seconds or (7 if self == WEEK else 30) * _DAY_SECONDS


DAY, WEEK, MONTH = BarSize("1 day", _DAY_SECONDS), BarSize("1W", 0), BarSize("1M", 0)
BAR_SIZES = (
    *(BarSize(f"{n} secs", n) for n in (1, 5, 10, 15, 30)),
    BarSize("1 min", 60),
    *(BarSize(f"{n} mins", n * 60) for n in (2, 3, 5, 10, 15, 20, 30)),
    BarSize("1 hour", 3600),
    *(BarSize(f"{n} hours", n * 3600) for n in (2, 3, 4, 8)),
    DAY,
    WEEK,
    MONTH,
)
_BY_TEXT = {size.text: size for size in BAR_SIZES} | {
    "1 sec": BAR_SIZES[0],
    "1 week": WEEK,
    "1 month": MONTH,
}


def bar_size(text: str) -> BarSize | None:
    """None where IB knows no such size; it takes its spellings and no others."""
    return _BY_TEXT.get(text.strip())


class Duration(NamedTuple):
    number: int
    unit: str
    """S, D, W, M or Y."""


_DURATION = re.compile(r"([1-9]\d{0,5}) ([SDWMY])")
_MOST_OF_A_YEAR = {"D": 365, "W": 52, "M": 12}


def duration(text: str) -> Duration | None:
    found = _DURATION.fullmatch(text.strip())
    return Duration(int(found[1]), found[2]) if found else None


def is_longer_than_a_year(length: Duration) -> bool:
    """Whether it must be asked for in years."""
    return length.number > _MOST_OF_A_YEAR.get(length.unit, length.number)


# What IB's table of limits allows: seconds of duration up to which, and the shortest and longest bars in seconds.
_MONTH_SECONDS = 30 * _DAY_SECONDS
_GUIDELINES = (
    (60, 1, 60),
    (120, 1, 120),
    (1800, 1, 1800),
    (3600, 5, 3600),
    (14_400, 10, 10_800),
    (28_800, 30, 28_800),
    (_DAY_SECONDS, 60, _DAY_SECONDS),
    (2 * _DAY_SECONDS, 120, _DAY_SECONDS),
    (7 * _DAY_SECONDS, 180, 7 * _DAY_SECONDS),
    (_MONTH_SECONDS, 1800, _MONTH_SECONDS),
    (366 * _DAY_SECONDS, _DAY_SECONDS, _MONTH_SECONDS),
)
_UNIT_SECONDS = {"S": 1, "D": _DAY_SECONDS, "W": 7 * _DAY_SECONDS, "M": _MONTH_SECONDS, "Y": 365 * _DAY_SECONDS}


def is_within_guidelines(length: Duration, size: BarSize) -> bool:
    """What IB's table recommends and a strict simulator demands."""
    seconds = length.number * _UNIT_SECONDS[length.unit]
    _, shortest, longest = next((row for row in _GUIDELINES if seconds <= row[0]), _GUIDELINES[-1])
    return shortest <= size.nominal_seconds <= longest
