"""CSV that a spreadsheet opens without running anything in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# What a spreadsheet takes for the beginning of a formula, or drops before it.
_LIVE = ("=", "+", "-", "@", "\t", "\r", "\0")


def csv_cell(value: Any) -> str | int | float:
    """The value as a cell: numbers as they are, None empty, and a text that could be a formula behind a quote."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "" if value != value else value
    text = str(value).replace("\0", "")
    return "'" + text if str(value).startswith(_LIVE) and not _is_number(text) else text


def write_csv(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a CSV file, header included where the rows have one."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in rows:
        writer.writerow([csv_cell(value) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _is_number(text: str) -> bool:
    """A number in digits alone, such as a Decimal's text; not 1_000, +inf or what has spaces around it."""
    if not set(text) <= set("0123456789.eE+-"):
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
