"""How good the bars of an instrument are: notes on what looks wrong in them, and the figures of it."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from django.db import transaction

from domain.bars import BarSeries
from domain.gaps import GapClass
from domain.quality import Finding, Oddity, findings
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, holdings, store
from marketdata.errors import StoreError
from marketdata.models import Instrument, QualityNote, TapeCheck
from marketdata.moments import as_datetime
from marketdata.services import actions_of

# A bar is judged by the two hundred around it: so far back they lie, and as far forward.
_AROUND_DAYS = {Timeframe.M1: 5, Timeframe.M5: 7, Timeframe.M15: 14, Timeframe.M30: 28, Timeframe.H1: 50}
_AROUND_DAYS |= {Timeframe.D1: 300, Timeframe.W1: 1500}
_CANNOT_EXIST = (GapClass.BEFORE_LISTING, GapClass.AFTER_DELISTING, GapClass.HALT, GapClass.NO_TRADES)
_TAPE_DAYS = 20
_MOST_KEYS = 500

log = logging.getLogger(__name__)


def note(*, instrument: Instrument, what: str, bars: BarSeries, now: dt.datetime) -> int:
    """Write notes on these bars, which were just stored, as they look among those held around them.

    Returns how many are new. Repeating it changes nothing; notes on bars of these that no longer look wrong go away.
    Call it once for many bars of a series: each call reads what is held around them.
    """
    made = 0
    for piece in _pieces(bars):
        judged = _judge(instrument, what, piece)
        made += _write({"instrument": instrument, "timeframe": str(bars.timeframe), "what": what}, judged, now)
    return made


class _Judged(NamedTuple):
    """What looks wrong in the bars that start in [first_ns, last_ns]."""

    first_ns: int
    last_ns: int
    findings: list[Finding]


def _pieces(bars: BarSeries) -> Iterator[BarSeries]:
    """Cut where so much time lies between that the surroundings do not meet: a load brings the newest bar and the
    oldest in one go, and all of the years between need not be read for them."""
    if not len(bars):
        return
    far = np.flatnonzero(np.diff(bars.start) > 2 * _around_ns(bars)) + 1
    edges = [0, *far.tolist(), len(bars)]
    for first, last in pairwise(edges):
        yield bars[first:last]


def _around_ns(bars: BarSeries) -> int:
    return _AROUND_DAYS[bars.timeframe] * DAY_NS


def _judge(instrument: Instrument, what: str, bars: BarSeries) -> _Judged:
    """The bars and the one held before and after them: new neighbours may clear those or make them look wrong."""
    around = _around_ns(bars)
    first, last = int(bars.start[0]), int(bars.start[-1])
    try:
        held = store.read_bars(
            instrument,
            bars.timeframe,
            start_ns=first - around,
            end_ns=last + around,
            what=what,
            adjustment=bars.adjustment,
        )
    except StoreError as error:
        # The bars themselves are safe; what is damaged beside them is told where it is read.
        log.warning("quality of %s %s: judged without the bars around them: %s", instrument, bars.timeframe, error)
        held = bars
    lo = max(int(np.searchsorted(held.start, first)) - 1, 0)
    hi = min(int(np.searchsorted(held.start, last, side="right")), len(held) - 1)
    first, last = int(held.start[lo]), int(held.start[hi])
    found = findings(held, calendars.sessions(instrument.calendar), actions_of(instrument))
    return _Judged(first, last, [each for each in found if each.end_ns > first and each.start_ns <= last])


def _write(series: dict[str, Any], judged: _Judged, now: dt.datetime) -> int:
    wanted = {(str(each.kind), as_datetime(each.start_ns)): each for each in judged.findings}
    first, last = as_datetime(judged.first_ns), as_datetime(judged.last_ns)
    with transaction.atomic():
        known = set()
        for row in _known(series, first, last, {when for _, when in wanted}):
            finding = wanted.get((row.kind, row.start))
            if finding is not None:
                known.add((row.kind, row.start))
                _update(row, finding)
            elif first <= row.start <= last:
                row.delete()
        new = [
            QualityNote(
                **series,
                kind=kind,
                start=start,
                end=as_datetime(each.end_ns, up=True),
                bars=each.bars,
                note=each.note[:200],
                found=now,
            )
            for (kind, start), each in wanted.items()
            if (kind, start) not in known
        ]
        # Another process that judges the same bars comes to the same notes.
        QualityNote.objects.bulk_create(new, batch_size=200, ignore_conflicts=True)
    return len(new)


def _known(
    series: dict[str, Any], first: dt.datetime, last: dt.datetime, starts: Iterable[dt.datetime]
) -> Iterator[QualityNote]:
    rows = QualityNote.objects.filter(**series)
    yield from rows.filter(start__gte=first, start__lte=last)
    # Of those that begin before the bars, or behind them, only the ones that were found again.
    outside = sorted(each for each in starts if not first <= each <= last)
    for at in range(0, len(outside), _MOST_KEYS):
        yield from rows.filter(start__in=outside[at : at + _MOST_KEYS])


def _update(row: QualityNote, finding: Finding) -> None:
    end = as_datetime(finding.end_ns, up=True)
    if (row.end, row.bars, row.note) != (end, finding.bars, finding.note[:200]):
        row.end, row.bars, row.note = end, finding.bars, finding.note[:200]
        row.save(update_fields=["end", "bars", "note"])


# Figures


class TapeFigures(NamedTuple):
    """The last days of the live tape against history, in bars; `share_different` of the bars compared."""

    days: int
    last_day: dt.date
    compared: int
    different: int
    only_live: int
    only_history: int
    largest_bps: float

    @property
    def share_different(self) -> float:
        return self.different / self.compared if self.compared else 0.0


class Figures(NamedTuple):
    """The quality of one series. `expected` and `held` count bars from its first to its last; `explained` those
    that cannot exist (halts, no trades). `tape` is None where nothing was heard live."""

    timeframe: Timeframe
    what: str
    adjustment: str
    expected: int
    held: int
    explained: int
    notes: dict[str, int]
    tape: TapeFigures | None
    fault: str = ""

    @property
    def share_held(self) -> float:
        """Of the bars that there can be."""
        possible = self.expected - self.explained
        return self.held / possible if possible else 1.0

    def as_dict(self) -> dict[str, Any]:
        tape = self.tape
        return self._asdict() | {
            "timeframe": str(self.timeframe),
            "share_held": self.share_held,
            "tape": None
            if tape is None
            else tape._asdict() | {"last_day": tape.last_day.isoformat(), "share_different": tape.share_different},
        }


def figures(instrument: Instrument, held: Iterable[holdings.Holding] | None = None) -> list[Figures]:
    """One for each series held. Give `held` (`holdings.holdings`) where it is known already: it reads the bars."""
    notes: dict[tuple[str, str], Counter[str]] = {}
    for frame, what, kind in QualityNote.objects.filter(instrument=instrument).values_list("timeframe", "what", "kind"):
        notes.setdefault((frame, what), Counter())[kind] += 1
    tapes = {frame: _tape(instrument, frame) for frame in Timeframe}
    found = []
    for each in holdings.holdings(instrument) if held is None else held:
        series, gaps = each.held, each.gaps
        explained = 0 if gaps is None else int(gaps.only(*_CANNOT_EXIST).missing.sum())
        counted = notes.get((str(series.timeframe), str(series.what)), Counter())
        found.append(
            Figures(
                timeframe=series.timeframe,
                what=str(series.what),
                adjustment=str(series.adjustment),
                expected=0 if gaps is None else gaps.expected,
                held=0 if gaps is None else gaps.held,
                explained=explained,
                notes={kind.value: counted[kind.value] for kind in Oddity if counted[kind.value]},
                tape=tapes[series.timeframe],
                fault=each.fault,
            )
        )
    return found


def _tape(instrument: Instrument, timeframe: Timeframe) -> TapeFigures | None:
    rows = list(TapeCheck.objects.filter(instrument=instrument, timeframe=timeframe).order_by("-day")[:_TAPE_DAYS])
    if not rows:
        return None
    return TapeFigures(
        days=len(rows),
        last_day=rows[0].day,
        compared=sum(row.compared for row in rows),
        different=sum(row.different for row in rows),
        only_live=sum(row.only_live for row in rows),
        only_history=sum(row.only_history for row in rows),
        largest_bps=max(row.largest_bps for row in rows),
    )
