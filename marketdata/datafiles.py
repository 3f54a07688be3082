"""Reading a person's CSV or Parquet file into columns, without trusting it.

Size, ratio and column caps come before parsing, so that a bomb costs little; what cannot be a table at all is refused
with what to do. CSV rows with too many or too few fields are set aside with their line numbers.
"""

from __future__ import annotations

import codecs
import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

MAX_BYTES = 1 << 30
MAX_ROWS = 20_000_000
MAX_COLUMNS = 200
# Prices as text compress 3 to 10 times. Small files may do better by chance.
MAX_RATIO = 100
_FREE_BYTES = 16 << 20
_CHUNK = 1 << 20
_DELIMITERS = (",", ";", "\t", "|")


class Columns(NamedTuple):
    """A table and where its rows come from: `lines` are 1-based line numbers (row numbers in Parquet)."""

    table: pa.Table
    lines: NDArray[np.int64]
    malformed_lines: list[int]


def read_columns(path: Path, text_columns: tuple[str, ...] = ()) -> Columns:
    """The file's table. CSV (`,` `;` tab or `|`, with a header line, perhaps gzipped or alone in a zip) or Parquet.

    Columns whose name, in lower case, is among `text_columns` stay text. Raises BadInput naming the file.
    """
    try:
        if path.is_dir():
            raise BadInput("is a folder; name the files in it")
        size = path.stat().st_size
        if size == 0:
            raise BadInput("is empty")
        if size > MAX_BYTES:
            raise BadInput(f"has {size:,} bytes, more than the {MAX_BYTES:,} that are read at once; split it")
        with path.open("rb") as file:
            content = _unpacked(file, size)
            if content[:4] == b"PAR1":
                return _read_parquet(content, size)
            return _read_csv(content, text_columns)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _unpacked(file: BinaryIO, size: int) -> bytes:
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return _inflated(file, size)
    if magic == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(file) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                if len(members) != 1:
                    raise BadInput(f"is a zip of {len(members)} files; unpack it and name the files")
                if members[0].flag_bits & 1:
                    raise BadInput("is an encrypted zip; unpack it first")
                with archive.open(members[0]) as member:
                    return _capped(member, size)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            raise BadInput(f"is a damaged zip ({error})") from error
    return file.read()


def _inflated(file: BinaryIO, size: int) -> bytes:
    import gzip

    try:
        with gzip.open(file) as stream:
            return _capped(stream, size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadInput(f"is a damaged gzip file ({error})") from error


def _capped(stream: Any, size: int) -> bytes:
    """All of a decompressed stream; stops as soon as it is clearly a bomb."""
    limit = min(MAX_BYTES, max(_FREE_BYTES, MAX_RATIO * size))
    unpacked = io.BytesIO()
    while chunk := stream.read(_CHUNK):
        if unpacked.tell() + len(chunk) > limit:
            raise BadInput(f"unpacks to more than {limit:,} bytes from {size:,}; unpack it yourself if that is meant")
        unpacked.write(chunk)
    return unpacked.getvalue()


def _read_parquet(content: bytes, size: int) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    limit = max(4 * _FREE_BYTES, MAX_RATIO * size)
    try:
        file = pq.ParquetFile(pa.py_buffer(content), page_checksum_verification=True)
        held = file.metadata
        _check_shape(held.num_rows, held.num_columns)
        groups = [held.row_group(number) for number in range(held.num_row_groups)]
        pieces = [group.column(number) for group in groups for number in range(group.num_columns)]
        if 8 * max(held.num_rows * held.num_columns, sum(each.num_values for each in pieces)) > limit:
            raise BadInput(f"claims {held.num_rows:,} rows in {size:,} bytes; that is no price file")
        if sum(each.total_uncompressed_size for each in pieces) > limit:
            raise BadInput(f"unpacks to more than {limit:,} bytes from {size:,}; that is no price file")
        # Each text once: a long one that every row points to would fill the memory.
        texts = sorted({each.path_in_schema for each in pieces if each.physical_type == "BYTE_ARRAY"})
        file = pq.ParquetFile(pa.py_buffer(content), page_checksum_verification=True, read_dictionary=texts)
        table = _with_texts(file.read(use_threads=False), limit)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a name in the footer may be damaged too
        raise BadInput(f"is a damaged Parquet file ({str(error).strip()}); get it again") from error
    return Columns(table, np.arange(1, table.num_rows + 1), [])


def _with_texts(table: pa.Table, limit: int) -> pa.Table:
    """The table with its dictionaries as plain texts, where these are no more than so many bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for at, name in enumerate(table.column_names):
        column = table.column(at)
        if not pa.types.is_dictionary(column.type):
            continue
        longest = max((pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0 for chunk in column.chunks), default=0)
        if longest * table.num_rows > limit:
            raise BadInput(f"holds texts of up to {longest:,} bytes in {name[:40]!r}; that is no price file")
        table = table.set_column(at, name, column.cast(column.type.value_type))
    return table


def _read_csv(content: bytes, text_columns: tuple[str, ...]) -> Columns:
    import pyarrow as pa
    from pyarrow import csv

    header, delimiter = _header(content)
    _check_text(content)
    skipped: list[tuple[int, str]] = []

    def set_aside(row: Any) -> str:
        skipped.append((row.number, row.text))
        return "skip"

    try:
        table = csv.read_csv(
            io.BytesIO(content),
            # One thread, since only then a row knows its number.
            read_options=csv.ReadOptions(use_threads=False, block_size=_block_size(content)),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=set_aside, ignore_empty_lines=False
            ),
            convert_options=csv.ConvertOptions(
                strings_can_be_null=True,
                column_types={name: pa.string() for name in header if name.strip().lower() in text_columns},
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadInput(f"cannot be read as CSV ({error})") from error
    _check_shape(table.num_rows, table.num_columns)
    lines = np.setdiff1d(np.arange(2, table.num_rows + len(skipped) + 2), [number for number, _ in skipped])
    if b"\n\n" in content or b"\n\r\n" in content:
        written = _has_any_value(table)
        table, lines = table.take(np.flatnonzero(written)), lines[written]
    return Columns(table, lines, [number for number, text in skipped if text.strip()])


def _has_any_value(table: pa.Table) -> NDArray[np.bool_]:
    """False where a row is a blank line, which the reader gives as a row of nulls so that the others keep their
    numbers."""
    written = np.zeros(table.num_rows, np.bool_)
    for column in table.columns:
        if column.null_count == 0:
            return np.ones(table.num_rows, np.bool_)
        written |= np.array([cell is not None for cell in column.to_pylist()])
    return written


def _header(content: bytes) -> tuple[list[str], str]:
    """(column names, delimiter) from the first line."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput("is UTF-16 text; save it as UTF-8")
    first = content[:_CHUNK].split(b"\n", 1)[0]
    if b"\0" in first or (len(first) == _CHUNK and len(content) > _CHUNK):
        raise BadInput("is neither CSV nor Parquet")
    line = first.decode("utf-8-sig", "replace").strip("\r")
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip().strip('"') for name in line.split(delimiter)]
    _check_shape(0, len(names))
    if any(name[:1].isdigit() for name in names):
        raise BadInput(
            f"has no header line (it starts with {line[:60]!r}); add one such as timestamp,open,high,low,close"
        )
    return names, delimiter


def _check_text(content: bytes) -> None:
    """All of it, before parsing: the parser cannot hand a malformed row over that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(content), _CHUNK):
            decoder.decode(content[at : at + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8 text; save it as UTF-8") from None


def _block_size(content: bytes) -> int:
    """Whole files at once: types are inferred from the first block, and the last row decides as much as the first."""
    return min(max(len(content) + 1, 1 << 16), (1 << 31) - 1)


def _check_shape(rows: int, width: int) -> None:
    if width > MAX_COLUMNS:
        raise BadInput(f"has {width:,} columns, more than {MAX_COLUMNS}")
    if rows > MAX_ROWS:
        raise BadInput(f"has {rows:,} rows, more than {MAX_ROWS:,}; split it")
