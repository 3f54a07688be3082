"""Reading a run directory: the same values as pandas reads, and errors that name the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.engine.records import FILL_COLUMNS, ORDER_COLUMNS
from domain.engine.result import EQUITY_COLUMNS
from domain.engine.trades import TRADE_COLUMNS
from domain.errors import BadInput
from reports.ledgers import NEVER, read_ledgers, without_splits
from tests.reports.factory import edit_summary, make_run


@pytest.mark.parametrize("name", ["orders", "fills", "trades", "equity"])
def test_columns_are_those_that_pandas_reads(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path)
    table = getattr(read_ledgers(run), name)
    frame = pd.read_parquet(run / f"{name}.parquet")
    assert table.rows == len(frame) > 0
    for column, values in table.items():
        theirs = frame[column]
        if isinstance(values, list):
            assert values == theirs.to_list()
        elif values.dtype == np.int64:
            assert (values == theirs.dt.tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64)).all()
        else:
            assert np.array_equal(values, theirs.to_numpy(float, na_value=np.nan), equal_nan=True)


def test_bars_come_back_by_instrument_in_time_order(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=("MSFT", "AAPL"), bars=50)
    table = pq.ParquetFile(run / "bars.parquet").read()
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    pq.write_table(shuffled, run / "bars.parquet", row_group_size=7)
    ledgers = read_ledgers(run)
    frame = pd.read_parquet(run / "bars.parquet")
    assert set(ledgers.bars) == {"AAPL", "MSFT"}
    for instrument, bars in ledgers.bars.items():
        bars.check()
        theirs = frame[frame["instrument"] == instrument].sort_values("start")
        assert bars.close.tolist() == theirs["close"].to_list()


def test_a_null_is_nothing_of_its_kind(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    denied = read_ledgers(run).orders
    table = pq.ParquetFile(run / "orders.parquet").read().slice(3)
    blank = table.set_column(table.column_names.index("reason"), "reason", pa.nulls(len(table), pa.string()))
    ended = pa.array([None] * len(table), pa.timestamp("us", "UTC"))
    blank = blank.set_column(blank.column_names.index("ended"), "ended", ended)
    pq.write_table(blank, run / "orders.parquet")
    orders = read_ledgers(run).orders
    assert set(orders["reason"]) == {""}
    assert (orders["ended"] == NEVER).all()
    assert np.isnan(orders["limit_price"]).all()
    assert orders["quantity"].tolist() == denied["quantity"][3:].tolist()


def test_prices_before_a_split_are_said_in_shares_of_the_last_bar(tmp_path: Path) -> None:
    run = make_run(tmp_path, instruments=("AAPL",), bars=4)
    table = pq.ParquetFile(run / "bars.parquet").read()
    pq.write_table(table.append_column("split", pa.array([1.0, 2.0, None, 3.0])), run / "bars.parquet")
    ledgers = read_ledgers(run)
    assert ledgers.units["AAPL"].tolist() == [6.0, 3.0, 3.0, 1.0]
    adjusted = without_splits(ledgers.bars["AAPL"], ledgers.units["AAPL"])
    assert adjusted.close[0] == ledgers.bars["AAPL"].close[0] / 6
    assert adjusted.volume[0] == ledgers.bars["AAPL"].volume[0] * 6
    assert adjusted.close[3] == ledgers.bars["AAPL"].close[3]


@pytest.mark.parametrize("name", ["bars", "orders", "fills", "trades", "equity"])
def test_a_ledger_that_is_missing_damaged_or_short_of_a_column_is_named(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path, bars=40)
    path = run / f"{name}.parquet"
    content = path.read_bytes()
    pq.write_table(pq.ParquetFile(path).read().drop_columns(["instrument" if name != "equity" else "cash"]), path)
    with pytest.raises(BadInput, match=rf"{name}\.parquet has no column (instrument|cash)"):
        read_ledgers(run)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=rf"{name}\.parquet cannot be read"):
        read_ledgers(run)
    path.unlink()
    with pytest.raises(BadInput, match=rf"{name}\.parquet is missing"):
        read_ledgers(run)


def test_a_summary_of_another_schema_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, bars=40)
    edit_summary(run, schema=2)
    with pytest.raises(BadInput, match="schema 2 is not 1"):
        read_ledgers(run)
    (run / "summary.json").write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        read_ledgers(run)


@pytest.mark.parametrize("bars", [1, 200])
def test_a_report_imports_neither_pandas_nor_plotly(tmp_path: Path, bars: int) -> None:
    run = make_run(tmp_path, bars=bars)
    program = (
        "import sys, django; django.setup(); from pathlib import Path; from reports.tearsheet import write_report;"
        f"write_report(Path({str(run)!r})); print([name for name in ('pandas', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout.strip() == "[]"


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"DJANGO_SETTINGS_MODULE": "tradingsite.settings"}


@pytest.mark.parametrize("name", ["orders", "fills", "trades", "equity"])
def test_a_ledger_is_asked_for_the_columns_that_the_engine_writes(tmp_path: Path, name: str) -> None:
    written = {"orders": ORDER_COLUMNS, "fills": FILL_COLUMNS, "trades": TRADE_COLUMNS, "equity": EQUITY_COLUMNS}[name]
    run = make_run(tmp_path)
    assert tuple(getattr(read_ledgers(run), name)) == written
    path = run / f"{name}.parquet"
    pq.write_table(pq.ParquetFile(path).read().drop_columns(written[-1]), path)
    with pytest.raises(BadInput, match=f"has no column {written[-1]}"):
        read_ledgers(run)
