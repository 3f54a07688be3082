"""Simulators for tests: their time stands still until a test moves it."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway.simulator.books import AccountSettings
from gateway.simulator.clock import ManualClock
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from gateway.simulator.server import DEFAULT_START_NS, walk_market
from gateway.simulator.settings import Settings
from gateway.simulator.simulator import Simulator


@cache
def known_market(seed: int = 1) -> Market:
    """The built-in market as of the usual start; one for all tests, since it changes with nobody's questions."""
    return walk_market(seed, DEFAULT_START_NS)


class Stopwatch:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def still_simulator(
    *, scenario: Any = None, seed: int = 1, start_ns: int = DEFAULT_START_NS, **settings: Any
) -> Simulator:
    """No socket, no thread; `simulator.monotonic` is a Stopwatch."""
    chosen = Settings(seed=seed, **settings)
    clock = ManualClock(start_ns)
    market = known_market(seed)
    books = {number: AccountSettings(cash=chosen.cash, currency=chosen.currency) for number in chosen.accounts}
    exchange = Exchange(market, clock, books, seed=seed)
    return Simulator(market, exchange, clock, chosen, scenario=scenario, monotonic=Stopwatch())
