"""Drive one backtest: bars and a strategy in, a result out. No Django, no files; pleasant in a notebook.

from domain.engine import backtest, Feed, RunSettings
result = backtest({"SPY": bars}, MaCrossover(fast=20, slow=50), RunSettings(cash=50_000))
result.metrics, result.fills, result.equity
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from domain.bars import BarSeries
from domain.engine.events import Outcome, find_events, is_exact, run_events
from domain.engine.loop import run_loop, statements
from domain.engine.records import records_of_book, records_of_outcome
from domain.engine.result import Result, equity_curve
from domain.engine.setup import Feed, RunSettings, Setup, prepare
from domain.engine.vector import NEAR, loses_too_much, run_vector
from domain.errors import BadInput
from domain.instrument import Instrument
from domain.risk import kill_level
from domain.strategy import Strategy

Feeds = BarSeries | Feed | Mapping[str, BarSeries] | Sequence[Feed]
PATHS = ("auto", "events", "loop")


def backtest(
    feeds: Feeds,
    strategy: Strategy | type[Strategy],
    settings: RunSettings | None = None,
    *,
    path: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Run a strategy over one or several instruments that share one cash account.

    `feeds`: feeds, or plain bars (by symbol) where the defaults of Instrument will do. `strategy`: an object, used
    as a pattern (each instrument gets its own with the same parameters), or a class with default parameters.
    `path`: "auto" takes the cheapest driver that is exact, "loop" forces the per-bar driver; "events" forces the
    vector driver and raises BadInput where it would not be exact. All drivers give the same fills.
    """
    if path not in PATHS:
        raise BadInput(f"run: path is one of {', '.join(PATHS)}, not {path!r}")
    pattern = strategy() if isinstance(strategy, type) else strategy
    setup = prepare(_feeds(feeds), settings or RunSettings(), pattern.warmup())
    strategies = [type(pattern)(pattern.params) for _ in setup.tracks]
    if path != "loop" and pattern.is_vector():
        outcome = _by_events(setup, strategies)
        if outcome is not None:
            if progress is not None:
                progress(1.0)
            return Result(
                setup,
                lambda: records_of_outcome(setup, outcome),
                path="events",
                cash=outcome.cash,
                quantity=outcome.quantity,
            )
    if path == "events":
        raise BadInput("run: the vector driver is not exact for this strategy and these settings; take path='auto'")
    book = run_loop(setup, strategies, progress)
    return Result(
        setup,
        lambda: records_of_book(setup, book),
        path="loop",
        cash=book.cash,
        quantity=book.quantity,
        halted_at=book.halted_at,
    )


def _by_events(setup: Setup, strategies: Sequence[Strategy]) -> Outcome | None:
    signals = [statements(strategy, track) for strategy, track in zip(strategies, setup.tracks, strict=True)]
    if not is_exact(setup, signals):
        return None
    events = find_events(setup, signals)
    outcome = run_vector(setup, events) or run_events(setup, events)
    armed = setup.settings.limits.has_kill_switch
    return None if armed and _kill_switch_strikes(setup, outcome) else outcome


def _kill_switch_strikes(setup: Setup, outcome: Outcome) -> bool:
    """Nothing before the strike depends on the switch, so a run without it tells whether there is one."""
    if len(setup.tracks) == 1:
        return loses_too_much(setup, outcome)
    curve = equity_curve(setup, records_of_outcome(setup, outcome), len(setup.times) - 1)
    equity, day = curve["equity"], setup.group_day[setup.first_group :]
    starts = np.flatnonzero(np.concatenate([[True], day[1:] != day[:-1]]))
    lows = np.minimum.reduceat(equity, starts)
    before = np.concatenate([[setup.settings.cash], equity[starts[1:] - 1]])
    pairs = zip(before.tolist(), lows.tolist(), strict=True)
    return any(low <= kill_level(start, setup.settings.limits) + NEAR for start, low in pairs)


def _feeds(feeds: Feeds) -> list[Feed]:
    if isinstance(feeds, Feed):
        return [feeds]
    if isinstance(feeds, BarSeries):
        return [Feed(Instrument("BARS"), feeds)]
    if isinstance(feeds, Mapping):
        return [Feed(Instrument(symbol), bars) for symbol, bars in feeds.items()]
    return list(feeds)
