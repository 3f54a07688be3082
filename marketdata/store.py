"""The bar store: immutable Parquet files, and rows that say which of them count.

A change writes new files, then switches all their BarFile rows in one transaction, by compare-and-set on `version`.
So a reader sees the old bars or the new ones, a killed writer leaves the old ones, and of two writers the later
merges what the earlier committed. Replaced files stay until `sweep`. A file that fails its SHA-256 or a page checksum
is moved to quarantine/ and never served.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from domain.bars import COLUMNS, Adjustment, BarSeries, Times, merge
from domain.errors import BadInput
from domain.sessions import SessionTable
from domain.timeframe import Timeframe
from marketdata.barfile import encode_bars
from marketdata.errors import CorruptBarFile, NoBarsInRange, StoreUnavailable
from marketdata.folders import Folder, open_folder
from marketdata.models import BarFile, Fetch, Instrument, What
from marketdata.moments import as_datetime, as_ns
from marketdata.verification import QUARANTINE, load_file, load_starts

_ATTEMPTS = 200

log = logging.getLogger(__name__)


class WriteReport(NamedTuple):
    """What a merge did, in bars: new keys, keys whose values changed, keys given again with the values held.

    `lost` counts bars that stood in a damaged file in the way of the merge; import or fetch them again.
    """

    added: int
    changed: int
    unchanged: int
    files: int
    lost: int = 0


class BarWrite(NamedTuple):
    """`replace`: these bars are the whole series from now on; the others of its files go."""

    instrument: Instrument
    series: BarSeries
    source: str
    what: str = What.TRADES
    replace: bool = False


class Coverage(NamedTuple):
    """What is held of one series, from the catalogue alone; `quarantined` counts files out of service."""

    timeframe: Timeframe
    what: str
    adjustment: Adjustment
    rows: int
    start: dt.datetime
    end: dt.datetime
    files: int
    bytes: int
    quarantined: int
    sources: tuple[str, ...]


class _Staged(NamedTuple):
    """A file that is written and not yet committed. `held` None: the partition is new; no `fields`: it goes."""

    key: dict[str, Any]
    held: BarFile | None
    fields: dict[str, Any]


class _LostRace(Exception):
    """Another writer committed a partition first."""


def write_bars(*, instrument: Instrument, series: BarSeries, what: str = What.TRADES, source: str) -> WriteReport:
    """Merge bars into the store, the newest winning where a start is held already.

    Raises BadInput for bars that break BarSeries' promises and StoreUnavailable when they cannot be written (a full
    disk); then nothing has changed. Unfinished bars are the caller's to leave out.
    """
    return write_all([BarWrite(instrument, series, source, what)])[0]


def write_all(writes: Sequence[BarWrite], along: Callable[[], None] | None = None) -> list[WriteReport]:
    """Merge several series in one commit: all of them or none. One report each; `write_bars` tells the rest.

    `along` writes rows in the same transaction; it may be called more than once, what it wrote before being undone.
    """
    for write in writes:
        write.series.check()
        if write.what not in What.values:
            raise BadInput(f"bars of {write.what!r}: expected one of {', '.join(What.values)}")
    folder = bars_folder()
    for attempt in range(_ATTEMPTS):
        staged: list[_Staged] = []
        try:
            reports = [_stage(folder, write, staged) for write in writes]
        except BaseException:
            _discard(folder, staged)
            raise
        try:
            _commit(staged, along)
        except _LostRace:
            _discard(folder, staged)
            time.sleep(secrets.randbelow(5000 * min(attempt + 1, 20)) / 1e6)
            continue
        # Any other failure leaves the files to `sweep`: where the connection broke during COMMIT, the rows may
        # have been switched to them.
        return reports
    raise StoreUnavailable(f"other writers were faster {_ATTEMPTS} times; nothing was written, try again")


def read_bars(
    instrument: Instrument,
    timeframe: Timeframe | str,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    what: str = What.TRADES,
    adjustment: Adjustment | str | None = None,
) -> BarSeries:
    """Bars whose start lies in [start_ns, end_ns), in time order; None means open-ended.

    `adjustment` None takes raw prices where they are held, else the only basis that is. Only the partitions that
    overlap are opened, and every page is verified. Raises BadInput when nothing is held in the range (saying what
    is), CorruptBarFile when a file failed, StoreUnavailable when BARS_URL is not there.
    """
    frame = Timeframe.parse(timeframe) if isinstance(timeframe, str) else timeframe
    held = list(BarFile.objects.of_series(instrument, frame, what).order_by("partition"))
    basis = choose_basis(instrument, frame, what, held, adjustment)
    folder = bars_folder()
    wanted = [row for row in held if row.adjustment == basis and _overlaps(row, start_ns, end_ns)]
    pieces = (load_file(folder, row).between(start_ns, end_ns) for row in wanted)
    bars = _join(pieces, sum(row.rows for row in wanted), BarSeries.empty(frame, basis))
    if not len(bars):
        same = [row for row in held if row.adjustment == basis]
        raise NoBarsInRange(
            f"{instrument.symbol} {frame}: no bars from {_text(start_ns, 'the beginning')} to {_text(end_ns, 'now')}",
            held=f"{min(row.start for row in same):%Y-%m-%d} to {max(row.end for row in same):%Y-%m-%d}",
        )
    return bars


def read_starts(
    instrument: Instrument, timeframe: Timeframe, what: str, adjustment: Adjustment, start_ns: int, end_ns: int
) -> Times:
    """Starts of the bars held in [start_ns, end_ns) of one basis; files out of service hold none. Raises StoreError."""
    rows = BarFile.objects.of_series(instrument, timeframe, what).filter(adjustment=adjustment, quarantined=None)
    folder = bars_folder()
    found = []
    for row in rows.order_by("partition"):
        if _overlaps(row, start_ns, end_ns):
            with suppress(CorruptBarFile):
                found.append(load_starts(folder, row))
    starts = np.concatenate(found) if found else np.empty(0, np.int64)
    return starts[slice(*np.searchsorted(starts, (start_ns, end_ns)))]


def _join(pieces: Iterable[BarSeries], rows: int, empty: BarSeries) -> BarSeries:
    """The pieces as one series of about `rows` bars (more where a writer adds some meanwhile).

    Each piece is copied and let go before the next is read, so that they share one piece's memory: half the peak, and
    fresh memory costs more than decoding.
    """
    columns: dict[str, Any] = {}
    filled = 0
    for piece in pieces:
        if len(piece) == rows:
            return piece
        if not columns:
            columns = {name: np.empty(rows, getattr(piece, name).dtype) for name in COLUMNS}
        if filled + len(piece) > len(columns["start"]):
            columns = {name: np.resize(array, filled + len(piece)) for name, array in columns.items()}
        for name, array in columns.items():
            array[filled : filled + len(piece)] = getattr(piece, name)
        filled += len(piece)
    return replace(empty, **{name: array[:filled] for name, array in columns.items()}) if columns else empty


def anchor_day(instrument: Instrument, bars: BarSeries, sessions: SessionTable) -> int:
    """The exchange date up to which stored adjusted prices contain the splits: that of the last bar of their series,
    of which `bars` may be a part."""
    rows = BarFile.objects.filter(instrument=instrument, timeframe=bars.timeframe, adjustment=bars.adjustment)
    last = as_ns(max(row.end for row in rows)) - 1
    return int(sessions.trading_dates(np.array([last]))[0])


def coverage(instrument: Instrument, timeframe: Timeframe | None = None) -> list[Coverage]:
    """What the catalogue holds of an instrument, one entry per (timeframe, what, adjustment). Opens no file."""
    return [held for held, _files in series_of([instrument], timeframe).get(instrument.pk, ())]


def series_of(
    instruments: Sequence[Instrument], timeframe: Timeframe | None = None
) -> dict[int, list[tuple[Coverage, list[BarFile]]]]:
    """By instrument, what `coverage` tells, and the files of each series in time order. One query."""
    rows = BarFile.objects.filter(instrument__in=instruments).order_by("partition")
    groups: dict[tuple[int, str, str, str], list[BarFile]] = {}
    for row in rows if timeframe is None else rows.filter(timeframe=timeframe):
        groups.setdefault((row.instrument_id, row.timeframe, row.what, row.adjustment), []).append(row)
    found: dict[int, list[tuple[Coverage, list[BarFile]]]] = {}
    for (instrument, *_), files in groups.items():
        found.setdefault(instrument, []).append((_coverage(files), files))
    for series in found.values():
        series.sort(key=lambda each: (each[0].timeframe.nanoseconds, each[0].what, each[0].adjustment))
    return found


def _coverage(files: Sequence[BarFile]) -> Coverage:
    good = [row for row in files if row.quarantined is None]
    return Coverage(
        timeframe=Timeframe(files[0].timeframe),
        what=files[0].what,
        adjustment=Adjustment(files[0].adjustment),
        rows=sum(row.rows for row in good),
        start=min(row.start for row in good or files),
        end=max(row.end for row in good or files),
        files=len(good),
        bytes=sum(row.bytes for row in good),
        quarantined=len(files) - len(good),
        sources=tuple(sorted({row.source for row in files})),
    )


def sweep(*, older_than_seconds: float = 3600) -> list[str]:
    """Remove files that no row names and that are older than so many seconds; returns their paths.

    Safe beside readers (one that finds its file gone looks the row up again) and beside writers whose file is
    younger than the limit, so keep it well above the longest import. Quarantined files stay.
    """
    folder = bars_folder()
    old = [entry.path for entry in folder.entries() if entry.age_seconds >= older_than_seconds]
    # After the listing, so that a file committed in between is seen as named.
    named = set(BarFile.objects.values_list("path", flat=True))
    named.update(Fetch.objects.exclude(staged="").exclude(load_run__state="cancelled").values_list("staged", flat=True))
    removed = [path for path in old if path not in named and not path.startswith(QUARANTINE + "/")]
    for path in removed:
        folder.remove(path)
    return removed


def bars_folder() -> Folder:
    return _folder(str(settings.BARS_URL))


@lru_cache(maxsize=8)
def _folder(url: str) -> Folder:
    return open_folder(url)


# Writing


def _stage(folder: Folder, write: BarWrite, staged: list[_Staged]) -> WriteReport:
    """Write the files that the merge needs and append them to `staged`."""
    added = changed = unchanged = files = lost = 0
    series = {
        "instrument": write.instrument,
        "timeframe": str(write.series.timeframe),
        "what": str(write.what),
        "adjustment": str(write.series.adjustment),
    }
    partitions = _partitions(write.series)
    for partition, part in partitions:
        key = series | {"partition": partition}
        held = BarFile.objects.filter(**key).first()
        base, lost_here = _held_bars(folder, held)
        merged = part if base is None or write.replace else merge([base, part])
        counts = _compare(base, part)
        added, changed, unchanged = added + counts[0], changed + counts[1], unchanged + counts[2]
        lost += lost_here
        is_same = base is not None and counts[:2] == (0, 0) and len(merged) == len(base)
        if is_same and not (write.replace and held is not None and held.source != write.source[:120]):
            continue
        staged.append(_write_file(folder, key, held, merged, write.source))
        files += 1
    if write.replace:
        kept = [partition for partition, _part in partitions]
        for row in BarFile.objects.filter(**series).exclude(partition__in=kept):
            staged.append(_Staged(series | {"partition": row.partition}, row, {}))
    return WriteReport(added, changed, unchanged, files, lost)


def _write_file(folder: Folder, key: dict[str, Any], held: BarFile | None, bars: BarSeries, source: str) -> _Staged:
    version = 1 if held is None else held.version + 1
    # From ids and fixed names only. The token keeps two writers of one version apart.
    path = (
        f"{key['instrument'].pk}/{key['timeframe']}/{key['what']}-{key['adjustment']}/"
        f"{key['partition']}-v{version}-{secrets.token_hex(4)}.parquet"
    )
    data = encode_bars(bars)
    try:
        folder.write(path, data)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot write bars to {folder.url} ({error.strerror or error}); what is held is unchanged. "
            "Free space or mend the folder's rights, then repeat"
        ) from error
    fields = {
        "version": version,
        "path": path,
        "start": as_datetime(int(bars.start[0])),
        "end": as_datetime(int(bars.end[-1]), up=True),
        "rows": len(bars),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "source": source[:120],
        "quarantined": None,
        "fault": "",
    }
    return _Staged(key, held, fields)


def _commit(staged: Sequence[_Staged], along: Callable[[], None] | None) -> None:
    """Switch all rows or none. Rows are taken in one order, so that two commits cannot wait for each other."""
    if not staged and along is None:
        return
    with transaction.atomic():
        for each in sorted(staged, key=lambda one: (one.key["instrument"].pk, *list(one.key.values())[1:])):
            if each.held is not None:
                rows = BarFile.objects.filter(pk=each.held.pk, version=each.held.version)
                if not (rows.update(**each.fields, updated=timezone.now()) if each.fields else rows.delete()[0]):
                    raise _LostRace
                continue
            try:
                with transaction.atomic():
                    BarFile.objects.create(**each.key, **each.fields)
            except IntegrityError:
                if BarFile.objects.filter(**each.key).exists():
                    raise _LostRace from None
                raise
        if along is not None:
            along()


def _discard(folder: Folder, staged: Iterable[_Staged]) -> None:
    for each in staged:
        if each.fields:
            with suppress(OSError):  # left to `sweep`
                folder.remove(each.fields["path"])


def _held_bars(folder: Folder, row: BarFile | None) -> tuple[BarSeries | None, int]:
    """The bars that a merge starts from, and how many were lost with a damaged file."""
    if row is None:
        return None, 0
    try:
        return load_file(folder, row), 0
    except CorruptBarFile:
        log.warning("bars: %s is replaced by what is written now; %d bars were lost with it", row.path, row.rows)
        return None, row.rows


def _partitions(series: BarSeries) -> list[tuple[int, BarSeries]]:
    """A series cut into what goes into one file each."""
    if not len(series):
        return []
    if not series.timeframe.is_intraday:
        return [(0, series)]
    years = series.start.astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64) + 1970
    cuts = [0, *(np.flatnonzero(np.diff(years)) + 1).tolist(), len(series)]
    return [(int(years[lo]), series[lo:hi]) for lo, hi in pairwise(cuts)]


def _compare(base: BarSeries | None, part: BarSeries) -> tuple[int, int, int]:
    """(added, changed, unchanged) bars of `part` against what is held."""
    if base is None or not len(base):
        return len(part), 0, 0
    at = np.minimum(np.searchsorted(base.start, part.start), len(base) - 1)
    known = base.start[at] == part.start
    same = known.copy()
    for name in COLUMNS[1:]:
        old, new = getattr(base, name)[at], getattr(part, name)
        same &= (old == new) | ((old != old) & (new != new))  # both NaN: volume unknown then as now
    return int((~known).sum()), int((known & ~same).sum()), int(same.sum())


# Reading


def choose_basis(
    instrument: Instrument, frame: Timeframe, what: str, held: Sequence[BarFile], wanted: Adjustment | str | None
) -> Adjustment:
    """The adjustment to read of a series whose rows are `held`, as `read_bars` chooses it; BadInput where it cannot."""
    bases = sorted({row.adjustment for row in held})
    if not bases:
        others = sorted({row.timeframe for row in BarFile.objects.filter(instrument=instrument, what=what)})
        raise BadInput(
            f"{instrument.symbol}: no {frame} bars of {what} are held"
            + (f" (held: {', '.join(others)})" if others else "; import some with `manage.py import_bars`")
        )
    if wanted is None:
        wanted = Adjustment.RAW if Adjustment.RAW in bases else bases[0] if len(bases) == 1 else None
    if wanted is None or wanted not in bases:
        raise BadInput(
            f"{instrument.symbol} {frame}: "
            + (f"no {wanted} prices are held" if wanted else "say which adjustment")
            + f" (held: {', '.join(bases)})"
        )
    return Adjustment(wanted)


def _overlaps(row: BarFile, start_ns: int | None, end_ns: int | None) -> bool:
    return (start_ns is None or as_ns(row.end) > start_ns) and (end_ns is None or as_ns(row.start) < end_ns)


def _text(ns: int | None, otherwise: str) -> str:
    return otherwise if ns is None else str(np.datetime64(ns, "ns").astype("datetime64[s]")) + "Z"
