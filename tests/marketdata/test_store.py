import dataclasses
import datetime as dt
import os
import subprocess
import sys

import numpy as np
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from domain.bars import COLUMNS, Adjustment, BarSeries, merge
from domain.errors import BadInput
from marketdata import calendars, store
from marketdata.models import BarFile, Instrument
from tests.marketdata import make

pytestmark = pytest.mark.django_db


def write(instrument, series, **more):
    return store.write_bars(instrument=instrument, series=series, source="test", **more)


def files_below(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def assert_same(left: BarSeries, right: BarSeries) -> None:
    assert (left.timeframe, left.adjustment) == (right.timeframe, right.adjustment)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_what_was_written_is_read_back(bars_root):
    spy = make.instrument()
    bars = make.minutes(1000, unknown_volume=True)
    assert write(spy, bars) == store.WriteReport(added=1000, changed=0, unchanged=0, files=1)
    assert_same(store.read_bars(spy, "1m"), bars)
    assert np.isnan(store.read_bars(spy, "1m").volume).sum() == np.isnan(bars.volume).sum() > 0


def test_the_row_describes_the_file(bars_root):
    spy = make.instrument("../../etc/passwd")
    write(spy, make.minutes(10))
    row = BarFile.objects.get()
    assert (row.partition, row.rows, row.version, row.adjustment, row.what) == (2023, 10, 1, "raw", "TRADES")
    assert row.start == dt.datetime(2023, 1, 3, 14, 30, tzinfo=dt.UTC)
    assert row.end == dt.datetime(2023, 1, 3, 14, 40, tzinfo=dt.UTC)
    assert files_below(bars_root) == [row.path]
    assert row.path.startswith(f"{spy.pk}/1m/TRADES-raw/2023-v1-")


def test_intraday_bars_are_cut_into_years_and_only_the_years_asked_for_are_opened(bars_root):
    spy = make.instrument()
    bars = make.minutes(600, first="2022-12-31T19:00")
    assert write(spy, bars).files == 2
    (bars_root / BarFile.objects.get(partition=2022).path).unlink()
    start = np.datetime64("2023-01-01", "ns").astype(np.int64)
    assert_same(store.read_bars(spy, "1m", start_ns=int(start)), bars.between(int(start), None))


def test_a_range_spanning_files_is_one_series(bars_root):
    spy = make.instrument()
    bars = make.minutes(600, first="2022-12-31T19:00")
    write(spy, bars)
    lo, hi = int(bars.start[100]), int(bars.start[500])
    assert_same(store.read_bars(spy, "1m", start_ns=lo, end_ns=hi), bars[100:500])


def test_newer_bars_win_and_the_report_counts_them(bars_root):
    spy = make.instrument()
    bars = make.minutes(100)
    write(spy, bars[:60])
    changed = make.minutes(100, seed=2)
    report = write(spy, merge([bars[40:50], changed[50:80]]))
    differing = sum(
        any(getattr(bars, name)[row] != getattr(changed, name)[row] for name in COLUMNS) for row in range(50, 60)
    )
    assert report == store.WriteReport(added=20, changed=differing, unchanged=20 - differing, files=1)
    assert_same(store.read_bars(spy, "1m"), merge([bars[:60], changed[50:80]]))
    assert BarFile.objects.get().version == 2


def test_a_merge_without_news_writes_nothing(bars_root):
    spy = make.instrument()
    bars = make.minutes(100, unknown_volume=True)
    write(spy, bars)
    before = files_below(bars_root), BarFile.objects.values().get()
    assert write(spy, bars[20:50]) == store.WriteReport(added=0, changed=0, unchanged=30, files=0)
    assert (files_below(bars_root), BarFile.objects.values().get()) == before


def test_adjustment_bases_never_share_a_file(bars_root):
    spy = make.instrument()
    raw = make.minutes(10)
    split = BarSeries(raw.timeframe, *(getattr(raw, name) for name in COLUMNS), adjustment=Adjustment.SPLIT)
    write(spy, split)
    assert store.read_bars(spy, "1m").adjustment is Adjustment.SPLIT
    write(spy, raw)
    assert BarFile.objects.count() == 2
    assert store.read_bars(spy, "1m").adjustment is Adjustment.RAW
    assert store.read_bars(spy, "1m", adjustment="split").adjustment is Adjustment.SPLIT
    with pytest.raises(BadInput, match=r"no total prices are held \(held: raw, split\)"):
        store.read_bars(spy, "1m", adjustment="total")


def test_several_bases_without_raw_must_be_chosen_from(bars_root):
    spy = make.instrument()
    raw = make.minutes(10)
    for basis in (Adjustment.SPLIT, Adjustment.TOTAL):
        write(spy, BarSeries(raw.timeframe, *(getattr(raw, name) for name in COLUMNS), adjustment=basis))
    with pytest.raises(BadInput, match=r"say which adjustment \(held: split, total\)"):
        store.read_bars(spy, "1m")


def test_an_empty_range_says_what_is_held(bars_root):
    spy = make.instrument()
    with pytest.raises(BadInput, match="SPY: no 1m bars of TRADES are held; import some"):
        store.read_bars(spy, "1m")
    write(spy, make.minutes(10))
    with pytest.raises(BadInput, match=r"no 1d bars of TRADES are held \(held: 1m\)"):
        store.read_bars(spy, "1d")
    with pytest.raises(BadInput, match=r"no bars from 2024-01-01T00:00:00Z to now; held: 2023-01-03 to 2023-01-03"):
        store.read_bars(spy, "1m", start_ns=int(np.datetime64("2024-01-01", "ns").astype(np.int64)))


def test_bars_that_break_their_promises_are_refused_before_anything_is_written(bars_root):
    spy = make.instrument()
    good = make.minutes(10)
    bad = BarSeries(good.timeframe, good.start[::-1], good.end[::-1], *(getattr(good, name) for name in COLUMNS[2:]))
    with pytest.raises(BadInput, match="unsorted"):
        write(spy, bad)
    with pytest.raises(BadInput, match="'LAST'"):
        write(spy, good, what="LAST")
    assert not bars_root.exists() and not BarFile.objects.exists()


def test_several_series_are_written_together_or_not_at_all(bars_root, monkeypatch):
    one, two = make.instrument("ONE"), make.instrument("TWO")
    real, calls = store._write_file, []

    def fail_on_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise store.StoreUnavailable("full")
        return real(*arguments)

    monkeypatch.setattr(store, "_write_file", fail_on_the_second)
    with pytest.raises(store.StoreUnavailable):
        store.write_all([store.BarWrite(each, make.minutes(5), "test") for each in (one, two)])
    assert not BarFile.objects.exists() and files_below(bars_root) == []


def test_a_writer_that_lost_the_race_merges_again(bars_root, monkeypatch):
    spy = make.instrument()
    bars = make.minutes(300)
    write(spy, bars[:100])
    real, raced = store._commit, []

    def commit_after_another(staged, along):
        if not raced:
            raced.append(True)
            write(spy, bars[200:])
        real(staged, along)

    monkeypatch.setattr(store, "_commit", commit_after_another)
    assert write(spy, bars[50:200]).added == 100
    assert_same(store.read_bars(spy, "1m"), bars)
    assert BarFile.objects.get().version == 3
    assert len(files_below(bars_root)) == 3  # the loser's first file is gone, the two replaced ones wait for sweep


def test_two_writers_of_a_new_partition_both_count(bars_root, monkeypatch):
    spy = make.instrument()
    bars = make.minutes(200)
    real, raced = store._commit, []

    def commit_after_another(staged, along):
        if not raced:
            raced.append(True)
            write(spy, bars[:100])
        real(staged, along)

    monkeypatch.setattr(store, "_commit", commit_after_another)
    write(spy, bars[100:])
    assert_same(store.read_bars(spy, "1m"), bars)


def test_sweep_removes_what_no_row_names_and_nothing_else(bars_root):
    spy = make.instrument()
    bars = make.minutes(100)
    write(spy, bars[:50])
    write(spy, bars)
    leftover = bars_root / str(spy.pk) / "1m" / "TRADES-raw" / ".tmp-2023-v9-00000000.parquet"
    leftover.write_bytes(b"half a file")
    held = BarFile.objects.get().path
    assert store.sweep(older_than_seconds=3600) == []
    assert len(store.sweep(older_than_seconds=0)) == 2
    assert files_below(bars_root) == [held]
    assert_same(store.read_bars(spy, "1m"), bars)


def test_a_reader_whose_file_was_replaced_and_swept_reads_the_new_one(bars_root, monkeypatch):
    spy = make.instrument()
    bars = make.minutes(100)
    write(spy, bars[:50])
    real, raced = store.load_file, []

    def load_after_a_writer(folder, row):
        if not raced:
            raced.append(True)
            write(spy, bars)
            store.sweep(older_than_seconds=0)
        return real(folder, row)

    monkeypatch.setattr(store, "load_file", load_after_a_writer)
    assert_same(store.read_bars(spy, "1m"), bars)


def test_a_rolled_back_transaction_leaves_the_old_bars(bars_root):
    spy = make.instrument()
    bars = make.minutes(100)
    write(spy, bars[:50])
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write(spy, bars)
        raise ZeroDivisionError
    assert_same(store.read_bars(spy, "1m"), bars[:50])
    assert len(store.sweep(older_than_seconds=0)) == 1


def test_coverage_counts_rows_files_and_what_is_out_of_service(bars_root):
    spy = make.instrument()
    write(spy, make.minutes(600, first="2022-12-31T19:00"))
    (held,) = store.coverage(spy)
    assert (held.rows, held.files, held.quarantined, held.sources) == (600, 2, 0, ("test",))
    assert (held.start, held.end) == (
        dt.datetime(2022, 12, 31, 19, tzinfo=dt.UTC),
        dt.datetime(2023, 1, 1, 5, tzinfo=dt.UTC),
    )
    BarFile.objects.filter(partition=2022).update(quarantined=dt.datetime.now(dt.UTC))
    (held,) = store.coverage(spy)
    assert (held.rows, held.files, held.quarantined) == (300, 1, 1)
    assert store.coverage(spy, make.minutes(1).timeframe) == [held]


@hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_partition_of_the_bars_in_any_order_gives_the_same_store(bars_root, data):
    BarFile.objects.all().delete()
    spy, _ = Instrument.objects.get_or_create(symbol="SPY")
    bars = make.minutes(240, first="2022-12-31T22:00", unknown_volume=True)
    owner = np.array(data.draw(st.lists(st.integers(0, 4), min_size=240, max_size=240), label="owner"))
    order = data.draw(st.permutations(range(5)), label="order")
    for part in order:
        rows = np.flatnonzero(owner == part)
        if len(rows):
            columns = {name: getattr(bars, name)[rows] for name in COLUMNS}
            write(spy, BarSeries(bars.timeframe, **columns))
    assert_same(store.read_bars(spy, "1m"), bars)


def test_pandas_and_duckdb_read_prices_as_prices(bars_root):
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    spy = make.instrument()
    bars = make.minutes(100, unknown_volume=True)
    write(spy, bars)
    path = str(bars_root / BarFile.objects.get().path)
    frame = pandas.read_parquet(path)
    assert list(frame.columns) == list(COLUMNS)
    assert str(frame["start"].dt.tz) == "UTC"
    np.testing.assert_array_equal(frame["start"].astype("int64"), bars.start)
    for name in COLUMNS[2:]:
        np.testing.assert_array_equal(frame[name], getattr(bars, name))
    query = "select sum(close), epoch_ns(min(start)), count(volume) from read_parquet(?)"
    close, first, volumes = duckdb.connect().execute(query, [path]).fetchone()
    assert close == pytest.approx(bars.close.sum(), abs=1e-9)
    assert first == bars.start[0]
    assert volumes == np.isfinite(bars.volume).sum()


def test_reading_imports_no_pandas(bars_root, tmp_path):
    script = """
import sys, django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from tests.marketdata import make
from marketdata import store
spy = make.instrument()
store.write_bars(instrument=spy, series=make.minutes(20, unknown_volume=True), source="test")
assert len(store.read_bars(spy, "1m")) == 20
print("pandas" in sys.modules)
"""
    environment = os.environ | {
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "BARS_URL": str(tmp_path / "bars"),
        "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
    }
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "False", run.stderr


def test_a_part_of_an_adjusted_series_is_anchored_at_the_last_session_of_the_whole(bars_root):
    spy = make.instrument()
    whole = dataclasses.replace(make.minutes(3000), adjustment=Adjustment.SPLIT)
    write(spy, whole)
    write(spy, make.minutes(9000))  # raw bars reach further and do not matter
    sessions = calendars.sessions("XNYS")
    part = store.read_bars(spy, "1m", adjustment=Adjustment.SPLIT, end_ns=int(whole.start[100]))
    last = sessions.trading_dates(whole.start[-1:])
    assert store.anchor_day(spy, part, sessions) == last[0] > sessions.trading_dates(part.start[-1:])[0]


@pytest.mark.parametrize("expected", [10, 250, 600, 900])
def test_years_join_to_one_series_however_many_bars_were_expected(bars_root, monkeypatch, expected):
    spy = make.instrument()
    bars = make.minutes(600, first="2022-12-31T19:00")
    write(spy, bars)
    join = store._join
    monkeypatch.setattr(store, "_join", lambda pieces, rows, empty: join(pieces, expected, empty))
    assert_same(store.read_bars(spy, "1m"), bars)


def test_a_series_that_is_replaced_keeps_nothing_of_the_old_one(bars_root):
    spy = make.instrument()
    old = merge([make.minutes(300, first="2022-12-30T14:30"), make.minutes(300)])
    write(spy, old)
    assert set(BarFile.objects.values_list("partition", flat=True)) == {2022, 2023}
    new = make.minutes(200, first="2023-01-03T16:00", seed=2)
    (report,) = store.write_all([store.BarWrite(spy, new, "rebuilt", replace=True)])
    assert (report.added, report.changed, report.unchanged, report.files) == (0, 200, 0, 1)
    assert_same(store.read_bars(spy, "1m"), new)
    assert [(row.partition, row.version, row.source) for row in BarFile.objects.all()] == [(2023, 2, "rebuilt")]


def test_the_same_bars_from_another_source_are_recorded_as_such_when_they_replace(bars_root):
    spy = make.instrument()
    bars = make.minutes(300)
    write(spy, bars)
    store.write_all([store.BarWrite(spy, bars, "test", replace=True)])
    assert BarFile.objects.get().version == 1
    store.write_all([store.BarWrite(spy, bars, "another", replace=True)])
    assert (BarFile.objects.get().version, BarFile.objects.get().source) == (2, "another")


def test_rows_written_along_are_committed_with_the_bars_or_not_at_all(bars_root):
    spy = make.instrument()
    bars = make.minutes(300)

    def along():
        Instrument.objects.filter(pk=spy.pk).update(name="with bars")

    store.write_all([store.BarWrite(spy, bars[:100], "test")], along)
    spy.refresh_from_db()
    assert (spy.name, BarFile.objects.get().rows) == ("with bars", 100)

    def fails():
        Instrument.objects.filter(pk=spy.pk).update(name="without bars")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write_all([store.BarWrite(spy, bars, "test")], fails)
    spy.refresh_from_db()
    assert (spy.name, BarFile.objects.get().rows) == ("with bars", 100)
    store.write_all([], lambda: Instrument.objects.filter(pk=spy.pk).update(name="no bars"))
    spy.refresh_from_db()
    assert spy.name == "no bars"


def test_starts_are_those_of_the_bars_held_and_of_no_damaged_file(bars_root):
    spy = make.instrument()
    bars = merge([make.minutes(300, first="2022-12-30T14:30"), make.minutes(300)])
    write(spy, bars)
    asked = (spy, bars.timeframe, "TRADES", Adjustment.RAW, int(bars.start[10]), int(bars.start[500]))
    np.testing.assert_array_equal(store.read_starts(*asked), bars.start[10:500])
    row = BarFile.objects.get(partition=2022)
    (bars_root / row.path).write_bytes(b"rubbish")
    np.testing.assert_array_equal(store.read_starts(*asked), bars.start[300:500])
    assert BarFile.objects.get(partition=2022).quarantined is not None
