"""The ledgers of one run, read back as NumPy columns.

pandas is never imported: neither `read_table` nor `to_numpy` of pyarrow is called, since both bring it in
and cost 0.8 s of CPU; the columns are views of Arrow's own buffers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.bars import COLUMNS, PRICE_COLUMNS, BarSeries, Floats
from domain.engine.records import FILL_COLUMNS, ORDER_COLUMNS
from domain.engine.result import EQUITY_COLUMNS
from domain.engine.trades import TRADE_COLUMNS
from domain.errors import BadInput
from domain.timeframe import Timeframe

if TYPE_CHECKING:
    import pyarrow as pa

NEVER = int(np.iinfo(np.int64).min)
"""A time that did not happen: what a null becomes, and what NumPy calls NaT."""


LEDGERS = {"orders": ORDER_COLUMNS, "fills": FILL_COLUMNS, "trades": TRADE_COLUMNS, "equity": EQUITY_COLUMNS}


class Table(dict[str, Any]):
    """Columns by name: float64, int64 nanoseconds (null: NEVER), or a list of texts (null: "")."""

    @property
    def rows(self) -> int:
        return len(next(iter(self.values())))


class Ledgers(NamedTuple):
    """What a run directory holds; `bars` by instrument in time order, as the run traded them.

    `units` says for each of these bars how many of the last bar's shares one share was: 1 but before a split.
    """

    folder: Path
    summary: dict[str, Any]
    run: dict[str, Any]
    timeframe: Timeframe
    bars: dict[str, BarSeries]
    units: dict[str, Floats]
    orders: Table
    fills: Table
    trades: Table
    equity: Table


def read_ledgers(run_dir: Path) -> Ledgers:
    """Read a run directory; BadInput names the file that is missing, damaged or lacks a column."""
    summary = read_summary(run_dir)
    timeframe = Timeframe.parse(summary["timeframe"])
    bars, units = _read_bars(run_dir / "bars.parquet", timeframe)
    return Ledgers(
        folder=run_dir,
        summary=summary,
        run=_read_json(run_dir / "run.json"),
        timeframe=timeframe,
        bars=bars,
        units=units,
        **{name: read_ledger(run_dir, name) for name in LEDGERS},
    )


def read_ledger(run_dir: Path, name: str) -> Table:
    """One of LEDGERS alone; BadInput as `read_ledgers`."""
    return _read_table(run_dir / f"{name}.parquet", LEDGERS[name])


def read_summary(run_dir: Path) -> dict[str, Any]:
    """`summary.json` of a run directory; BadInput where it is missing, no JSON or of another schema."""
    summary = _read_json(run_dir / "summary.json")
    if summary.get("schema") != 1:
        raise BadInput(f"{run_dir / 'summary.json'}: schema {summary.get('schema')!r} is not 1; run the backtest again")
    return summary


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; {path.parent} is not a complete run directory") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error}); run the backtest again") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no JSON object; run the backtest again")
    return content


def _read_arrow(path: Path, names: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read(use_threads=False)
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; {path.parent} is not a complete run directory") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name in the footer may be damaged too
        raise BadInput(f"{path} cannot be read ({error}); run the backtest again") from error
    absent = [name for name in names if name not in table.column_names]
    if absent:
        raise BadInput(f"{path} has no column {', '.join(absent)}; run the backtest again")
    return table


def _read_table(path: Path, names: Sequence[str]) -> Table:
    table = _read_arrow(path, names)
    return Table((name, _column(table.column(name))) for name in names)


def _column(column: pa.ChunkedArray) -> NDArray[Any] | list[str]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [text or "" for text in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        return _values(column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()), np.int64, NEVER)
    return _values(column.cast(pa.float64()), np.float64, np.nan)


def _values(column: Any, kind: type[np.generic], missing: float) -> NDArray[Any]:
    """An Arrow column of eight- or four-byte numbers as NumPy sees the same memory; nulls become `missing`."""
    import pyarrow as pa

    if len(column) == 0:  # combine_chunks of nothing would import pandas
        return np.empty(0, kind)
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    validity, memory = array.buffers()
    values = np.frombuffer(memory, kind, count=len(array), offset=array.offset * np.dtype(kind).itemsize)
    if not array.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)], values, missing).astype(kind)


def _read_bars(path: Path, timeframe: Timeframe) -> tuple[dict[str, BarSeries], dict[str, Floats]]:
    """Bars and units by instrument. The column `split`, where present, holds the shares that one became at a bar."""
    import pyarrow as pa

    table = _read_arrow(path, ["instrument", *COLUMNS])
    columns: dict[str, Any] = {name: _column(table.column(name)) for name in COLUMNS}
    split = _column(table.column("split")) if "split" in table.column_names else np.ones(len(columns["start"]))
    # A minute run has millions of rows and a handful of names: codes, not one Python text a row.
    coded = table.column("instrument").cast(pa.string()).combine_chunks().dictionary_encode()
    codes = _values(coded.indices, np.int32, -1)
    order = np.lexsort((columns["start"], codes))
    edges = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
    bars, units = {}, {}
    for code, instrument in enumerate(coded.dictionary.to_pylist()):
        rows = order[edges[code] : edges[code + 1]]
        bars[instrument] = BarSeries(timeframe, **{name: columns[name][rows] for name in COLUMNS})
        ratios = np.nan_to_num(np.asarray(split)[rows], nan=1.0)
        units[instrument] = np.append(np.cumprod(ratios[:0:-1])[::-1], 1.0)
    return bars, units


def without_splits(bars: BarSeries, units: Floats) -> BarSeries:
    """The same bars in shares of the last bar, so that a split is no fall of the price."""
    if (units == 1.0).all():
        return bars
    prices = {name: getattr(bars, name) / units for name in PRICE_COLUMNS}
    return replace(bars, **prices, volume=bars.volume * units)
