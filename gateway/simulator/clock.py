"""The simulator's time: exchange time in UTC nanoseconds, as fast as asked, or standing until a test moves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int: ...


class RunningClock:
    """Starts at `start_ns` and runs `speed` times as fast as the real one, which is monotonic."""

    def __init__(self, start_ns: int, speed: float = 1.0, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._began_ns = monotonic_ns()
        self._start_ns = start_ns
        self._speed = speed

    @property
    def speed(self) -> float:
        return self._speed

    def now_ns(self) -> int:
        return self._start_ns + round((self._monotonic_ns() - self._began_ns) * self._speed)

    def set(self, *, now_ns: int | None = None, speed: float | None = None) -> None:
        """Go on from another moment, or at another speed; back in time is allowed: a fault."""
        self._start_ns = self.now_ns() if now_ns is None else now_ns
        self._began_ns = self._monotonic_ns()
        self._speed = self._speed if speed is None else speed


class ManualClock:
    """Stands still until moved."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, seconds: float) -> int:
        self._now_ns += round(seconds * 1e9)
        return self._now_ns
