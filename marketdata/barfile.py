"""How a bar file looks inside: one series as Parquet bytes, and back to NumPy.

Chosen by measurement (benchmarks/store.py, a symbol-year of minutes): times delta-packed, prices as dictionary
(few different cents a year), volume byte-stream-split, LZ4. Prices stay plain doubles, so that pandas and DuckDB
read them as they are. Nothing here imports pandas: `pa.array`, `pq.read_table` and `.to_numpy()` would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import COLUMNS, PRICE_COLUMNS, Adjustment, BarSeries, Times
from domain.errors import BadInput
from domain.timeframe import Timeframe

if TYPE_CHECKING:
    import pyarrow as pa

TIME_COLUMNS = ("start", "end")


def encode_bars(series: BarSeries) -> Any:
    """The file's bytes as a pyarrow buffer, with a checksum on every page. Unknown volume (NaN) is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        as_table(series),
        sink,
        row_group_size=max(len(series), 1),
        compression="lz4",
        use_dictionary=list(PRICE_COLUMNS),
        column_encoding={
            **dict.fromkeys(TIME_COLUMNS, "DELTA_BINARY_PACKED"),
            "volume": "BYTE_STREAM_SPLIT",
        },
        write_statistics=list(TIME_COLUMNS),
        write_page_checksum=True,
    )
    return sink.getvalue()


def decode_bars(data: Any, timeframe: Timeframe, adjustment: Adjustment) -> BarSeries:
    """The bars in a file's bytes; BadInput when a page checksum or the layout is wrong. Arrays are read-only views."""
    table = _read(data, COLUMNS)
    columns = {name: _as_numpy(table.column(name), np.int64) for name in TIME_COLUMNS}
    columns |= {name: _as_numpy(table.column(name), np.float64) for name in COLUMNS[2:]}
    return BarSeries(timeframe, adjustment=adjustment, **columns)


def decode_starts(data: Any) -> Times:
    """The bars' starts alone, in a tenth of the time; verified and refused as by `decode_bars`."""
    return _as_numpy(_read(data, COLUMNS[:1]).column("start"), np.int64)


def _read(data: Any, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.py_buffer(data), page_checksum_verification=True)
        if tuple(file.schema_arrow.names) != COLUMNS:
            raise BadInput(f"columns are {', '.join(file.schema_arrow.names)}, expected {', '.join(COLUMNS)}")
        return file.read(columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name in the footer may be damaged too
        raise BadInput(str(error).strip()) from error


def as_table(series: BarSeries) -> pa.Table:
    """The bars as an Arrow table; unknown volume (NaN) is null."""
    import pyarrow as pa

    times, number = pa.timestamp("ns", "UTC"), pa.float64()
    kinds = [times, times, number, number, number, number, number]
    schema = pa.schema([pa.field(name, kind, name == "volume") for name, kind in zip(COLUMNS, kinds, strict=True)])
    arrays = []
    for name, kind in zip(COLUMNS, kinds, strict=True):
        values = np.ascontiguousarray(getattr(series, name))
        known = ~np.isnan(values) if name == "volume" else np.ones(0, np.bool_)
        validity = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
        arrays.append(pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(values)]))
    notes = {"timeframe": str(series.timeframe), "adjustment": str(series.adjustment)}
    return pa.Table.from_arrays(arrays, schema=schema.with_metadata(notes))


def _as_numpy(column: pa.ChunkedArray, kind: type[np.generic]) -> NDArray[Any]:
    """A column's values; nulls become NaN. No copy where the column is one chunk without nulls."""
    pieces = []
    for chunk in column.chunks:
        values = np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * 8)
        if chunk.null_count:
            bits = np.frombuffer(chunk.buffers()[0], np.uint8)
            known = np.unpackbits(bits, bitorder="little")[chunk.offset : chunk.offset + len(chunk)]
            values = np.where(known, values, np.nan)
        pieces.append(values)
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0, kind)
