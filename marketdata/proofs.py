"""What is known of bars that are not held: IB answered that there are none, or why it did not answer."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from django.db import transaction

from domain.gaps import Explanation, GapClass
from domain.sessions import SessionTable
from domain.timeframe import Timeframe
from marketdata.models import CorporateAction, Fetch, Halt, HeadTime, Instrument, ProvenRange, What
from marketdata.moments import as_datetime, as_ns, day_ns

# What IB says where a subscription is missing.
NO_PERMISSION_CODES = frozenset({354, 10089, 10090, 10091, 10168, 10186})


class Proof(NamedTuple):
    """IB answered for [start_ns, end_ns) of a series."""

    start_ns: int
    end_ns: int


class Knowledge:
    """What is known of the missing bars of some instruments, read in five queries however many they are."""

    def __init__(self, instruments: Iterable[Instrument], **series: str) -> None:
        """`series`: only of that timeframe, or that kind (`what`)."""
        mine = {"instrument__in": [each.pk for each in instruments]}
        self._answers: dict[tuple[int, str, str], list[Explanation]] = defaultdict(list)
        for row in Fetch.objects.filter(**mine, **series, state=Fetch.State.FAILED).order_by("ended"):
            reason = GapClass.NO_PERMISSION if is_permission(row.code, row.error) else GapClass.FAILED
            self._add(row, reason)
        for proven in ProvenRange.objects.filter(**mine, **series):
            self._add(proven, GapClass.NO_TRADES)
        self._heads = {(row.instrument_id, row.what): as_ns(row.start) for row in HeadTime.objects.filter(**mine)}
        ended = CorporateAction.objects.filter(**mine, kind=CorporateAction.Kind.DELISTING).order_by("-ex_date")
        self._ends = {row.instrument_id: day_ns(row.ex_date) for row in ended}
        self._halts: dict[int, list[Explanation]] = defaultdict(list)
        for halt in Halt.objects.filter(**mine):
            known = Explanation(as_ns(halt.start), as_ns(halt.end), GapClass.HALT)
            self._halts[halt.instrument_id].append(known)

    def _add(self, row: Fetch | ProvenRange, reason: GapClass) -> None:
        known = Explanation(as_ns(row.start), as_ns(row.end), reason)
        self._answers[row.instrument_id, row.timeframe, row.what].append(known)

    def of(self, instrument: Instrument, timeframe: Timeframe, what: str, table: SessionTable) -> list[Explanation]:
        """The strongest last, as `domain.gaps` takes it."""
        found = list(self._answers.get((instrument.pk, str(timeframe), what), ()))
        head = self.head(instrument, what)
        if head is not None:
            found.append(Explanation(int(table.open[0]), head, GapClass.BEFORE_LISTING))
        ended = self._ends.get(instrument.pk)
        if ended is not None:
            found.append(Explanation(ended, int(table.close[-1]), GapClass.AFTER_DELISTING))
        return found + self._halts.get(instrument.pk, [])

    def head(self, instrument: Instrument, what: str) -> int | None:
        """Where IB says that its history begins; None where IB was not asked."""
        return self._heads.get((instrument.pk, head_of(what)))


def explanations(instrument: Instrument, timeframe: Timeframe, what: str, table: SessionTable) -> list[Explanation]:
    """Everything known of one series, the strongest last, as `domain.gaps` takes it."""
    return Knowledge([instrument], timeframe=str(timeframe), what=what).of(instrument, timeframe, what, table)


def head_of(what: str) -> str:
    """Whose beginning counts: adjusted trades begin where trades do."""
    return What.TRADES.value if what == What.ADJUSTED_LAST else what


def is_permission(code: int, text: str) -> bool:
    return code in NO_PERMISSION_CODES or (code in (162, 420) and "permission" in text.lower())


def record(
    *, instrument: Instrument, timeframe: Timeframe, what: str, proofs: Iterable[Proof], now: dt.datetime
) -> None:
    """Add what IB answered for, joined with the ranges that it touches. To be called in the transaction that stores
    the bars of the answers."""
    Instrument.objects.select_for_update().get(pk=instrument.pk)
    rows = ProvenRange.objects.filter(instrument=instrument, timeframe=str(timeframe), what=what)
    for start_ns, end_ns in proofs:
        start, end = as_datetime(start_ns), as_datetime(end_ns)
        touching = rows.filter(start__lte=end, end__gte=start)
        for row in touching:
            start, end = min(start, row.start), max(end, row.end)
        touching.delete()
        ProvenRange.objects.create(
            instrument=instrument, timeframe=str(timeframe), what=what, start=start, end=end, proven=now
        )


def forget(
    *,
    instrument: Instrument,
    timeframe: str,
    what: str,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
) -> None:
    """Take back what was proven for [start, end), None being open: its bars were lost, or IB has changed its mind."""
    rows = ProvenRange.objects.filter(instrument=instrument, timeframe=timeframe, what=what)
    with transaction.atomic():
        Instrument.objects.select_for_update().get(pk=instrument.pk)
        for row in rows:
            lo = row.start if start is None else max(row.start, start)
            hi = row.end if end is None else min(row.end, end)
            if lo >= hi:
                continue
            row.delete()
            for left, right in ((row.start, lo), (hi, row.end)):
                if left < right:
                    ProvenRange.objects.create(
                        instrument=instrument, timeframe=timeframe, what=what, start=left, end=right, proven=row.proven
                    )
