"""How much history may be asked for: IB's limits, counted in real time over all sessions of the login."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from gateway.simulator import requests
from gateway.simulator.bar_sizes import bar_size

_WINDOW_SECONDS, _WINDOW_REQUESTS = 600.0, 60
_IDENTICAL_SECONDS = 15.0
_BURST_SECONDS, _BURST_REQUESTS = 2.0, 6
_OPEN_REQUESTS = 50
_SMALL_BAR_SECONDS = 30
_TWICE = "BID_ASK"


@dataclass(slots=True)
class PacingLimits:
    """Which limits are in force. With `small_bars_only` the ones on the number of requests bind only bars of 30
    seconds and less, as IB does today; the one on open requests binds all."""

    window: bool = True
    identical: bool = True
    burst: bool = True
    open_requests: bool = True
    small_bars_only: bool = True


class HistoryPacing:
    """A request is admitted or refused with 162; a refused one counts like any other, so that asking on and on does
    not help. Weights: bid and ask together count twice."""

    def __init__(self, limits: PacingLimits | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits or PacingLimits()
        self._monotonic = monotonic
        self._window: deque[float] = deque()
        self._bursts: dict[Hashable, deque[float]] = {}
        self._last: dict[Hashable, float] = {}
        self._open: set[Hashable] = set()

    def admit(self, owner: Hashable, request: requests.HistoricalData) -> bool:
        """Count a request; one that is admitted is open until `close`. `owner` and the request's id name it."""
        limits, now = self.limits, self._monotonic()
        self._forget(now)
        is_admitted = not (limits.open_requests and len(self._open) >= _OPEN_REQUESTS)
        if self._is_counted(request):
            is_admitted &= self._counted(request, now)
        if is_admitted:
            self._open.add((owner, request.req_id))
        return is_admitted

    def close(self, owner: Hashable, request_id: int) -> None:
        """Answered for good, cancelled, or its session ended."""
        self._open.discard((owner, request_id))

    def close_all(self, owner: Hashable) -> None:
        self._open = {key for key in self._open if not (isinstance(key, tuple) and key[0] == owner)}

    @property
    def open_requests(self) -> int:
        return len(self._open)

    def _is_counted(self, request: requests.HistoricalData) -> bool:
        size = bar_size(request.bar_size)
        return not self.limits.small_bars_only or (size is not None and 0 < size.seconds <= _SMALL_BAR_SECONDS)

    def _counted(self, request: requests.HistoricalData, now: float) -> bool:
        limits = self.limits
        weight = 2 if request.what == _TWICE else 1
        contract = request.contract
        burst_key = contract, request.what
        burst = self._bursts.setdefault(burst_key, deque())
        same = request._replace(req_id=0)
        previous = self._last.get(same)
        for times in (self._window, burst):
            times.extend([now] * weight)
        self._last[same] = now
        return not (
            (limits.window and len(self._window) > _WINDOW_REQUESTS)
            or (limits.burst and len(burst) >= _BURST_REQUESTS)
            or (limits.identical and previous is not None)
        )

    def _forget(self, now: float) -> None:
        _drop_until(self._window, now - _WINDOW_SECONDS)
        for times in self._bursts.values():
            _drop_until(times, now - _BURST_SECONDS)
        self._bursts = {key: times for key, times in self._bursts.items() if times}
        self._last = {key: at for key, at in self._last.items() if at > now - _IDENTICAL_SECONDS}


def _drop_until(times: deque[float], moment: float) -> None:
    while times and times[0] <= moment:
        times.popleft()
