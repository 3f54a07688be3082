"""The pace at which messages leave: IB ends a session that sends more than 50 in a second.

Orders go before heartbeats, heartbeats before live data, live data before the rest; and the last slots of a second
are kept for orders and heartbeats, so a back-fill never delays a cancel.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from enum import IntEnum

from gateway.errors import ConnectionLost, Throttled


class Priority(IntEnum):
    ORDER = 0
    HEARTBEAT = 1
    LIVE = 2
    REST = 3


class Pacer:
    """Grants at most `per_second` slots in any second, all but `reserved` of them to any priority.

    Belongs to one event loop. `limit` bounds those who wait.
    """

    def __init__(self, per_second: int = 45, reserved: int = 5, limit: int = 10_000) -> None:
        self._per_second = per_second
        self._reserved = reserved
        self._limit = limit
        self._granted: deque[float] = deque()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def waiting(self, priority: Priority) -> int:
        return sum(1 for entry in self._waiting if entry[0] == priority and not entry[2].done())

    async def slot(self, priority: Priority) -> None:
        """Wait for the right to send one message now."""
        if self._is_closed:
            raise ConnectionLost("the connection ended before the request was sent")
        if not self._waiting and self._slots(priority) > 0:
            self._granted.append(asyncio.get_running_loop().time())
            return
        if len(self._waiting) >= self._limit:
            raise Throttled("too many requests wait to be sent")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._numbers), granted))
        self._grant()
        await granted

    def take(self, slots: int = 1) -> bool:
        """Slots for so many messages about orders, if there are that many this instant."""
        if self._slots(Priority.ORDER) < slots:
            return False
        self._granted.extend([asyncio.get_running_loop().time()] * slots)
        return True

    def close(self) -> None:
        """Nobody gets another slot; those who wait are told so."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for _, _, granted in self._waiting:
            if not granted.done():
                granted.set_exception(ConnectionLost("the connection ended before the request was sent"))
        self._waiting.clear()

    def _slots(self, priority: Priority) -> int:
        now = asyncio.get_running_loop().time()
        while self._granted and now - self._granted[0] > 1.0:
            self._granted.popleft()
        kept = 0 if priority <= Priority.HEARTBEAT else self._reserved
        return self._per_second - kept - len(self._granted)

    def _grant(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting:
            priority, _, granted = self._waiting[0]
            if granted.done():  # its caller gave up
                heapq.heappop(self._waiting)
                continue
            if self._slots(Priority(priority)) <= 0:
                break
            heapq.heappop(self._waiting)
            self._granted.append(loop.time())
            granted.set_result(None)
        if self._waiting:
            self._timer = loop.call_at(self._granted[0] + 1.001, self._grant)
