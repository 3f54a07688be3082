"""Importing bars from a person's files: all of a file or nothing, and a report of what was kept, dropped and why."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domain.adjustments import Action, DividendConvention, derive_actions
from domain.bars import Adjustment, BarSeries
from domain.errors import BadInput
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, services, store
from marketdata.columns import PRICES, QUOTES, TEXT_COLUMNS, check_fields, find_columns, numbers, times
from marketdata.datafiles import Columns, read_columns
from marketdata.models import Instrument, What
from marketdata.rows import (
    Rows,
    Tally,
    as_bars,
    check_zone,
    drop_bad_rows,
    guess_timeframe,
    mend_ranges,
    place_intraday,
    place_sessions,
    sort_rows,
    to_utc,
)

if TYPE_CHECKING:
    import pyarrow as pa

# So long a hole is more likely two companies with one ticker than a halt (VXX: 93 days between two notes).
_LONG_HOLE_DAYS = 45
_DERIVES_FROM = "--derive-actions needs raw daily bars with an adjusted close beside them"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What the file does not say. Empty means: found in the file, or the default of `describe_instrument`."""

    symbol: str = ""
    timeframe: Timeframe | None = None
    exchange: str = ""
    kind: str = ""
    currency: str = ""
    calendar: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    tz: str = ""
    stamp: str = "start"
    adjustment: Adjustment = Adjustment.RAW
    derive: DividendConvention | None = None
    session: str = "regular"
    what: str = What.TRADES
    since: np.datetime64 | None = None
    until: np.datetime64 | None = None
    strict: bool = False
    source: str = ""


@dataclass(slots=True)
class SeriesReport:
    """One series of a file; `write` and `recorded` are None in a dry run."""

    symbol: str
    timeframe: Timeframe
    what: str
    adjustment: Adjustment
    kept: int
    first: np.datetime64
    last: np.datetime64
    actions: int
    write: store.WriteReport | None = None
    recorded: services.ActionReport | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "timeframe": str(self.timeframe),
            "what": str(self.what),
            "adjustment": str(self.adjustment),
            "kept": self.kept,
            "first": f"{self.first}Z",
            "last": f"{self.last}Z",
            "write": self.write and self.write._asdict(),
            "actions": self.actions,
            "recorded": self.recorded and self.recorded._asdict(),
        }


@dataclass(slots=True)
class FileReport:
    """What became of a file's rows: rows = kept + dropped."""

    path: Path
    rows: int = 0
    dropped: Tally = field(default_factory=Tally)
    noted: Tally = field(default_factory=Tally)
    remarks: list[str] = field(default_factory=list)
    ignored_columns: list[str] = field(default_factory=list)
    series: list[SeriesReport] = field(default_factory=list)

    @property
    def kept(self) -> int:
        return sum(each.kept for each in self.series)

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "rows": self.rows,
            "kept": self.kept,
            "dropped": self.dropped.as_dict(),
            "noted": self.noted.as_dict(),
            "remarks": self.remarks,
            "ignored_columns": self.ignored_columns,
            "series": [each.as_dict() for each in self.series],
        }


@dataclass(frozen=True, slots=True)
class _Parsed:
    instrument: Instrument
    bars: BarSeries
    actions: Sequence[Action]


def check_options(options: ImportOptions) -> None:
    """BadInput where an option is wrong whatever a file holds. Opens none."""
    services.check_listing(
        symbol=options.symbol,
        exchange=options.exchange,
        kind=options.kind,
        currency=options.currency,
        calendar=options.calendar,
    )
    check_fields(options.columns)
    if options.tz:
        check_zone(options.tz)
    if options.since is not None and options.until is not None and options.since > options.until:
        raise BadInput(f"--since {options.since} is after --until {options.until}")
    other_bars = options.adjustment is not Adjustment.RAW or options.timeframe not in (None, Timeframe.D1)
    if options.derive is not None and other_bars:
        raise BadInput(_DERIVES_FROM)


def import_file(path: Path, options: ImportOptions, *, dry_run: bool = False, now_ns: int | None = None) -> FileReport:
    """Import one file: all of it or nothing. A dry run reads and checks but writes nothing.

    Bars that end after `now_ns` (by default the clock's) are unfinished and dropped.

    Raises BadInput, naming the file, where it is refused; the store's errors where it cannot be written.
    """
    report = FileReport(path)
    columns = read_columns(path, TEXT_COLUMNS)
    try:
        parsed = _parse(columns, options, report, time.time_ns() if now_ns is None else now_ns)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    if not dry_run:
        _write(parsed, options.source or path.name, str(options.what), report)
    return report


def _write(parsed: Sequence[_Parsed], source: str, what: str, report: FileReport) -> None:
    instruments = [services.save_instrument(instrument=each.instrument) for each in parsed]
    # Actions before bars: actions without bars do nothing, raw bars without their splits are wrong.
    for instrument, each, series in zip(instruments, parsed, report.series, strict=True):
        series.recorded = services.record_actions(instrument=instrument, actions=each.actions, source=source)
    writes = [
        store.BarWrite(instrument, each.bars, source, what)
        for instrument, each in zip(instruments, parsed, strict=True)
    ]
    for series, written in zip(report.series, store.write_all(writes), strict=True):
        series.write = written
        if written.lost:
            report.remarks.append(
                f"{series.symbol}: {written.lost:,} bars were lost with a damaged file that this import replaced; "
                "`manage.py coverage` shows what is missing"
            )


def _parse(columns: Columns, options: ImportOptions, report: FileReport, now_ns: int) -> list[_Parsed]:
    table = columns.table
    report.rows = len(columns.lines) + len(columns.malformed_lines)
    report.dropped.add("has too many or too few fields", columns.malformed_lines)
    if not table.num_rows:
        raise BadInput(f"has no rows{f' but damaged ones: {report.dropped}' if report.dropped.total() else ''}")
    midpoint = options.what == What.MIDPOINT
    needed = ("time", *(QUOTES if midpoint and "open" not in options.columns else PRICES))
    found = find_columns(table.column_names, options.columns, needed)
    moments, zoned = _times(table, found)
    rows = _rows(columns, found, moments, quotes="bid_open" in needed)
    used = {found[name] for name in (*needed, "volume", "adj_close", "symbol") if name in found} | {"time", "date"}
    report.ignored_columns = [name for name in table.column_names if name not in used]
    if "volume" not in found:
        report.remarks.append("no volume column: volumes are unknown")
    if "adj_close" in found and options.derive is None and options.adjustment is Adjustment.RAW:
        report.remarks.append("adj_close is not used; --derive-actions finds splits and dividends in it")
    parsed = [
        _parse_one(symbol, rows.take(which), zoned, options, report, now_ns)
        for symbol, which in _groups(table, found, options, report)
    ]
    if options.strict and report.dropped.total():
        raise BadInput(f"refused by --strict: {report.dropped}")
    kept = [each for each in parsed if each is not None]
    if not kept:
        raise BadInput(f"no row can be kept: {report.dropped or 'there are none'}")
    return kept


def _parse_one(
    symbol: str, rows: Rows, zoned: bool, options: ImportOptions, report: FileReport, now_ns: int
) -> _Parsed | None:
    """One instrument's rows as bars and actions; None where nothing is left of them."""
    instrument = services.describe_instrument(
        symbol=symbol,
        exchange=options.exchange,
        kind=options.kind,
        currency=options.currency,
        calendar=options.calendar,
    )
    sessions = calendars.sessions(instrument.calendar)
    frame = options.timeframe or guess_timeframe(rows.time)
    rows = mend_ranges(drop_bad_rows(rows, report.dropped), report.dropped, report.noted)
    if frame.is_intraday:
        if not zoned:
            if not options.tz:
                raise BadInput("the times have no zone; say it with --tz, such as --tz America/New_York or --tz UTC")
            rows = replace(rows, time=to_utc(rows.time, options.tz))
        if options.stamp == "end":
            rows = replace(rows, time=rows.time - frame.nanoseconds)
        rows = _within(rows, options, report.dropped)
        placed = place_intraday(rows, sessions, frame, options.session, report.dropped, report.noted)
    else:
        if not zoned:  # a date with a time, such as the close, is that date
            rows = replace(rows, time=rows.time // DAY_NS * DAY_NS)
        rows = sort_rows(_within(rows, options, report.dropped), report.dropped, report.noted)
        placed = place_sessions(rows, sessions, frame, zoned, options.tz, report.dropped)
    rows, starts, ends = placed
    finished = ends <= now_ns
    rows = rows.without(~finished, "not finished yet, or in the future", report.dropped)
    starts, ends = starts[finished], ends[finished]
    if not len(rows):
        return None
    bars = as_bars(rows, starts, ends, frame, options.adjustment)
    _remark_on_holes(symbol, bars, report)
    actions = _derive(rows, bars, options)
    first, last = (np.datetime64(int(edge), "ns").astype("datetime64[s]") for edge in (starts[0], ends[-1]))
    report.series.append(
        SeriesReport(symbol, frame, str(options.what), options.adjustment, len(bars), first, last, len(actions))
    )
    return _Parsed(instrument, bars, actions)


def _derive(rows: Rows, bars: BarSeries, options: ImportOptions) -> Sequence[Action]:
    if options.derive is None:
        return ()
    if bars.timeframe is not Timeframe.D1 or options.adjustment is not Adjustment.RAW:
        raise BadInput(_DERIVES_FROM)
    known = np.isfinite(rows.adj_close) & (rows.adj_close > 0)
    if not known.any():
        raise BadInput("--derive-actions needs an adjusted close; name its column with --adj-close")
    return derive_actions(rows.time[known] // DAY_NS, rows.close[known], rows.adj_close[known], options.derive)


def _times(table: pa.Table, found: dict[str, str]) -> tuple[Any, bool]:
    """The time column, together with the date column where a file has both."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(found["time"])
    by_name = {name.strip().lower(): name for name in table.column_names}
    if found["time"] == by_name.get("date") and "time" in by_name:
        parts = [pc.cast(table.column(by_name[name]), pa.string()) for name in ("date", "time")]
        column = pc.binary_join_element_wise(*parts, " ")
    return times(column)


def _rows(columns: Columns, found: dict[str, str], moments: Any, quotes: bool) -> Rows:
    def column(name: str) -> Any:
        if name in found:
            return numbers(columns.table.column(found[name]))
        return np.full(len(columns.lines), np.nan)

    def price(name: str) -> Any:
        return (column(f"bid_{name}") + column(f"ask_{name}")) / 2 if quotes else column(name)

    prices = {name: price(name) for name in PRICES}
    return Rows(line=columns.lines, time=moments, volume=column("volume"), adj_close=column("adj_close"), **prices)


def _groups(
    table: pa.Table, found: dict[str, str], options: ImportOptions, report: FileReport
) -> list[tuple[str, Any]]:
    """(symbol, row numbers), in order of first appearance."""
    import pyarrow as pa
    import pyarrow.compute as pc

    everything = np.arange(table.num_rows)
    if "symbol" not in found:
        return [(options.symbol or _symbol_of(report.path), everything)]
    texts = pc.fill_null(pc.cast(table.column(found["symbol"]), pa.string()), "").combine_chunks()
    encoded = pc.dictionary_encode(texts)
    encoded = encoded.combine_chunks() if hasattr(encoded, "chunks") else encoded
    codes = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(encoded), encoded.indices.offset * 4)
    names = encoded.dictionary.to_pylist()
    if options.symbol and options.symbol not in names and len(names) > 1:
        raise BadInput(f"has no rows of {options.symbol} (has: {', '.join(sorted(names))[:200]})")
    if len(names) <= 1:
        return [(options.symbol or (names[0] if names else _symbol_of(report.path)), everything)]
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    groups = [(name, order[edges[code] : edges[code + 1]]) for code, name in enumerate(names)]
    if not options.symbol:
        return groups
    report.remarks.append(f"only the rows of {options.symbol} are taken, of {len(names)} symbols in the file")
    taken = [(name, which) for name, which in groups if name == options.symbol]
    report.rows = sum(len(which) for _, which in taken) + report.dropped.total()
    return taken


def _symbol_of(path: Path) -> str:
    """`AAPL_2004_2018.csv` is AAPL; BadInput where the name does not begin like a symbol."""
    found = re.match(r"[A-Za-z][A-Za-z0-9.]{0,11}(?=[_. -]|$)", path.name.partition(".")[0])
    if not found:
        raise BadInput("no symbol in the file or its name; say it with --symbol")
    return found.group().upper()


def _within(rows: Rows, options: ImportOptions, dropped: Tally) -> Rows:
    """Rows from `since` to `until`, both dates included."""
    day = rows.time // DAY_NS
    outside = np.zeros(len(rows), np.bool_)
    if options.since is not None:
        outside |= day < options.since.astype("datetime64[D]").astype(np.int64)
    if options.until is not None:
        outside |= day > options.until.astype("datetime64[D]").astype(np.int64)
    return rows.without(outside, "outside --since and --until", dropped)


def _remark_on_holes(symbol: str, bars: BarSeries, report: FileReport) -> None:
    breaks = np.diff(bars.start)
    for row in np.flatnonzero(breaks > _LONG_HOLE_DAYS * DAY_NS):
        before, after = (
            np.datetime64(int(moment), "ns").astype("datetime64[D]") for moment in bars.start[row : row + 2]
        )
        report.remarks.append(
            f"{symbol}: nothing between {before} and {after}. If these are two companies with one ticker, import them "
            "as two symbols, cut with --until and --since"
        )
