"""Connections to a simulator, for tests. The library is the one that IB_LIBRARY names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.connection import Connection
from gateway.contract import Contract
from gateway.events import CommissionReported, Event, Executed
from gateway.settings import ConnectionSettings
from gateway.simulator.clock import ManualClock
from gateway.simulator.server import DEFAULT_START_NS, SimulatorHandle, start_simulator
from tests.gateway.simulator.worlds import known_market

LIBRARY = os.environ.get("IB_LIBRARY", "ib_insync")
AAPL = Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")
# Everything here happens on one machine; this long passes only where something hangs.
PATIENCE = 20.0


def start_gateway(**switches: Any) -> SimulatorHandle:
    """A simulator whose exchange time stands still until `advance`."""
    return start_simulator(market=known_market(), clock=ManualClock(DEFAULT_START_NS), **switches)


def settings(gateway: Any, **changes: Any) -> ConnectionSettings:
    """Heartbeats are far apart unless a test asks for them, attempts close together."""
    return ConnectionSettings(
        **{
            "port": gateway.port,
            "kind": "simulated",
            "library": LIBRARY,
            "heartbeat_seconds": 600.0,
            "attempt_seconds": 0.05,
            **changes,
        }
    )


@contextmanager
def connected(gateway: Any, **changes: Any) -> Iterator[Connection]:
    with Connection(settings(gateway, **changes)) as connection:
        connection.wait_ready(PATIENCE)
        yield connection


def until(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `holds` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come true in {seconds:g} s")
        time.sleep(0.01)


class Heard:
    """All events of a connection, in order; a naive book of them, as a trader would keep one."""

    def __init__(self, connection: Connection) -> None:
        self.events: list[Event] = []
        self._connection = connection

    def take(self) -> list[Event]:
        while (event := self._connection.events.get(0)) is not None:
            self.events.append(event)
        return self.events

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.take() if isinstance(event, kind)]

    def first(self, kind: type, accepts: Callable[[Any], bool] = lambda _: True) -> Any:
        """Wait for one."""

        def found() -> Any:
            return next((event for event in self.of(kind) if accepts(event)), None)

        return until(found)

    def executions(self) -> dict[str, Executed]:
        """The highest revision of each."""
        book: dict[str, Executed] = {}
        for event in self.of(Executed):
            if event.base not in book or event.revision >= book[event.base].revision:
                book[event.base] = event
        return book

    def commissions(self) -> dict[str, CommissionReported]:
        return {event.exec_id: event for event in self.of(CommissionReported)}


def truth(gateway: SimulatorHandle) -> dict[str, tuple[float, float]]:
    """The exchange's own executions, by id without revision: (signed quantity, price)."""
    book: dict[str, tuple[float, float]] = {}
    for one in gateway.call(lambda simulator: simulator.exchange.executions()):
        base = one.exec_id.rpartition(".")[0]
        book[base] = (one.quantity if one.side == "BOT" else -one.quantity, one.price)
    return book
