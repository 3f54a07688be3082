"""The charts of the site's pages as plain dicts in plotly's format, with the conventions of `reports.figures`.

Colours are names of CSS variables, and no text of a user goes into a figure: plotly reads a few tags in labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats, Times
from domain.metrics import drawdown_series
from domain.timeframe import DAY_NS
from marketdata.models import CorporateAction
from reports import figures
from reports.figures import Figure, axis, chart_layout, numbers
from reports.pages.indicators import INDICATORS, Chosen

Marks = dict[str, NDArray[Any]]

# Lines are told apart by dash as well as by colour.
STYLES = (
    ("--line-1", "solid"),
    ("--line-2", "dash"),
    ("--line-3", "dot"),
    ("--line-4", "dashdot"),
    ("--line-5", "longdash"),
    ("--line-6", "longdashdot"),
    ("--line-1", "dot"),
    ("--line-2", "solid"),
)
_ACTIONS = {"split": ("S", "Split"), "dividend": ("D", "Dividend"), "delisting": ("X", "Delisting")}
_GAP = 0.035
_PANE = 0.15


def price_chart(
    bars: BarSeries,
    first: int,
    labels: list[str],
    *,
    indicators: Sequence[Chosen] = (),
    marks: Marks | None = None,
    actions: Sequence[CorporateAction] = (),
) -> Figure:
    """Candles and volume of the bars from row `first` on (`labels` are theirs), with what belongs to them.

    Indicators are computed on all bars, so that those before `first` warm them up.
    """
    shown = bars[first:]
    data = [figures.candle_trace(shown, labels)]
    if figures.volume_known(shown):
        data.append(figures.volume_trace(shown, labels))
    panes: dict[str, int] = {}
    for style, chosen in enumerate(indicators):
        pane = INDICATORS[chosen.name].pane
        number = panes.setdefault(pane, len(panes) + 3) if pane else 1
        data += _indicator_traces(chosen, bars, first, labels, STYLES[style % len(STYLES)], number)
    if actions:
        data += _action_traces(shown, labels, actions)
    if marks is not None and len(marks["time"]):
        data += figures.fill_traces(shown, labels, marks)
    return {"data": data, "layout": _price_layout(panes, has_volume=figures.volume_known(shown))}


def _indicator_traces(
    chosen: Chosen, bars: BarSeries, first: int, labels: list[str], style: tuple[str, str], number: int
) -> list[Figure]:
    """The lines of one indicator on the axis of that number: bands look alike, a second line is dotted."""
    colour, dash = style
    traces: list[Figure] = []
    for name, values in chosen.lines(bars).items():
        second = number > 1 and bool(traces)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{chosen.label} {name}".strip() if second else chosen.label,
                "x": labels,
                "y": numbers(values[first:], 6),
                "yaxis": "y" if number == 1 else f"y{number}",
                "line": {"color": colour, "width": 1.5, "dash": "dot" if second else "solid" if number > 1 else dash},
                "hovertemplate": "%{y:,.4~f}",
                "showlegend": second or not traces,
                "legendgroup": chosen.label,
            }
        )
    return traces


def _price_layout(panes: dict[str, int], *, has_volume: bool) -> Figure:
    """Prices on top, then volume, then a pane for each indicator of another scale."""
    below = len(panes) * (_PANE + _GAP)
    volume_top = below + (_PANE if has_volume else 0.0)
    axes = {
        "yaxis": axis(domain=[volume_top + (_GAP if volume_top else 0.0), 1], title={"text": "Price"}),
        "yaxis2": axis(
            domain=[below, max(volume_top, below + 0.01)],
            title={"text": "Volume"},
            nticks=3,
            tickformat="~s",
            visible=has_volume,
        ),
    }
    for row, (pane, number) in enumerate(reversed(panes.items())):
        bottom = row * (_PANE + _GAP)
        axes[f"yaxis{number}"] = axis(domain=[bottom, bottom + _PANE], title={"text": pane}, nticks=4)
    lowest = f"y{max(panes.values())}" if panes else "y2" if has_volume else "y"
    return chart_layout(
        xaxis=axis(type="category", anchor=lowest, nticks=8, tickangle=0, showgrid=False)
        | {"rangeslider": {"visible": False}},
        **axes,
        bargap=0.15,
    )


def _action_traces(bars: BarSeries, labels: list[str], actions: Sequence[CorporateAction]) -> list[Figure]:
    """A letter under the first bar of each ex-date."""
    traces = []
    for kind, (letter, name) in _ACTIONS.items():
        of_kind = [action for action in actions if action.kind == kind]
        rows = action_rows(bars, of_kind)
        mine = [(row, action) for row, action in zip(rows.tolist(), of_kind, strict=True) if row >= 0]
        if not mine:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": name,
                "x": [labels[row] for row, _ in mine],
                "y": [float(bars.low[row]) for row, _ in mine],
                "text": [letter] * len(mine),
                "textposition": "bottom center",
                "textfont": {"color": "--accent", "size": 11},
                "customdata": [None if action.value is None else float(action.value) for _, action in mine],
                "hovertemplate": "%{customdata}",
                "marker": {"symbol": "diamond-open", "size": 7, "color": "--accent"},
            }
        )
    return traces


def action_rows(bars: BarSeries, actions: Sequence[CorporateAction]) -> NDArray[np.int64]:
    """The first bar that ends after each ex-date began (UTC), -1 where the bars do not reach it."""
    days = np.array([np.datetime64(action.ex_date, "D").astype(np.int64) for action in actions], np.int64)
    rows = np.searchsorted(bars.end, days * DAY_NS, side="right")
    starts_late = len(bars) == 0 or days * DAY_NS + DAY_NS <= int(bars.start[0])
    return np.where((rows >= len(bars)) | starts_late, -1, rows)


class Curve(NamedTuple):
    """Equity of one run, in time order."""

    times: Times
    equity: Floats
    cash: float


def compare_chart(curves: Sequence[Curve], letters: Sequence[str], *, intraday: bool) -> Figure:
    """Equity as a multiple of the starting cash, and drawdown, a line a run; the letters are the runs' names."""
    stamp = figures.minutes if intraday else figures.dates
    data: list[Figure] = []
    deepest = -1.0
    for style, (letter, curve) in enumerate(zip(letters, curves, strict=True)):
        colour, dash = STYLES[style % len(STYLES)]
        under = 100.0 * drawdown_series(np.append(curve.cash, curve.equity))[1:]
        deepest = min(deepest, float(under.min(initial=0.0)))
        for values, decimals, more in (
            (curve.equity / curve.cash, 5, {"name": letter, "hovertemplate": "%{y:.3f}\N{MULTIPLICATION SIGN}"}),
            (
                under,
                3,
                {"name": f"{letter} drawdown", "yaxis": "y2", "showlegend": False, "hovertemplate": "%{y:.2f} %"},
            ),
        ):
            rows = figures.thin(values)
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": stamp(curve.times[rows]),
                    "y": numbers(values[rows], decimals),
                    "line": {"color": colour, "width": 2, "dash": dash},
                    "legendgroup": letter,
                    **more,
                }
            )
    return {
        "data": data,
        "layout": chart_layout(
            xaxis=axis(type="date", anchor="y2", hoverformat="%Y-%m-%d %H:%M UTC" if intraday else "%Y-%m-%d"),
            yaxis=axis(domain=[0.34, 1], title={"text": "Multiple of the start"}),
            yaxis2=axis(
                domain=[0, 0.26], title={"text": "Drawdown"}, ticksuffix=" %", range=[1.05 * deepest, 0], nticks=4
            ),
        ),
    }
