import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from domain.adjustments import Split
from domain.bars import Adjustment, BarSeries
from domain.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe
from marketdata import calendars, services, store, tapecheck
from marketdata.models import Bar, BarFile, TapeCheck
from marketdata.tasks import compare_tape
from tests.marketdata import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]

NOW = dt.datetime(2023, 1, 4, 12, tzinfo=dt.UTC)
TUESDAY = dt.date(2023, 1, 3)


def heard(instrument, bars, *, timeframe="1m", origin="trader", off=()):
    """The live tape as these bars; `off` are (row, field, change)."""
    changes = {(row, field): Decimal(str(change)) for row, field, change in off}
    Bar.objects.bulk_create(
        Bar(
            instrument=instrument,
            timeframe=timeframe,
            start=_time(bars.start[row]),
            end=_time(bars.end[row]),
            received_at=_time(bars.end[row]),
            origin=origin,
            volume=None,
            **{
                name: Decimal(f"{getattr(bars, name)[row]:.8f}") + changes.get((row, name), 0)
                for name in ("open", "high", "low", "close")
            },
        )
        for row in range(len(bars))
    )


def _time(ns):
    return dt.datetime.fromtimestamp(int(ns) / 1e9, dt.UTC)


def held(instrument, bars, adjustment=Adjustment.SPLIT, what="TRADES"):
    store.write_bars(instrument=instrument, series=replace(bars, adjustment=adjustment), what=what, source="IB")


def counts(row):
    return row.compared, row.different, row.only_live, row.only_history


def test_a_day_that_was_heard_as_it_was_told_later_has_no_difference():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars)
    (row,) = tapecheck.check_tape(NOW)
    assert (row.instrument, row.timeframe, row.day, row.checked) == (spy, "1m", TUESDAY, NOW)
    assert counts(row) == (390, 0, 0, 0) and row.largest_bps == 0


def test_bars_that_differ_are_counted_with_the_largest_difference():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars, off=[(5, "high", "0.01"), (5, "low", "-0.01"), (9, "high", "0.5"), (20, "high", "0.00005")])
    held(spy, bars)
    (row,) = tapecheck.check_tape(NOW)
    assert counts(row) == (390, 2, 0, 0)
    assert row.largest_bps == pytest.approx(0.5 / bars.high[9] * 1e4, rel=1e-6)


def test_bars_of_one_side_only_are_counted_while_the_tape_ran():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars[60:70])  # started an hour late
    heard(spy, bars[75:300])
    held(spy, bars.between(None, int(bars.start[200])))
    held(spy, bars.between(int(bars.start[203]), None))
    (row,) = tapecheck.check_tape(NOW)
    assert counts(row) == (10 + 225 - 3, 0, 3, 5)


def test_a_day_is_compared_once():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars)
    assert len(tapecheck.check_tape(NOW)) == 1
    held(spy, make.minutes(390, seed=2))
    assert tapecheck.check_tape(NOW + dt.timedelta(days=1)) == []
    assert TapeCheck.objects.get().different == 0


@pytest.mark.parametrize(
    "now",
    [
        dt.datetime(2023, 1, 3, 20, 59, tzinfo=dt.UTC),
        dt.datetime(2023, 1, 3, 21, 59, tzinfo=dt.UTC),
        dt.datetime(2023, 3, 3, tzinfo=dt.UTC),
    ],
)
def test_a_day_is_not_compared_before_it_has_settled_or_a_month_later(now):
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars)
    assert tapecheck.check_tape(now) == []


def test_a_day_waits_for_its_history():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    assert tapecheck.check_tape(NOW) == []
    held(spy, bars[:389])
    assert tapecheck.check_tape(NOW) == []
    held(spy, bars[389:])
    assert len(tapecheck.check_tape(NOW)) == 1


def test_each_instrument_timeframe_and_day_is_compared_for_itself():
    spy, qqq = make.instrument(), make.instrument("QQQ")
    monday, tuesday = make.minutes(390), make.minutes(390, first="2023-01-04T14:30", seed=2)
    hours = hourly("2023-01-03")
    for instrument in (spy, qqq):
        for bars in (monday, tuesday):
            heard(instrument, bars)
            held(instrument, bars)
    heard(spy, hours, timeframe="1h", off=[(0, "high", "1")])
    held(spy, hours)
    found = tapecheck.check_tape(NOW + dt.timedelta(days=1))
    assert {(str(row.instrument), row.timeframe, row.day.day, row.different) for row in found} == {
        ("SPY", "1m", 3, 0), ("SPY", "1m", 4, 0), ("QQQ", "1m", 3, 0), ("QQQ", "1m", 4, 0), ("SPY", "1h", 3, 1),
    }  # fmt: skip


def hourly(day, calendar="XNYS", frame=Timeframe.H1):
    table = calendars.sessions(calendar)
    label = int(np.datetime64(day, "D").astype(np.int64))
    row = int(table.session_of_label(label))
    start, end = table.expected_bars(frame, int(table.open[row]), int(table.close[row]))
    price = np.linspace(100, 101, len(start)).round(2)
    return BarSeries.from_columns(frame, start=start, end=end, open=price, high=price + 1, low=price - 1, close=price)


def test_a_split_between_the_day_and_its_history_is_no_difference():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    day = int(np.datetime64("2023-01-06", "D").astype(np.int64))
    services.record_actions(instrument=spy, actions=[Split(day, 2.0)], source="test")
    later = make.minutes(390, first="2023-01-06T14:30")

    halved = replace(bars, **{name: np.round(getattr(bars, name) / 2, 4) for name in ("open", "high", "low", "close")})
    held(spy, halved)
    held(spy, later)
    (row,) = tapecheck.check_tape(dt.datetime(2023, 1, 7, 12, tzinfo=dt.UTC))
    assert (row.day, counts(row)) == (TUESDAY, (390, 0, 0, 0))


def test_raw_history_is_compared_where_nothing_else_is_held():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars, Adjustment.RAW)
    services.record_actions(instrument=spy, actions=[Split(19300, 2.0)], source="test")
    (row,) = tapecheck.check_tape(NOW)
    assert counts(row) == (390, 0, 0, 0)


def test_pairs_are_compared_with_the_midpoint_over_their_own_day():
    euro = make.instrument("EUR", kind="forex", exchange="IDEALPRO", calendar="FX")
    bars = hourly("2023-01-03", "FX")
    assert len(bars) == 24 and bars.start[0] == np.datetime64("2023-01-02T22", "ns").astype(np.int64)
    heard(euro, bars, timeframe="1h")
    held(euro, bars, Adjustment.RAW, what="MIDPOINT")
    (row,) = tapecheck.check_tape(NOW)
    assert (row.day, counts(row)) == (TUESDAY, (24, 0, 0, 0))


def test_daily_and_weekly_bars_are_compared_when_they_have_ended():
    spy, table = make.instrument(), calendars.sessions("XNYS")
    for frame in (Timeframe.D1, Timeframe.W1):
        first = int(np.datetime64("2023-01-03", "ns").astype(np.int64))
        start, end = table.expected_bars(frame, first, first + DAY_NS)
        price = np.array([100.0])
        bars = BarSeries.from_columns(frame, start=start, end=end, open=price, high=price, low=price, close=price)
        heard(spy, bars, timeframe=str(frame))
        held(spy, bars)
    assert [row.timeframe for row in tapecheck.check_tape(NOW)] == ["1d"]
    (row,) = tapecheck.check_tape(dt.datetime(2023, 1, 7, tzinfo=dt.UTC))
    assert (row.timeframe, row.day, row.compared) == ("1w", TUESDAY, 1)


def test_what_several_processes_heard_counts_once_and_differs_where_one_heard_it_differently():
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars[:100])
    heard(spy, bars[50:200], origin="second", off=[(0, "high", "0.3"), (120, "high", "0.2")])
    held(spy, bars)
    (row,) = tapecheck.check_tape(NOW)
    assert counts(row) == (200, 2, 0, 0)


def test_damaged_history_is_left_for_later(caplog, bars_root):
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars)
    path = bars_root / BarFile.objects.get().path
    path.write_bytes(path.read_bytes()[:-100])
    assert tapecheck.check_tape(NOW) == []
    assert "not compared" in caplog.text and not TapeCheck.objects.exists()
    assert tapecheck.check_tape(NOW) == []  # it is in quarantine now, so not held


def test_bars_heard_on_a_day_without_a_session_are_left_out():
    spy = make.instrument()
    heard(spy, make.minutes(10, first="2023-01-02T14:30"))  # New Year's day observed
    assert tapecheck.check_tape(NOW) == []


def test_the_task_compares_what_is_due(monkeypatch):
    spy, bars = make.instrument(), make.minutes(390)
    heard(spy, bars)
    held(spy, bars)
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    compare_tape()
    assert TapeCheck.objects.count() == 1


def test_the_middle_of_a_bar_is_no_bar():
    bars = make.minutes(10)
    starts = np.array([bars.start[0], bars.start[3] + MINUTE_NS // 2, bars.start[5] + HOUR_NS])
    found = tapecheck.compare(starts, np.repeat(bars.close[:3, None], 4, axis=1), bars)
    assert (found.compared, found.only_live, found.only_history) == (1, 2, 9)
