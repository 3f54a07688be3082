"""The same written orders in backtrader's Cerebro and in our engine; each gives its fills per instrument."""

from typing import NamedTuple

import backtrader as bt
import numpy as np

from domain.engine import RunSettings, backtest
from domain.orders import CancelIntent, OrderIntent, OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.strategy import Params, Strategy, buy, sell

EPOCH = bt.date2num(bt.datetime.datetime(1970, 1, 1))
DAY_NS = 86_400 * 10**9


class Line(NamedTuple):
    """One written order.

    `kind`: market, limit, stop, day_limit, day_stop, stop_limit, trail, trail_percent, bracket, pair or cancel.

    `price` and `second` are the limit, the stop and the limit, the trail, the stop loss and the take profit, or the
    limit and the stop of a pair whose members cancel each other.
    """

    kind: str
    sign: int
    size: int
    price: float = 0.0
    second: float = 0.0


class Fill(NamedTuple):
    day: int
    quantity: float
    price: float
    commission: float


class Outcome(NamedTuple):
    fills: dict[str, list[Fill]]
    cash: float
    value: float


class ArrayFeed(bt.feed.DataBase):
    params = (("bars", None),)

    def start(self):
        super().start()
        self.row = 0

    def _load(self):
        bars, row = self.p.bars, self.row
        if row >= len(bars):
            return False
        self.lines.datetime[0] = EPOCH + int(bars.start[row]) / DAY_NS
        for name in ("open", "high", "low", "close", "volume"):
            getattr(self.lines, name)[0] = float(getattr(bars, name)[row])
        self.lines.openinterest[0] = 0.0
        self.row += 1
        return True


class Written(bt.Strategy):
    """Places `scripts[symbol][bar]`; with `alone` only while flat with nothing pending."""

    params = (("scripts", None), ("alone", False), ("fills", None))

    def __init__(self):
        self.pending = {data._name: set() for data in self.datas}

    def next(self):
        for data in self.datas:
            name = data._name
            if self.p.alone and (self.getposition(data).size or self.pending[name]):
                continue
            for line in self.p.scripts[name].get(len(data) - 1, ()):
                self.place(data, line)

    def place(self, data, line):
        order = self.buy if line.sign > 0 else self.sell
        common = {"data": data, "size": line.size}
        match line.kind:
            case "market":
                order(**common)
            case "limit":
                order(exectype=bt.Order.Limit, price=line.price, **common)
            case "stop":
                order(exectype=bt.Order.Stop, price=line.price, **common)
            case "day_limit" | "day_stop":
                kind = bt.Order.Limit if line.kind == "day_limit" else bt.Order.Stop
                tomorrow = data.datetime.datetime(0) + bt.datetime.timedelta(days=1)
                order(exectype=kind, price=line.price, valid=tomorrow, **common)
            case "stop_limit":
                order(exectype=bt.Order.StopLimit, price=line.price, plimit=line.second, **common)
            case "trail":
                order(exectype=bt.Order.StopTrail, trailamount=line.price, **common)
            case "trail_percent":
                order(exectype=bt.Order.StopTrail, trailpercent=line.price, **common)
            case "bracket":
                place = self.buy_bracket if line.sign > 0 else self.sell_bracket
                place(exectype=bt.Order.Market, stopprice=line.price, limitprice=line.second, **common)
            case "pair":
                first = order(exectype=bt.Order.Limit, price=line.price, **common)
                order(exectype=bt.Order.Stop, price=line.second, oco=first, **common)
            case "cancel":
                for ref in list(self.pending[data._name]):
                    self.cancel(next(each for each in self.broker.orders if each.ref == ref))

    def notify_order(self, order):
        pending = self.pending[order.data._name]
        if order.status in (order.Submitted, order.Accepted):
            pending.add(order.ref)
        elif order.status == order.Completed:
            pending.discard(order.ref)
            done = order.executed
            day = round(int(done.dt) - EPOCH)
            self.p.fills[order.data._name].append(Fill(day, done.size, done.price, done.comm))
        else:
            assert order.status in (order.Canceled, order.Expired, order.Margin), order
            pending.discard(order.ref)


def by_backtrader(series, scripts, *, cash=1e9, alone=False, commission=None, slippage=0.0, beyond=True):
    fills = {name: [] for name in series}
    cerebro = bt.Cerebro(stdstats=False)
    for name, bars in series.items():
        cerebro.adddata(ArrayFeed(bars=bars, timeframe=bt.TimeFrame.Days), name=name)
    cerebro.broker.setcash(cash)
    if slippage:
        cerebro.broker.set_slippage_perc(slippage, slip_open=True, slip_match=beyond, slip_out=beyond)
    if commission is not None:
        cerebro.broker.addcommissioninfo(commission)
    cerebro.addstrategy(Written, scripts=scripts, alone=alone, fills=fills)
    cerebro.run()
    return Outcome(fills, cerebro.broker.getcash(), cerebro.broker.getvalue())


class OurWritten(Strategy):
    class Params(Params):
        scripts: dict
        alone: bool = False

    def on_bar(self, context):
        if self.params.alone and (context.position or context.working_orders):
            return None
        script = self.params.scripts[context.instrument.symbol]
        return [wish for line in script.get(context.i, ()) for wish in wishes_of(line, context.i)]


def wishes_of(line, i):
    place = buy if line.sign > 0 else sell
    trailing = {"order_type": OrderType.TRAILING_STOP}
    group = f"pair {i} {line.price}"
    match line.kind:
        case "market":
            return [place(line.size)]
        case "limit":
            return [place(line.size, limit=line.price)]
        case "stop":
            return [place(line.size, stop=line.price)]
        case "day_limit":
            return [place(line.size, limit=line.price, time_in_force=TimeInForce.DAY)]
        case "day_stop":
            return [place(line.size, stop=line.price, time_in_force=TimeInForce.DAY)]
        case "stop_limit":
            return [place(line.size, stop=line.price, limit=line.second)]
        case "trail":
            return [OrderIntent(quantity=line.sign * line.size, trail_amount=line.price, **trailing)]
        case "trail_percent":
            return [OrderIntent(quantity=line.sign * line.size, trail_percent=line.price, **trailing)]
        case "bracket":
            return [place(line.size, stop_loss=line.price, take_profit=line.second)]
        case "pair":
            return [
                place(line.size, limit=line.price, oca_group=group),
                place(line.size, stop=line.second, oca_group=group),
            ]
        case _:
            return [CancelIntent()]


def by_us(series, scripts, *, alone=False, **settings):
    chosen = {"cash": 1e9, "time_in_force": TimeInForce.GTC, "limits": RiskLimits(long_only=False), **settings}
    result = backtest(series, OurWritten(scripts=scripts, alone=alone), RunSettings(**chosen))
    rows = {name: result.fills["instrument"] == name for name in series}
    fills = {
        name: [
            Fill(int(time) // DAY_NS, quantity, price, fee)
            for time, quantity, price, fee in zip(
                result.fills["time"][mine].tolist(),
                result.records.signed[mine].tolist(),
                result.fills["price"][mine].tolist(),
                result.fills["commission"][mine].tolist(),
                strict=True,
            )
        ]
        for name, mine in rows.items()
    }
    return Outcome(fills, float(result.equity["cash"][-1]), result.final_equity)


def random_script(rng, bars, kinds, *, rate=0.3, tick=0.01):
    """{bar: [lines]} with prices near each bar's close, on ticks."""
    script = {}
    for i in np.flatnonzero(rng.random(len(bars)) < rate).tolist():
        sign, close = int(rng.choice([-1, 1])), float(bars.close[i])

        def near(least, most, close=close):
            return round(round(close * (1 + rng.uniform(least, most)) / tick) * tick, 10)

        kind = str(rng.choice(kinds))
        away = 1 if sign > 0 else -1
        low, high = near(-0.03, -0.002), near(0.002, 0.03)
        behind, ahead = (low, high) if away > 0 else (high, low)
        price, second = {
            "limit": (near(-0.02, 0.02), 0.0),
            "stop": (near(-0.02, 0.02), 0.0),
            "day_limit": (near(-0.01, 0.01), 0.0),
            "day_stop": (near(-0.01, 0.01), 0.0),
            "stop_limit": (ahead, round(ahead * (1 + away * 0.004), 2)),
            "trail": (near(-0.99, -0.97), 0.0),
            "trail_percent": (0.02, 0.0),
            "bracket": (behind, ahead),
            "pair": (behind, ahead),
        }.get(kind, (0.0, 0.0))
        script[i] = [Line(kind, sign, int(rng.integers(1, 20)), price, second)]
    return script
