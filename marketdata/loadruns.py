"""Load runs as rows: queueing one, and what it did."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Q

from domain.pacing import Priority
from marketdata.models import BarFile, Fetch, GatewayQuestion, LoadPlan, LoadRun
from marketdata.models.loads import Mode
from marketdata.moments import as_datetime
from marketdata.planning import LoadAsk
from tradingsite.runs import Run

_FAILURES_TOLD = 20


def queue_load(
    *, ask: LoadAsk, origin: str, started_by: Any = None, plan: LoadPlan | None = None, mode: Mode | None = None
) -> LoadRun:
    """The open load of exactly this, or a new one. The caller enqueues it."""
    wanted = {
        "instrument": ask.instrument,
        "timeframe": str(ask.timeframe),
        "what": ask.what,
        "mode": str(mode or ask.mode),
        "start": None if ask.start_ns is None else as_datetime(ask.start_ns),
        "end": None if ask.end_ns is None else as_datetime(ask.end_ns),
    }
    told = {name: str(value) for name, value in wanted.items() if value is not None}
    config = told | {"instrument": ask.instrument.pk, "symbol": ask.instrument.symbol}
    series = {name: wanted[name] for name in ("instrument", "timeframe", "what")}
    is_open = Q(state__in=[Run.State.QUEUED, Run.State.RUNNING], cancel_requested__isnull=True)
    for row in LoadRun.objects.filter(is_open, **series):
        # By what was asked: once it has planned, the row's mode is the one that it came to.
        if row.config == config:
            return row
    return LoadRun.objects.create(
        **wanted,
        origin=origin,
        started_by=started_by,
        plan=plan,
        priority=Priority.TAIL if wanted["mode"] == Mode.TAIL else Priority.BACKFILL,
        config=config,
    )


def result_of(run: LoadRun) -> dict[str, Any]:
    """What a load did, in bars, gaps, segments and requests; `failures` names the first segments that failed."""
    failed = Fetch.objects.filter(load_run=run, state=Fetch.State.FAILED).order_by("start")
    files = BarFile.objects.filter(instrument=run.instrument, timeframe=run.timeframe, what=run.what)
    newest = files.order_by("-end").first()
    return {
        "status": run.outcome or run.state,
        "symbol": run.instrument.symbol,
        "timeframe": run.timeframe,
        "what": run.what,
        "mode": run.mode,
        "fetched_bars": run.fetched_bars,
        "cached_before": run.cached_before,
        "merged_file": newest.path if newest else "",
        "gaps_analyzed": run.gaps_analyzed,
        "segments_fetched": run.segments_fetched,
        "segments_failed": run.segments_failed,
        "ib_requests_made": run.ib_requests_made,
        "failures": [
            {"start": row.start.isoformat(), "end": row.end.isoformat(), "error": row.error}
            for row in failed[:_FAILURES_TOLD]
        ],
    }


def remove_old(now: dt.datetime) -> int:
    """Remove loads that a plan or another run started and that ended well a week ago, all others after a quarter, and
    questions after a month; returns how many rows. What is held and proven does not depend on them."""
    ended = LoadRun.objects.filter(finished__isnull=False)
    routine = ended.filter(origin__in=[Run.Origin.SCHEDULE, Run.Origin.RUN], state=Run.State.SUCCEEDED)
    questions = GatewayQuestion.objects.filter(finished__lt=now - dt.timedelta(days=30))
    old = (
        routine.filter(finished__lt=now - dt.timedelta(days=7)),
        ended.filter(finished__lt=now - dt.timedelta(days=92)),
        questions,
    )
    return sum(rows.delete()[0] for rows in old)
