"""Every account, checked by somebody else: a ledger kept here from fills, bars and corporate actions alone."""

from collections import Counter

import numpy as np
import pytest

from domain.adjustments import Dividend, Split
from domain.engine import backtest
from domain.timeframe import DAY_NS
from tests.parity.market import RandomOrders, RandomStatements, market

SEEDS = range(250)


def runs(seed):
    """One random run: of statements, of statements with brackets, or of orders of all kinds."""
    world = market(seed, actions=seed % 2 == 1, borrow_rate=0.05 if seed % 5 == 0 else 0.0)
    kind = seed % 3
    if kind == 0:
        strategy = RandomStatements(seed=seed)
    elif kind == 1:
        strategy = RandomStatements(seed=seed, brackets=True)
    else:
        strategy = RandomOrders(seed=seed)
    return world, backtest(world.feeds, strategy, world.settings)


def naive_account(world, result):
    """[(time, cash, long value, short value, gross)] per bar end, kept the way a clerk would."""
    happened = fills_by_bar(result)
    cash, day, rows = world.settings.cash, None, []
    held, last = Counter(), {}
    waiting = {feed.instrument.symbol: sorted(feed.actions, key=by_day) for feed in world.feeds}
    for end in sorted({int(end) for feed in world.feeds for end in feed.bars.end}):
        now = [(feed, int(np.searchsorted(feed.bars.end, end))) for feed in world.feeds if end in feed.bars.end]
        today = max(int(feed.bars.start[i]) // DAY_NS for feed, i in now)
        if day is not None and today > day:
            for feed in world.feeds:
                short = -min(held[feed.instrument.symbol], 0.0)
                value = short * last.get(feed.instrument.symbol, 0.0) * feed.instrument.multiplier
                cash -= value * world.settings.borrow_rate * (today - day) / 360
        day = today
        for feed, i in now:
            name, multiplier, lot = feed.instrument.symbol, feed.instrument.multiplier, feed.instrument.lot
            while waiting[name] and waiting[name][0].ex_day <= feed.bars.start[i] // DAY_NS:
                action = waiting[name].pop(0)
                if isinstance(action, Split):
                    exact = held[name] * action.new_per_old
                    whole = np.trunc(exact / lot + np.sign(exact) * 1e-9) * lot
                    held[name] = whole
                    cash += (exact - whole) * last.get(name, 0.0) / action.new_per_old * multiplier
                elif isinstance(action, Dividend):
                    cash += held[name] * action.amount * multiplier
        for feed, i in now:
            name, multiplier = feed.instrument.symbol, feed.instrument.multiplier
            for quantity, price, fee in happened.pop((name, int(feed.bars.start[i])), []):
                held[name] += quantity
                cash -= quantity * price * multiplier + fee
            last[name] = float(feed.bars.close[i])
        rows.append((end, *valued(world, cash, held, last)))
        if end == result.halted_at:
            break
    assert not happened, "a fill lies on no bar"
    return np.array(rows)


def by_day(action):
    return (action.ex_day, not isinstance(action, Split))


def valued(world, cash, held, last):
    long_value = short_value = gross = 0.0
    for feed in world.feeds:
        value = held[feed.instrument.symbol] * last.get(feed.instrument.symbol, 0.0) * feed.instrument.multiplier
        gross += abs(value)
        if feed.instrument.is_future:
            cash += value
        else:
            long_value += max(value, 0.0)
            short_value += min(value, 0.0)
    return cash, long_value, short_value, gross


def fills_by_bar(result):
    """{(symbol, bar start): [(signed quantity, price, fee)]}; a fill at the close carries the bar's end."""
    orders, fills = result.orders, result.fills
    row_of = {ref: row for row, ref in enumerate(orders["ref"].tolist())}
    found = {}
    for n, ref in enumerate(fills["order_ref"].tolist()):
        row = row_of[ref]
        at_close = (
            orders["type"][row] == "market_on_close"
            or orders["reason"][row] == "delisted"
            or (orders["type"][row] == "market" and result.setup.settings.market_at == "close")
        )
        start = int(fills["time"][n]) - (result.setup.timeframe.nanoseconds if at_close else 0)
        sign = 1 if fills["side"][n] == "buy" else -1
        fact = (sign * float(fills["quantity"][n]), float(fills["price"][n]), float(fills["commission"][n]))
        found.setdefault((fills["instrument"][n], start), []).append(fact)
    return found


def test_cash_and_positions_are_equity_at_every_bar_of_every_run():
    seen = Counter()
    for seed in SEEDS:
        world, result = runs(seed)
        if world.settings.volume_cap is not None and world.settings.market_at == "close":
            continue  # part fills at the close, the rest at opens: the time alone does not tell them apart
        expected = naive_account(world, result)
        curve = result.equity
        rows = expected[np.searchsorted(expected[:, 0], curve["time"])]
        assert curve["time"].tolist() == rows[:, 0].tolist(), seed
        scale = max(world.settings.cash, float(np.abs(rows[:, 1:]).max()))
        for n, name in enumerate(("cash", "long_value", "short_value", "gross"), start=1):
            assert curve[name] == pytest.approx(rows[:, n], abs=1e-9 * scale), (seed, name)
        assert curve["equity"] == pytest.approx(rows[:, 1:4].sum(axis=1), abs=1e-9 * scale), seed
        assert result.final_equity == pytest.approx(curve["equity"][-1], abs=1e-9 * scale), seed
        seen["fills"] += len(result.fills["time"])
        seen.update(kind for kind, amount in result.costs.items() if amount)
        seen["splits"] += len(result.records.quantity_moves)
        seen["futures"] += any(feed.instrument.is_future for feed in world.feeds)
        seen["shorts"] += bool((curve["short_value"] < 0).any())
        seen["delisted"] += "delisted" in result.orders["reason"].tolist()
    least = {"fills": 3000, "borrow": 5, "dividends": 30, "splits": 30, "futures": 50, "shorts": 50, "delisted": 5}
    assert not {what: (seen[what], count) for what, count in least.items() if seen[what] < count}


def test_trades_and_what_is_still_open_explain_the_whole_change_of_equity():
    explained = 0
    for seed in SEEDS:
        world, result = runs(seed)
        if result.records.quantity_moves or not len(result.trades["pnl"]):
            continue
        open_pnl = 0.0
        for feed in world.feeds:
            open_pnl += open_profit(result, feed)
        costs = result.costs
        change = result.trades["net_pnl"].sum() + open_pnl + costs["dividends"] - costs["borrow"]
        scale = max(world.settings.cash, result.equity["gross"].max())
        assert result.final_equity - world.settings.cash == pytest.approx(change, abs=1e-8 * scale), seed
        explained += 1
    assert explained > 80


def open_profit(result, feed):
    """Profit of the position held at the end, its fees taken off: from the fill on that opened or turned it."""
    fills, held, facts = result.fills, 0.0, []
    for n in np.flatnonzero(fills["instrument"] == feed.instrument.symbol).tolist():
        quantity = float(fills["quantity"][n]) * (1 if fills["side"][n] == "buy" else -1)
        price, fee = float(fills["price"][n]), float(fills["commission"][n])
        after = 0.0 if abs(held + quantity) < 1e-9 else held + quantity
        if after == 0.0:
            facts = []
        elif held * after <= 0.0:
            facts = [(after, price, fee * abs(after / quantity))]
        else:
            facts.append((quantity, price, fee))
        held = after
    last = min(len(feed.bars) - 1, int(np.searchsorted(feed.bars.end, result.equity["time"][-1], side="right")) - 1)
    close = float(feed.bars.close[last])
    value = sum(quantity * (close - price) for quantity, price, _ in facts) * feed.instrument.multiplier
    return value - sum(fee for *_, fee in facts)
