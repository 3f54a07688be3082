"""Prices from a folder: a file SYMBOL_TIMEFRAME.csv or .parquet for each instrument, `SPY_1d.csv`, `EURUSD_1h.csv`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from domain.bars import BarSeries, Times
from domain.errors import BadInput
from domain.timeframe import Timeframe
from gateway.simulator.catalogue import Character
from gateway.simulator.listings import Universe, plain_stock
from gateway.simulator.market import Market
from gateway.simulator.records import Listing
from gateway.simulator.series import SeriesPrices

_TIME_NAMES = ("timestamp", "start", "date", "time", "datetime")
_PRICES = ("open", "high", "low", "close")
_ENDINGS = (".csv", ".parquet")


class Folder(NamedTuple):
    """Bars by con_id, and the listings of those symbols that the universe does not have."""

    series: dict[int, BarSeries]
    new: tuple[Listing, ...]


def folder_market(folder: Path, seed: int, known: Universe) -> Market:
    """The universe with the folder's prices where it has some, and with stocks for the symbols it does not know."""
    found = read_folder(folder, known.listings)
    listings = (*known.listings, *found.new)
    return Market(listings, SeriesPrices(seed, found.series, known.characters), seed)


def series_market(series: dict[Listing, BarSeries], seed: int, known: Universe) -> Market:
    """The universe with these bars; a listing that it does not have is added to it."""
    characters: dict[int, Character] = known.characters
    new = [listing for listing in series if listing.con_id not in characters]
    bars = {listing.con_id: each for listing, each in series.items()}
    return Market((*known.listings, *new), SeriesPrices(seed, bars, characters), seed)


def read_folder(folder: Path, listings: Iterable[Listing]) -> Folder:
    """BadInput names the file and what is wrong with it. A symbol may have one file only."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one with files SYMBOL_TIMEFRAME.csv or .parquet")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    if not files:
        raise BadInput(f"{folder}: no file SYMBOL_TIMEFRAME.csv or .parquet in it")
    by_name = _by_name(listings)
    series: dict[int, BarSeries] = {}
    new: list[Listing] = []
    for path in files:
        symbol, _, frame = path.stem.rpartition("_")
        if not symbol:
            raise BadInput(f"{path}: the name must be SYMBOL_TIMEFRAME, as in SPY_1d{path.suffix}")
        try:
            timeframe = Timeframe.parse(frame)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        listing = by_name.get(symbol.upper())
        if listing is None:
            listing = plain_stock(symbol.upper())
            new.append(listing)
            by_name[symbol.upper()] = listing
        if listing.con_id in series:
            raise BadInput(f"{path}: there is another file of {symbol}; keep the one with the shortest bars")
        series[listing.con_id] = read_bars(path, timeframe)
    return Folder(series, tuple(new))


def _by_name(listings: Iterable[Listing]) -> dict[str, Listing]:
    """Symbols, and of currency pairs and futures their own names, with and without the dot."""
    names: dict[str, Listing] = {}
    for listing in listings:
        contract = listing.contract
        plain = contract.symbol if contract.sec_type in ("STK", "IND") else contract.local_symbol
        for name in (plain, plain.replace(".", ""), plain.replace(" ", ".")):
            names.setdefault(name.upper(), listing)
    return names


def read_bars(path: Path, timeframe: Timeframe) -> BarSeries:
    """Columns `timestamp` (or start, date, time), open, high, low, close and perhaps volume and end, in any order.

    Times without a zone are UTC, the start of the bar; of daily bars the trading day. BadInput where a value is none
    or the bars break a rule, naming the file and the row.
    """
    columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    named = {name.strip().lower(): values for name, values in columns.items()}
    time_name = next((name for name in _TIME_NAMES if name in named), None)
    missing = [name for name in _PRICES if name not in named]
    if time_name is None or missing:
        needed = ", ".join([*missing, *([] if time_name else ["timestamp"])])
        raise BadInput(f"{path}: column {needed} is missing; it has {', '.join(named)}")
    try:
        return BarSeries.from_columns(
            timeframe,
            start=_times(named[time_name]),
            end=_times(named["end"]) if "end" in named else None,
            open=_numbers("open", named["open"]),
            high=_numbers("high", named["high"]),
            low=_numbers("low", named["low"]),
            close=_numbers("close", named["close"]),
            volume=_numbers("volume", named["volume"]) if "volume" in named else None,
        )
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise BadInput(f"{path}: is empty") from error
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise BadInput(f"{path}: line {number} has {len(row)} values, the header has {len(header)}")
    return {name: [row[n] for row in rows] for n, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _times(values: Any) -> Times:
    array = np.asarray(values)
    if np.issubdtype(array.dtype, np.datetime64):
        return array.astype("datetime64[ns]").astype(np.int64)
    if np.issubdtype(array.dtype, np.integer):
        return array.astype(np.int64)
    moments = np.empty(len(array), np.int64)
    for row, text in enumerate(array.tolist()):
        try:
            moment = datetime.fromisoformat(str(text).strip())
        except ValueError as error:
            raise BadInput(f"row {row}: {text!r} is no time; write 2026-11-25T14:30:00Z") from error
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moments[row] = round(aware.timestamp()) * 1_000_000_000
    return moments


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray([np.nan if value == "" else value for value in values], np.float64)
    except (ValueError, TypeError) as error:
        raise BadInput(f"column {name} holds something that is no number: {error}") from error
