"""What is held of many instruments at once, from the catalogue, and their last few closes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import NamedTuple

from django.db.models import Case, Count, IntegerField, Max, Min, Sum, Value, When

from domain.timeframe import Timeframe
from marketdata.errors import StoreError
from marketdata.models import BarFile, What
from marketdata.store import bars_folder
from marketdata.verification import load_file

_CLOSES = 60
_KEPT = 5_000
_LENGTHS = {str(each): each.nanoseconds for each in Timeframe}

_closes: dict[str, tuple[float, ...]] = {}
"""By the file's path: what lies there never changes."""


class Held(NamedTuple):
    """One timeframe of an instrument over all its kinds of prices; `quarantined` counts files out of service."""

    timeframe: str
    rows: int
    start: dt.datetime
    end: dt.datetime
    quarantined: int


class Last(NamedTuple):
    """The newest closes of an instrument; `fault` says why there are none."""

    timeframe: str
    end: dt.datetime
    closes: tuple[float, ...]
    fault: str = ""

    @property
    def close(self) -> float | None:
        return self.closes[-1] if self.closes else None

    @property
    def change(self) -> float | None:
        """Since the close before."""
        if len(self.closes) < 2 or self.closes[-2] <= 0:
            return None
        return self.closes[-1] / self.closes[-2] - 1


def held_of(instruments: Collection[int]) -> dict[int, list[Held]]:
    """By instrument, its timeframes from the longest to the shortest. One query, no file opened."""
    rows = (
        BarFile.objects.filter(instrument__in=instruments)
        .order_by()
        .values_list("instrument", "timeframe")
        .annotate(Sum("rows"), Min("start"), Max("end"), Count("quarantined"))
    )
    found: dict[int, list[Held]] = {}
    for instrument, *facts in rows:
        found.setdefault(instrument, []).append(Held(*facts))
    for series in found.values():
        series.sort(key=lambda each: -_LENGTHS[each.timeframe])
    return found


def last_closes(instruments: Collection[int]) -> dict[int, Last]:
    """By instrument, its last closes: of daily bars where they are held, else of what is, the longest first.

    One query. A file is opened once per process, since it never changes.
    """
    found: dict[int, Last] = {}
    for row in _newest_files(instruments):
        try:
            closes, fault = _closes_in(row), ""
        except StoreError as error:
            closes, fault = (), str(error)
        found[row.instrument_id] = Last(row.timeframe, row.end, closes, fault)
    return found


def _newest_files(instruments: Collection[int]) -> Iterable[BarFile]:
    basis = Case(When(adjustment="raw", then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = BarFile.objects.filter(instrument__in=instruments, what=What.TRADES, quarantined__isnull=True)
    best: dict[int, BarFile] = {}
    for row in rows.order_by("instrument", basis, "-partition").select_related("instrument"):
        held = best.get(row.instrument_id)
        if held is None or _preference(row.timeframe) > _preference(held.timeframe):
            best[row.instrument_id] = row
    return best.values()


def _preference(timeframe: str) -> tuple[bool, int]:
    return timeframe == Timeframe.D1, _LENGTHS[timeframe]


def _closes_in(row: BarFile) -> tuple[float, ...]:
    if row.path not in _closes:
        if len(_closes) >= _KEPT:
            _closes.clear()
        _closes[row.path] = tuple(load_file(bars_folder(), row).close[-_CLOSES:].tolist())
    return _closes[row.path]
