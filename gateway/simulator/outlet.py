"""Outlet: what one client is sent. Every byte to a client passes here, and this is where the network misbehaves."""

from __future__ import annotations

import heapq
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from gateway.simulator import wire

if TYPE_CHECKING:
    from gateway.simulator.faults import Faults

# The messages a fault can name, by the id that a client sees.
MESSAGE_IDS = {
    "tickPrice": 1,
    "tickSize": 2,
    "orderStatus": 3,
    "error": 4,
    "openOrder": 5,
    "accountValue": 6,
    "portfolioValue": 7,
    "accountUpdateTime": 8,
    "nextValidId": 9,
    "contractDetails": 10,
    "execDetails": 11,
    "newsBulletin": 14,
    "managedAccounts": 15,
    "historicalData": 17,
    "scannerParameters": 19,
    "scannerData": 20,
    "tickGeneric": 45,
    "tickString": 46,
    "currentTime": 49,
    "realtimeBar": 50,
    "contractDetailsEnd": 52,
    "openOrderEnd": 53,
    "accountDownloadEnd": 54,
    "execDetailsEnd": 55,
    "tickSnapshotEnd": 57,
    "marketDataType": 58,
    "commissionReport": 59,
    "position": 61,
    "positionEnd": 62,
    "accountSummary": 63,
    "accountSummaryEnd": 64,
    "accountUpdateMulti": 73,
    "accountUpdateMultiEnd": 74,
    "symbolSamples": 79,
    "tickReqParams": 81,
    "newsArticle": 83,
    "tickNews": 84,
    "newsProviders": 85,
    "historicalNews": 86,
    "historicalNewsEnd": 87,
    "headTimestamp": 88,
    "historicalDataUpdate": 90,
    "marketRule": 93,
    "pnl": 94,
    "pnlSingle": 95,
    "completedOrder": 101,
    "completedOrdersEnd": 102,
    "historicalSchedule": 106,
}


class Ending(Enum):
    CLOSE = "close"
    """Once all that waits is sent."""
    HALF_CLOSE = "half_close"
    ABORT = "abort"
    """At once, with a reset; what waits is lost."""


class Act(Enum):
    """What may befall a message."""

    SWALLOW = "swallow"
    DUP = "dup"
    REORDER = "reorder"
    DELAY = "delay"
    GARBLE = "garble"
    FIELDS = "fields"
    TRUNCATE = "truncate"
    BIGLEN = "biglen"


@dataclass(slots=True)
class MessageRule:
    """Act on the next `left` messages of an id (None: any) to a client id (None: any)."""

    act: Act
    message: int | None
    left: int
    client: int | None
    amount: float = 0.0

    def takes(self, message: int, client: int) -> bool:
        return self.left > 0 and self.message in (None, message) and self.client in (None, client)


@dataclass(slots=True)
class DropRule:
    """End the connection with its `message`-th message."""

    message: int
    client: int | None
    ending: Ending
    left: int


class Outlet:
    """A queue of bytes, each with the real time from which it may be sent. `client` is -1 until startApi."""

    def __init__(self, faults: Faults, monotonic: Callable[[], float]) -> None:
        self.client = -1
        self.size = 0
        self.messages = 0
        self.ending: Ending | None = None
        self.muted = False
        self._faults = faults
        self._monotonic = monotonic
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._delayed: list[tuple[float, int, bytes]] = []
        self._order = count()
        self._overtaken: list[bytes] = []
        self._next_slice = 0.0

    def put(self, payload: bytes) -> None:
        """Send one message."""
        if self.ending is not None:
            return
        if self._faults.message_rules:
            self._put_by_rules(payload)
        else:
            self._append(wire.frame(payload))
        if self._overtaken and self.ending is None and payload not in self._overtaken:
            late, self._overtaken = self._overtaken, []
            for each in late:
                self._append(wire.frame(each))
        self.messages += 1
        if self._faults.drop_rules:
            self._drop_by_rules()

    def put_handshake(self, answer: bytes) -> None:
        self._append(wire.frame(answer))

    def end(self, ending: Ending) -> None:
        """The first ending counts, but an abort."""
        if self.ending is None or ending is Ending.ABORT:
            self.ending = ending
        if ending is Ending.ABORT:
            self._chunks.clear()
            self.size = 0

    @property
    def is_drained(self) -> bool:
        return not self._chunks

    def take(self) -> list[bytes]:
        """What may be sent now, in pieces that are to be written one by one."""
        now = self._monotonic()
        if self.muted or now < self._faults.stalled_until(self.client):
            return []
        self._release_delayed(now)
        pieces: list[bytes] = []
        cut, gap = self._faults.slice_bytes, self._faults.slice_gap
        while self._chunks and self._chunks[0][0] <= now and (not cut or self._next_slice <= now):
            due, data = self._chunks.popleft()
            if cut and len(data) > cut:
                self._chunks.appendleft((due, data[cut:]))
                data = data[:cut]
            if cut and gap:
                self._next_slice = now + gap
            self.size -= len(data)
            pieces.append(data)
        return pieces

    def next_due(self) -> float | None:
        """The real time at which `take` may give more; None where nothing waits."""
        times = [due for due, _, _ in self._delayed[:1]]
        if self._chunks:
            times.append(max(self._chunks[0][0], self._next_slice))
        if not times or self.muted:
            return None
        return max(min(times), self._faults.stalled_until(self.client))

    def _append(self, data: bytes) -> None:
        due = 0.0
        if self._faults.latency:
            due = self._monotonic() + self._faults.latency
        if self._chunks:
            due = max(due, self._chunks[-1][0])
        self._chunks.append((due, data))
        self.size += len(data)

    def _release_delayed(self, now: float) -> None:
        while self._delayed and self._delayed[0][0] <= now:
            self._append(wire.frame(heapq.heappop(self._delayed)[2]))

    def _put_by_rules(self, payload: bytes) -> None:
        message = message_id(payload)
        rule = next((each for each in self._faults.message_rules if each.takes(message, self.client)), None)
        if rule is None:
            self._append(wire.frame(payload))
            return
        rule.left -= 1
        self._faults.forget_spent_rules()
        match rule.act:
            case Act.SWALLOW:
                pass
            case Act.DUP:
                self._append(wire.frame(payload))
                self._append(wire.frame(payload))
            case Act.REORDER:
                self._overtaken.append(payload)
            case Act.DELAY:
                heapq.heappush(self._delayed, (self._monotonic() + rule.amount, next(self._order), payload))
            case Act.GARBLE:
                self._append(wire.frame(_garbled(payload, round(rule.amount), self._faults.random)))
            case Act.FIELDS:
                self._append(wire.frame(_refielded(payload, round(rule.amount))))
            case Act.BIGLEN:
                self._append(struct.pack(">I", round(rule.amount)) + payload)
            case Act.TRUNCATE:
                frame = wire.frame(payload)
                self._append(frame[: max(1, min(len(frame) - 1, round(rule.amount) or len(frame) // 2))])
                self.end(Ending.CLOSE)

    def _drop_by_rules(self) -> None:
        for rule in self._faults.drop_rules:
            if rule.left > 0 and rule.client in (None, self.client) and self.messages == rule.message:
                rule.left -= 1
                self._faults.forget_spent_rules()
                self.end(rule.ending)
                return


def message_id(payload: bytes) -> int:
    head = payload.split(b"\0", 1)[0]
    return int(head) if head.isdigit() else -1


def _garbled(payload: bytes, amount: int, random: np.random.Generator) -> bytes:
    changed = bytearray(payload)
    for _ in range(max(1, amount)):
        changed[random.integers(len(changed))] = random.integers(256)
    return bytes(changed)


def _refielded(payload: bytes, change: int) -> bytes:
    """With `change` more fields at the end (zeros), or fewer."""
    if change >= 0:
        return payload + b"0\0" * change
    fields = payload.split(b"\0")[:-1]
    return b"".join(each + b"\0" for each in fields[: max(1, len(fields) + change)])


__all__ = ["MESSAGE_IDS", "Act", "DropRule", "Ending", "MessageRule", "Outlet", "message_id"]
