"""Which column of a file is which: the usual spellings, and reading texts and numbers in them.

Bad cells become NaN or the time `NO_TIME`, never an error: which rows to drop is decided where they can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain.bars import Floats, Times
from domain.errors import BadInput, UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

NO_TIME = np.iinfo(np.int64).min

PRICES = ("open", "high", "low", "close")
QUOTES = tuple(f"{side}_{price}" for side in ("bid", "ask") for price in PRICES)
# Spellings without case, spaces, dots, underscores; of several the first found counts.
SPELLINGS = {
    "time": ("timestamp", "datetime", "dateandtime", "date", "time", "ts", "start", "session", "day"),
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice", "max"),
    "low": ("low", "l", "lowprice", "min"),
    "close": ("close", "c", "closeprice", "last", "closelast", "price"),
    "volume": ("volume", "v", "vol", "totalvolume", "tradevolume"),
    "adj_close": ("adjclose", "adjustedclose", "adjcloseprice"),
    "symbol": ("symbol", "ticker", "sym", "instrument"),
    **{name: (name.replace("_", ""),) for name in QUOTES},
}
TEXT_COLUMNS = ("timestamp", "datetime", "date", "time", "symbol", "ticker", "ts", "start", "day")


def normalise(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def check_fields(fields: Iterable[str]) -> None:
    for field in fields:
        if field not in SPELLINGS:
            raise UnknownName("field in --columns:", field, SPELLINGS)


def find_columns(names: Sequence[str], mapping: Mapping[str, str], needed: Sequence[str]) -> dict[str, str]:
    """Field to column name, from `mapping` (field=column) and the usual spellings.

    Raises UnknownName or BadInput where a mapped field or column does not exist or a needed field is not found.
    """
    check_fields(mapping)
    found: dict[str, str] = {}
    for field, name in mapping.items():
        if name not in names:
            raise UnknownName("column", name, names)
        found[field] = name
    by_spelling: dict[str, str] = {}
    for name in names:
        by_spelling.setdefault(normalise(name), name)
    for field, spellings in SPELLINGS.items():
        for spelling in spellings:
            if field not in found and spelling in by_spelling:
                found[field] = by_spelling[spelling]
    missing = [field for field in needed if field not in found]
    if missing:
        hint = "name them with --columns " + ",".join(f"{field}=YOURS" for field in missing)
        if "bid_open" in found and "ask_open" in found:
            hint = "these look like quotes: --what MIDPOINT takes the middle of bid and ask"
        raise BadInput(f"has no column for {', '.join(missing)} (has: {', '.join(names)[:300]}); {hint}")
    return found


def numbers(column: pa.ChunkedArray) -> Floats:
    """float64, NaN where a cell is empty or is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column)
        readable = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        column = pc.if_else(readable, text, None)
    elif not (
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    ):
        column = pa.chunked_array([pa.nulls(len(column), pa.float64())])
    values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan)
    return _numpy(values, np.float64)


def times(column: pa.ChunkedArray) -> tuple[Times, bool]:
    """(nanoseconds, zoned): UTC where `zoned`, else wall-clock times or dates as if they were UTC.

    Reads timestamps, dates, ISO 8601 texts, YYYYMMDD[ HH:MM[:SS]] and epochs in s, ms, us or ns. NO_TIME where a cell
    cannot be read. BadInput when none can, or when some have a zone and some have not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        return _nanoseconds(column), kind.tz is not None
    if pa.types.is_date(kind):
        return _nanoseconds(column.cast(pa.timestamp("s"))), False
    if pa.types.is_floating(kind):
        column = pc.cast(column, pa.int64(), safe=False)
    if pa.types.is_integer(column.type):
        return _epochs(_numpy(pc.fill_null(column, NO_TIME), np.int64))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise BadInput(f"times are {kind}, which is no time")
    return _texts(pc.utf8_trim_whitespace(column))


def _epochs(values: NDArray[np.int64]) -> tuple[Times, bool]:
    known = values[values != NO_TIME]
    if known.size and ((known >= 19000101) & (known <= 22991231)).all():
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = pc.cast(pa.array(values), pa.string())
        return _texts(pa.chunked_array([texts]))
    largest = int(np.abs(known).max()) if known.size else 0
    for limit, unit in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if largest < limit:
            return np.where(values == NO_TIME, NO_TIME, values * unit), True
    return values, True


_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?"
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)$"
_EPOCH = r"^(\d{9,10}|\d{12,13}|\d{15,16}|\d{18,19})$"  # s, ms, us, ns; 8 and 14 digits are a date
_FORMATS = (
    "%Y%m%d",
    "%Y%m%d %H:%M",
    "%Y%m%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
)


def _texts(column: pa.ChunkedArray) -> tuple[Times, bool]:
    import pyarrow as pa
    import pyarrow.compute as pc

    zoned = pc.fill_null(pc.match_substring_regex(column, _ISO + _ZONE), False)
    naive = pc.fill_null(pc.match_substring_regex(column, _ISO + "$"), False)
    some_zoned, some_naive = pc.any(zoned).as_py(), pc.any(naive).as_py()
    if some_zoned and some_naive:
        raise BadInput("some times have a zone and some have not; make them alike")
    if some_zoned:
        return _cast(pc.if_else(zoned, column, None), pa.timestamp("ns", "UTC")), True
    if some_naive:
        return _cast(pc.if_else(naive, column, None), pa.timestamp("ns")), False
    if pc.all(pc.fill_null(pc.match_substring_regex(column, _EPOCH), False)).as_py():
        return _epochs(_numpy(column.cast(pa.int64()), np.int64))
    for pattern in _FORMATS:
        parsed = pc.strptime(column, pattern, "s", error_is_null=True)
        if parsed.null_count * 2 <= len(parsed) and len(parsed):
            return _nanoseconds(parsed), False
    sample = next((value for value in column.to_pylist() if value), "nothing")
    raise BadInput(
        f"times such as {sample[:40]!r} cannot be read; write them as 2013-10-07T13:30:00Z, or dates as 2013-10-07"
    )


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> Times:
    """Texts that look like times; what still is none (month 13) becomes NO_TIME."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _nanoseconds(pc.cast(texts, kind))
    except pa.ArrowInvalid:
        cells = [_cast_cell(text, kind) for text in texts.to_pylist()]
        return np.array(cells, np.int64)


def _cast_cell(text: str | None, kind: pa.DataType) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    if text is None:
        return NO_TIME
    try:
        return int(pc.cast(pa.scalar(text), kind).value)
    except pa.ArrowInvalid:
        return NO_TIME


def _nanoseconds(column: pa.ChunkedArray) -> Times:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        exact = column.cast(pa.timestamp("ns", column.type.tz))
    except pa.ArrowInvalid as error:
        raise BadInput(f"times reach beyond the years 1678 to 2261 ({error})") from error
    return _numpy(pc.fill_null(exact.cast(pa.int64()), NO_TIME), np.int64)


def _numpy(column: Any, kind: type[np.generic]) -> NDArray[Any]:
    """A column without nulls, by its buffers: `to_numpy` would import pandas."""
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    pieces = [np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * 8) for chunk in chunks if len(chunk)]
    return np.concatenate(pieces) if pieces else np.empty(0, kind)
