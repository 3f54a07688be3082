"""How far loads are, how long they take yet, and the line that says so."""

import datetime as dt

import pytest

from marketdata.loadprogress import Progress, duration, line, measure, seconds_left
from marketdata.models import Fetch, LoadRun
from tests.marketdata.make import instrument

NOON = dt.datetime(2024, 6, 12, 12, tzinfo=dt.UTC)


@pytest.mark.django_db
def test_requests_are_counted_by_how_they_ended_and_those_not_planned_yet_as_previewed():
    spy, qqq = instrument("SPY"), instrument("QQQ")
    planned = LoadRun.objects.create(
        instrument=spy, timeframe="1d", state="running", started=NOON, heartbeat=NOON, planned=NOON
    )
    waiting = LoadRun.objects.create(instrument=qqq, timeframe="1d", waits_for="another load of these bars")
    for state in ("pending", "pending", "done", "done", "empty", "failed", "split"):
        bars = 7 if state == "done" else 0
        Fetch.objects.create(
            load_run=planned, instrument=spy, timeframe="1d", gap=0, start=NOON, end=NOON + dt.timedelta(1),
            duration="1 D", state=state, bars=bars,
        )  # fmt: skip
    previewed = {planned.pk: 99, waiting.pk: 10}
    assert measure([planned, waiting], previewed) == Progress(4, 16, 14, "")
    assert measure([waiting], previewed) == Progress(0, 10, 0, "another load of these bars")


def test_the_time_left_is_the_budgets_and_no_shorter_than_at_the_pace_so_far():
    begun = Progress(10, 100, 0, "")
    assert seconds_left(begun, begun, 0.0, paced_seconds=900) == 900
    assert seconds_left(begun._replace(done=12), begun, 60.0, paced_seconds=900) == 900
    assert seconds_left(begun._replace(done=40), begun, 60.0, paced_seconds=900) == 900
    assert seconds_left(begun._replace(done=40), begun, 60.0, paced_seconds=0) == pytest.approx(120)
    assert seconds_left(begun._replace(done=100), begun, 60.0, paced_seconds=900) == 0
    assert seconds_left(Progress(0, 0, 0, ""), Progress(0, 0, 0, ""), 5.0, 0.0) == 0


def test_the_line_reads_without_a_terminal():
    assert line(Progress(6, 12, 1234, ""), 200) == (
        "[############------------]  50%   6 of 12 requests   1,234 bars   about 3 min left"
    )
    waits = line(Progress(0, 12, 0, "the gateway: no connection"), 7500)
    assert waits.endswith("about 2 h 5 min left   waits: the gateway: no connection")
    assert line(Progress(12, 12, 5, ""), 0) == "[########################] 100%   12 of 12 requests   5 bars"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations_are_told_as_people_do(seconds, text):
    assert duration(seconds) == text
