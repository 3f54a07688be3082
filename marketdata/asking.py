"""Loads that a person asks for on a page: of one series or of many at once, only where something is missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import messages

from domain.errors import BadInput
from marketdata import previews
from marketdata.contracts import basis_of
from marketdata.loadruns import queue_load
from marketdata.models import BarFile, Instrument, LoadRun
from marketdata.moments import as_ns
from marketdata.planning import check_ask
from tradingsite import linkrows
from tradingsite.runs import Run

MOST = 1_000
"""Series that may be asked for at once; a load plan keeps more."""
_NAMED = 12


class Wish(NamedTuple):
    """`what` empty: as is usual for the instrument's kind."""

    instrument: Instrument
    timeframe: str
    what: str = ""


class Asked(NamedTuple):
    """What became of some wishes: loads that are open now, series of which nothing is missing, and those that cannot be
    loaded with the reason."""

    loads: list[LoadRun]
    complete: list[Wish]
    refused: list[tuple[Wish, str]]

    def tell(self) -> list[tuple[int, str]]:
        """(level of Django's messages, text)."""
        told = []
        if self.loads:
            names = _names(f"{run.instrument.symbol} {run.timeframe}" for run in self.loads)
            many = "1 load is" if len(self.loads) == 1 else f"{len(self.loads):,} loads are"
            told.append((messages.SUCCESS, f"{many} queued: {names}."))
        if self.complete:
            names = _names(f"{wish.instrument.symbol} {wish.timeframe}" for wish in self.complete)
            told.append((messages.INFO, f"Nothing is missing, so nothing was asked for: {names}."))
        told += [(messages.ERROR, why) for _wish, why in self.refused[:_NAMED]]
        if len(self.refused) > _NAMED:
            told.append((messages.ERROR, f"{len(self.refused) - _NAMED:,} more cannot be loaded."))
        if self.loads:
            gateway = linkrows.standing(linkrows.DATA)
            if not gateway.ok:
                waits = "It waits" if len(self.loads) == 1 else "They wait"
                remedy = f" What to do: {gateway.remedy}." if gateway.remedy else ""
                text = f"{waits} for the gateway ({gateway.state}): {gateway.cause}.{remedy}"
                told.append((messages.WARNING, text.replace("`", "")))
        return told


def ask_for(wishes: Iterable[Wish], *, mode: str, person: Any, now: dt.datetime) -> Asked:
    """Queue the loads; the caller enqueues those that are queued. BadInput where there are too many."""
    wanted = list(wishes)
    if len(wanted) > MOST:
        raise BadInput(
            f"{len(wanted):,} series are more than the {MOST:,} that may be asked for at once; make a load plan"
        )
    moment = previews.gateway_now(now)
    asked = Asked([], [], [])
    for wish in wanted:
        try:
            ask = check_ask(
                instrument=wish.instrument, timeframe=wish.timeframe, mode=mode, what=wish.what, now_ns=as_ns(moment)
            )
            if previews.preview(ask, moment).is_needless:
                asked.complete.append(wish)
            else:
                asked.loads.append(queue_load(ask=ask, origin=Run.Origin.WEB, started_by=person))
        except BadInput as error:
            asked.refused.append((wish, str(error)))
    return asked


def wishes_of(files: Iterable[BarFile]) -> list[Wish]:
    """The series of these files, each once; those that the loader keeps, since others it cannot go on with."""
    series = {(row.instrument_id, row.timeframe, row.what): row for row in files if _is_kept(row)}
    return [Wish(row.instrument, row.timeframe, row.what) for row in series.values()]


def _is_kept(row: BarFile) -> bool:
    return row.adjustment == basis_of(row.instrument, row.what)


def _names(found: Iterable[str]) -> str:
    names = list(found)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
