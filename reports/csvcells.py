"""CSV of ledgers, a batch of rows at a time, with no cell that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.errors import BadInput
from tradingsite.exports import csv_cell

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 20_000


def csv_of(path: Path) -> Iterator[str]:
    """A Parquet file as CSV. Times are ISO in UTC, to the nanosecond where they have any; nulls are empty.

    BadInput, before the first piece, where the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path.name} cannot be read ({error}); run the backtest again") from error
    yield _lines([[csv_cell(name) for name in file.schema_arrow.names]])
    for batch in file.iter_batches(ROWS_AT_ONCE, use_threads=False):
        yield _lines(zip(*(_cells(column) for column in batch.columns), strict=True))


def _lines(rows: Any) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()


def _cells(column: pa.Array) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        numbers = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_pylist()
        return ["" if each is None else _iso(each) for each in numbers]
    values = column.to_pylist()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [csv_cell(each or "") for each in values]
    return ["" if each is None else each for each in values]


def _iso(moment_ns: int) -> str:
    return str(np.datetime64(moment_ns, "ns")).rstrip("0").rstrip(".") + "Z"
