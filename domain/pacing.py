"""Pacing: how often a login may ask IB for history, and who is served first.

IB refuses, for bars of 30 seconds and less and now and then for others: more than 60 requests in ten minutes, the same
one again within 15 seconds, six for one contract, exchange and kind within 2; and, for all, more than 50 open at once.
Bid and ask together count twice. A refused request counts too.

We count from when a request may have reached IB at the latest, and stay a little below each limit: nobody but IB knows
when it counted. The window of ten minutes lets 58 through each 601 to 606 seconds, 95.7 to 96.5 % of what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

from domain.errors import BadInput

# So far may two clocks be apart, ours among themselves and ours from IB's.
MARGIN_SECONDS = 1.0
WINDOW_SECONDS = 600.0 + MARGIN_SECONDS
WINDOW_WEIGHT = 58
IDENTICAL_SECONDS = 15.0 + MARGIN_SECONDS
BURST_SECONDS = 2.0 + MARGIN_SECONDS
BURST_WEIGHT = 5
# A request that we gave up may be open for IB a moment longer.
OPEN_REQUESTS = 48
# Between the grant and the wire lie a commit, a thread's turn, and the pace of messages.
SENDING_SECONDS = 5.0
# Nobody knows when an open request is answered; ask again after so long.
OPEN_RETRY_SECONDS = 1.0
# What is older and closed counts nowhere.
KEPT_SECONDS = WINDOW_SECONDS + SENDING_SECONDS
SMALL_BAR_SECONDS = 30
_PAUSES = (60.0, 120.0, 300.0, 600.0)
# A breach after so long a time without one is a first one.
BREACH_SECONDS = 3600.0


class Priority(IntEnum):
    """Who gets the next slot where several want one; the smaller the sooner."""

    LIVE = 0
    SCAN = 1
    TAIL = 2
    BACKFILL = 3


class PacingProfile(StrEnum):
    """Which of IB's limits are kept. Bars of 30 seconds and less are strict in all but OFF, which is for a simulated
    gateway alone."""

    STRICT = "strict"
    RELAXED = "relaxed"
    OFF = "off"


class Limit(StrEnum):
    WINDOW = "window"
    IDENTICAL = "identical"
    BURST = "burst"
    OPEN = "open"


class HistoryAsk(NamedTuple):
    """A request as IB counts it. `contract` includes the exchange; `identity` is equal for equal requests alone."""

    contract: str
    what: str
    identity: str
    bar_seconds: int

    @property
    def weight(self) -> int:
        return 2 if self.what == "BID_ASK" else 1

    @property
    def series(self) -> str:
        """What the limit on bursts counts by."""
        return f"{self.contract} {self.what}"


class Sent(NamedTuple):
    """A request that was let through `at`, in seconds, and whose slot was `closed` then, or is open."""

    ask: HistoryAsk
    at: float
    closed: float | None = None

    @property
    def is_open(self) -> bool:
        return self.closed is None

    @property
    def arrived_by(self) -> float:
        """IB had it by then: it cannot have been answered before it came."""
        latest = self.at + SENDING_SECONDS
        return latest if self.closed is None else min(self.closed, latest)


class Wait(NamedTuple):
    """`seconds` 0: now. `limit`: the one that binds."""

    seconds: float
    limit: Limit | None = None


def wait_for(
    sent: Sequence[Sent], ask: HistoryAsk, now: float, profile: PacingProfile, ahead: Sequence[HistoryAsk] = ()
) -> Wait:
    """How long a request has to wait, by what was sent in the last KEPT_SECONDS and what is open.

    Those `ahead` wait and come first: room is left for them, but they do not hold up a request while there is room
    for all. Where OPEN binds the wait is a time to ask again after.
    """
    if profile is PacingProfile.OFF:
        return Wait(0.0)
    waits = [
        Wait(_identical(sent, ask, now), Limit.IDENTICAL),
        Wait(_burst(sent, ask, now), Limit.BURST),
        Wait(_open(sent, ahead), Limit.OPEN),
    ]
    if is_counted(ask.bar_seconds, profile):
        weight = ask.weight + sum(one.weight for one in ahead if is_counted(one.bar_seconds, profile))
        waits.append(Wait(seconds_until_sent(sent, weight, now, profile), Limit.WINDOW))
    longest = max(waits, key=lambda each: each.seconds)
    return longest if longest.seconds > 0 else Wait(0.0)


def is_counted(bar_seconds: int, profile: PacingProfile) -> bool:
    """Whether requests for such bars count in the window of ten minutes."""
    if profile is PacingProfile.RELAXED:
        return bar_seconds <= SMALL_BAR_SECONDS
    return profile is PacingProfile.STRICT


def window_weight(sent: Iterable[Sent], now: float, profile: PacingProfile) -> int:
    """How much of WINDOW_WEIGHT is used."""
    return len(_expiries(sent, now, profile))


def seconds_until_sent(sent: Iterable[Sent], weight: int, now: float, profile: PacingProfile) -> float:
    """Until the last of so much more weight is let through by the window, where nothing else is asked for."""
    if weight < 1:
        return 0.0
    expiries = _expiries(sent, now, profile)
    # When each of the window's places is free for the first time; later it is again after each window.
    free = ([now] * WINDOW_WEIGHT + expiries)[-WINDOW_WEIGHT:]
    windows, place = divmod(weight - 1, WINDOW_WEIGHT)
    return free[place] - now + windows * WINDOW_SECONDS


def pause_seconds(breaches: int) -> float:
    """How long the login rests after so many breaches, each within BREACH_SECONDS of the one before."""
    if breaches < 1:
        raise BadInput(f"a pause follows a breach, not {breaches}")
    return _PAUSES[min(breaches, len(_PAUSES)) - 1]


def _expiries(sent: Iterable[Sent], now: float, profile: PacingProfile) -> list[float]:
    """When each unit of weight leaves the window, the soonest first."""
    return sorted(
        one.arrived_by + WINDOW_SECONDS
        for one in sent
        if is_counted(one.ask.bar_seconds, profile) and one.arrived_by + WINDOW_SECONDS > now
        for _ in range(one.ask.weight)
    )


def _identical(sent: Iterable[Sent], ask: HistoryAsk, now: float) -> float:
    latest = max((one.arrived_by for one in sent if one.ask.identity == ask.identity), default=-float("inf"))
    return max(0.0, latest + IDENTICAL_SECONDS - now)


def _burst(sent: Iterable[Sent], ask: HistoryAsk, now: float) -> float:
    leaving = sorted(
        one.arrived_by + BURST_SECONDS
        for one in sent
        if one.ask.series == ask.series and one.arrived_by + BURST_SECONDS > now
        for _ in range(one.ask.weight)
    )
    excess = len(leaving) + ask.weight - BURST_WEIGHT
    return leaving[excess - 1] - now if excess > 0 else 0.0


def _open(sent: Iterable[Sent], ahead: Sequence[HistoryAsk]) -> float:
    used = sum(one.is_open for one in sent) + len(ahead)
    return OPEN_RETRY_SECONDS if used >= OPEN_REQUESTS else 0.0
