"""The ledgers of a backtest a page at a time, as rows of plain values. pandas is never imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from marketdata.errors import CorruptBarFile

if TYPE_CHECKING:
    import pyarrow as pa

LEDGERS = ("bars", "orders", "fills", "trades", "equity")


class LedgerPage(NamedTuple):
    """Columns, some rows in the ledger's order, and the place of the first row after them (None: the last)."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    following: int | None


def read_page(path: Path, offset: int, limit: int) -> LedgerPage:
    """Rows of a ledger from a place on. Times are ISO texts in UTC; what is not there is None."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise CorruptBarFile(f"{path.name} of this run is damaged or gone; run the backtest again") from error
    rows = table.slice(offset, limit)
    columns = [_values(rows.column(name)) for name in table.column_names]
    end = offset + limit
    return LedgerPage(table.column_names, list(zip(*columns, strict=True)), end if end < table.num_rows else None)


def _values(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        numbers = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
        return [None if number is None else f"{np.datetime64(number, 'ns').astype('M8[s]')}Z" for number in numbers]
    return [None if value != value else value for value in column.to_pylist()]
