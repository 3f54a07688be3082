"""Previews: what a load would cost, and whether there is anything to load, before one is made."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.conf import settings

from domain.errors import BadInput
from marketdata import loading, pacing, planning, rebuilding
from marketdata.loadruns import result_of
from marketdata.models import LoadRun
from marketdata.models.loads import Mode
from marketdata.moments import as_ns
from marketdata.planning import LoadAsk, LoadPlanning, make_plan
from tradingsite import linkrows

GAPS_TOLD = 500


class Preview(NamedTuple):
    """`minutes` at the present pace. Where IB has not been asked yet how far back it goes (`plan.head_known`), requests
    and bars are those of the widest range that it may have."""

    plan: LoadPlanning
    minutes: float

    @property
    def is_needless(self) -> bool:
        """Whether a load would ask for nothing. Only the load itself finds out how far back IB goes."""
        return self.plan.requests == 0 and (self.plan.head_known or self.plan.mode == Mode.TAIL)

    def as_dict(self) -> dict[str, Any]:
        told = self.plan.as_dict()
        gaps = told.pop("gaps")
        cost = {"minutes": round(self.minutes, 2), "gaps_found": len(gaps), "gaps": gaps[:GAPS_TOLD]}
        return told | cost


def gateway_now(now: dt.datetime) -> dt.datetime:
    """The gateway's time, as its holder told it last: which bars are complete is for it to say. A simulated one may
    live on another day. `now` where nobody holds a connection."""
    row = linkrows.standing(linkrows.DATA).row
    ahead = None if row is None else row.clock_skew_s
    return now if ahead is None else now + dt.timedelta(seconds=ahead)


def plan_load(ask: LoadAsk, now: dt.datetime, *, scheduled: bool = False) -> LoadPlanning:
    """What the load would do, as the data worker will plan it at `now` (the gateway's). BadInput where it cannot be
    made."""
    meant = rebuilding.mode_for(ask, simulated=loading.source() == planning.SIMULATED)
    return make_plan(meant, as_ns(now), scheduled=scheduled)


def preview(ask: LoadAsk, now: dt.datetime) -> Preview:
    """BadInput where it cannot be made, or would take more requests than one load may make."""
    plan = plan_load(ask, now)
    most = settings.LOAD_MAX_REQUESTS
    if plan.requests > most:
        raise BadInput(
            f"{ask.instrument.symbol} {ask.timeframe}: this takes {plan.requests:,} requests, and one load may make "
            f"{most:,}; give a later start, a longer timeframe or longer requests (LOAD_MAX_REQUESTS is the limit)"
        )
    return Preview(plan, pacing.minutes_for(plan.requests, ask.timeframe, ask.what))


def up_to_date(plan: LoadPlanning) -> dict[str, Any]:
    """`loadruns.result_of`, of the load that need not be made."""
    ask = plan.ask
    run = LoadRun(
        instrument=ask.instrument,
        timeframe=str(ask.timeframe),
        what=ask.what,
        mode=str(plan.mode),
        outcome=LoadRun.Outcome.UP_TO_DATE,
        cached_before=plan.cached,
    )
    return result_of(run)
