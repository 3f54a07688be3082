"""Corporate actions: splits, dividends and delistings; adjusting prices for them, and finding them in adjusted prices.

An action has a date, not a time: it is in force from the first bar whose exchange date (days since 1970-01-01, see
`SessionTable.trading_dates`) is its `ex_day` or later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from domain.bars import Adjustment, BarSeries, Floats
from domain.errors import BadInput
from domain.sessions import Days

# Prices that went through single precision (Yahoo) carry errors of up to 1e-7 each, and factors made of them more.
_FLOAT_NOISE = 2e-6
_MOST_PLACES = 8
_FORWARD_RATIOS = (
    *range(2, 11),
    12,
    15,
    20,
    25,
    30,
    40,
    50,
    100,
    3 / 2,
    5 / 2,
    4 / 3,
    5 / 3,
    5 / 4,
    6 / 5,
    7 / 5,
    8 / 5,
)
_USUAL_RATIOS = tuple(sorted({float(r) for r in _FORWARD_RATIOS} | {1 / r for r in _FORWARD_RATIOS}))


@dataclass(frozen=True, slots=True)
class Split:
    """`new_per_old` shares for each one held: 2 for 2:1, 0.1 for a reverse split 1:10."""

    ex_day: int
    new_per_old: float

    def __post_init__(self) -> None:
        _require_positive("a split's ratio", self.ex_day, self.new_per_old)


@dataclass(frozen=True, slots=True)
class Dividend:
    """Cash `amount` per share held into the ex-day, in shares of the ex-day (after a split of the same day)."""

    ex_day: int
    amount: float

    def __post_init__(self) -> None:
        _require_positive("a dividend's amount", self.ex_day, self.amount)


@dataclass(frozen=True, slots=True)
class Delisting:
    """Trading ended: from `ex_day` on there is no bar, and positions close at `price` (None: the last price)."""

    ex_day: int
    price: float | None = None

    def __post_init__(self) -> None:
        if self.price is not None and not (math.isfinite(self.price) and self.price >= 0):
            raise BadInput(f"delisting on {_date(self.ex_day)}: price must be a number >= 0, not {self.price!r}")


Action = Split | Dividend | Delisting


class DividendConvention(StrEnum):
    """Which close a data vendor divides a dividend by.

    PREVIOUS_CLOSE: factor 1 - dividend / close before the ex-date (Yahoo, CRSP, LEAN, and `adjust`).
    EX_CLOSE: factor close / (close + dividend) with the close of the ex-date (Quandl WIKI).
    """

    PREVIOUS_CLOSE = "previous_close"
    EX_CLOSE = "ex_close"


def split_factors(days: Days, actions: Iterable[Action], as_of_day: int | None = None) -> Floats:
    """What to multiply raw prices of these exchange dates with, as the splits known on `as_of_day` say.

    The product of 1/new_per_old over splits with day < ex_day <= as_of_day; without `as_of_day` the last of `days`
    takes its place. Divide volumes by it. Bars after `as_of_day` get 1.
    """
    factors = np.ones(len(days))
    if len(days) == 0:
        return factors
    last = int(days[-1]) if as_of_day is None else as_of_day
    for action in actions:
        if isinstance(action, Split) and action.ex_day <= last:
            factors[: np.searchsorted(days, action.ex_day)] /= action.new_per_old
    return factors


def dividend_factors(days: Days, split_adjusted_close: Floats, actions: Sequence[Action]) -> Floats:
    """What to multiply split-adjusted prices with to get total-return prices, anchored at the last day.

    The product of 1 - dividend / close before the ex-date over dividends with day < ex_day <= last day. A dividend
    whose ex-date comes before the first day touches nothing. BadInput where a dividend is not less than that close.
    """
    factors = np.ones(len(days))
    for action in actions:
        if not isinstance(action, Dividend) or len(days) == 0 or action.ex_day > days[-1]:
            continue
        row = int(np.searchsorted(days, action.ex_day))
        if row == 0:
            continue
        share = float(split_factors(np.array([action.ex_day]), actions, int(days[-1]))[0])
        fraction = action.amount * share / float(split_adjusted_close[row - 1])
        if fraction >= 1:
            raise BadInput(
                f"dividend of {action.amount} on {_date(action.ex_day)} is {fraction:.3g} times the close before it;"
                " check its amount and that the prices are adjusted as said"
            )
        factors[:row] *= 1 - fraction
    return factors


def adjust(series: BarSeries, days: Days, actions: Sequence[Action], to: Adjustment) -> BarSeries:
    """Back-adjusted bars, anchored at the last bar: its prices stay, earlier ones change.

    `days` are the exchange dates of the bars (`SessionTable.trading_dates(series.start)`). SPLIT multiplies prices
    with `split_factors` and divides volume by them; TOTAL also multiplies prices with `dividend_factors`. Actions
    after the last bar are not known yet and change nothing: give `series[:n]` for the view of an earlier day.
    A series is never adjusted twice: BadInput unless `to` says more than `series.adjustment`.
    """
    if len(days) != len(series):
        raise BadInput(f"adjust: {len(days)} exchange dates for {len(series)} bars")
    steps = list(Adjustment)
    if steps.index(to) <= steps.index(series.adjustment):
        raise BadInput(f"adjust: the bars are {series.adjustment} already and cannot be made {to}; start from raw bars")
    splits = split_factors(days, actions) if series.adjustment is Adjustment.RAW else np.ones(len(days))
    prices = splits
    if to is Adjustment.TOTAL:
        prices = splits * dividend_factors(days, series.close * splits, actions)
    return replace(
        series,
        open=series.open * prices,
        high=series.high * prices,
        low=series.low * prices,
        close=series.close * prices,
        volume=series.volume / splits,
        adjustment=to,
    )


def derive_actions(
    days: Days,
    close: Floats,
    adj_close: Floats,
    convention: DividendConvention = DividendConvention.PREVIOUS_CLOSE,
    relative_noise: float = _FLOAT_NOISE,
    contains_splits: bool = False,
) -> list[Split | Dividend]:
    """Splits and dividends recovered from raw and adjusted closes of the same days, all float64[n] and > 0.

    The adjusted closes may be anchored anywhere: only k(t) = [adj/close](t-1) / [adj/close](t) counts. A k that
    differs from 1 by more than the printed decimals of the four prices and `relative_noise` explain is an action on
    day t: a split where 1/k is one of the usual ratios (`snap_ratio`), a split with a dividend on top where 1/k lies
    up to 1 % above one of at least 3:2, else a dividend by `convention`. What raises earlier prices without being a
    usual reverse split is reported as the split it amounts to, so that `adjust` with the result always gives the
    vendor's adjusted prices. Stock dividends under 20 % and spin-offs cannot be told from cash and come as dividends.

    With `contains_splits` the closes contain the splits already (IB's TRADES), so every action is cash, in shares of
    the last day. BadInput where the two do not belong together: adjusting never raises earlier prices then.
    """
    if not len(days) == len(close) == len(adj_close):
        raise BadInput(f"derive actions: {len(days)} days, {len(close)} closes, {len(adj_close)} adjusted closes")
    for what, prices in (("close", close), ("adjusted close", adj_close)):
        if not (np.isfinite(prices) & (prices > 0)).all():
            raise BadInput(f"derive actions: a {what} is not a positive number")
    if (days[1:] <= days[:-1]).any():
        raise BadInput("derive actions: the days do not increase; sort them and drop doubles")
    ratio = adj_close / close
    k = ratio[:-1] / ratio[1:]
    rounding = _half_unit(close) / close + _half_unit(adj_close) / adj_close
    noise = rounding[:-1] + rounding[1:] + relative_noise
    actions: list[Split | Dividend] = []
    for row in np.flatnonzero(np.abs(k - 1) > noise):
        before, on = float(close[row]), float(close[row + 1])
        if contains_splits:
            actions.append(_cash_of_day(int(days[row + 1]), float(k[row]), before, on, convention))
            continue
        actions += _actions_of_day(int(days[row + 1]), float(k[row]), float(noise[row]), before, on, convention)
    return actions


def snap_ratio(ratio: float, tolerance: float) -> float | None:
    """The usual split ratio (2:1, 3:2, 1:10 …) within this relative tolerance; None where there is none.

    Vendors round: a 1:4 reverse split is known as 0.25641 in one of LEAN's files.
    """
    nearest = min(_USUAL_RATIOS, key=lambda usual: abs(ratio / usual - 1))
    return nearest if abs(ratio / nearest - 1) <= tolerance else None


def _actions_of_day(
    day: int, k: float, noise: float, before: float, on: float, convention: DividendConvention
) -> list[Split | Dividend]:
    tolerance = min(max(noise, 1e-3), 3e-2)
    split = snap_ratio(1 / k, tolerance)
    if split is not None:
        return [Split(day, split)]
    if k > 1:
        return [Split(day, 1 / k)]
    below = [usual for usual in _USUAL_RATIOS if 1.5 <= usual < 1 / k <= usual * 1.01]
    split = max(below, default=1.0)
    dividend = _cash_of_day(day, k * split, before / split, on, convention)
    return [dividend] if split == 1.0 else [Split(day, split), dividend]


def _cash_of_day(day: int, k: float, before: float, on: float, convention: DividendConvention) -> Dividend:
    if k >= 1:
        raise BadInput(
            f"derive actions: adjusted prices before {_date(day)} are raised by {k - 1:.3%} against the others, "
            "which no dividend does; the two were not made at the same time: get both again"
        )
    if convention is DividendConvention.PREVIOUS_CLOSE:
        return Dividend(day, before * (1 - k))
    return Dividend(day, on * (1 / k - 1))


def _half_unit(prices: Floats) -> float:
    """Half of the last decimal that these prices were printed with; 0 where they are not decimals at all."""
    for places in range(_MOST_PLACES + 1):
        scaled = prices * 10.0**places
        if (np.abs(scaled - np.round(scaled)) <= 1e-9 * scaled + 1e-7).all():
            return 0.5 * 10.0**-places
    return 0.0


def _require_positive(what: str, ex_day: int, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{what} on {_date(ex_day)} must be a positive number, not {value!r}")


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
