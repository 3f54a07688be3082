"""The charts as plain dicts in plotly's figure format.

Colours are the names of CSS variables ("--gain"); the page resolves them when it draws, so one figure serves
the dark and the light theme. No text of a user goes into a figure: plotly reads a few tags in labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats, Times
from domain.metrics import drawdown_series
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe
from reports.ledgers import Table
from reports.performance import exposures

Figure = dict[str, Any]

LINE_POINTS = 4_000
CANDLES_OF_ONE = 4_000
CANDLES_OF_ALL = 32_000
FEWEST_CANDLES = 250
MARKERS = 2_000

_WIDTHS = {
    "5 minutes": 5 * MINUTE_NS,
    "15 minutes": 15 * MINUTE_NS,
    "30 minutes": 30 * MINUTE_NS,
    "1 hour": HOUR_NS,
    "4 hours": 4 * HOUR_NS,
}


def numbers(values: NDArray[Any], decimals: int) -> list[float | None]:
    """Rounded, as JSON can hold them: what is not finite becomes None."""
    rounded = np.round(values, decimals)
    if np.isfinite(rounded).all():
        return list(rounded.tolist())
    return [value if finite else None for value, finite in zip(rounded.tolist(), np.isfinite(rounded), strict=True)]


def dates(ends: Times) -> list[str]:
    """The UTC day of each session: that of its last nanosecond, since an end at midnight is still the day before."""
    return list(np.datetime_as_string((ends - 1).astype("datetime64[ns]"), unit="D").tolist())


def minutes(times: Times) -> list[str]:
    """UTC times to the minute, "" for a time that never came."""
    texts = np.datetime_as_string(times.astype("datetime64[ns]"), unit="m").tolist()
    return ["" if text == "NaT" else text.replace("T", " ") for text in texts]


def candle_limit(instruments: int) -> int:
    """How many candles each price chart may hold, so that the file of a large universe stays readable."""
    return max(FEWEST_CANDLES, min(CANDLES_OF_ONE, CANDLES_OF_ALL // max(instruments, 1)))


def thin(values: Floats, limit: int = LINE_POINTS) -> NDArray[np.intp]:
    """Rows that keep a line's look: lowest and highest of each stretch, first and last; all rows where they fit."""
    n = len(values)
    if n <= limit:
        return np.arange(n)
    width = -(-n // (limit // 2 - 1))
    whole = n // width * width
    stretches = values[:whole].reshape(-1, width)
    base = np.arange(0, whole, width)
    return np.unique(np.concatenate([[0, n - 1], base + stretches.argmin(axis=1), base + stretches.argmax(axis=1)]))


def coarsen(bars: BarSeries, limit: int) -> tuple[BarSeries, str]:
    """At most about `limit` bars for display and the name of their length, "" where nothing had to be merged.

    Buckets are of UTC clock time, days, weeks from Monday, months or years: the first of these that fits.
    """
    if len(bars) <= limit:
        return bars, ""
    days = (bars.end - 1) // DAY_NS
    calendar = (bars.end - 1).astype("datetime64[ns]")
    buckets: list[tuple[str, Any]] = []
    if bars.timeframe.is_intraday:
        longer = {name: width for name, width in _WIDTHS.items() if width > bars.timeframe.nanoseconds}
        buckets += [(name, bars.start // width) for name, width in longer.items()]
        buckets.append(("1 day", days))
    if bars.timeframe is not Timeframe.W1:
        buckets.append(("1 week", (days + 3) // 7))
    buckets += [(name, calendar.astype(unit).astype(np.int64)) for name, unit in _CALENDAR]
    for name, bucket in buckets:
        first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
        if len(first) <= limit or name == buckets[-1][0]:
            return _merge(bars, first), name
    raise AssertionError("unreachable: the last bucket is always taken")


_CALENDAR = (("1 month", "datetime64[M]"), ("1 year", "datetime64[Y]"))


def _merge(bars: BarSeries, first: NDArray[np.intp]) -> BarSeries:
    last = np.append(first[1:], len(bars)) - 1
    return replace(
        bars,
        start=bars.start[first],
        end=bars.end[last],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
    )


def bar_rows(bars: BarSeries, times: Times) -> NDArray[np.intp]:
    """The row of the bar in which each time lies, the nearest before it where none does."""
    return np.clip(np.searchsorted(bars.start, times, side="right") - 1, 0, max(len(bars) - 1, 0))


def equity_figure(equity: Table, benchmark: Floats, cash: float, *, intraday: bool, halted: str | None) -> Figure:
    """Equity against the benchmark, and below it the drawdown."""
    times = equity["time"]
    stamp = minutes if intraday else dates

    def line(values: Floats, decimals: int, **more: Any) -> Figure:
        rows = thin(values)
        points = {"x": stamp(times[rows]), "y": numbers(values[rows], decimals)}
        return {"type": "scatter", "mode": "lines", **points, **more}

    under = 100.0 * drawdown_series(np.append(cash, equity["equity"]))[1:]
    depth = [1.05 * min(float(under.min()), -1.0), 0]
    figure: Figure = {
        "data": [
            line(
                benchmark,
                2,
                name="Buy and hold",
                line={"color": "--benchmark", "width": 1.5, "dash": "dot"},
                hovertemplate="%{y:,.0f}",
            ),
            line(
                equity["equity"],
                2,
                name="Strategy",
                line={"color": "--accent", "width": 2},
                hovertemplate="%{y:,.0f}",
            ),
            line(
                under,
                3,
                name="Drawdown",
                yaxis="y2",
                fill="tozeroy",
                fillcolor="--loss-soft",
                line={"color": "--loss", "width": 1},
                hovertemplate="%{y:.2f} %",
            ),
        ],
        "layout": chart_layout(
            xaxis=axis(type="date", anchor="y2", hoverformat="%Y-%m-%d %H:%M UTC" if intraday else "%Y-%m-%d"),
            yaxis=axis(domain=[0.34, 1], title={"text": "Equity"}, tickformat="~s"),
            yaxis2=axis(domain=[0, 0.26], title={"text": "Drawdown"}, ticksuffix=" %", range=depth, nticks=4),
        ),
    }
    if halted:
        figure["layout"] |= _halt_mark(halted)
    return figure


def _halt_mark(time: str) -> Figure:
    dash = {"color": "--loss", "dash": "dash", "width": 1.5}
    line = {"type": "line", "x0": time, "x1": time, "yref": "paper", "y0": 0, "y1": 1, "line": dash}
    place = {"x": time, "yref": "paper", "y": 1, "xanchor": "right", "yanchor": "top", "showarrow": False}
    return {"shapes": [line], "annotations": [{"text": "halted", "font": {"color": "--loss"}, **place}]}


def exposure_figure(equity: Table, *, intraday: bool) -> Figure:
    """Long and short value in per cent of equity, as areas above and below zero, their sum, and gross if it differs."""
    long, short, gross = exposures(equity)
    stamp = minutes if intraday else dates
    times = equity["time"]

    def steps(name: str, values: Floats, **more: Any) -> Figure:
        rows = thin(np.nan_to_num(values))
        return {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": stamp(times[rows]),
            "y": numbers(100.0 * values[rows], 2),
            "hovertemplate": "%{y:.1f} %",
            **more,
        }

    data = [steps("Long", long, fill="tozeroy", fillcolor="--gain-soft", line={"color": "--gain", "width": 1})]
    if np.nanmin(short, initial=0.0) < 0:
        data += [
            steps("Short", short, fill="tozeroy", fillcolor="--loss-soft", line={"color": "--loss", "width": 1}),
            steps("Net", long + short, line={"color": "--ink", "width": 1}),
        ]
    if np.nanmax(np.abs(gross - long + short), initial=0.0) > 1e-9:  # futures: exposed without a value of their own
        data.append(steps("Gross, with futures", gross, line={"color": "--accent", "width": 1}))
    return {
        "data": data,
        "layout": chart_layout(
            xaxis=axis(type="date", hoverformat="%Y-%m-%d %H:%M UTC" if intraday else "%Y-%m-%d"),
            yaxis=axis(title={"text": "Of equity"}, ticksuffix=" %", rangemode="tozero"),
            showlegend=len(data) > 1,
        ),
    }


def price_figure(bars: BarSeries, fills: dict[str, NDArray[Any]], *, clock: bool) -> Figure:
    """Candles (hollow where they rose, filled where they fell), volume and a mark at each fill's own price.

    The axis counts bars, so that nights and holidays take no room. `fills` has time, sign, quantity and price
    of this instrument; `clock` labels the bars by their start's time of day, else by their session's day.
    """
    labels = minutes(bars.start) if clock else dates(bars.end)
    data = [candle_trace(bars, labels)]
    has_volume = volume_known(bars)
    if has_volume:
        data.append(volume_trace(bars, labels))
    data += fill_traces(bars, labels, fills)
    return {
        "data": data,
        "layout": chart_layout(
            xaxis=axis(type="category", anchor="y2" if has_volume else "y", nticks=8, tickangle=0, showgrid=False)
            | {"rangeslider": {"visible": False}},
            yaxis=axis(domain=[0.24, 1] if has_volume else [0, 1], title={"text": "Price"}),
            yaxis2=axis(domain=[0, 0.17], title={"text": "Volume"}, nticks=3, tickformat="~s", visible=has_volume),
            bargap=0.15,
        ),
    }


def candle_trace(bars: BarSeries, labels: list[str]) -> Figure:
    return {
        "type": "candlestick",
        "name": "Price",
        "x": labels,
        **{name: numbers(getattr(bars, name), 6) for name in ("open", "high", "low", "close")},
        "increasing": {"line": {"color": "--gain", "width": 1}, "fillcolor": "--card"},
        "decreasing": {"line": {"color": "--loss", "width": 1}, "fillcolor": "--loss"},
        "showlegend": False,
    }


def volume_known(bars: BarSeries) -> bool:
    return bool(np.isfinite(bars.volume).any() and np.nanmax(bars.volume, initial=0.0) > 0)


def volume_trace(bars: BarSeries, labels: list[str]) -> Figure:
    return {
        "type": "bar",
        "name": "Volume",
        "x": labels,
        "y": numbers(bars.volume, 0),
        "yaxis": "y2",
        "marker": {"color": "--volume", "line": {"width": 0}},
        "hovertemplate": "%{y:.4~s}",
        "showlegend": False,
    }


def fill_traces(bars: BarSeries, labels: list[str], fills: dict[str, NDArray[Any]]) -> list[Figure]:
    """A trace of marks for each side that has some, at the bar in which each fill lies."""
    rows = bar_rows(bars, fills["time"])
    traces = []
    for name, sign, symbol, colour in (("Buy", 1, "triangle-up", "--buy"), ("Sell", -1, "triangle-down", "--sell")):
        picked = fills["sign"] == sign
        if picked.any():
            traces.append(_marks(name, labels, rows[picked], fills, picked, symbol, colour))
    return traces


def _marks(
    name: str,
    labels: list[str],
    rows: NDArray[np.intp],
    fills: dict[str, NDArray[Any]],
    picked: NDArray[np.bool_],
    symbol: str,
    colour: str,
) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [labels[row] for row in rows.tolist()],
        "y": numbers(fills["price"][picked], 6),
        "customdata": numbers(fills["quantity"][picked], 6),
        "hovertemplate": "%{customdata:,} @ %{y:,.4~f}",
        "marker": {"symbol": symbol, "size": 12, "color": colour, "line": {"color": "--card", "width": 1.5}},
    }


def axis(**more: Any) -> Figure:
    return {
        "gridcolor": "--grid",
        "linecolor": "--line",
        "zerolinecolor": "--line",
        "automargin": True,
        "tickfont": {"color": "--muted"},
    } | more


def chart_layout(**more: Any) -> Figure:
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 56, "r": 12, "t": 8, "b": 32},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {"bgcolor": "--card", "bordercolor": "--line", "font": {"color": "--ink"}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "--muted", "activecolor": "--accent"},
        "showlegend": True,
    } | more
