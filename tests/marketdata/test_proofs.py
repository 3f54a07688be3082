"""Proven ranges: joined where they touch, taken back where bars were lost; and why bars are missing."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.adjustments import Delisting
from domain.gaps import GapClass, find_session_gaps
from domain.timeframe import MINUTE_NS, Timeframe
from marketdata import proofs
from marketdata.calendars import sessions
from marketdata.models import Fetch, Halt, HeadTime, LoadRun, ProvenRange
from marketdata.moments import as_datetime, as_ns
from marketdata.proofs import Proof
from marketdata.services import record_actions
from tests.marketdata import make

pytestmark = pytest.mark.django_db

NOW = datetime(2024, 1, 2, tzinfo=UTC)
FRAME = Timeframe.M1
OPEN = as_ns(datetime(2023, 1, 3, 14, 30, tzinfo=UTC))


def minute(number: int) -> int:
    return OPEN + number * MINUTE_NS


def prove(row, *ranges):
    found = [Proof(minute(start), minute(end)) for start, end in ranges]
    proofs.record(instrument=row, timeframe=FRAME, what="TRADES", proofs=found, now=NOW)


def proven(row):
    return [
        ((as_ns(each.start) - OPEN) // MINUTE_NS, (as_ns(each.end) - OPEN) // MINUTE_NS)
        for each in ProvenRange.objects.filter(instrument=row)
    ]


def test_ranges_that_touch_or_overlap_are_one():
    row = make.instrument()
    prove(row, (0, 10), (20, 30))
    assert proven(row) == [(0, 10), (20, 30)]
    prove(row, (10, 20))
    assert proven(row) == [(0, 30)]
    prove(row, (5, 7), (40, 50), (29, 40))
    assert proven(row) == [(0, 50)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 40), st.integers(1, 15)).map(
            lambda one: (one[0], one[1], one[1] + one[2])
        ),
        max_size=12,
    )
)
def test_what_is_proven_is_the_set_of_what_was_answered_less_what_was_lost(steps):
    row = make.instrument(f"S{make.Instrument.objects.count()}")
    model: set[int] = set()
    for is_answer, start, length in steps:
        end = start + length
        if is_answer:
            prove(row, (start, end))
            model |= set(range(start, end))
        else:
            proofs.forget(
                instrument=row,
                timeframe="1m",
                what="TRADES",
                start=as_datetime(minute(start)),
                end=as_datetime(minute(end)),
            )
            model -= set(range(start, end))
    found = proven(row)
    assert {number for start, end in found for number in range(start, end)} == model
    assert all(before[1] < after[0] for before, after in pairwise(found)), "none touch"


def test_to_forget_without_bounds_is_to_forget_all_of_this_series_alone():
    row, other = make.instrument("ABC"), make.instrument("XYZ")
    prove(row, (0, 10))
    prove(other, (0, 10))
    proofs.forget(instrument=row, timeframe="1m", what="TRADES")
    assert (proven(row), proven(other)) == ([], [(0, 10)])


def failed(row, start, end, code, error):
    run = LoadRun.objects.create(instrument=row, timeframe="1m")
    Fetch.objects.create(
        load_run=run,
        instrument=row,
        timeframe="1m",
        gap=0,
        start=as_datetime(minute(start)),
        end=as_datetime(minute(end)),
        duration="1 D",
        state="failed",
        code=code,
        error=error,
        ended=NOW,
    )


def test_each_missing_bar_has_the_strongest_of_the_reasons_that_are_known():
    row = make.instrument()
    table = sessions("XNYS")
    failed(row, 10, 20, 162, "the historical data service refused the request")
    failed(row, 20, 30, 162, "no permission for this history (162: No market data permissions for ISLAND STK)")
    failed(row, 30, 35, 354, "market data is not subscribed")
    prove(row, (18, 22), (40, 60))
    Halt.objects.create(instrument=row, start=as_datetime(minute(50)), end=as_datetime(minute(55)))
    HeadTime.objects.create(instrument=row, what="TRADES", start=as_datetime(minute(5)), asked=NOW)
    known = proofs.explanations(row, FRAME, "TRADES", table)
    gaps = find_session_gaps(np.empty(0, np.int64), table, FRAME, minute(0), minute(70), known)
    found = [
        ((start - OPEN) // MINUTE_NS, (end - OPEN) // MINUTE_NS, GapClass(reason).label)
        for start, end, reason in zip(gaps.start.tolist(), gaps.end.tolist(), gaps.reason.tolist(), strict=True)
    ]
    assert found == [
        (0, 5, "before_listing"),
        (5, 10, "unexpected"),
        (10, 18, "failed"),
        (18, 22, "no_trades"),
        (22, 35, "no_permission"),
        (35, 40, "unexpected"),
        (40, 50, "no_trades"),
        (50, 55, "halt"),
        (55, 60, "no_trades"),
        (60, 70, "unexpected"),
    ]


def test_after_the_delisting_nothing_is_expected_to_be_found():
    row = make.instrument()
    table = sessions("XNYS")
    day = (datetime(2023, 1, 5, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    record_actions(instrument=row, actions=[Delisting(day)], source="test")
    known = proofs.explanations(row, Timeframe.D1, "TRADES", table)
    start, end = OPEN, OPEN + timedelta(days=5) // timedelta(microseconds=1) * 1000
    gaps = find_session_gaps(np.empty(0, np.int64), table, Timeframe.D1, start, end, known)
    assert gaps.reason.tolist() == [GapClass.UNEXPECTED, GapClass.AFTER_DELISTING]


def test_the_head_of_adjusted_trades_is_that_of_trades():
    row = make.instrument()
    HeadTime.objects.create(instrument=row, what="TRADES", start=NOW, asked=NOW)
    reasons = {each.reason for each in proofs.explanations(row, Timeframe.D1, "ADJUSTED_LAST", sessions("XNYS"))}
    assert reasons == {GapClass.BEFORE_LISTING}
    assert proofs.explanations(row, Timeframe.D1, "MIDPOINT", sessions("XNYS")) == []
