"""What is held of an instrument and what is missing, against its exchange's calendar."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from domain.gaps import Explanation, GapClass, Gaps, find_session_gaps, unexpected_bars
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, store
from marketdata.errors import StoreError
from marketdata.models import CorporateAction, Instrument

_GAPS_SHOWN = 20


class Holding(NamedTuple):
    """One series; `gaps` is None where its bars could not be read, and `fault` then says why."""

    instrument: Instrument
    held: store.Coverage
    gaps: Gaps | None
    unexpected: int
    actions: int
    fault: str = ""

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
            gaps = self.gaps
            found |= {
                "expected": gaps.expected,
                "missing": int(gaps.missing.sum()),
                "gaps": len(gaps),
                "largest_gaps": [
                    {
                        "start": _text(int(gaps.start[row])),
                        "end": _text(int(gaps.end[row])),
                        "missing": int(gaps.missing[row]),
                        "class": GapClass(int(gaps.reason[row])).label,
                    }
                    for row in np.argsort(-gaps.missing, kind="stable")[:_GAPS_SHOWN]
                ],
            }
        return found


def holdings(instrument: Instrument, timeframe: Timeframe | None = None) -> list[Holding]:
    """Every series of an instrument with its gaps from its first bar to its last. Reads the bars."""
    table = calendars.sessions(instrument.calendar)
    actions = CorporateAction.objects.of(instrument)
    ended = actions.filter(kind=CorporateAction.Kind.DELISTING).first()
    explanations = []
    if ended is not None:
        day = int(np.datetime64(ended.ex_date, "D").astype(np.int64))
        explanations.append(Explanation(day * DAY_NS, int(table.close[-1]), GapClass.AFTER_DELISTING))
    found = []
    for held in store.coverage(instrument, timeframe):
        try:
            bars = store.read_bars(instrument, held.timeframe, what=held.what, adjustment=held.adjustment)
        except StoreError as error:
            found.append(Holding(instrument, held, None, 0, actions.count(), str(error)))
            continue
        first, last = int(bars.start[0]), int(bars.start[-1]) + 1
        gaps = find_session_gaps(bars.start, table, held.timeframe, first, last, explanations)
        odd = len(unexpected_bars(bars.start, table, held.timeframe).row)
        found.append(Holding(instrument, held, gaps, odd, actions.count()))
    return found


def _text(moment_ns: int) -> str:
    return f"{np.datetime64(moment_ns, 'ns').astype('datetime64[s]')}Z"
