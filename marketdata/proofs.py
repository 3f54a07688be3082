"""What is known of bars that are not held: IB answered that there are none, or why it did not answer."""

from __future__ import annotations

import datetime as dt
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


def explanations(instrument: Instrument, timeframe: Timeframe, what: str, table: SessionTable) -> list[Explanation]:
    """Everything known, the strongest last, as `domain.gaps` takes it."""
    series = {"instrument": instrument, "timeframe": str(timeframe), "what": what}
    found = []
    for row in Fetch.objects.filter(**series, state=Fetch.State.FAILED).order_by("ended"):
        reason = GapClass.NO_PERMISSION if is_permission(row.code, row.error) else GapClass.FAILED
        found.append(Explanation(as_ns(row.start), as_ns(row.end), reason))
    for proven in ProvenRange.objects.filter(**series):
        found.append(Explanation(as_ns(proven.start), as_ns(proven.end), GapClass.NO_TRADES))
    head = HeadTime.objects.filter(instrument=instrument, what=head_of(what)).first()
    if head is not None:
        found.append(Explanation(int(table.open[0]), as_ns(head.start), GapClass.BEFORE_LISTING))
    ended = CorporateAction.objects.of(instrument).filter(kind=CorporateAction.Kind.DELISTING).first()
    if ended is not None:
        found.append(Explanation(day_ns(ended.ex_date), int(table.close[-1]), GapClass.AFTER_DELISTING))
    for halt in Halt.objects.filter(instrument=instrument):
        found.append(Explanation(as_ns(halt.start), as_ns(halt.end), GapClass.HALT))
    return found


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
