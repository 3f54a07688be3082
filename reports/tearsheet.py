"""The tear sheet of a backtest: one HTML file that needs nothing else.

The page carries its own content security policy: only the two scripts whose hashes it names may run and nothing
may be fetched, so a name or reason that got past the escaping would still do nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.template import Engine
from numpy.typing import NDArray

from domain.bars import BarSeries, Floats
from domain.metrics import drawdowns, monthly_returns, yearly_returns
from reports import figures
from reports.files import write_whole
from reports.labels import count, label, metric, moment, money, number, percent, signed, span
from reports.ledgers import Ledgers, Table, read_ledgers, without_splits
from reports.performance import buy_and_hold, by_instrument
from tradingsite.staticfinders import plotly_script

TRADES_SHOWN = 2_000
DENIED_SHOWN = 200

CARDS = (
    "total_return",
    "cagr",
    "max_drawdown",
    "sharpe",
    "sortino",
    "calmar",
    "volatility",
    "hit_rate",
    "profit_factor",
    "trades",
    "average_trade",
    "exposure",
    "turnover",
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def write_report(run_dir: Path) -> Path:
    """Write `report.html` into a run directory, from its ledgers alone; returns its path.

    The same ledgers give the same bytes. BadInput names the file that is missing or damaged; OSError where the
    report cannot be written, and then no half of it is left.
    """
    ledgers = read_ledgers(run_dir)
    # An engine of our own: the project's loads every installed tag library first, and REST framework's costs 0.2 s.
    engine = Engine(dirs=[str(settings.BASE_DIR / "templates")])
    script = engine.render_to_string("reports/tearsheet.js")
    plotly = plotly_script().read_text(encoding="utf-8")
    page = engine.render_to_string(
        "reports/tearsheet.html",
        _context(ledgers)
        | {"plotly": plotly, "script": script, "script_hashes": " ".join(map(_csp_hash, (plotly, script)))},
    )
    return write_whole(run_dir / "report.html", page)


def _csp_hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def embed(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element or break a line."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 and U+2029 are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _context(ledgers: Ledgers) -> dict[str, Any]:
    summary, equity = ledgers.summary, ledgers.equity
    cash = float(summary["cash"])
    intraday = ledgers.timeframe.is_intraday
    bars = {name: without_splits(series, ledgers.units[name]) for name, series in ledgers.bars.items() if len(series)}
    # The charts show the warm-up too; what is compared with the run begins with the run.
    begin = int(equity["time"][0]) if equity.rows else 0
    traded = {name: series[int(np.searchsorted(series.end, begin)) :] for name, series in bars.items()}
    benchmark = buy_and_hold(traded, equity["time"], cash)
    charts, display = _charts(ledgers, bars, benchmark, cash)
    rows = by_instrument(traded, ledgers.fills, ledgers.trades)
    return {
        "summary": summary,
        "run": ledgers.run,
        "started": moment(ledgers.run["started"]),
        "finished": moment(ledgers.run.get("finished")),
        "title": f"{summary['strategy']['name']} on {_names(summary['instruments'])}",
        "halted_at": moment(summary.get("halted_at")),
        "first": moment(summary["period"]["start"]),
        "last": moment(summary["period"]["end"]),
        "bars": count(summary["period"]["bars"]),
        "has_equity": "equity" in charts,
        "has_exposure": "exposure" in charts,
        "equity_rows": equity.rows,
        "thinned": equity.rows > figures.LINE_POINTS,
        "cards": cards(summary, benchmark, cash),
        "metrics": [(label(name), metric(name, value)) for name, value in summary["metrics"].items()],
        "months": MONTHS,
        "years": _years(equity, cash),
        "drawdowns": _drawdown_rows(equity, cash, intraday=intraday),
        "instruments": [instrument_cells(row) for row in rows],
        "costs": cost_rows(summary, cash),
        "orders": _orders(ledgers.orders),
        "denied": denials(ledgers.orders),
        "denied_total": sum(status == "denied" for status in ledgers.orders["status"]),
        "denied_shown": DENIED_SHOWN,
        "still_open": equity.rows > 0 and bool(equity["long_value"][-1] or equity["short_value"][-1]),
        "trades_total": ledgers.trades.rows,
        "trades_shown": min(ledgers.trades.rows, TRADES_SHOWN),
        "prices": sorted(bars),
        "parameters": [(name, plain(value)) for name, value in summary["strategy"]["params"].items()],
        "config": pretty(summary["config"]),
        "hashes": [(label(name), summary[name]) for name in ("config_hash", "data_hash", "result_hash")],
        "versions": sorted(ledgers.run["versions"].items()),
        "data": embed({"figures": charts, "trades": _trades(ledgers, display), "display": display}),
    }


def _charts(
    ledgers: Ledgers, prices: dict[str, BarSeries], benchmark: Floats, cash: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures, and for each instrument what its price chart shows: {bars, shown, each, fills, marked}."""
    intraday = ledgers.timeframe.is_intraday
    halted = ledgers.summary.get("halted_at") or None
    charts: dict[str, Any] = {"prices": {}}
    if ledgers.equity.rows > 1:
        stamp = halted[:16].replace("T", " ") if halted else None
        charts["equity"] = figures.equity_figure(ledgers.equity, benchmark, cash, intraday=intraday, halted=stamp)
        if ledgers.fills.rows:
            charts["exposure"] = figures.exposure_figure(ledgers.equity, intraday=intraday)
    filled = np.array(ledgers.fills["instrument"], dtype=object)
    traded = np.array(ledgers.trades["instrument"], dtype=object)
    limit = figures.candle_limit(len(prices))
    display: dict[str, Any] = {}
    for instrument, series in sorted(prices.items()):
        bars, each = figures.coarsen(series, limit)
        rows = np.flatnonzero(filled == instrument)
        marked = rows[-figures.MARKERS :]
        marks = {name: ledgers.fills[name][marked] for name in ("time", "quantity", "price")}
        units = ledgers.units[instrument][figures.bar_rows(series, marks["time"])]
        marks["price"], marks["quantity"] = marks["price"] / units, marks["quantity"] * units
        marks["sign"] = np.array([1 if ledgers.fills["side"][row] == "buy" else -1 for row in marked.tolist()])
        charts["prices"][instrument] = figures.price_figure(bars, marks, clock=intraday and "day" not in each)
        mine = np.flatnonzero(traded == instrument)
        display[instrument] = {
            "bars": len(series),
            "shown": len(bars),
            "each": each,
            "fills": len(rows),
            "marked": len(marked),
            "split": bool((ledgers.units[instrument] != 1.0).any()),
            "trades": mine.tolist(),
            "entry": figures.bar_rows(bars, ledgers.trades["entry_time"][mine]).tolist(),
            "exit": figures.bar_rows(bars, ledgers.trades["exit_time"][mine]).tolist(),
        }
    return charts, display


def _trades(ledgers: Ledgers, display: dict[str, Any]) -> dict[str, list[Any]]:
    """The newest trades column by column; `entry_bar` and `exit_bar` are rows of the instrument's price chart."""
    trades = ledgers.trades
    first = max(trades.rows - TRADES_SHOWN, 0)
    bars: dict[str, NDArray[np.int64]] = {}
    for end in ("entry", "exit"):
        bars[end] = np.full(trades.rows, -1)
        for shown in display.values():
            bars[end][shown["trades"]] = shown.pop(end)
    for shown in display.values():
        del shown["trades"]
    return {
        "number": list(range(first + 1, trades.rows + 1)),
        "instrument": trades["instrument"][first:],
        "side": trades["side"][first:],
        "quantity": figures.numbers(trades["quantity"][first:], 6),
        "entry_time": figures.minutes(trades["entry_time"][first:]),
        "entry_price": figures.numbers(trades["entry_price"][first:], 6),
        "exit_time": figures.minutes(trades["exit_time"][first:]),
        "exit_price": figures.numbers(trades["exit_price"][first:], 6),
        "return": figures.numbers(100.0 * trades["return"][first:], 3),
        "net_pnl": figures.numbers(trades["net_pnl"][first:], 2),
        "commission": figures.numbers(trades["commission"][first:], 2),
        "bars": figures.numbers(trades["bars"][first:], 0),
        "entry_bar": bars["entry"][first:].tolist(),
        "exit_bar": bars["exit"][first:].tolist(),
    }


def cards(summary: dict[str, Any], benchmark: Floats, cash: float) -> list[dict[str, str]]:
    """The figures that stand first, as texts: label, value, note, and the tone that colours the value."""
    metrics, final = summary["metrics"], summary["final_equity"]
    notes = {"trades": f"{count(summary['orders'].get('filled', 0))} orders filled"}
    if len(benchmark):
        notes["total_return"] = f"buy and hold {percent(float(benchmark[-1]) / cash - 1.0)}"
    if metrics.get("turnover") is not None:
        notes["turnover"] = "a year"
    if metrics.get("max_drawdown_days") is not None:
        notes["max_drawdown"] = f"lasted {number(metrics['max_drawdown_days'], 0)} days"
    cards = [
        {
            "label": "Final equity",
            "value": money(final),
            "note": f"from {money(cash)}",
            "tone": tone(None if final is None else final - cash),
        }
    ]
    for name in CARDS:
        value = metrics.get(name)
        judged = name in ("total_return", "cagr", "average_trade", "max_drawdown")
        cards.append(
            {
                "label": label(name),
                "value": metric(name, value),
                "note": notes.get(name, ""),
                "tone": tone(value if name != "max_drawdown" or not value else -abs(value)) if judged else "",
            }
        )
    return cards


def tone(value: float | None) -> str:
    """The class of a value: colour there, and a sign in front of the number itself."""
    if value is None or not math.isfinite(value) or value == 0:
        return ""
    return "gain" if value > 0 else "loss"


def _years(equity: Table, cash: float) -> list[dict[str, Any]]:
    """Rows of the heat map, a cell a month; `heat` is 0 to 1, the size as a share of a strong month's or year's."""
    months = {(part.year, part.month): part.value for part in monthly_returns(equity["time"], equity["equity"], cash)}
    totals = {part.year: part.value for part in yearly_returns(equity["time"], equity["equity"], cash)}
    strong_month, strong_year = _strong(months.values()), _strong(totals.values())

    def cell(value: float | None, strong: float) -> dict[str, str]:
        if value is None or not math.isfinite(value):
            return {"text": "", "tone": "", "heat": "0"}
        heat = min(abs(value) / strong, 1.0) if strong else 0.0
        return {"text": signed(100.0 * value, 1), "tone": tone(value), "heat": f"{heat:.2f}"}

    return [
        {
            "year": year,
            "months": [cell(months.get((year, month)), strong_month) for month in range(1, 13)],
            "total": cell(total, strong_year),
        }
        for year, total in totals.items()
    ]


def _strong(returns: Iterable[float]) -> float:
    """The ninetieth percentile of sizes: measured by the greatest, one crash would leave every other cell pale."""
    sizes = np.abs([value for value in returns if math.isfinite(value)])
    return float(np.percentile(sizes, 90)) if len(sizes) else 0.0


def _drawdown_rows(equity: Table, cash: float, *, intraday: bool) -> list[dict[str, str]]:
    stamp = figures.minutes if intraday else figures.dates
    # The first row is the starting cash: a fall from it peaks at the first bar.
    times = np.append(equity["time"][:1], equity["time"])
    rows = []
    for fall in drawdowns(np.append(cash, equity["equity"])):
        peak, trough = stamp(times[[fall.peak, fall.trough]])
        rows.append(
            {
                "depth": percent(fall.depth),
                "peak": peak,
                "trough": trough,
                "recovered": "not yet" if fall.recovery is None else stamp(times[[fall.recovery]])[0],
                "length": span(int(times[fall.peak + fall.length] - times[fall.peak])),
            }
        )
    return rows


def instrument_cells(row: Any) -> dict[str, str]:
    return {
        "instrument": row.instrument,
        "bars": count(row.bars),
        "fills": count(row.fills),
        "trades": count(row.trades),
        "hit_rate": percent(row.hit_rate, plus=False),
        "profit_factor": number(row.profit_factor, 2),
        "net_pnl": signed(row.net_pnl, 2),
        "tone": tone(row.net_pnl),
        "average_trade": signed(row.average_trade, 2),
        "best": signed(row.best, 2),
        "worst": signed(row.worst, 2),
        "commission": number(row.commission, 2),
        "price_change": percent(row.price_change),
    }


def cost_rows(summary: dict[str, Any], cash: float) -> list[dict[str, str]]:
    """A row a cost, their sum, and what dividends brought; `width` is the bar's length in per cent of the dearest."""
    costs = {name: float(value or 0.0) for name, value in summary["costs"].items()}
    dividends = costs.pop("dividends", 0.0)
    dearest = max(costs.values(), default=0.0)

    def row(name: str, value: float, width: str = "") -> dict[str, str]:
        return {"label": name, "value": number(value, 2), "share": percent(value / cash, plus=False), "width": width}

    rows = [
        row(label(name), value, f"{100.0 * value / dearest:.1f}" if value > 0 else "") for name, value in costs.items()
    ]
    rows.append(row("Total", sum(costs.values())))
    if dividends:
        rows.append(row("Dividends received", dividends))
    return rows


def _orders(orders: Table) -> list[dict[str, str]]:
    counts = Counter(orders["status"])
    total = sum(counts.values())
    return [
        {"status": label(status), "count": count(many), "share": percent(many / total, plus=False)}
        for status, many in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def denials(orders: Table) -> dict[str, Any]:
    """What the risk rules refused: how many by rule, and the newest intents with the rule's numbers."""
    rows = [row for row, status in enumerate(orders["status"]) if status == "denied"]
    rules = Counter(orders["denied_by"][row] for row in rows)
    shown = rows[-DENIED_SHOWN:]
    return {
        "rules": [(rule, count(many)) for rule, many in sorted(rules.items(), key=lambda item: (-item[1], item[0]))],
        "intents": [
            {
                "time": time,
                "instrument": orders["instrument"][row],
                "side": orders["side"][row],
                "quantity": number(orders["quantity"][row]),
                "rule": orders["denied_by"][row],
                "value": _rule_number(orders["rule_value"][row]),
                "limit": _rule_number(orders["rule_limit"][row]),
                "reason": orders["reason"][row],
            }
            for row, time in zip(shown, figures.minutes(orders["time"][shown]), strict=True)
        ],
    }


def _rule_number(value: float) -> str:
    """Money in two decimals, so that a column of it aligns; shares and small counts in what they need."""
    return number(value, 2 if abs(value) >= 100 else None)


def _names(instruments: list[str]) -> str:
    if len(instruments) <= 4:
        return ", ".join(instruments)
    return f"{', '.join(instruments[:3])} and {len(instruments) - 3} more"


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
