"""Reading splits and dividends from a person's CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from domain.adjustments import Action, Delisting, Dividend, Split
from domain.errors import BadInput, UnknownName
from domain.timeframe import DAY_NS
from marketdata.columns import NO_TIME, normalise, numbers, times
from marketdata.datafiles import read_columns

_DATES = ("exdate", "date", "exdividenddate", "timestamp", "day")
_SYMBOLS = ("symbol", "ticker", "instrument")
_KINDS = ("kind", "type", "action")
_VALUES = {
    "value": None,
    "newperold": "split",
    "splitratio": "split",
    "ratio": "split",
    "amount": "dividend",
    "dividend": "dividend",
}


def read_actions(path: Path, symbol: str = "") -> dict[str, list[Action]]:
    """Actions by symbol. Columns: a date, perhaps a symbol, and either `kind` with `value` or a column that says its
    kind (new_per_old, amount). All of the file is good or BadInput names the line."""
    columns = read_columns(path, ("symbol", "ticker", "instrument", "kind", "type", "action", "date", "ex_date"))
    table = columns.table
    names = {normalise(name): name for name in table.column_names}
    try:
        dates, _ = times(table.column(_one_of(names, _DATES, "date")))
        value_name = _one_of(names, tuple(_VALUES), "value")
        values = numbers(table.column(value_name))
        fixed = _VALUES[normalise(value_name)]
        count = table.num_rows
        kinds = [fixed] * count if fixed else table.column(_one_of(names, _KINDS, "kind")).to_pylist()
        found = next((names[name] for name in _SYMBOLS if name in names), None)
        if not (symbol or found):
            raise BadInput("has no symbol column; say --symbol")
        symbols = table.column(found).to_pylist() if found else [symbol] * count
        if columns.malformed_lines:
            raise BadInput(f"line {columns.malformed_lines[0]} has too many or too few fields")
        actions: dict[str, list[Action]] = {}
        for line, name, date, kind, value in zip(columns.lines, symbols, dates, kinds, values, strict=True):
            try:
                action = _action(kind, int(date), float(value))
            except BadInput as error:
                raise BadInput(f"line {line}: {error}") from error
            if not symbol or name == symbol:
                actions.setdefault(str(name), []).append(action)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return actions


def _action(kind: str | None, date_ns: int, value: float) -> Action:
    if date_ns == NO_TIME:
        raise BadInput("the date cannot be read")
    day = date_ns // DAY_NS
    match str(kind).strip().lower():
        case "split":
            return Split(day, value)
        case "dividend":
            return Dividend(day, value)
        case "delisting":
            return Delisting(day, None if math.isnan(value) else value)  # an empty cell: the last price
    raise UnknownName("corporate action", str(kind), ("split", "dividend", "delisting"))


def _one_of(names: dict[str, str], spellings: Sequence[str], what: str) -> str:
    for spelling in spellings:
        if spelling in names:
            return names[spelling]
    raise BadInput(f"has no {what} column (one of {', '.join(spellings)}; has: {', '.join(names.values())[:200]})")
