"""What happened up to a moment does not depend on the bars after it, and equal runs are equal."""

import zlib
from collections import Counter

import numpy as np

from domain.engine import backtest
from domain.risk import RiskLimits
from domain.timeframe import DAY_NS
from tests.parity.market import RandomOrders, RandomStatements, cut, market
from tests.parity.test_paths_agree import unlike

SEEDS = range(150)
PLACED = ("ref", "instrument", "time", "side", "type", "time_in_force", "reason", "denied_by", "rule_value")


def same(ours, theirs):
    equal = ours == theirs
    if ours.dtype.kind == "f":
        equal |= np.isnan(ours) & np.isnan(theirs)
    return bool(np.all(equal))


def compare(world, strategy, moment, seed):
    """Run on all bars and on those known at `moment`; everything until then must be equal. Returns what was seen."""
    whole = backtest(world.feeds, strategy, world.settings)
    known = backtest(cut(world.feeds, moment), strategy, world.settings)
    rows = slice(0, int(np.sum(whole.orders["time"] <= moment)))
    assert rows.stop == len(known.orders["ref"]), (seed, "orders")
    decided = known.orders["ended"] == known.orders["time"]
    for name in PLACED:
        settled = ~np.isin(known.orders["status"], ["working"]) if name in ("denied_by", "rule_value") else slice(None)
        assert same(whole.orders[name][rows][settled], known.orders[name][settled]), (seed, name)
    ended = known.orders["status"] != "working"
    for name, column in known.orders.items():
        assert same(whole.orders[name][rows][ended], column[ended]), (seed, "ended", name)
    done = whole.setup.times[whole.records.group] <= moment
    assert int(done.sum()) == len(known.fills["time"]), (seed, "fills")
    for name, column in known.fills.items():
        assert same(whole.fills[name][done], column), (seed, name)
    until = whole.equity["time"] <= moment
    for name, column in known.equity.items():
        assert same(whole.equity[name][until], column), (seed, name)
    return Counter(
        orders=rows.stop, fills=int(done.sum()), later=len(done) - int(done.sum()), denied=int(decided.sum())
    )


def moment_of(world, seed, *, session_end):
    """A bar end in the middle of the run; every feed has bars by then."""
    times = world.feeds[0].bars.end
    draw = np.random.default_rng(seed)
    moment = int(times[int(draw.integers(len(times) // 3, len(times) * 2 // 3))])
    return -(-moment // DAY_NS) * DAY_NS if session_end else moment


def test_statements_at_a_bar_use_nothing_later():
    seen = Counter()
    for seed in SEEDS:
        world = market(seed, actions=seed % 2 == 1, trade_from_ns=None)
        strategy = RandomStatements(seed=seed, brackets=seed % 3 == 0)
        seen += compare(world, strategy, moment_of(world, seed, session_end=False), seed)
    assert min(seen["fills"], seen["later"], seen["denied"]) > 300


def test_orders_of_all_kinds_at_a_bar_use_nothing_later():
    seen = Counter()
    for seed in SEEDS:
        world = market(seed, actions=seed % 2 == 1, trade_from_ns=None)
        strategy = RandomOrders(seed=seed, on_close=False)
        seen += compare(world, strategy, moment_of(world, seed, session_end=False), seed)
    assert min(seen["fills"], seen["later"]) > 1000


def test_orders_for_the_close_use_nothing_after_the_session():
    """Which bar is a session's last is the calendar's knowledge; so the past is cut between sessions."""
    seen = Counter()
    for seed in SEEDS:
        limits = RiskLimits(flat_at_close=seed % 2 == 1, long_only=seed % 3 != 0)
        world = market(seed, holes=False, limits=limits, trade_from_ns=None)
        seen += compare(world, RandomOrders(seed=seed), moment_of(world, seed, session_end=True), seed)
    assert min(seen["fills"], seen["later"]) > 1000


def test_equal_runs_are_equal_and_another_seed_is_not():
    hashes = set()
    for seed in range(40):
        world, again = market(seed, actions=True), market(seed, actions=True)
        one, other = (
            backtest(w.feeds, RandomOrders(seed=zlib.crc32(bytes([seed]))), w.settings) for w in (world, again)
        )
        assert unlike(one, other) == "", seed
        hashes.add(one.result_hash)
    assert len(hashes) == 40
