"""One run, every driver: the planner, the statement-by-statement pass and the per-bar loop give the same ledgers.

And what must hold for any run: an account that a naive ledger made from the fills alone confirms at every bar, a past
that the future does not change, and equal hashes of equal runs.
"""

from collections import Counter

import numpy as np

import domain.engine.run
from domain.engine import backtest
from tests.parity.market import RandomStatements, market

SEEDS = 800


def test_all_drivers_give_the_same_ledgers(monkeypatch):
    planned = domain.engine.run.run_vector
    seen, wrong = Counter(), []
    for seed in range(SEEDS):
        world = market(seed)
        strategy = RandomStatements(seed=seed, short=not world.settings.limits.long_only or seed % 4 == 0)
        plans = []

        def remember(setup, events, plans=plans):
            plans.append(planned(setup, events))
            return plans[-1]

        monkeypatch.setattr(domain.engine.run, "run_vector", remember)
        auto = backtest(world.feeds, strategy, world.settings)
        monkeypatch.setattr(domain.engine.run, "run_vector", lambda setup, events: None)
        stepped = backtest(world.feeds, strategy, world.settings)
        looped = backtest(world.feeds, strategy, world.settings, path="loop")
        for name, other in (("auto", auto), ("stepped", stepped)):
            difference = unlike(other, looped)
            if difference:
                wrong.append((seed, name, difference))
        seen[auto.path] += 1
        seen["planned"] += bool(plans and plans[0] is not None)
        seen["halted"] += looped.halted_at is not None
        seen["several"] += len(world.feeds) > 1 and auto.path == "events"
        seen["at close"] += world.settings.market_at == "close" and auto.path == "events"
        if auto.path == "events":
            seen.update(set(auto.orders["denied_by"]))
            seen.update(f"is {status}" for status in set(auto.orders["status"]))
    assert not wrong, f"{len(wrong)} runs differ, the first seeds: {wrong[:5]}"
    for what, least in {
        "events": 150,
        "loop": 50,
        "planned": 30,
        "halted": 10,
        "several": 40,
        "at close": 50,
        "long_only": 5,
        "max_order_quantity": 5,
        "max_order_value": 5,
        "symbol_notional": 5,
        "gross_exposure": 3,
        "instrument_daily_loss": 3,
        "buying_power": 20,
        "is filled": 100,
        "is working": 5,
        "is rejected": 3,
        "is denied": 50,
    }.items():
        assert seen[what] >= least, (what, seen)


def unlike(one, other):
    """The first ledger column in which two results differ; '' where the hashes agree."""
    if one.result_hash == other.result_hash:
        same = one.positions == other.positions and one.final_equity == other.final_equity
        return "" if same else f"account {one.positions} {other.positions} {one.final_equity} {other.final_equity}"
    for ledger in ("orders", "fills", "trades", "equity"):
        ours, theirs = getattr(one, ledger), getattr(other, ledger)
        for name, column in ours.items():
            if len(column) != len(theirs[name]):
                return f"{ledger}: {len(column)} rows, {len(theirs[name])} in the loop"
            equal = column == theirs[name]
            if column.dtype.kind == "f":
                equal |= np.isnan(column) & np.isnan(theirs[name])
            if not equal.all():
                row = int(np.argmin(equal))
                return f"{ledger}.{name}[{row}]: {column[row]!r}, {theirs[name][row]!r} in the loop"
    return "hash only"
