"""What a run achieved: figures from its equity curve and its trades.

Conventions, the same everywhere:
- Equity is the account's value at bar closes. Returns are simple returns of one period; the ratios want daily
  ones, so intraday equity goes through `daily_equity` first.
- A year has 252 periods unless `periods` says otherwise; only `cagr` counts calendar days. Rates are annual.
- Deviations use n-1, except in `sortino`. Losses, drawdowns and values at risk are negative.
- What is not defined is NaN, never 0 or infinity: no or one return where a deviation is needed, no volatility,
  no losing trade in a profit factor, a return from equity that was not above zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.bars import Floats, Times
from domain.errors import BadInput
from domain.timeframe import DAY_NS

DAYS_A_YEAR = 252
CALENDAR_DAYS_A_YEAR = 365.25

_ROUNDING = 1e-12
_TILE = 16_384  # rows whose working arrays stay in the second-level cache


class Drawdown(NamedTuple):
    """One fall from a peak. Rows of the equity given; `recovery` is the first row back at the peak, None if none.

    `depth` is the fraction lost at the trough (-0.2 = 20 % below the peak), `length` the rows from the peak to
    the recovery, or to the last row.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None
    length: int


class PeriodReturn(NamedTuple):
    """Return of a calendar month, or with month 0 of a year."""

    year: int
    month: int
    value: float


def daily_equity(
    end_ns: ArrayLike, equity: ArrayLike, session: ArrayLike | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """(days, equity): the last value of each day, in time order.

    `end_ns` are bar ends, int64 UTC nanoseconds that do not decrease. A day is a UTC date, as days since 1970;
    a bar that ends at midnight belongs to the day it closes. Where sessions cross midnight UTC give `session`,
    an integer label per bar that does not decrease (for instance the session's date in days since 1970).
    """
    values, ends = np.asarray(equity, dtype=np.float64), np.asarray(end_ns, dtype=np.int64)
    if values.ndim != 1 or values.shape != ends.shape:
        raise BadInput(f"daily equity: end_ns has shape {ends.shape}, equity {values.shape}; expected one length")
    if not len(values):
        return np.empty(0, np.int64), values
    if session is not None:
        days = np.asarray(session, dtype=np.int64)
        if days.shape != values.shape:
            raise BadInput(f"daily equity: session has shape {days.shape}, equity {values.shape}")
        last = np.append(np.flatnonzero(days[1:] != days[:-1]), len(days) - 1)
        return days[last], values[last]
    # Asking where each midnight falls is cheaper than dividing a million times.
    first_day, last_day = (int(ends[row] - 1) // DAY_NS for row in (0, -1))
    midnights = np.arange(first_day + 1, last_day + 2, dtype=np.int64)
    rows = np.searchsorted(ends, midnights * DAY_NS, side="right") - 1
    traded = np.diff(rows, prepend=-1) > 0
    return midnights[traded] - 1, values[rows[traded]]


def returns(equity: ArrayLike) -> Floats:
    """Simple returns between rows, one fewer than rows; NaN where the older value is not above zero."""
    values = np.asarray(equity, dtype=np.float64)
    before = values[:-1]
    return values[1:] / np.where(before > 0.0, before, np.nan) - 1.0


def total_return(equity: ArrayLike) -> float:
    """Last over first value - 1; below -1 where the account ended in debt. NaN unless the first is above zero."""
    values = np.asarray(equity, dtype=np.float64)
    return float(values[-1] / values[0] - 1.0) if len(values) > 1 and values[0] > 0.0 else math.nan


def cagr(equity: ArrayLike, calendar_days: float) -> float:
    """Compound annual growth: (last / first) ** (365.25 / calendar_days) - 1.

    By the calendar, where `annual_return` counts trading days (empyrical and quantstats call that CAGR).
    """
    growth = 1.0 + total_return(equity)
    return _power(growth, CALENDAR_DAYS_A_YEAR / calendar_days) - 1.0 if calendar_days > 0 else math.nan


def annual_return(returns: ArrayLike, periods: float = DAYS_A_YEAR) -> float:
    """Compound return of a year of `periods`: prod(1 + r) ** (periods / n) - 1."""
    values = np.asarray(returns, dtype=np.float64)
    return _power(float(np.prod(1.0 + values)), periods / len(values)) - 1.0 if len(values) else math.nan


def volatility(returns: ArrayLike, periods: float = DAYS_A_YEAR) -> float:
    """Standard deviation (n-1) of the returns · sqrt(periods)."""
    values = np.asarray(returns, dtype=np.float64)
    return float(np.std(values, ddof=1)) * math.sqrt(periods) if len(values) > 1 else math.nan


def sharpe(returns: ArrayLike, risk_free: float = 0.0, periods: float = DAYS_A_YEAR) -> float:
    """Mean / standard deviation (n-1) of the excess returns · sqrt(periods).

    `risk_free` is an annual rate, risk_free / periods is taken off each return.
    """
    excess = np.asarray(returns, dtype=np.float64) - risk_free / periods
    if len(excess) < 2:
        return math.nan
    return _ratio(float(np.mean(excess)), float(np.std(excess, ddof=1))) * math.sqrt(periods)


def sortino(returns: ArrayLike, target: float = 0.0, periods: float = DAYS_A_YEAR) -> float:
    """Mean excess return / downside deviation · sqrt(periods).

    The downside deviation is the root of the mean square shortfall over ALL returns, those above the target
    counting as 0 (not only over the losing ones, and without n-1). `target` is an annual rate.
    """
    excess = np.asarray(returns, dtype=np.float64) - target / periods
    if len(excess) < 2:
        return math.nan
    downside = math.sqrt(float(np.mean(np.square(np.minimum(excess, 0.0)))))
    return _ratio(float(np.mean(excess)), downside) * math.sqrt(periods)


def drawdown_series(equity: ArrayLike) -> Floats:
    """Fraction below the highest value so far, <= 0, one per row; NaN until a value is above zero."""
    values = np.asarray(equity, dtype=np.float64)
    peaks = np.maximum.accumulate(values)
    return values / np.where(peaks > 0.0, peaks, np.nan) - 1.0


def max_drawdown(equity: ArrayLike) -> Drawdown:
    """The deepest drawdown, of equals the first. Depth 0 if equity never fell, NaN if it never was above zero."""
    values = np.asarray(equity, dtype=np.float64)
    first = 0 if len(values) and values[0] > 0.0 else int(np.argmax(np.append(values, np.inf) > 0.0))
    if first == len(values):
        return Drawdown(math.nan, 0, 0, None, 0)
    kept_least, peak, trough = 1.0, 0.0, first
    for low in range(first, len(values), _TILE):
        tile = values[low : low + _TILE]
        peak_before, peak = peak, max(peak, float(np.max(tile)))
        if np.min(tile) / peak >= kept_least:
            continue  # not even its lowest value under its highest peak is deeper: most tiles end here
        kept = tile / np.maximum(np.maximum.accumulate(tile), peak_before)
        row = int(np.argmin(kept))
        if kept[row] < kept_least:
            kept_least, trough = float(kept[row]), low + row
    return _drawdown_at(values, trough)


def drawdowns(equity: ArrayLike, deepest: int = 5) -> list[Drawdown]:
    """The deepest drawdowns, deepest first, each from a peak to its recovery; they do not overlap."""
    series = drawdown_series(equity)
    under = np.concatenate([[False], series < 0.0, [False]])
    opens, closes = np.flatnonzero(under[1:] & ~under[:-1]), np.flatnonzero(under[:-1] & ~under[1:])
    if not len(opens):
        return []
    depths = np.minimum.reduceat(series, opens)
    values = np.asarray(equity, dtype=np.float64)
    chosen = np.argsort(depths, kind="stable")[:deepest]
    return [_drawdown_at(values, int(opens[k] + np.argmin(series[opens[k] : closes[k]]))) for k in chosen]


def calmar(annual_return: float, max_drawdown: float) -> float:
    """Annual return over the depth of the deepest drawdown; NaN without a drawdown."""
    return _ratio(annual_return, abs(max_drawdown))


def value_at_risk(returns: ArrayLike, tail: float = 0.05) -> float:
    """The return that the worst `tail` share of the returns does not reach (historical, linear interpolation)."""
    values = np.asarray(returns, dtype=np.float64)
    return float(np.quantile(values, tail)) if len(values) else math.nan


def conditional_value_at_risk(returns: ArrayLike, tail: float = 0.05) -> float:
    """The mean of the worst `tail` share of the returns, of floor((n-1) · tail) + 1 returns to be exact."""
    values = np.sort(np.asarray(returns, dtype=np.float64))
    return float(np.mean(values[: int((len(values) - 1) * tail) + 1])) if len(values) else math.nan


def hit_rate(pnl: ArrayLike) -> float:
    """Share of trades (or days) that won; one that ended at exactly 0 did not, but counts in the total."""
    values = np.asarray(pnl, dtype=np.float64)
    return float(np.count_nonzero(values > 0.0) / len(values)) if len(values) else math.nan


def profit_factor(pnl: ArrayLike) -> float:
    """Sum of the wins over the sum of the losses, as a positive number; NaN without a loss."""
    values = np.asarray(pnl, dtype=np.float64)
    return _ratio(float(np.sum(values[values > 0.0])), -float(np.sum(values[values < 0.0])))


def average_trade(pnl: ArrayLike) -> float:
    """Mean profit of a trade, also called expectancy."""
    return _mean(np.asarray(pnl, dtype=np.float64))


def average_win(pnl: ArrayLike) -> float:
    values = np.asarray(pnl, dtype=np.float64)
    return _mean(values[values > 0.0])


def average_loss(pnl: ArrayLike) -> float:
    """Mean of the losing trades, negative."""
    values = np.asarray(pnl, dtype=np.float64)
    return _mean(values[values < 0.0])


def payoff_ratio(pnl: ArrayLike) -> float:
    """Average win over average loss, as a positive number."""
    return _ratio(average_win(pnl), -average_loss(pnl))


def exposure(gross: ArrayLike) -> float:
    """Share of bars at whose close a position was held; `gross` is the sum of absolute position values."""
    values = np.asarray(gross, dtype=np.float64)
    return float(np.count_nonzero(values > 0.0) / len(values)) if len(values) else math.nan


def turnover(traded_value: float, equity: ArrayLike, days: float) -> float:
    """Traded value (buys and sells) over mean equity, per year of 252 days; `days` are the trading days spanned.

    Replacing the whole portfolio once a year is a turnover of 2. NaN unless mean equity is above zero.
    """
    mean = _mean(np.asarray(equity, dtype=np.float64))
    return traded_value / mean * DAYS_A_YEAR / days if mean > 0.0 and days > 0 else math.nan


def monthly_returns(end_ns: ArrayLike, equity: ArrayLike, initial: float | None = None) -> list[PeriodReturn]:
    """Return of each calendar month (UTC) that has a bar, in time order.

    The first month starts from `initial`, or without it from the first bar's equity.
    """
    return _calendar_returns(end_ns, equity, initial, "M")


def yearly_returns(end_ns: ArrayLike, equity: ArrayLike, initial: float | None = None) -> list[PeriodReturn]:
    """As `monthly_returns`, by calendar year; `month` is 0."""
    return _calendar_returns(end_ns, equity, initial, "Y")


def summarize(
    *,
    end_ns: ArrayLike,
    equity: ArrayLike,
    gross: ArrayLike,
    traded_value: float,
    trade_pnl: ArrayLike,
    initial_cash: float,
    session: ArrayLike | None = None,
) -> dict[str, float]:
    """All figures of a run under stable keys in a fixed order; NaN where undefined (see the module).

    `end_ns` int64[n]: bar ends, UTC; `equity` float64[n]: account value at each bar's close; `gross`
    float64[n]: sum of absolute position values then; `traded_value`: sum of |quantity| · price · multiplier of
    all fills; `trade_pnl` float64[m]: net profit of each closed trade; `initial_cash`: equity before the first
    bar, from which the first day's return counts. `session` as in `daily_equity`, in days since 1970 (`cagr`).

    Ratios and best and worst day are of daily returns; drawdown, exposure and mean equity of every bar. `cagr`
    counts the calendar days from the first to the last day, as those returns are dated. Drawdown lengths are
    calendar days from the peak to the recovery or the last bar; a peak at the start dates from the first bar.
    """
    ends, values = np.asarray(end_ns, dtype=np.int64), np.asarray(equity, dtype=np.float64)
    pnl = np.asarray(trade_pnl, dtype=np.float64)
    days, closes = daily_equity(ends, values, session)
    daily = returns(np.concatenate([[initial_cash], closes]))
    curve, dates = values, ends
    if not len(values) or values[0] < initial_cash:  # a drawdown may begin before the first bar
        curve, dates = np.concatenate([[initial_cash], values]), np.concatenate([ends[:1], ends])
    deepest = max_drawdown(curve)
    yearly = annual_return(daily)
    outcome = [initial_cash, *values[-1:].tolist()]
    return {
        "initial_cash": float(initial_cash),
        "final_equity": float(outcome[-1]),
        "total_return": total_return(outcome),
        "cagr": cagr(outcome, float(days[-1] - days[0]) if len(days) else 0.0),
        "annual_return": yearly,
        "volatility": volatility(daily),
        "sharpe": sharpe(daily),
        "sortino": sortino(daily),
        "calmar": calmar(yearly, deepest.depth),
        "max_drawdown": deepest.depth,
        "max_drawdown_days": _drawdown_days(deepest, dates),
        "longest_drawdown_days": _longest_drawdown_days(days, closes, initial_cash),
        "best_day": float(np.max(daily)) if len(daily) else math.nan,
        "worst_day": float(np.min(daily)) if len(daily) else math.nan,
        "value_at_risk": value_at_risk(daily),
        "conditional_value_at_risk": conditional_value_at_risk(daily),
        "trades": float(len(pnl)),
        "hit_rate": hit_rate(pnl),
        "profit_factor": profit_factor(pnl),
        "payoff_ratio": payoff_ratio(pnl),
        "average_trade": average_trade(pnl),
        "average_win": average_win(pnl),
        "average_loss": average_loss(pnl),
        "best_trade": float(np.max(pnl)) if len(pnl) else math.nan,
        "worst_trade": float(np.min(pnl)) if len(pnl) else math.nan,
        "exposure": exposure(gross),
        "turnover": turnover(traded_value, values, len(days)),
        "days": float(len(days)),
        "bars": float(len(values)),
    }


def _drawdown_at(values: Floats, trough: int) -> Drawdown:
    """The drawdown whose deepest row is `trough`."""
    peak = trough - int(np.argmax(values[trough::-1]))
    back = values[trough:] >= values[peak]
    recovery = trough + int(np.argmax(back)) if back.any() else None
    length = (len(values) - 1 if recovery is None else recovery) - peak
    return Drawdown(float(values[trough] / values[peak] - 1.0), peak, trough, recovery, length)


def _drawdown_days(drawdown: Drawdown, ends: Times) -> float:
    if math.isnan(drawdown.depth) or not len(ends):
        return math.nan
    return float(ends[drawdown.peak + drawdown.length] - ends[drawdown.peak]) / DAY_NS


def _longest_drawdown_days(days: NDArray[np.int64], closes: Floats, initial_cash: float) -> float:
    """The most calendar days between a daily high and the day that reached it again, or the last day."""
    if not len(days):
        return math.nan
    curve, dates = np.concatenate([[initial_cash], closes]), np.concatenate([days[:1], days])
    at_peak = np.flatnonzero(curve >= np.maximum.accumulate(curve))
    ends = np.append(at_peak[1:], len(curve) - 1)
    fell = ends - at_peak > 1  # from one high to the next day's is no drawdown
    fell[-1] = ends[-1] > at_peak[-1]
    return float(np.max((dates[ends] - dates[at_peak])[fell], initial=0.0))


def _calendar_returns(end_ns: ArrayLike, equity: ArrayLike, initial: float | None, unit: str) -> list[PeriodReturn]:
    days, closes = daily_equity(end_ns, equity)
    if not len(days):
        return []
    periods = days.astype("datetime64[D]").astype(f"datetime64[{unit}]").astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(periods)), len(periods) - 1)
    start = float(np.asarray(equity, dtype=np.float64)[0]) if initial is None else initial
    values = returns(np.concatenate([[start], closes[last]]))
    found = []
    for period, value in zip(periods[last].tolist(), values.tolist(), strict=True):
        year, month = divmod(period, 12) if unit == "M" else (period, -1)
        found.append(PeriodReturn(1970 + year, month + 1, value))
    return found


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _ratio(above: float, below: float) -> float:
    """above / below; NaN unless below is above zero by more than the rounding that equal values may leave."""
    return above / below if below > _ROUNDING else math.nan


def _power(growth: float, exponent: float) -> float:
    """growth ** exponent; NaN for a negative growth and beyond the largest float."""
    if not growth >= 0.0:
        return math.nan
    try:
        return float(growth**exponent)
    except OverflowError:
        return math.nan
