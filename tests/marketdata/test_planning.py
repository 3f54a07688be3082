"""Planning a load: what may be asked, and the requests that it comes to."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from domain.errors import BadInput
from domain.timeframe import DAY_NS, HOUR_NS, Timeframe
from marketdata import planning, proofs, store
from marketdata.calendars import sessions
from marketdata.models import Fetch, HeadTime, LoadRun, RequestLength
from marketdata.moments import as_datetime, as_ns
from marketdata.proofs import Proof
from marketdata.requestlengths import LENGTHS, write_lengths
from tests.marketdata import make
from tests.marketdata.loads import series

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]

NOW = datetime(2024, 3, 8, 18, 0, 30, tzinfo=UTC)  # a Friday, thirteen o'clock in New York
NOW_NS = as_ns(NOW)


def ask(timeframe="1d", mode="full", symbol="SPY", **asked):
    row = planning.Instrument.objects.filter(symbol=symbol).first() or make.instrument(symbol)
    return planning.check_ask(instrument=row, timeframe=timeframe, mode=mode, now_ns=NOW_NS, **asked)


def hold(timeframe: str, start: str, end: str, without=(), symbol="SPY"):
    """Bars of every session from the date to the date, both included, less those of some dates."""
    row = planning.Instrument.objects.filter(symbol=symbol).first() or make.instrument(symbol)
    store.write_bars(instrument=row, series=series(timeframe, start, end, without), source="IB, simulated")
    return row


def dates(plan):
    return [
        (f"{as_datetime(each.start_ns):%Y-%m-%d}", f"{as_datetime(each.end_ns):%Y-%m-%d}", each.bars)
        for each in plan.segments
    ]


# ---- what may be asked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"timeframe": "2m"}, "unknown timeframe"),
        ({"timeframe": ""}, "unknown timeframe"),
        ({"mode": "half"}, "unknown mode 'half'"),
        ({"what": "LAST"}, "expected one of TRADES"),
        ({"start": "yesterday"}, "is no time"),
        ({"start": "2024-01-01T10:00:00"}, "has no zone; add one, such as 2024-01-01T10:00:00Z"),
        ({"start": "2024-02-30"}, "is no time"),
        ({"start": "2024-02-02", "end": "2024-02-01"}, "is not before end"),
        ({"start": "2024-02-02T10:00:00Z", "end": "2024-02-02T10:00:00Z"}, "is not before end"),
        ({"start": "2024-03-09"}, "lies in the future"),
        ({"end": "2024-03-20"}, "lies in the future"),
        ({"what": "ADJUSTED_LAST", "timeframe": "1m"}, "is loaded for 1d and 1w"),
        ({"what": "ADJUSTED_LAST", "end": "2024-02-01"}, "always ends now"),
        ({"start": "9" * 10_000}, "is no time"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "lies before 1900"),
        ({"start": "1899-12-31"}, "lies before 1900"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(asked, says):
    with pytest.raises(BadInput, match=says):
        ask(**asked)


def test_a_date_as_the_end_includes_its_day_and_today_means_now():
    assert ask(end="2024-03-01").end_ns == as_ns(datetime(2024, 3, 2, tzinfo=UTC))
    assert ask(end="2024-03-08").end_ns is None
    assert ask(start="2024-03-01T10:00:00+02:00").start_ns == as_ns(datetime(2024, 3, 1, 8, tzinfo=UTC))


# ---- what it comes to ------------------------------------------------------------------------------------------------


def test_without_bars_any_mode_is_a_full_load_from_ibs_first_bar():
    row = make.instrument()
    HeadTime.objects.create(instrument=row, what="TRADES", start=datetime(2023, 1, 3, tzinfo=UTC), asked=NOW)
    for mode in ("tail", "backfill", "full"):
        plan = planning.make_plan(ask(mode=mode), NOW_NS)
        assert (plan.mode, plan.cached, plan.head_known) == ("full", 0, True)
        assert plan.bars == 250 + 46, "2023, and 2024 to the seventh of March: the eighth is not over"
        assert [each[:2] for each in dates(plan)] == [("2024-01-03", "2024-03-07"), ("2023-01-03", "2024-01-02")]


def test_the_three_gaps_of_the_reference_are_its_three_segments():
    """Held 2024-04-01 to 2025-05-01 but for a hole; asked 2023-01-01 to 2025-05-30."""
    days = [str(day) for day in np.arange("2024-12-01", "2024-12-10", dtype="datetime64[D]")]
    row = hold("1d", "2024-04-01", "2025-05-01", without=days, symbol="RBLX")
    later = as_ns(datetime(2025, 6, 2, tzinfo=UTC))
    wanted = planning.check_ask(
        instrument=row, timeframe="1d", mode="full", start="2023-01-01", end="2025-05-30", now_ns=later
    )
    plan = planning.make_plan(wanted, later)
    assert len(plan.gaps) == 3
    first = plan.gaps.start // DAY_NS
    assert [str(np.datetime64(int(day), "D")) for day in first] == ["2023-01-03", "2024-12-02", "2025-05-02"]
    assert plan.requests == 4, "456 days are more than a year, and the others take one each"
    assert dates(plan)[0] == ("2025-05-01", "2025-05-30", 20), "the last bar held is asked for again, and first"


def test_a_tail_begins_with_the_last_bar_held_and_ends_with_the_last_that_is_complete():
    hold("1h", "2024-03-04", "2024-03-07")
    plan = planning.make_plan(ask("1h", "tail"), NOW_NS)
    (segment,) = plan.segments
    assert as_datetime(segment.start_ns) == datetime(2024, 3, 7, 20, tzinfo=UTC)
    assert as_datetime(segment.end_ns) == datetime(2024, 3, 8, 18, tzinfo=UTC), "13:00 to 14:00 is being traded"
    assert (plan.mode, plan.bars, plan.cached) == ("tail", 4, 28)


def test_of_minutes_the_probe_is_a_request_of_its_own_where_a_night_lies_between():
    hold("1m", "2024-03-07", "2024-03-07")
    after_the_close = NOW_NS + 4 * HOUR_NS
    plan = planning.make_plan(ask("1m", "tail"), after_the_close)
    assert [(each.bars, each.duration) for each in plan.segments] == [(0, "60 S"), (390, "23400 S")]


def test_where_nothing_is_due_nothing_is_planned_and_no_file_is_opened(monkeypatch):
    hold("1d", "2024-01-02", "2024-03-07")

    def opened(*arguments):
        raise AssertionError("a file was opened")

    monkeypatch.setattr(store, "load_file", opened)
    plan = planning.make_plan(ask(mode="tail"), NOW_NS)
    assert (plan.segments, plan.bars) == ([], 0)


def test_what_was_proven_is_not_asked_again_but_what_failed_is():
    row = hold("1d", "2024-01-02", "2024-03-07", without=["2024-02-06", "2024-02-07", "2024-02-13"])
    table = sessions("XNYS")

    def at(day):
        return int(table.open[int(table.session_of_label([np.datetime64(day).astype(int)])[0])])

    proof = Proof(at("2024-02-06"), at("2024-02-08"))
    proofs.record(instrument=row, timeframe=Timeframe.D1, what="TRADES", proofs=[proof], now=NOW)
    run = LoadRun.objects.create(instrument=row, timeframe="1d")
    failed = Fetch.objects.create(
        load_run=run,
        instrument=row,
        timeframe="1d",
        gap=0,
        start=as_datetime(at("2024-02-13")),
        end=as_datetime(at("2024-02-14")),
        duration="1 W",
        state="failed",
        due=NOW + timedelta(minutes=2),
        ended=NOW,
    )
    wanted = ask(start="2024-01-02")
    assert [each[0] for each in dates(planning.make_plan(wanted, NOW_NS))] == ["2024-03-07", "2024-02-13"]
    assert planning.make_plan(wanted, NOW_NS, scheduled=True).segments == [], "nobody waits for it: not before its time"
    Fetch.objects.filter(pk=failed.pk).update(due=NOW)
    assert planning.make_plan(wanted, NOW_NS, scheduled=True).bars == 1


def test_small_gaps_between_bars_are_left_where_the_settings_say_so(settings):
    hold("1d", "2024-01-02", "2024-03-06", without=["2024-02-06", "2024-02-13", "2024-02-14"])
    assert planning.make_plan(ask(start="2024-01-02"), NOW_NS).bars == 4
    settings.LOAD_SMALLEST_GAP = 2
    plan = planning.make_plan(ask(start="2024-01-02"), NOW_NS)
    assert plan.gaps.missing.tolist() == [2, 1], "and the end is no gap between bars"


def test_the_length_of_a_request_is_a_row():
    RequestLength.objects.filter(timeframe="1d").update(duration="2 W")
    plan = planning.make_plan(ask(start="2024-01-01"), NOW_NS)
    assert {each.duration for each in plan.segments} <= {"1 W", "2 W"}
    assert len(plan.segments) == 5
    RequestLength.objects.all().delete()
    with pytest.raises(BadInput, match="no request length for 1d bars; add one in the admin"):
        planning.make_plan(ask(start="2024-01-01"), NOW_NS)


def test_lengths_that_are_missing_come_back_with_the_next_migrate_and_changed_ones_stay():
    RequestLength.objects.filter(timeframe="1m").update(duration="2 D")
    RequestLength.objects.exclude(timeframe="1m").delete()
    write_lengths()
    write_lengths()
    assert dict(RequestLength.objects.values_list("timeframe", "duration")) == LENGTHS | {"1m": "2 D"}


def test_a_plan_can_be_told_as_text():
    plan = planning.make_plan(ask(start="2024-03-01"), NOW_NS)
    assert plan.as_dict() == {
        "symbol": "SPY",
        "timeframe": "1d",
        "what": "TRADES",
        "mode": "full",
        "cached": 0,
        "missing": 5,
        "requests": 1,
        "head_known": False,
        "gaps": [{"start": "2024-03-01T14:30:00+00:00", "end": "2024-03-07T21:00:00+00:00", "missing": 5}],
    }
