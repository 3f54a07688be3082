"""EventQueue: events on their way from the loop to their consumer, in order, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque

from gateway.events import REPLACEABLE, Event


class EventQueue:
    """Any number of threads may take; each event goes to one of them.

    Facts of orders are never dropped. Of those that a newer one replaces (quotes, values, PnL) none is taken in while
    `limit` events wait; `dropped` counts them.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._events: deque[Event] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        with self._changed:
            if len(self._events) >= self._limit and isinstance(event, REPLACEABLE):
                self.dropped += 1
                return
            self._events.append(event)
            self._changed.notify()

    def get(self, seconds: float | None = None) -> Event | None:
        """The next event; None where none came in time, or the queue is closed and empty."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not self._events:
                left = None if deadline is None else deadline - time.monotonic()
                if self._is_closed or (left is not None and left <= 0):
                    return None
                self._changed.wait(left)
            return self._events.popleft()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """No more will come; what waits may still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
