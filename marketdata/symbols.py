"""Lists of symbols as people paste them, and as the files that other programs write."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from domain.errors import BadInput, UnknownName
from marketdata.models import Instrument
from tradingsite.configfile import parse_yaml

MAX_SYMBOLS = 5_000
MAX_BYTES = 1024 * 1024
_MAX_FAULTS = 10
_SEPARATORS = re.compile(r"[,;|\t\r\n]+")
_COLUMNS = ("symbol", "ticker", "instrument")


def read_symbols(text: str) -> list[Instrument]:
    """The instruments of a pasted list, in its order, each once; BadInput names what is unknown, with suggestions.

    Between them may stand commas, semicolons, bars, tabs, lines or spaces. `SPY@ARCA` names the exchange, `SPY#12` the
    row; an instrument that is not active any more is found where it alone has the symbol.
    """
    return _find(_split(text))


def show_symbols(instruments: Sequence[Instrument]) -> str:
    """The list as `read_symbols` reads it, one in a line."""
    symbols = {each.symbol for each in instruments}
    known = defaultdict(list)
    for row in Instrument.objects.filter(symbol__in=symbols):
        known[row.symbol].append(row)
    return "\n".join(_show(each, known[each.symbol]) for each in instruments)


def read_file(name: str, data: bytes) -> list[Instrument]:
    """The instruments of a CSV file (the column symbol, else the first) or a YAML file (a list, or a list under
    `symbols`). BadInput says what is wrong."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"{name} is larger than {MAX_BYTES // 1024} KiB; that is no list of symbols")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{name} is not UTF-8 text; save it as CSV in UTF-8") from None
    is_yaml = name.lower().endswith((".yaml", ".yml"))
    return _find(_yaml_items(name, text) if is_yaml else _csv_items(name, text))


def _yaml_items(name: str, text: str) -> list[str]:
    try:
        values: Any = parse_yaml(text)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error
    if isinstance(values, dict):
        values = values.get("symbols", values.get("instruments"))
    if not isinstance(values, list) or not all(isinstance(each, str | int) for each in values):
        raise BadInput(f"{name}: expected a list of symbols, or one under `symbols:`")
    return [str(each) for each in values]


def _csv_items(name: str, text: str) -> list[str]:
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4_096], delimiters=",;\t|")
    except csv.Error:  # one column has no separator to find
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), dialect) if any(each.strip() for each in row)]
    except csv.Error as error:
        raise BadInput(f"{name}: is not CSV ({error})") from error
    if not rows:
        raise BadInput(f"{name}: is empty")
    header = [each.strip().lower() for each in rows[0]]
    column = next((header.index(each) for each in _COLUMNS if each in header), None)
    if column is None:
        return [row[0] for row in rows if row[0].strip()]
    return [row[column] for row in rows[1:] if len(row) > column and row[column].strip()]


def _split(text: str) -> list[str]:
    """A symbol may hold a space (BRK B): what stands between two other separators is one where it is known whole."""
    text = text.replace("\0", " ")
    parts = [part.strip() for part in _SEPARATORS.split(text) if part.strip()]
    spaced = {_name(part) for part in parts if " " in part}
    if len(spaced) > MAX_SYMBOLS:
        raise BadInput(f"{len(spaced):,} symbols; a watchlist may hold {MAX_SYMBOLS:,}")
    known = set(Instrument.objects.filter(symbol__in=spaced).values_list("symbol", flat=True))
    return [word for part in parts for word in ([part] if _name(part) in known else part.split())]


def _name(item: str) -> str:
    """What stands before @EXCHANGE or #12."""
    return re.split("[@#]", item)[0]


def _find(items: Iterable[str]) -> list[Instrument]:
    wanted = list(dict.fromkeys(item.strip() for item in items))
    if any("\0" in item for item in wanted):
        raise BadInput("holds a NUL character, which no symbol has")
    if len(wanted) > MAX_SYMBOLS:
        raise BadInput(f"{len(wanted):,} symbols; a watchlist may hold {MAX_SYMBOLS:,}")
    names = {_name(item) for item in wanted}
    known = defaultdict(list)
    for row in Instrument.objects.filter(symbol__in=names | {name.upper() for name in names}):
        known[row.symbol].append(row)
    found: dict[int, Instrument] = {}
    faults = []
    suggested: list[str] | None = None
    for item in wanted:
        symbol, mark, rest = re.match(r"([^@#]*)([@#]?)(.*)", item, re.DOTALL).groups()  # type: ignore[union-attr]
        rows = _narrow(known.get(symbol) or known.get(symbol.upper()) or [], mark, rest)
        if len(rows) == 1:
            found.setdefault(rows[0].pk, rows[0])
        elif rows:
            listings = " or ".join(sorted(_show(each, known[each.symbol]) for each in rows))
            faults.append(f"{item[:40]}: several instruments have this symbol; write {listings}")
        elif len(faults) <= _MAX_FAULTS:
            suggested = suggested or list(Instrument.objects.active().values_list("symbol", flat=True).distinct())
            faults.append(_unknown(item, suggested))
        else:
            faults.append("")
    if faults:
        more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise BadInput("; ".join(faults[:_MAX_FAULTS]) + more)
    return list(found.values())


def _narrow(rows: list[Instrument], mark: str, rest: str) -> list[Instrument]:
    if mark == "#":
        return [row for row in rows if str(row.pk) == rest]
    if mark:
        rows = [row for row in rows if rest.upper() in (row.exchange.upper(), row.primary.upper())]
    return [row for row in rows if row.active] or rows


def _show(row: Instrument, same: Sequence[Instrument]) -> str:
    if len(same) <= 1:
        return row.symbol
    exchange = row.exchange.upper()
    if sum(exchange in (each.exchange.upper(), each.primary.upper()) for each in same) == 1:
        return f"{row.symbol}@{row.exchange}"
    return f"{row.symbol}#{row.pk}"


def _unknown(item: str, known: list[str]) -> str:
    if len(known) > 50:
        near = UnknownName("instrument", item.upper(), known)
        return str(near) if "did you mean" in str(near) else f"unknown instrument {item[:40]!r}"
    return str(UnknownName("instrument", item.upper(), known))
