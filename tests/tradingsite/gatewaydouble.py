"""A connection that a test steers, with the snapshot of a real one."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


class Notice(NamedTuple):
    at_ns: int
    code: int
    family: str
    text: str
    words: str = ""
    remedy: str = ""


class Status(NamedTuple):
    state: str = "ready"
    since: dt.datetime = NOON
    cause: str = ""
    remedy: str = ""
    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 11
    library: str = "ib_insync 0.9.86"
    server_version: int | None = 176
    accounts: tuple[str, ...] = ("DU1000001",)
    kind: str = "simulated"
    last_heartbeat: dt.datetime | None = NOON
    latency_ms: float | None = 1.5
    clock_skew_s: float | None = 0.0
    messages_in: int = 20
    messages_out: int = 10
    reconnects: int = 0
    notices: tuple[Notice, ...] = ()
    farms: tuple[tuple[str, str], ...] = (("usfarm", "ok"),)


class Double:
    """`made` holds every connection that was begun, the first one first."""

    made: list[Double] = []

    def __init__(self) -> None:
        self.now = Status()
        self.running = False
        self.ended = False
        Double.made.append(self)

    def start(self) -> None:
        assert not any(each.running for each in Double.made), "two at once"
        self.running = True

    def stop(self) -> None:
        self.running, self.ended = False, True

    def status(self) -> Status:
        return self.now

    def change(self, **fields: Any) -> None:
        self.now = self.now._replace(**fields)
