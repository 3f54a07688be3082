"""Backtests side by side: equity in one picture, figures in one table, and what differs in what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from domain.errors import BadInput
from domain.timeframe import Timeframe
from reports.labels import NOTHING, label, metric
from reports.ledgers import read_ledger, read_summary
from reports.pages import charts
from reports.pages.backtests import MOST_COMPARED
from reports.tearsheet import CARDS, plain
from strategies.backtests import run_directory
from strategies.models import Backtest

LETTERS = "ABCDEFGH"
# Of these more is better; of a loss or a fall, which are negative, too. Of the others neither end is.
MORE_IS_BETTER = {
    "total_return",
    "cagr",
    "annual_return",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "hit_rate",
    "profit_factor",
    "payoff_ratio",
    "average_trade",
    "average_win",
    "average_loss",
    "best_day",
    "worst_day",
    "best_trade",
    "worst_trade",
}
LESS_IS_BETTER = {
    "volatility",
    "max_drawdown_days",
    "longest_drawdown_days",
    "value_at_risk",
    "conditional_value_at_risk",
}
_MISSING = object()


class Difference(NamedTuple):
    place: str
    values: list[str]


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def compare(request: HttpRequest) -> HttpResponse:
    wanted = list(dict.fromkeys(request.GET.getlist("run")))
    try:
        rows, summaries, curves = _read(wanted)
    except BadInput as error:
        return render(request, "pages/compare.html", {"fault": str(error)}, status=400)
    letters = LETTERS[: len(rows)]
    intraday = any(Timeframe.parse(row.timeframe).is_intraday for row in rows)
    drawn = [curve for curve in curves if len(curve.times) > 1]
    return render(
        request,
        "pages/compare.html",
        {
            "runs": [
                {"letter": letter, "row": row, "run_id": row.run_id, "style": style}
                for style, (letter, row) in enumerate(zip(letters, rows, strict=True))
            ],
            "chart": charts.compare_chart(curves, letters, intraday=intraday) if len(drawn) == len(curves) else None,
            "metrics": metric_rows(summaries),
            "differences": differences([row.config for row in rows]),
            "same_data": len({row.data_hash for row in rows}) == 1,
            "same_config": len({row.config_hash for row in rows}) == 1,
            "data_groups": _groups([row.data_hash for row in rows], letters),
        },
    )


def _read(wanted: Sequence[str]) -> tuple[list[Backtest], list[dict[str, Any]], list[charts.Curve]]:
    """Rows in the order asked for, with their summaries and equity; BadInput says which run cannot be compared."""
    if not 2 <= len(wanted) <= MOST_COMPARED:
        raise BadInput(f"Choose 2 to {MOST_COMPARED} backtests to compare, not {len(wanted)}.")
    held = {row.directory: row for row in Backtest.objects.filter(directory__in=wanted)}
    rows, summaries, curves = [], [], []
    for run_id in wanted:
        row = held.get(run_id)
        if row is None:
            raise BadInput(f"There is no backtest {run_id[:80]!r}.")
        if row.state != Backtest.State.SUCCEEDED:
            raise BadInput(f"Backtest {run_id} has no result: it is {row.get_state_display()}.")
        summary = read_summary(run_directory(row))
        equity = read_ledger(run_directory(row), "equity")
        rows.append(row)
        summaries.append(summary)
        curves.append(charts.Curve(equity["time"], equity["equity"], float(summary["cash"])))
    return rows, summaries, curves


def metric_rows(summaries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a figure: its texts, and which of them are the best where that can be said."""
    held = dict.fromkeys(name for each in summaries for name in each["metrics"])
    names = [name for name in CARDS if name in held] + [name for name in held if name not in CARDS]
    rows = []
    for name in names:
        values = [each["metrics"].get(name) for each in summaries]
        best = _best(name, values)
        rows.append(
            {
                "label": label(name),
                "cells": [
                    {
                        "text": NOTHING if value is None else metric(name, value),
                        "best": value is not None and value == best,
                    }
                    for value in values
                ],
            }
        )
    return rows


def _best(name: str, values: Sequence[Any]) -> float | None:
    """None where no value is better than another."""
    known = [value for value in values if isinstance(value, (int, float))]
    if len(known) < 2 or min(known) == max(known):
        return None
    if name in MORE_IS_BETTER:
        return max(known)
    return min(known, key=abs) if name in LESS_IS_BETTER else None


def differences(configs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The places of the configurations at which not all of them say the same, by dotted name."""
    flat = [dict(_leaves(config)) for config in configs]
    places = sorted({place for each in flat for place in each})
    found = []
    for place in places:
        values = [each.get(place, _MISSING) for each in flat]
        if any(value != values[0] for value in values):
            found.append(Difference(place, [NOTHING if value is _MISSING else plain(value) for value in values]))
    return found


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        place = f"{path}.{name}" if path else str(name)
        if isinstance(each, Mapping) and each:
            yield from _leaves(each, place)
        elif place != "run_id":
            yield place, each


def _groups(hashes: Sequence[str], letters: str) -> list[dict[str, str]]:
    """Which runs read the same data."""
    return [
        {
            "hash": each,
            "letters": ", ".join(letter for letter, mine in zip(letters, hashes, strict=True) if mine == each),
        }
        for each in dict.fromkeys(hashes)
    ]
