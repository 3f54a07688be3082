import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from domain.adjustments import Split
from domain.bars import PRICE_COLUMNS, Adjustment, BarSeries, merge
from domain.quality import Oddity
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, quality, services, store
from marketdata.holdings import holdings
from marketdata.models import BarFile, QualityNote, TapeCheck
from tests.marketdata import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]

NOW = dt.datetime(2023, 1, 4, 12, tzinfo=dt.UTC)


def stored(instrument, bars, what="TRADES"):
    """Store and judge, as a load does; returns how many notes are new."""
    store.write_bars(instrument=instrument, series=bars, what=what, source="test")
    return quality.note(instrument=instrument, what=what, bars=bars, now=NOW)


def notes(**asked):
    rows = QualityNote.objects.filter(**asked).order_by("start", "kind")
    return [(row.kind, row.start.strftime("%H:%M"), row.bars) for row in rows]


def changed(bars, rows, factor=1.0, **values):
    columns = {name: getattr(bars, name).copy() for name in (*PRICE_COLUMNS, "volume")}
    for name in PRICE_COLUMNS:
        columns[name][rows] *= factor
    for name, value in values.items():
        columns[name][rows] = value
    return replace(bars, **columns)


def days(count, *, adjustment=Adjustment.SPLIT, first="2020-01-02"):
    table = calendars.sessions("XNYS")
    begin = int(np.datetime64(first, "ns").astype(np.int64))
    start, end = table.expected_bars(Timeframe.D1, begin, begin + 2 * count * DAY_NS)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.01, count))), 2)
    return BarSeries.from_columns(
        "1d", start=start[:count], end=end[:count], open=close, high=close + 0.1, low=close - 0.1, close=close,
        volume=np.full(count, 1000.0), adjustment=adjustment,
    )  # fmt: skip


def test_what_looks_wrong_is_noted_once():
    spy = make.instrument()
    odd = changed(make.minutes(390), slice(100, 103), volume=np.nan)
    assert stored(spy, odd) == 1
    assert notes() == [("unknown_volume", "16:10", 3)]
    row = QualityNote.objects.get()
    assert (row.timeframe, row.what, row.found) == ("1m", "TRADES", NOW)
    assert row.get_kind_display() == "volume unknown among known ones"
    assert row.end - row.start == dt.timedelta(minutes=3)
    assert stored(spy, odd) == 0
    assert quality.note(instrument=spy, what="TRADES", bars=odd[100:101], now=NOW + dt.timedelta(days=1)) == 0
    assert QualityNote.objects.get().found == NOW


def test_one_new_bar_is_judged_by_the_bars_held_before_it():
    spy, bars = make.instrument(), make.minutes(300)
    assert stored(spy, bars[:299]) == 0
    assert stored(spy, changed(bars, slice(299, 300), 1.08)[299:]) == 1
    assert notes() == [("jump", "19:29", 1)]


def test_a_bar_that_comes_between_two_explains_the_jump_of_the_later_one():
    spy, bars = make.instrument(), days(300)
    jumped = changed(bars, slice(200, None), 1.5)
    store.write_bars(instrument=spy, series=jumped[slice(0, 150)], source="test")
    assert stored(spy, jumped[200:]) == 1
    assert QualityNote.objects.get().bars == 1
    steps = np.linspace(1, 1.5, 50)[:, None]
    between = changed(bars, slice(150, 200), 1.0)
    columns = {name: getattr(between, name)[150:200] * steps[:, 0] for name in PRICE_COLUMNS}
    assert stored(spy, replace(between[150:200], **columns)) == 0
    assert not QualityNote.objects.exists()


def test_a_note_goes_away_when_its_bars_are_corrected():
    spy, bars = make.instrument(), make.minutes(390)
    other = make.instrument("QQQ")
    odd = changed(bars, slice(100, 101), volume=np.nan)
    stored(spy, odd)
    stored(other, odd)
    stored(spy, bars[100:101])
    assert [row.instrument for row in QualityNote.objects.all()] == [other]


def test_a_run_that_grows_stays_one_note():
    spy, bars = make.instrument(), make.minutes(390)
    odd = changed(bars, slice(100, 110), volume=0.0)
    stored(spy, odd[:105])
    assert notes() == [("zero_volume", "16:10", 5)]
    stored(spy, odd[105:])
    assert notes() == [("zero_volume", "16:10", 10)]


def test_a_known_split_explains_its_jump():
    spy, bars = make.instrument(), days(300, adjustment=Adjustment.RAW)
    ex_day = int(calendars.sessions("XNYS").trading_dates(bars.start[200:201])[0])
    services.record_actions(instrument=spy, actions=[Split(ex_day, 2.0)], source="test")
    stored(spy, changed(bars, slice(200, None), 0.5))
    row = QualityNote.objects.get()
    assert (row.kind, row.note) == ("action_jump", f"split 2:1 of {np.datetime64(ex_day, 'D')}")


def test_the_newest_bar_and_the_oldest_do_not_have_the_years_between_read(monkeypatch):
    spy, bars = make.instrument(), days(700)
    store.write_bars(instrument=spy, series=bars, source="test")
    asked = []
    real = store.read_bars
    monkeypatch.setattr(store, "read_bars", lambda *given, **how: asked.append(how) or real(*given, **how))
    both = merge([bars[:5], bars[695:]])
    quality.note(instrument=spy, what="TRADES", bars=both, now=NOW)
    assert [(how["end_ns"] - how["start_ns"]) // DAY_NS for how in asked] == [606, 606]


def test_a_damaged_file_beside_the_bars_stops_nothing(bars_root, caplog):
    spy, bars = make.instrument(), make.minutes(390)
    store.write_bars(instrument=spy, series=bars, source="test")
    BarFile.objects.update(quarantined=NOW, fault="test")
    odd = changed(bars, slice(100, 101), volume=np.nan)
    assert quality.note(instrument=spy, what="TRADES", bars=odd, now=NOW) == 1
    assert "judged without the bars around them" in caplog.text
    assert quality.note(instrument=spy, what="TRADES", bars=odd[:0], now=NOW) == 0


def test_figures_say_what_is_held_noted_and_was_true_when_it_was_heard():
    spy = make.instrument()
    bars = make.minutes(390)
    odd = changed(bars, slice(100, 101), volume=np.nan)
    stored(spy, merge([odd[:200], odd[210:]]))
    for day, different, largest in ((3, 2, 1.5), (4, 0, 0.0)):
        TapeCheck.objects.create(
            instrument=spy, timeframe="1m", day=dt.date(2023, 1, day), compared=380, different=different,
            only_live=1, only_history=3, largest_bps=largest, checked=NOW,
        )  # fmt: skip
    (found,) = quality.figures(spy)
    assert (found.expected, found.held, found.explained) == (390, 380, 0)
    assert found.share_held == pytest.approx(380 / 390)
    assert found.notes == {"unknown_volume": 1}
    assert found.tape == (2, dt.date(2023, 1, 4), 760, 2, 2, 6, 1.5)
    as_dict = found.as_dict()
    assert as_dict["tape"]["share_different"] == pytest.approx(2 / 760)
    assert as_dict["tape"]["last_day"] == "2023-01-04" and as_dict["timeframe"] == "1m"
    assert quality.figures(spy, holdings(spy)) == [found]


def test_figures_of_a_series_that_nobody_heard_live_have_no_tape():
    spy = make.instrument()
    stored(spy, days(30))
    stored(spy, make.minutes(10))
    found = {each.timeframe: each for each in quality.figures(spy)}
    assert found[Timeframe.D1].tape is None and found[Timeframe.D1].share_held == 1.0
    assert found[Timeframe.D1].as_dict()["tape"] is None
    assert quality.figures(make.instrument("QQQ")) == []


def test_every_kind_of_note_fits_its_column():
    longest = QualityNote._meta.get_field("kind").max_length
    assert all(len(kind) <= longest for kind in Oddity)
