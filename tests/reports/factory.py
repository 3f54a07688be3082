"""A run directory as the backtest command leaves it: a moving-average cross on random-walk bars, kept honest by hand.

Cash, positions and equity follow from the fills, so every figure of the report has a known source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from domain.engine.result import EQUITY_COLUMNS

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
UTC = pa.timestamp("ns", "UTC")
CASH = 100_000.0

ORDER_TYPES = {
    "ref": pa.string(),
    "instrument": pa.string(),
    "time": UTC,
    "side": pa.string(),
    "type": pa.string(),
    "time_in_force": pa.string(),
    "quantity": pa.float64(),
    "limit_price": pa.float64(),
    "stop_price": pa.float64(),
    "status": pa.string(),
    "filled": pa.float64(),
    "average_price": pa.float64(),
    "commission": pa.float64(),
    "reason": pa.string(),
    "denied_by": pa.string(),
    "rule_value": pa.float64(),
    "rule_limit": pa.float64(),
    "ended": UTC,
}
FILL_TYPES = {
    "time": UTC,
    "instrument": pa.string(),
    "side": pa.string(),
    "quantity": pa.float64(),
    "price": pa.float64(),
    "commission": pa.float64(),
    "order_ref": pa.string(),
}
TRADE_TYPES = {
    "instrument": pa.string(),
    "side": pa.string(),
    "quantity": pa.float64(),
    "entry_time": UTC,
    "entry_price": pa.float64(),
    "exit_time": UTC,
    "exit_price": pa.float64(),
    "pnl": pa.float64(),
    "commission": pa.float64(),
    "net_pnl": pa.float64(),
    "return": pa.float64(),
    "bars": pa.int64(),
}
BAR_TYPES = {"instrument": pa.string(), "start": UTC, "end": UTC} | dict.fromkeys(
    ("open", "high", "low", "close", "volume"), pa.float64()
)
EQUITY_TYPES = {"time": UTC} | dict.fromkeys(EQUITY_COLUMNS[1:], pa.float64())


def session_times(bars: int, timeframe: str) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends: weekdays 14:30 to 21:00 UTC from Monday 2012-01-02, whole sessions or their minutes."""
    per_day = 1 if timeframe == "1d" else 390
    days = np.arange(-(-bars // per_day))
    opens = np.datetime64("2012-01-02", "ns").astype(np.int64) + (days + days // 5 * 2) * DAY_NS + 870 * MINUTE_NS
    if timeframe == "1d":
        return opens, opens + 390 * MINUTE_NS
    starts = (opens[:, None] + np.arange(390) * MINUTE_NS).ravel()[:bars]
    return starts, starts + MINUTE_NS


def make_bars(instrument: str, bars: int, timeframe: str, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    step = 0.014 if timeframe == "1d" else 0.0007
    close = np.round(100 * np.exp(np.cumsum(rng.normal(step / 40, step, bars))), 2)
    opened = np.round(np.concatenate([[100.0], close[:-1]]) * (1 + rng.normal(0, step / 4, bars)), 2)
    start, end = session_times(bars, timeframe)
    return {
        "instrument": [instrument] * bars,
        "start": start,
        "end": end,
        "open": opened,
        "high": np.round(np.maximum(opened, close) * (1 + np.abs(rng.normal(0, step / 3, bars))), 2),
        "low": np.round(np.minimum(opened, close) * (1 - np.abs(rng.normal(0, step / 3, bars))), 2),
        "close": close,
        "volume": np.round(rng.lognormal(14, 0.4, bars)),
    }


class Simulation:
    """Crosses of two moving averages, 100 a slice of the cash; every ninth order is denied."""

    def __init__(self, books: dict[str, dict[str, Any]], *, short: bool, invested: float) -> None:
        self.books = books
        self.short = short
        self.orders: list[dict[str, Any]] = []
        self.fills: list[dict[str, Any]] = []
        self.trades: list[dict[str, Any]] = []
        first = next(iter(books.values()))
        self.times = first["end"]
        cash = np.full(len(self.times), CASH)
        long = np.zeros(len(self.times))
        under = np.zeros(len(self.times))
        if invested:
            for instrument, book in books.items():
                position = self._trade(
                    instrument,
                    book,
                    cash,
                    CASH / len(books) * invested,
                )
                value = position * book["close"]
                long += np.maximum(value, 0)
                under += np.minimum(value, 0)
        self.fills.sort(key=lambda fill: fill["time"])
        self.orders.sort(key=lambda order: order["time"])
        self.trades.sort(key=lambda trade: trade["exit_time"])
        self.equity = {
            "time": self.times,
            "equity": cash + long + under,
            "cash": cash,
            "long_value": long,
            "short_value": under,
            "gross": long + np.abs(under),
        }

    def _trade(self, instrument: str, book: dict[str, Any], cash: np.ndarray, budget: float) -> np.ndarray:
        close = book["close"]
        n = len(close)
        position = np.zeros(n)
        if n < 30:
            return position
        sums = np.concatenate([[0.0], np.cumsum(close)])
        fast, slow = np.full(n, np.nan), np.full(n, np.nan)
        fast[9:] = (sums[10:] - sums[:-10]) / 10
        slow[29:] = (sums[30:] - sums[:-30]) / 30
        held, entry, entry_row = 0.0, 0.0, 0
        for row in range(30, n - 1):
            above = fast[row] > slow[row]
            if above == (fast[row - 1] > slow[row - 1]):
                continue
            wanted = float(budget // close[row]) * (1 if above else -1 if self.short else 0)
            change = wanted - held
            if not change:
                continue
            denied = len(self.orders) % 9 == 8 and held == 0
            price = round(book["open"][row + 1] * (1 + 0.0002 * np.sign(change)), 4)
            self._order(instrument, book, row, change, price, denied=denied)
            if denied:
                continue
            commission = round(max(1.0, 0.005 * abs(change)), 2)
            self._fill(instrument, int(book["start"][row + 1]), change, price, commission)
            cash[row + 1 :] -= change * price + commission
            if held:
                self._close(instrument, book, held, entry, entry_row, row + 1, price)
            held, entry, entry_row = wanted, price, row + 1
            position[row + 1 :] = held
        return position

    def _order(
        self, instrument: str, book: dict[str, Any], row: int, change: float, price: float, *, denied: bool
    ) -> None:
        self.orders.append(
            {
                "ref": f"bt-{len(self.orders) + 1}",
                "instrument": instrument,
                "time": int(book["end"][row]),
                "side": "buy" if change > 0 else "sell",
                "type": "market",
                "time_in_force": "day",
                "quantity": abs(change),
                "limit_price": None,
                "stop_price": float("nan"),
                "status": "denied" if denied else "filled",
                "filled": 0.0 if denied else abs(change),
                "average_price": None if denied else price,
                "commission": 0.0 if denied else 1.0,
                "reason": "cross",
                "denied_by": "symbol_notional" if denied else "",
                "rule_value": round(abs(change) * price, 2) if denied else None,
                "rule_limit": 25_000.0 if denied else None,
                "ended": None if denied else int(book["start"][row + 1]),
            }
        )

    def _fill(self, instrument: str, time: int, change: float, price: float, commission: float) -> None:
        self.fills.append(
            {
                "time": time,
                "instrument": instrument,
                "side": "buy" if change > 0 else "sell",
                "quantity": abs(change),
                "price": price,
                "commission": commission,
                "order_ref": self.orders[-1]["ref"],
            }
        )

    def _close(
        self, instrument: str, book: dict[str, Any], held: float, entry: float, first: int, last: int, price: float
    ) -> None:
        pnl = round(held * (price - entry), 2)
        self.trades.append(
            {
                "instrument": instrument,
                "side": "long" if held > 0 else "short",
                "quantity": abs(held),
                "entry_time": int(book["start"][first]),
                "entry_price": entry,
                "exit_time": int(book["start"][last]),
                "exit_price": price,
                "pnl": pnl,
                "commission": 2.0,
                "net_pnl": round(pnl - 2.0, 2),
                "return": float(np.sign(held) * (price / entry - 1)),
                "bars": last - first,
            }
        )


def make_run(
    folder: Path,
    *,
    instruments: tuple[str, ...] = ("AAPL", "MSFT"),
    bars: int = 600,
    timeframe: str = "1d",
    status: str = "finished",
    short: bool = True,
    trading: bool = True,
    reason: str = "cross",
    seed: int = 7,
) -> Path:
    """Write a run directory below `folder`; the same arguments write the same bytes."""
    run = folder / "20261121-114500-ma_crossover-5f1c"
    run.mkdir(parents=True)
    books = {name: make_bars(name, bars, timeframe, seed + row) for row, name in enumerate(instruments)}
    # Minutes cross often: a tenth of the cash, or slippage would ruin the account.
    invested = 0.0 if not trading else 0.9 if timeframe == "1d" else 0.1
    simulation = Simulation(books, short=short, invested=invested)
    for order in simulation.orders:
        order["reason"] = reason
    rows = {name: [value for book in books.values() for value in book[name]] for name in BAR_TYPES}
    write_columns(run / "bars.parquet", rows, BAR_TYPES)
    write_rows(run / "orders.parquet", simulation.orders, ORDER_TYPES)
    write_rows(run / "fills.parquet", simulation.fills, FILL_TYPES)
    write_rows(run / "trades.parquet", simulation.trades, TRADE_TYPES)
    write_columns(run / "equity.parquet", simulation.equity, EQUITY_TYPES)
    summary = make_summary(simulation, books, timeframe, status)
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "run.json").write_text(json.dumps(make_run_facts(run.name)))
    return run


def write_rows(path: Path, rows: list[dict[str, Any]], types: dict[str, Any]) -> None:
    write_columns(path, {name: [row[name] for row in rows] for name in types}, types)


def write_columns(path: Path, columns: dict[str, Any], types: dict[str, Any]) -> None:
    arrays = [pa.array([plain(value) for value in columns[name]], kind) for name, kind in types.items()]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(types)), path)


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def edit_summary(run: Path, **changes: Any) -> None:
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def make_summary(simulation: Simulation, books: dict[str, Any], timeframe: str, status: str) -> dict[str, Any]:
    equity = simulation.equity["equity"]
    n = len(equity)
    final = float(equity[-1]) if n else CASH
    net = np.array([trade["net_pnl"] for trade in simulation.trades])
    under = equity / np.maximum(np.maximum.accumulate(equity), CASH) - 1 if n else np.zeros(1)
    first, last = (stamp(simulation.times[0]), stamp(simulation.times[-1])) if n else ("2012-01-02", "2012-01-02")
    some = len(net) > 0
    denied = sum(order["status"] == "denied" for order in simulation.orders)
    return {
        "schema": 1,
        "status": status,
        "halted_at": stamp(simulation.times[n // 2]) if status == "halted" else None,
        "strategy": {"name": "ma_crossover", "params": {"fast": 10, "slow": 30, "average": "simple"}},
        "timeframe": timeframe,
        "instruments": list(books),
        "period": {"start": first, "end": last, "bars": n},
        "cash": CASH,
        "metrics": {
            "total_return": final / CASH - 1,
            "cagr": max(final / CASH, 0.0) ** (252 / max(n, 1)) - 1,
            "annual_return": (final / CASH - 1) * 252 / max(n, 1),
            "volatility": 0.1234,
            "sharpe": 0.71 if some else None,
            "sortino": 1.02 if some else None,
            "max_drawdown": float(under.min()),
            "max_drawdown_days": 214,
            "calmar": 0.44 if some else None,
            "hit_rate": float((net > 0).mean()) if some else None,
            "profit_factor": float(net[net > 0].sum() / -net[net < 0].sum()) if some else None,
            "average_trade": float(net.mean()) if some else None,
            "trades": len(net),
            "exposure": 0.83 if some else 0.0,
            "turnover": 11.2 if some else 0.0,
            "longest_drawdown_days": 301.0,
            "best_day": 0.0312,
            "worst_day": -0.0407,
            "value_at_risk": -0.011,
        },
        "final_equity": final,
        "costs": {
            "commission": sum(fill["commission"] for fill in simulation.fills),
            "slippage": sum(fill["quantity"] * fill["price"] * 0.0002 for fill in simulation.fills),
            "borrow": 0.0,
        },
        "orders": {"total": len(simulation.orders), "filled": len(simulation.fills), "denied": denied},
        "denied": {"symbol_notional": denied} if denied else {},
        "config": {"strategy": "ma_crossover", "params": {"fast": 10, "slow": 30}, "costs": {"slippage_bps": 2.0}},
        "config_hash": "c0ffee" * 10 + "c0ff",
        "data_hash": "da7a" * 16,
        "result_hash": "beef" * 16,
        "notes": ["Borrow cost is 0: the run's short positions were taken to be easy to borrow."],
    }


def make_run_facts(run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "git_sha": "5f1cf83a9c0d4be1b7e2f3a495867768594a3b2c",
        "versions": {"ibdesk": "0.1.0", "numpy": "2.4.6", "pyarrow": "26.0.1", "python": "3.11.7"},
        "host": "desk",
        "started": "2026-11-21T11:45:00+00:00",
        "finished": "2026-11-21T11:45:01+00:00",
        "command": "manage.py backtest --strategy ma_crossover --symbols AAPL,MSFT --timeframe 1d",
    }


def stamp(time: int) -> str:
    return f"{np.datetime64(int(time), 'ns').astype('datetime64[s]')}+00:00"
