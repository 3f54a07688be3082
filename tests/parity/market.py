"""Random markets, accounts and strategies, all from one seed: the same seed is the same run on every machine."""

import random
import zlib
from dataclasses import dataclass

import numpy as np

from domain.adjustments import Delisting, Dividend, Split
from domain.bars import BarSeries
from domain.costs import FREE, IB_FIXED, IB_TIERED, Commission
from domain.engine import Feed, MarketAt, RunSettings
from domain.instrument import Instrument, InstrumentKind
from domain.orders import CancelIntent, OrderIntent, OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sizing import Sizing, SizingKind
from domain.strategy import Params, SignalSeries, Strategy, buy, sell
from domain.timeframe import DAY_NS, Timeframe

START = 1_577_923_200 * 10**9  # 2020-01-02, midnight UTC
COMMISSIONS = (
    FREE,
    IB_FIXED,
    Commission(per_order=1.0),
    Commission(fraction=0.001),
    Commission(per_unit=0.01, minimum=0.5, sell_fraction=0.00003, sell_per_unit=0.0001),
    Commission(per_unit=0.005, extra_per_unit=0.0002),
)


@dataclass
class Market:
    """What one seed makes."""

    feeds: list[Feed]
    settings: RunSettings


def random_bars(rng, count, *, timeframe=Timeframe.M30, price=100.0, step=0.004, holes=0.0, tick=0.01):
    """A random walk on ticks with gaps between bars; a share `holes` of the bars is missing."""
    moves = rng.normal(0.0, step, (4, count))
    close = np.maximum(price * np.exp(np.cumsum(moves[0])), 20 * tick)
    open_ = np.concatenate([[price], close[:-1]]) * (1.0 + moves[1] * (rng.random(count) < 0.3))
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    columns = {
        "open": open_,
        "high": top * (1.0 + np.abs(moves[2])),
        "low": bottom * (1.0 - np.abs(moves[3])),
        "close": close,
    }
    columns = {name: np.maximum(np.round(values / tick), 1.0) * tick for name, values in columns.items()}
    volume = np.round(rng.lognormal(6.0, 1.0, count))
    starts = START + np.arange(count) * timeframe.nanoseconds
    kept = rng.random(count) >= holes
    kept[-1] = True
    return BarSeries.from_columns(
        timeframe, start=starts[kept], volume=volume[kept], **{name: values[kept] for name, values in columns.items()}
    )


def random_feeds(rng, *, count=200, most=3, futures=True, actions=False, holes=True):
    feeds = []
    for n in range(int(rng.integers(1, most + 1))):
        future = futures and rng.random() < 0.2
        price = float(rng.choice([8.0, 100.0, 2500.0]))
        instrument = Instrument(
            f"S{n}",
            InstrumentKind.FUTURE if future else InstrumentKind.STOCK,
            multiplier=float(rng.choice([5.0, 50.0])) if future else 1.0,
            margin=price * 2 if future else None,
            lot=1.0 if future else float(rng.choice([1.0, 10.0, 0.01])),
        )
        bars = random_bars(rng, count, price=price, holes=float(rng.choice([0.0, 0.2])) if holes else 0.0)
        feeds.append(Feed(instrument, bars, random_actions(rng, bars) if actions else ()))
    return feeds


def random_actions(rng, bars):
    days = np.unique(bars.start // DAY_NS)
    found = []
    if len(days) > 2 and rng.random() < 0.7:
        found.append(Split(int(rng.choice(days[1:])), float(rng.choice([2.0, 1.5, 7.0, 0.1, 0.25]))))
    for day in days[rng.random(len(days)) < 0.4].tolist():
        found.append(Dividend(int(day), round(float(bars.close[0]) * 0.01, 4)))
    if len(days) > 3 and rng.random() < 0.2:
        found.append(Delisting(int(days[-1]), None if rng.random() < 0.5 else 1.25))
    return found


def random_settings(rng, feeds, **fixed):
    """Settings of which a few bind: cash may be short, limits low, the kill switch near."""
    price = float(feeds[0].bars.close[0]) * feeds[0].instrument.multiplier
    cash = float(rng.choice([price * 3, price * 100, price * 100_000]))

    def maybe(share, value):
        return float(value) if rng.random() < share else np.inf

    limits = RiskLimits(
        long_only=bool(rng.random() < 0.5),
        max_order_quantity=maybe(0.15, rng.choice([5.0, 150.0])),
        max_order_value=maybe(0.1, price * rng.choice([2.0, 30.0])),
        symbol_notional=maybe(0.1, price * rng.choice([2.0, 30.0])),
        gross_exposure=maybe(0.1, price * rng.choice([3.0, 40.0])),
        instrument_daily_loss=maybe(0.2, cash * rng.choice([0.0005, 0.01])),
        daily_loss=maybe(0.2, cash * rng.choice([0.002, 0.02])),
        daily_loss_fraction=maybe(0.2, rng.choice([0.002, 0.03])),
    )
    kind = SizingKind(rng.choice(["quantity"] * 4 + ["notional", "fraction", "fraction", "atr", "volatility"]))
    value = {
        SizingKind.QUANTITY: float(rng.choice([1.0, 10.0, 100.0])),
        SizingKind.NOTIONAL: cash * 0.4,
        SizingKind.FRACTION: float(rng.choice([0.3, 0.99])),
        SizingKind.ATR: 0.01,
        SizingKind.VOLATILITY: 0.2,
    }[kind]
    chosen = {
        "cash": cash,
        "commission": COMMISSIONS[int(rng.integers(len(COMMISSIONS)))] if rng.random() < 0.95 else IB_TIERED,
        "slippage_bps": float(rng.choice([0.0, 3.0, 50.0])),
        "market_at": MarketAt(rng.choice(["next_open", "close"])),
        "sizing": Sizing(kind, value, window=10),
        "limits": limits,
        "margin_rate": float(rng.choice([1.0, 1.0, 0.5, 0.3])),
        "volume_cap": 0.05 if rng.random() < 0.05 else None,
        "trade_from_ns": int(feeds[0].bars.end[20]) if rng.random() < 0.2 else None,
    }
    return RunSettings(**{**chosen, **fixed})


class RandomStatements(Strategy):
    """Targets that depend on the last return alone, in a way nobody could guess."""

    class Params(Params):
        seed: int
        short: bool = True
        brackets: bool = False

    def signals(self, bars):
        ratio = np.concatenate([[1.0], bars.close[1:] / bars.close[:-1]])
        draw = (np.abs(np.log(ratio)) * 7919.0 * (1 + self.params.seed % 97)) % 1.0
        levels = [0.0, 1.0, 0.5, 1.0] + ([-1.0, -0.5] if self.params.short else [])
        target = np.array(levels)[(draw * 1000.0).astype(int) % len(levels)]
        target[(draw * 37.0) % 1.0 < 0.6] = np.nan
        if not self.params.brackets:
            return SignalSeries(target)
        away = np.where(target < 0, -0.01, 0.01) * bars.close
        return SignalSeries(target, stop_loss=bars.close - away, take_profit=bars.close + away)


class RandomOrders(Strategy):
    """Every kind of wish, drawn anew for each bar from the seed, the instrument and the bar's start."""

    class Params(Params):
        seed: int
        rate: float = 0.25
        on_close: bool = True

    def on_bar(self, context):
        draw = random.Random(zlib.crc32(f"{self.params.seed} {context.instrument.symbol} {context.start}".encode()))
        if draw.random() > self.params.rate:
            return None
        units = draw.randint(1, 40) * context.instrument.lot * (10 if context.instrument.lot < 1 else 1)
        place = draw.choice((buy, sell))
        sign = 1 if place is buy else -1
        near, far = (context.close * (1 + sign * draw.choice((-1, 1)) * share) for share in (0.002, 0.005))
        stays = draw.choice((TimeInForce.DAY, TimeInForce.GTC))
        kinds = 10 if self.params.on_close else 9
        match draw.randrange(kinds):
            case 0:
                return place(units)
            case 1:
                return place(units, limit=near, time_in_force=stays)
            case 2:
                return place(units, stop=near, time_in_force=stays)
            case 3:
                return place(units, stop=near, limit=far, time_in_force=stays)
            case 4:
                return place(
                    units, order_type=OrderType.TRAILING_STOP, trail_amount=context.close * 0.004, time_in_force=stays
                )
            case 5:
                return place(units, order_type=OrderType.TRAILING_STOP, trail_percent=0.005, time_in_force=stays)
            case 6:
                loss, profit = context.close * (1 - sign * 0.006), context.close * (1 + sign * 0.008)
                return place(units, stop_loss=loss, take_profit=profit)
            case 7:
                return [
                    place(units, limit=context.close * (1 - sign * 0.004), oca_group="pair", time_in_force=stays),
                    place(units, stop=context.close * (1 + sign * 0.004), oca_group="pair", time_in_force=stays),
                ]
            case 8:
                return [CancelIntent(), OrderIntent(target=draw.choice((0.0, 0.5, 1.0, -1.0)))]
            case _:
                return place(units, order_type=OrderType.MARKET_ON_CLOSE, time_in_force=stays)


def market(seed, *, actions=False, count=200, holes=True, **fixed):
    rng = np.random.default_rng(seed)
    feeds = random_feeds(rng, actions=actions, count=count, holes=holes)
    return Market(feeds, random_settings(rng, feeds, **fixed))


def cut(feeds, end_ns):
    """The feeds as they were known at `end_ns`; those that had no bar yet are left out."""
    known = []
    for feed in feeds:
        rows = slice(0, int(np.searchsorted(feed.bars.end, end_ns, side="right")))
        if rows.stop:
            bars = feed.bars[rows]
            actions = [action for action in feed.actions if action.ex_day <= bars.start[-1] // DAY_NS]
            known.append(Feed(feed.instrument, bars, actions, feed.sessions, feed.commission))
    return known


__all__ = ["Market", "RandomOrders", "RandomStatements", "cut", "market", "random_bars"]
