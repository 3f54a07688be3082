"""Rebuilding: where IB's past is no longer what is held, the series is fetched anew and swapped in one piece.

Prices before and after a split must never stand in one series, so bars that do not agree with the last one held are
not merged. The old series serves until the new one is whole; its bars wait in files below `staging/`.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from domain import restatement
from domain.bars import Adjustment, BarSeries, merge
from domain.errors import BadInput
from domain.restatement import Verdict
from domain.timeframe import Timeframe
from marketdata import proofs, quality, store
from marketdata.barfile import decode_bars, encode_bars
from marketdata.errors import CorruptBarFile, StoreUnavailable
from marketdata.loadruns import queue_load
from marketdata.models import Fetch, LoadRun, Restatement
from marketdata.models.loads import Mode
from marketdata.moments import as_datetime, as_ns
from marketdata.planning import SIMULATED, LoadAsk, held_files
from marketdata.proofs import Proof
from marketdata.signals import series_rebuilt
from tradingsite.attempts import Attempt
from tradingsite.runs import Run, own

STAGING = "staging"

log = logging.getLogger(__name__)


def mode_for(ask: LoadAsk, simulated: bool) -> LoadAsk:
    """The load that keeps real and simulated bars apart: what the simulator gave is replaced by what IB gives as a
    whole, and never the other way round."""
    sources = {row.source for row in held_files(ask.instrument, ask.timeframe, ask.what)}
    if simulated and sources - {SIMULATED}:
        raise BadInput(
            f"{ask.instrument.symbol} {ask.timeframe}: bars from {', '.join(sorted(sources - {SIMULATED}))} are held; "
            "simulated ones are not mixed with them. Load it from a real gateway, or use another database for trials"
        )
    if not simulated and SIMULATED in sources:
        return ask._replace(mode=Mode.REBUILD)
    return ask


def is_restated(run: LoadRun, fresh: BarSeries, basis: Adjustment, attempt: Attempt) -> bool:
    """Compare bars that came with those held at the same time. Where the past was restated: record it, queue the
    rebuild, and let this load end without them."""
    frame = Timeframe(run.timeframe)
    try:
        held = store.read_bars(
            run.instrument,
            frame,
            start_ns=int(fresh.start[0]),
            end_ns=int(fresh.end[-1]),
            what=run.what,
            adjustment=basis,
        )
    except (BadInput, CorruptBarFile):  # nothing is held there
        return False
    found = restatement.compare(held, fresh)
    if found.verdict is not Verdict.RESTATED:
        if found.verdict is Verdict.REVISED:
            attempt.write(f"  {found.different:,} of {found.overlap:,} bars held were corrected by IB")
        return False
    words = f"a split of {found.split:g} for 1" if found.split else "no split explains it"
    attempt.write(f"IB's past has changed by a factor of {found.ratio:.6g} ({words}): the series is rebuilt")
    log.warning("%s %s: restated by %.6g (%s)", run.instrument.symbol, frame, found.ratio, words)
    with transaction.atomic():
        ask = LoadAsk(run.instrument, frame, run.what, Mode.REBUILD)
        rebuild = queue_load(ask=ask, origin=Run.Origin.RUN, started_by=run.started_by)
        Restatement.objects.get_or_create(
            instrument=run.instrument,
            timeframe=run.timeframe,
            what=run.what,
            rebuilt=None,
            defaults={
                "adjustment": str(basis),
                "found": timezone.now(),
                "bar": as_datetime(int(held.start[-1])),
                "ratio": found.ratio,
                "explanation": words,
                "rebuild": rebuild,
            },
        )
        own(run).update(outcome=LoadRun.Outcome.RESTATED)
    return True


def stage(fetch: Fetch, bars: BarSeries) -> None:
    """Keep the bars of a rebuild's fetch until all of them are there."""
    folder = store.bars_folder()
    path = f"{STAGING}/{fetch.load_run_id}/{fetch.pk}.parquet"
    try:
        folder.write(path, encode_bars(bars))
    except OSError as error:
        raise StoreUnavailable(f"cannot write bars to {folder.url} ({error.strerror or error})") from error
    fetch.staged = path


def swap(run: LoadRun, basis: Adjustment, source: str) -> None:
    """Put what was staged in the place of the series, in one transaction, and remove the staged files. Nothing happens
    where that was done before."""
    folder = store.bars_folder()
    frame = Timeframe(run.timeframe)
    fetches = run.fetches.exclude(staged="").order_by("start")
    staged = list(fetches.values_list("staged", flat=True))
    if not staged:
        return
    try:
        bars = merge([decode_bars(folder.read(path).data, frame, basis) for path in staged])
    except OSError as error:
        raise StoreUnavailable(f"staged bars of load {run.pk} cannot be read ({error}); start it again") from error
    series = {"instrument": run.instrument, "timeframe": run.timeframe, "what": run.what}
    # All of it was asked for. What may have come after the last bar is left open.
    asked = Proof(as_ns(run.fetches.earliest("start").start), int(bars.end[-1]))
    now = timezone.now()

    def along() -> None:
        proofs.forget(instrument=run.instrument, timeframe=run.timeframe, what=run.what)
        proofs.record(instrument=run.instrument, timeframe=frame, what=run.what, proofs=[asked], now=now)
        fetches.update(staged="")
        Restatement.objects.filter(**series, rebuilt__isnull=True).update(rebuilt=now)
        series_rebuilt.send(sender=LoadRun, adjustment=str(basis), **series)

    store.write_all([store.BarWrite(run.instrument, bars, source, run.what, replace=True)], along)
    quality.note(instrument=run.instrument, what=run.what, bars=bars, now=now)
    for path in staged:
        folder.remove(path)
