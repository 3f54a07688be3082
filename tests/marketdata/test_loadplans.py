"""Load plans: what is due is queued once, and what is up to date costs next to nothing."""

import datetime as dt
import itertools
import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import loadplans
from marketdata.loadplans import check_plan, set_due, start_due
from marketdata.models import BarFile, Fetch, HeadTime, Instrument, LoadPlan, LoadRun, ProvenRange
from marketdata.moments import as_ns
from marketdata.planning import check_ask, make_plan
from marketdata.services import set_watchlist
from tests.marketdata.make import instrument

pytestmark = pytest.mark.django_db

# A Wednesday: New York is open from 13:30 to 20:00.
DAY = dt.datetime(2024, 6, 12, tzinfo=dt.UTC)
OPEN, NOON, EVENING = DAY.replace(hour=13, minute=30), DAY.replace(hour=15), DAY.replace(hour=20, minute=5)
CLOSE = DAY.replace(hour=20)
YESTERDAY = CLOSE - dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


def holds(row: Instrument, end: dt.datetime, timeframe: str = "1d", **fields) -> BarFile:
    about = {"what": "TRADES", "adjustment": "split", "partition": 0 if timeframe == "1d" else 2024}
    start = end - dt.timedelta(days=90)
    return BarFile.objects.create(
        instrument=row, timeframe=timeframe, start=start, end=end, rows=60, bytes=1, sha256="0" * 64,
        path=f"{row.pk}-{timeframe}.parquet", source="IB, simulated", **(about | fields),
    )  # fmt: skip


def plan(*members: Instrument, **fields) -> LoadPlan:
    name = fields.pop("name", "desk")
    set_watchlist(name=name, instruments=members)
    watchlist = members[0].watchlists.get(name=name)
    return LoadPlan.objects.create(name=name, watchlist=watchlist, next_run_at=fields.pop("due", DAY), **fields)


def ended(run: LoadRun) -> None:
    LoadRun.objects.filter(pk=run.pk).update(state="succeeded", finished=NOON)


def test_a_plan_that_is_due_queues_what_is_missing_once():
    spy = instrument("SPY")
    holds(spy, YESTERDAY)
    row = plan(spy, every_minutes=15)
    (run,) = start_due(EVENING)
    assert (run.instrument, run.timeframe, run.what, run.mode, run.state) == (spy, "1d", "TRADES", "tail", "queued")
    assert (run.origin, run.plan, run.enqueued) == ("schedule", row, None)
    row.refresh_from_db()
    assert (row.last_run_at, row.next_run_at) == (EVENING, EVENING + 15 * MINUTE)
    ended(run)
    assert start_due(EVENING + 14 * MINUTE) == []
    assert len(start_due(EVENING + 15 * MINUTE)) == 1


def test_a_bar_that_cannot_exist_yet_is_not_asked_for():
    spy, long = instrument("SPY"), instrument("GOOD")
    holds(spy, YESTERDAY)
    plan(spy, long, due=None)
    first = start_due(NOON)  # today's bar is not complete: only the instrument without any is loaded
    assert [run.instrument for run in first] == [long]
    assert {run.instrument for run in start_due(EVENING)} == {spy}, "the load of the other one is open"


def test_weekends_and_holidays_ask_for_nothing():
    spy = instrument("SPY")
    holds(spy, dt.datetime(2024, 7, 3, 17, tzinfo=dt.UTC), "1m")  # a half day before a holiday
    plan(spy, timeframe="1m", due=None)
    assert start_due(dt.datetime(2024, 7, 4, 18, tzinfo=dt.UTC)) == []
    assert len(start_due(dt.datetime(2024, 7, 5, 13, 31, tzinfo=dt.UTC))) == 1


def test_two_beats_at_once_do_no_harm(monkeypatch):
    spy = instrument("SPY")
    plan(spy)
    at_work, others = loadplans._queue_missing, []

    def meanwhile(row, now):
        others.append(start_due(now))
        return at_work(row, now)

    monkeypatch.setattr(loadplans, "_queue_missing", meanwhile)
    assert len(start_due(NOON)) == 1
    assert others == [[]]


def test_a_plan_that_another_beat_took_after_it_was_read_is_left_to_that_one(monkeypatch):
    row = plan(instrument("SPY"))
    read = LoadPlan.objects.filter

    def taken_meanwhile(*args, **fields):
        if "pk" in fields:
            monkeypatch.setattr(LoadPlan.objects, "filter", read)
            assert len(start_due(NOON)) == 1
        return read(*args, **fields)

    monkeypatch.setattr(LoadPlan.objects, "filter", taken_meanwhile)
    assert start_due(NOON) == []
    assert LoadRun.objects.count() == 1
    row.refresh_from_db()
    assert row.next_run_at == NOON + 5 * MINUTE


def test_a_plan_that_is_off_or_not_due_and_a_member_that_is_inactive_start_nothing():
    spy = instrument("SPY")
    plan(spy, enabled=False)
    plan(spy, name="later", due=NOON + MINUTE)
    plan(instrument("OLD", active=False), name="inactive")
    assert start_due(NOON) == []
    assert LoadPlan.objects.get(name="inactive").last_run_at == NOON


def test_no_second_load_of_a_series_is_opened_by_any_plan_or_person():
    spy = instrument("SPY")
    person = LoadRun.objects.create(instrument=spy, timeframe="1d", what="TRADES", mode="full")
    plan(spy, due=None)
    plan(spy, name="again", mode="full", due=None)
    plan(spy, name="minutes", timeframe="1m", due=None)
    assert [run.timeframe for run in start_due(NOON)] == ["1m"]
    ended(person)
    assert [run.timeframe for run in start_due(NOON + 5 * MINUTE)] == ["1d"]


def test_what_failed_lately_is_not_asked_again_before_its_time():
    spy = instrument("SPY")
    holds(spy, YESTERDAY)
    run = LoadRun.objects.create(instrument=spy, timeframe="1d", state="failed", finished=EVENING)
    Fetch.objects.create(
        load_run=run, instrument=spy, timeframe="1d", gap=0, start=OPEN, end=CLOSE, duration="1 W", state="failed",
        due=EVENING + 10 * MINUTE, ended=EVENING,
    )  # fmt: skip
    plan(spy, every_minutes=1)
    assert start_due(EVENING) == []
    assert start_due(EVENING + 9 * MINUTE) == []
    assert len(start_due(EVENING + 10 * MINUTE)) == 1


def test_what_ib_has_answered_for_is_not_asked_again():
    spy = instrument("SPY")
    holds(spy, YESTERDAY)
    ProvenRange.objects.create(
        instrument=spy, timeframe="1d", start=YESTERDAY, end=DAY + dt.timedelta(days=1, hours=13), proven=EVENING
    )
    plan(spy, due=None)
    assert start_due(EVENING) == []
    assert len(start_due(EVENING + dt.timedelta(days=1))) == 1


def test_a_pair_is_asked_for_its_midpoint_and_a_share_for_its_trades():
    pair = instrument("EURUSD", kind="forex", exchange="IDEALPRO", calendar="FX")
    plan(pair, instrument("SPY"), timeframe="1h")
    assert {run.instrument.symbol: run.what for run in start_due(NOON)} == {"EURUSD": "MIDPOINT", "SPY": "TRADES"}


def test_what_cannot_be_loaded_is_a_failed_row_once_and_keeps_nobody_else_waiting(caplog):
    mine, spy = instrument("MINE"), instrument("SPY")
    held = holds(mine, YESTERDAY)
    BarFile.objects.filter(pk=held.pk).update(source="mine.csv")  # simulated bars are not mixed with those
    plan(mine, spy, every_minutes=5)
    assert [run.instrument for run in start_due(EVENING)] == [spy]
    failed = LoadRun.objects.get(instrument=mine)
    assert (failed.state, failed.origin) == ("failed", "schedule")
    assert "MINE 1d: bars from mine.csv are held" in failed.error
    start_due(EVENING + 5 * MINUTE)
    assert LoadRun.objects.filter(instrument=mine).count() == 1
    assert caplog.text.count("MINE cannot be loaded") == 2


def test_a_plan_that_no_load_can_be_is_refused():
    row = plan(instrument("SPY"), timeframe="1m", what="ADJUSTED_LAST")
    with pytest.raises(BadInput, match="ADJUSTED_LAST is loaded for 1d and 1w"):
        check_plan(row)
    row.timeframe = "1d"
    check_plan(row)
    for minutes in (0, 10_081):
        row.every_minutes = minutes
        with pytest.raises(BadInput, match="each 1 to 10,080 minutes"):
            check_plan(row)


def test_a_plan_is_due_at_once_when_it_was_changed_and_never_when_it_is_off():
    row = plan(instrument("SPY"), due=None)
    set_due(plan=row, now=NOON)
    assert LoadPlan.objects.get().next_run_at == NOON
    row.enabled = False
    row.save()
    set_due(plan=row, now=NOON)
    assert LoadPlan.objects.get().next_run_at is None
    assert start_due(EVENING) == []


@pytest.mark.parametrize("timeframe", ["1m", "1d"])
def test_what_is_taken_for_up_to_date_is_what_planning_finds_nothing_missing_of(timeframe):
    """Any last bar, proofs and failures: whoever is left out has nothing to ask for."""
    rng = random.Random(5)
    table_days = [DAY - dt.timedelta(days=days) for days in range(6)]
    left_out = 0
    for number in range(120):
        row = instrument(f"S{number}")
        # Facts begin and end where bars do.
        hours, minutes = ([13.5, 14, 20, 20], [0, 1, 5]) if timeframe == "1m" else ([13.5, 20, 20], [0])
        moments = sorted(
            rng.choice(table_days) + dt.timedelta(hours=rng.choice(hours), minutes=rng.choice(minutes))
            for _ in range(5)
        )
        end = moments[0] if timeframe == "1m" else moments[0].replace(hour=20, minute=0)
        holds(row, end, timeframe)
        for first, last in itertools.pairwise(moments):
            if first == last or rng.random() < 0.1:
                continue
            if rng.random() < 0.5:
                ProvenRange.objects.create(instrument=row, timeframe=timeframe, start=first, end=last, proven=last)
            else:
                run = LoadRun.objects.create(instrument=row, timeframe=timeframe, state="failed", finished=last)
                due = EVENING + rng.choice([-1, 1]) * MINUTE
                Fetch.objects.create(
                    load_run=run, instrument=row, timeframe=timeframe, gap=0, start=first, end=last, duration="1 D",
                    state="failed", due=due,
                )  # fmt: skip
    now = EVENING
    row = plan(*Instrument.objects.all(), timeframe=timeframe)
    kept = {each.pk for each in loadplans._worth_planning(row, now)}
    for each in Instrument.objects.exclude(pk__in=kept):
        ask = check_ask(instrument=each, timeframe=timeframe, now_ns=as_ns(now))
        assert make_plan(ask, as_ns(now), scheduled=True).requests == 0, each
        left_out += 1
    assert 5 < left_out < 115


def test_the_questions_to_the_database_are_as_many_for_many_instruments_as_for_few():
    def questions(count: int) -> int:
        rows = []
        for number in range(count):
            row = instrument(f"N{count}X{number}")
            holds(row, EVENING.replace(minute=0), "1m")
            HeadTime.objects.create(instrument=row, start=DAY - dt.timedelta(days=900), asked=DAY)
            rows.append(row)
        plan(*rows, name=f"{count}", timeframe=str(Timeframe.M1), due=NOON)
        with CaptureQueriesContext(connection) as captured:
            assert start_due(EVENING) == []
        return len(captured)

    assert questions(3) == questions(60) <= 9
