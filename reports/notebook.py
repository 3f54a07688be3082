"""The notebook of a backtest: the run's ledgers in pandas, ready to be asked further questions.

It stands beside the ledgers and reads them by their names, so it needs pandas and plotly but not this project. The
file is written as plain JSON: nbformat is not needed for it, and the same run gives the same bytes.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from domain.timeframe import Timeframe
from reports.files import write_whole
from reports.labels import moment
from reports.ledgers import read_summary

_LOAD = """\
import json
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from IPython.display import display
from plotly.subplots import make_subplots

run = Path(".")  # the run's directory: start Jupyter there, or name it here
summary = json.loads((run / "summary.json").read_text())
bars, orders, fills, trades, equity = (
    pd.read_parquet(run / f"{name}.parquet") for name in ("bars", "orders", "fills", "trades", "equity")
)
curve = equity.set_index("time")["equity"]
for name, table in (("bars", bars), ("orders", orders), ("fills", fills), ("trades", trades)):
    print(f"{len(table):>9,} {name}")"""

_FIGURES = """\
pd.Series(summary["metrics"], name="figure").to_frame()"""

_EQUITY = """\
cash = summary["cash"]
peak = curve.cummax().clip(lower=cash)
drawdown = curve / peak - 1

figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.7, 0.3], vertical_spacing=0.04)
figure.add_scatter(x=curve.index, y=curve, name="Equity", row=1, col=1)
figure.add_scatter(x=drawdown.index, y=100 * drawdown, name="Drawdown, %", fill="tozeroy", row=2, col=1)
figure.update_layout(height=520, hovermode="x unified", title="Equity and drawdown")
figure"""

_MONTHS = """\
# A bar that ends at midnight belongs to the day before, hence the nanosecond.
month = (curve.index - pd.Timedelta(1, "ns")).tz_localize(None).to_period("M")
closing = curve.groupby(month).last()
returns = closing / closing.shift(fill_value=cash) - 1
monthly = pd.DataFrame({"year": closing.index.year, "month": closing.index.month, "return": returns.to_numpy()})
table = monthly.pivot(index="year", columns="month", values="return")
table["year"] = (1 + monthly.set_index("year")["return"]).groupby(level=0).prod() - 1
(100 * table).round(1) + 0.0  # no -0.0"""

_TRADES = """\
by_instrument = trades.groupby("instrument")["net_pnl"].agg(["count", "sum", "mean", "min", "max"])
display(by_instrument.round(2))
trades.sort_values("net_pnl", ascending=False)"""

_DENIED = """\
columns = ["time", "instrument", "side", "quantity", "denied_by", "rule_value", "rule_limit"]
orders.loc[orders["status"] == "denied", columns]"""

_CANDLES = """\
names = sorted(bars["instrument"].unique())
instrument = names[0] if names else None  # any of `names`
shown = bars[bars["instrument"] == instrument].tail(250)
label = shown["start"].dt.strftime("%Y-%m-%d %H:%M")

prices = {name: shown[name] for name in ("open", "high", "low", "close")}
figure = go.Figure(go.Candlestick(x=label, name="Price", **prices))
mine = fills[(fills["instrument"] == instrument) & (fills["time"] >= shown["start"].min())]
# The bar in which each fill happened: the last one that had begun by then.
row = shown["start"].searchsorted(mine["time"], side="right") - 1
for side, symbol in (("buy", "triangle-up"), ("sell", "triangle-down")):
    picked = (mine["side"] == side).to_numpy()
    figure.add_scatter(
        x=label.to_numpy()[row[picked]],
        y=mine["price"][picked],
        text=mine["quantity"][picked],
        mode="markers",
        name=side,
        marker={"symbol": symbol, "size": 11, "line": {"width": 1}},
    )
figure.update_xaxes(type="category", nticks=8, rangeslider_visible=False)
figure.update_layout(height=480, title=f"{instrument}: the last {len(shown)} bars (UTC)")
figure"""


def write_notebook(run_dir: Path) -> Path:
    """Write `report.ipynb` into a run directory; returns its path. BadInput where `summary.json` cannot be read."""
    summary = read_summary(run_dir)
    cells = [
        _markdown(
            f"# {_escape(summary['strategy']['name'])}: a backtest\n\n"
            f"{_escape(', '.join(summary['instruments']))}, bars of {Timeframe.parse(summary['timeframe'])}, "
            f"{moment(summary['period']['start'])} to {moment(summary['period']['end'])}. "
            "Simulated; all times are UTC. `report.html` beside this file shows the same run."
        ),
        _code(_LOAD),
        _markdown("## Figures\n\nFractions, not per cent; the conventions are those of the project's metrics."),
        _code(_FIGURES),
        _markdown("## Equity and drawdown"),
        _code(_EQUITY),
        _markdown("## Monthly returns, %"),
        _code(_MONTHS),
        _markdown("## Trades\n\nClosed round trips; what is still open counts in equity only."),
        _code(_TRADES),
        _markdown("## Denied intents\n\nWhat the risk rules refused, with the rule's numbers."),
        _code(_DENIED),
        _markdown("## Price and fills"),
        _code(_CANDLES),
    ]
    notebook = {
        "cells": [cell | {"id": f"cell-{row}"} for row, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return write_whole(run_dir / "report.ipynb", json.dumps(notebook, indent=1, sort_keys=True) + "\n")


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def _escape(text: str) -> str:
    """Text as Markdown shows it literally: a strategy's or an instrument's name is no markup."""
    markup = set(string.punctuation) - set(",.:-/")
    return "".join(f"\\{character}" if character in markup else character for character in " ".join(text.split()))
