"""Timeframe: the length of a bar."""

from __future__ import annotations

from enum import StrEnum

from domain.errors import UnknownName

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


class Timeframe(StrEnum):
    """The bar lengths that are stored, scanned and traded; the value is the one spelling everywhere."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    D1 = "1d"
    W1 = "1w"

    @property
    def nanoseconds(self) -> int:
        """Nominal length. A session bar (1d, 1w) ends at a session's close, so its true length differs."""
        return _LENGTH_NS[self]

    @property
    def is_intraday(self) -> bool:
        return self not in (Timeframe.D1, Timeframe.W1)

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Read a spelling that people use (`1D`, `1min`, `60m`, `day`); `1M` would be a month and is refused."""
        spelling = text.strip()
        if spelling != "1M":
            spelling = spelling.lower().replace(" ", "")
        known = {member.value: member for member in cls}
        found = known.get(spelling) or _ALIASES.get(spelling)
        if found is None:
            raise UnknownName("timeframe", text, known)
        return found


_LENGTH_NS = {
    Timeframe.M1: MINUTE_NS,
    Timeframe.M5: 5 * MINUTE_NS,
    Timeframe.M15: 15 * MINUTE_NS,
    Timeframe.M30: 30 * MINUTE_NS,
    Timeframe.H1: HOUR_NS,
    Timeframe.D1: DAY_NS,
    Timeframe.W1: 7 * DAY_NS,
}

_ALIASES = {
    "1min": Timeframe.M1,
    "5min": Timeframe.M5,
    "5mins": Timeframe.M5,
    "15min": Timeframe.M15,
    "15mins": Timeframe.M15,
    "30min": Timeframe.M30,
    "30mins": Timeframe.M30,
    "60m": Timeframe.H1,
    "1hour": Timeframe.H1,
    "1day": Timeframe.D1,
    "day": Timeframe.D1,
    "daily": Timeframe.D1,
    "1week": Timeframe.W1,
    "week": Timeframe.W1,
}
