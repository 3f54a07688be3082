"""Tables as CSV that a spreadsheet takes for data, never for formulas."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


class _Line:
    """A file that keeps the last line written."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def csv_cell(value: Any) -> str | int | float:
    """The value as a cell: numbers as they are, times in ISO 8601; a text that a spreadsheet would run as a formula
    gets a quote before it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The lines of the table, one after the other, header first."""
    line = _Line()
    writer = csv.writer(line)
    for row in chain([header], rows):
        writer.writerow([csv_cell(each) for each in row])
        yield line.text
