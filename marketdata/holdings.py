"""What is held of instruments and what is missing, against their exchanges' calendars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from django.db.models import Count

from domain.bars import Times
from domain.coverage import Counts, count_between
from domain.gaps import Absence, AbsenceKind, GapClass, Gaps, calendar_absences, find_session_gaps
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, store
from marketdata.contracts import basis_of
from marketdata.errors import StoreError
from marketdata.models import BarFile, CorporateAction, Instrument
from marketdata.moments import as_ns
from marketdata.planning import IB, SIMULATED, due_ns
from marketdata.proofs import Knowledge
from marketdata.verification import load_starts

_GAPS_SHOWN = 20
_AT_ONCE = 500
# The longest unit of which a map has no more cells than this; of weeks up to a year's.
_CELLS = {"week": 60, "month": 120}


MAP_MARKS = (
    "# all held, + 95 % or more, - less, . none, _ no bar is expected or can exist; where one reason explains all that "
    "is missing its letter, a capital where none is held: "
    + ", ".join(f"{code.letter} {code.label.replace('_', ' ')}" for code in GapClass if code)
)


class Map(NamedTuple):
    """Coverage in equal units of time, `edges` (int64 ns) one longer than what is counted between them."""

    unit: str
    edges: Times
    counts: Counts

    @property
    def line(self) -> str:
        """A character a unit, by `MAP_MARKS`; shares are those of the bars that can exist."""
        counts = self.counts
        return "".join(
            _mark(*unit)
            for unit in zip(counts.held.tolist(), counts.possible.tolist(), counts.missing.tolist(), strict=True)
        )

    def as_dict(self) -> dict[str, Any]:
        start, end = _text(int(self.edges[0])), _text(int(self.edges[-1]))
        return {"unit": self.unit, "start": start, "end": end, "line": self.line}


def _mark(held: int, possible: int, missing: list[int]) -> str:
    reasons = [GapClass(code) for code, bars in enumerate(missing) if bars]
    if len(reasons) == 1 and reasons[0] is not GapClass.UNEXPECTED:
        return reasons[0].letter.lower() if held else reasons[0].letter
    if not possible:
        return "_"
    return "#" if held == possible else "." if not held else "+" if held >= 0.95 * possible else "-"


class Holding(NamedTuple):
    """One series. `gaps` are those from its first bar to its last, `whole` those of [since_ns, until_ns): also from
    where IB's history begins, and up to now, as far as that is known and asked for. Both are None where its bars could
    not be read, and `fault` then says why."""

    instrument: Instrument
    held: store.Coverage
    gaps: Gaps | None
    unexpected: int
    actions: int
    fault: str = ""
    whole: Gaps | None = None
    since_ns: int = 0
    until_ns: int = 0

    @property
    def before(self) -> int:
        """Bars missing before the first one held, without those that cannot exist."""
        return self._missing(0, as_ns(self.held.start))

    @property
    def after(self) -> int:
        """Bars missing after the last one held, without those that cannot exist."""
        return self._missing(as_ns(self.held.end), self.until_ns)

    def _missing(self, start_ns: int, end_ns: int) -> int:
        if self.whole is None:
            return 0
        outside = (self.whole.start >= start_ns) & (self.whole.end <= end_ns)
        return int(self.whole.where(outside).only(*_LOADABLE).missing.sum())

    def by_class(self) -> dict[GapClass, int]:
        """Bars missing of the whole range, of every class."""
        gaps = self.whole
        return {code: 0 if gaps is None else int(gaps.missing[gaps.reason == code].sum()) for code in GapClass}

    def absences(self) -> list[Absence]:
        """Days of the whole range on which the exchange was closed, or not open for as long as usual."""
        return calendar_absences(calendars.sessions(self.instrument.calendar), self.since_ns, self.until_ns)

    def map(self) -> Map | None:
        if self.whole is None or self.until_ns <= self.since_ns:
            return None
        unit, edges = _edges(self.since_ns, self.until_ns)
        table = calendars.sessions(self.instrument.calendar)
        return Map(unit, edges, count_between(self.whole, table, self.held.timeframe, edges))

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = self.held._asdict() | {
            "symbol": self.instrument.symbol,
            "timeframe": str(self.held.timeframe),
            "what": str(self.held.what),
            "adjustment": str(self.held.adjustment),
            "start": self.held.start.isoformat(),
            "end": self.held.end.isoformat(),
            "actions": self.actions,
            "unexpected": self.unexpected,
            "fault": self.fault,
        }
        if self.gaps is not None:
            gaps, drawn, absences = self.gaps, self.map(), self.absences()
            found |= {
                "expected": gaps.expected,
                "missing": int(gaps.missing.sum()),
                "gaps": len(gaps),
                "largest_gaps": largest_gaps(gaps, _GAPS_SHOWN),
                "since": _text(self.since_ns),
                "until": _text(self.until_ns),
                "before": self.before,
                "after": self.after,
                "classes": {code.label: bars for code, bars in self.by_class().items()},
                "closed_days": sum(each.kind is AbsenceKind.CLOSED for each in absences),
                "half_days": sum(each.kind is AbsenceKind.HALF_DAY for each in absences),
                "map": None if drawn is None else drawn.as_dict(),
            }
        return found


_LOADABLE = (GapClass.UNEXPECTED, GapClass.FAILED, GapClass.NO_PERMISSION)


def holdings(
    instrument: Instrument, timeframe: Timeframe | None = None, *, now: dt.datetime | None = None
) -> list[Holding]:
    """Every series of one instrument, as `holdings_of`."""
    return list(holdings_of([instrument], timeframe, now=now))


def holdings_of(
    instruments: Iterable[Instrument], timeframe: Timeframe | None = None, *, now: dt.datetime | None = None
) -> Iterator[Holding]:
    """Every series of some instruments with its gaps. Reads the bars' starts: 500 instruments with a year of minutes
    each in about a second.

    With `now` (the gateway's) it also says what is missing before the first bar, where IB has said since when it has
    bars, and after the last of an active instrument: bars that are complete by then. Only of series that loads keep:
    nobody promised that a file that was imported is continued, so it is whole from its first bar to its last.
    """
    series = {} if timeframe is None else {"timeframe": str(timeframe)}
    wanted = list(instruments)
    for at in range(0, len(wanted), _AT_ONCE):
        some = wanted[at : at + _AT_ONCE]
        known = Knowledge(some, **series)
        counted = CorporateAction.objects.filter(instrument__in=some).order_by().values_list("instrument")
        actions = dict(counted.annotate(Count("pk")))
        listed = store.series_of(some, timeframe)
        for instrument in some:
            for held, files in listed.get(instrument.pk, ()):
                try:
                    starts = _starts(files)
                except StoreError as error:
                    yield Holding(instrument, held, None, 0, actions.get(instrument.pk, 0), str(error))
                else:
                    yield _compare(instrument, held, starts, known, now)._replace(actions=actions.get(instrument.pk, 0))


def _starts(files: list[BarFile]) -> Times:
    folder = store.bars_folder()
    found = [load_starts(folder, row) for row in files]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _compare(
    instrument: Instrument, held: store.Coverage, starts: Times, known: Knowledge, now: dt.datetime | None
) -> Holding:
    frame, table = held.timeframe, calendars.sessions(instrument.calendar)
    explanations = known.of(instrument, frame, held.what, table)
    first, last = int(starts[0]), int(starts[-1]) + 1
    gaps = find_session_gaps(starts, table, frame, first, last, explanations)
    since, until = first, as_ns(held.end)
    if now is not None and is_loaded(instrument, held):
        head = known.head(instrument, held.what)
        since = first if head is None else min(first, max(head, int(table.open[0])))
        until = max(until, due_ns(table, frame, as_ns(now))) if instrument.active else until
    whole = gaps
    if (since, until) != (first, as_ns(held.end)):
        until = max(min(until, int(table.close[-1])), since)
        whole = find_session_gaps(starts, table, frame, since, until, explanations)
    return Holding(instrument, held, gaps, len(starts) - gaps.held, 0, "", whole, since, until)


def is_loaded(instrument: Instrument, held: store.Coverage) -> bool:
    """Whether loads keep the series: some of it came by them, in the prices that they ask for."""
    return held.adjustment == basis_of(instrument, held.what) and not {IB, SIMULATED}.isdisjoint(held.sources)


def largest_gaps(gaps: Gaps, count: int) -> list[dict[str, Any]]:
    return [
        {
            "start": _text(int(gaps.start[row])),
            "end": _text(int(gaps.end[row])),
            "missing": int(gaps.missing[row]),
            "class": GapClass(int(gaps.reason[row])).label,
        }
        for row in np.argsort(-gaps.missing, kind="stable")[:count]
    ]


def _edges(start_ns: int, end_ns: int) -> tuple[str, Times]:
    """The unit that a map of the range is drawn in (weeks from Monday, months, years, in UTC), and where each begins;
    the first and the last are those of the range."""
    for unit in ("week", "month", "year"):
        first, last = (_number(moment, unit) for moment in (start_ns, end_ns - 1))
        if unit == "year" or last - first < _CELLS[unit]:
            break
    inner = [_beginning(number, unit) for number in range(first + 1, last + 1)]
    return unit, np.array([start_ns, *inner, end_ns], np.int64)


_UNITS: dict[str, Any] = {"week": "W", "month": "M", "year": "Y"}
# numpy's weeks begin on Thursday, as 1970 did.
_THURSDAY_NS = 3 * DAY_NS


def _number(moment_ns: int, unit: str) -> int:
    moved = moment_ns + (_THURSDAY_NS if unit == "week" else 0)
    return int(np.datetime64(moved, "ns").astype(f"datetime64[{_UNITS[unit]}]").astype(np.int64))


def _beginning(number: int, unit: str) -> int:
    begins = int(np.datetime64(number, _UNITS[unit]).astype("datetime64[ns]").astype(np.int64))
    return begins - (_THURSDAY_NS if unit == "week" else 0)


def _text(moment_ns: int) -> str:
    return f"{np.datetime64(moment_ns, 'ns').astype('datetime64[s]')}Z"
