"""A connection that a test steers, with the snapshot of a real one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from gateway.codes import Family
from gateway.events import Event, Notice
from gateway.session import Farm
from gateway.settings import AccountKind
from gateway.states import State
from gateway.status import ConnectionStatus

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000
READY = ConnectionStatus(
    state=State.READY, since_ns=NOON_NS, cause="", remedy="", is_fatal=False, host="127.0.0.1", port=4002,
    client_id=11, library="ib_insync", library_version="0.9.86", server_version=176, account="DU1000001",
    accounts=("DU1000001",), kind=AccountKind.SIMULATED, session=1, last_heartbeat_ns=NOON_NS, latency_ms=1.5,
    clock_skew_s=float("nan"), messages_in=20, messages_out=10, bytes_in=900, bytes_out=300, unreadable=0, attempts=1,
    reconnects=0, subscriptions=0, events_waiting=0, events_dropped=0, notices=(),
    farms=(Farm("usfarm", "market data", "ok"),),
)  # fmt: skip


def notice(code: int, family: Family = Family.NOTE, text: str = "") -> Notice:
    return Notice(NOON_NS, 1, -1, code, family, f"words of {code}", "", text, False, ())


class Double:
    """`made` holds every connection that was opened, the first one first."""

    made: list[Double] = []

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self.hear = hear
        self.now = READY
        self.running = False
        self.ended = False
        Double.made.append(self)

    def open(self) -> None:
        assert not any(each.running for each in Double.made), "two at once"
        self.running = True

    def close(self) -> None:
        self.running, self.ended = False, True

    def snapshot(self) -> ConnectionStatus:
        return self.now

    def change(self, **fields: Any) -> None:
        self.now = self.now._replace(**fields)

    def say(self, *notices: Notice) -> None:
        """As the gateway would; the connection keeps the last fifty."""
        for each in notices:
            self.hear(each)
        self.change(notices=(*self.now.notices, *notices)[-50:])
