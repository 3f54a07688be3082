"""Loads as rows: which comes first, and what each did."""

from datetime import timedelta

import pytest
from django.utils import timezone

from domain.pacing import Priority
from domain.timeframe import Timeframe
from marketdata.loadruns import queue_load, remove_old, result_of
from marketdata.models import Fetch, LoadRun
from marketdata.models.loads import Mode
from marketdata.moments import as_datetime
from marketdata.planning import LoadAsk
from tests.marketdata import make
from tradingsite import runs

pytestmark = pytest.mark.django_db


def asked(mode: Mode = Mode.TAIL, symbol: str = "SPY", **fields) -> LoadAsk:
    row = make.Instrument.objects.filter(symbol=symbol).first() or make.instrument(symbol)
    return LoadAsk(row, Timeframe.D1, "TRADES", mode, **fields)


def test_a_tail_goes_before_a_backfill_in_the_queue_and_at_ib(monkeypatch):
    told = []
    monkeypatch.setattr("tradingsite.celery.app.send_task", lambda name, **fields: told.append(fields["priority"]))
    tail, back = queue_load(ask=asked(), origin="web"), queue_load(ask=asked(Mode.FULL), origin="web")
    assert (tail.priority, back.priority) == (Priority.TAIL, Priority.BACKFILL)
    for run in (tail, back):
        runs.send(run)
    assert told == [3, 6], "of a queue's messages the smaller number is taken first"


def test_a_load_says_who_asked_for_what():
    run = queue_load(ask=asked(Mode.FULL, start_ns=0, end_ns=10**18), origin="api")
    assert run.config == {
        "instrument": run.instrument_id,
        "symbol": "SPY",
        "timeframe": "1d",
        "what": "TRADES",
        "mode": "full",
        "start": "1970-01-01 00:00:00+00:00",
        "end": "2001-09-09 01:46:40+00:00",
    }
    assert (run.origin, run.state, run.start, run.end) == ("api", "queued", as_datetime(0), as_datetime(10**18))
    assert run.log_tags == {"run_id": run.run_id, "instrument": "SPY", "timeframe": "1d"}


def test_one_that_somebody_wants_cancelled_is_not_taken_for_another_wish():
    first = queue_load(ask=asked(), origin="web")
    assert runs.claim(type(first), first.pk)
    assert queue_load(ask=asked(), origin="web").pk == first.pk
    runs.cancel(first)
    assert queue_load(ask=asked(), origin="web").pk != first.pk


def test_a_load_that_has_planned_is_still_the_one_that_was_asked_for():
    first = queue_load(ask=asked(), origin="api")
    LoadRun.objects.filter(pk=first.pk).update(mode=Mode.FULL, planned=timezone.now())  # as a first load comes to be
    assert queue_load(ask=asked(), origin="web").pk == first.pk
    assert queue_load(ask=asked(Mode.FULL), origin="web").pk != first.pk


def test_the_result_tells_counts_and_names_what_failed():
    run = queue_load(ask=asked(Mode.FULL), origin="api")
    for number in range(25):
        Fetch.objects.create(
            load_run=run,
            instrument=run.instrument,
            timeframe="1d",
            gap=0,
            start=as_datetime(number * 10**18),
            end=as_datetime((number + 1) * 10**18),
            duration="1 Y",
            state="failed" if number else "done",
            error=f"number {number}",
        )
    told = result_of(run)
    assert (told["status"], told["merged_file"]) == ("queued", "")
    assert [each["error"] for each in told["failures"]] == [f"number {number}" for number in range(1, 21)]
    run.outcome = "partial"
    assert result_of(run)["status"] == "partial"


def test_routine_loads_go_after_a_week_and_what_people_asked_or_what_failed_after_a_quarter():
    now = timezone.now()

    def ended(days: int, origin: str, state: str):
        run = queue_load(ask=asked(symbol=f"S{LoadRun.objects.count()}"), origin=origin)
        LoadRun.objects.filter(pk=run.pk).update(state=state, finished=now - timedelta(days=days))
        Fetch.objects.create(
            load_run=run,
            instrument=run.instrument,
            timeframe="1d",
            gap=0,
            start=as_datetime(0),
            end=as_datetime(10**18),
            duration="1 Y",
        )
        return run.pk

    kept = {
        ended(6, "schedule", "succeeded"),
        ended(60, "api", "succeeded"),
        ended(60, "schedule", "failed"),
        queue_load(ask=asked(symbol="OPEN"), origin="schedule").pk,
    }
    for days, origin, state in ((8, "schedule", "succeeded"), (8, "run", "succeeded"), (100, "web", "failed")):
        ended(days, origin, state)
    assert remove_old(now) == 6, "three loads and their fetches"
    assert set(LoadRun.objects.values_list("pk", flat=True)) == kept
