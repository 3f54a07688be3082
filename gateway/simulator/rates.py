"""How fast a client may send: so many messages in any second, real time."""

from __future__ import annotations

from collections import deque
from enum import Enum


class Rate(Enum):
    FINE = 0
    NEAR = 1
    """Told once a second, from nine tenths of the limit on."""
    OVER = 2
    TOO_OFTEN = 3
    """Over it in a third second: the connection ends."""


_STRIKES = 3
# Clients hold themselves to the limit by their own clocks; what the network shifts must not count against them.
_SECOND = 0.9


class RateLimiter:
    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._warned = self._struck = float("-inf")
        self._strikes = 0

    def take(self, now: float, limit: int) -> Rate:
        """Count one message; `limit` 0 lets all pass."""
        if not limit:
            return Rate.FINE
        self._forget(now)
        if len(self._times) >= limit:
            if now - self._struck < 1:
                return Rate.OVER
            self._struck = now
            self._strikes += 1
            return Rate.TOO_OFTEN if self._strikes >= _STRIKES else Rate.OVER
        self._times.append(now)
        if len(self._times) > limit - max(1, limit // 20) and now - self._warned >= 1:
            self._warned = now
            return Rate.NEAR
        return Rate.FINE

    def free_at(self, now: float, limit: int) -> float:
        """When the next message may pass, for a client that asked to be held back rather than refused."""
        self._forget(now)
        return now if not limit or len(self._times) < limit else self._times[0] + _SECOND

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] <= now - _SECOND:
            self._times.popleft()
