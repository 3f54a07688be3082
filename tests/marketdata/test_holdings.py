import dataclasses
import datetime as dt
import json
import os
import time

import numpy as np
import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError

from domain.adjustments import Delisting
from domain.bars import Adjustment, merge
from domain.coverage import Counts
from domain.gaps import AbsenceKind, GapClass
from marketdata import services, store
from marketdata.holdings import MAP_MARKS, Map, holdings, holdings_of
from marketdata.management.commands import coverage
from marketdata.models import BarFile, Fetch, Halt, HeadTime, Instrument, LoadRun, ProvenRange
from marketdata.planning import IB, SIMULATED
from tests.marketdata import loads, make

pytestmark = pytest.mark.django_db


def test_gaps_are_counted_from_the_first_bar_to_the_last(bars_root):
    spy = make.instrument()
    bars = make.minutes(390)
    store.write_bars(instrument=spy, series=merge([bars[:100], bars[150:]]), source="test")
    (found,) = holdings(spy)
    assert found.gaps is not None
    assert (found.gaps.expected, found.gaps.held, found.gaps.missing.tolist()) == (390, 340, [50])
    assert (found.gaps.start[0], found.gaps.end[0]) == (bars.start[100], bars.end[149])
    assert found.unexpected == 0


def test_bars_outside_the_session_are_counted_apart(bars_root):
    spy = make.instrument()
    store.write_bars(instrument=spy, series=make.minutes(420, first="2023-01-03T14:15"), source="test")
    (found,) = holdings(spy)
    assert found.unexpected == 30
    assert found.gaps is not None and len(found.gaps) == 0


def test_what_is_missing_after_a_delisting_is_explained(bars_root):
    spy = make.instrument()
    bars = merge([make.minutes(390), make.minutes(390, first="2023-01-05T14:30")])
    store.write_bars(instrument=spy, series=bars, source="test")
    day = int(np.datetime64("2023-01-04").astype(np.int64))
    services.record_actions(instrument=spy, actions=[Delisting(day)], source="test")
    (found,) = holdings(spy)
    assert [gap["class"] for gap in found.as_dict()["largest_gaps"]] == ["after_delisting"]


NOW = dt.datetime(2023, 1, 6, 15, 0, tzinfo=dt.UTC)  # half an hour after the open of a Friday


def held_minutes(**series):
    """390 bars of 2023-01-03, as the loader keeps them."""
    spy = make.instrument()
    bars = dataclasses.replace(make.minutes(390), adjustment=Adjustment.SPLIT)
    store.write_bars(instrument=spy, series=bars, **({"source": IB} | series))
    return spy


@pytest.mark.usefixtures("bars_root")
def test_what_is_missing_before_the_first_bar_counts_from_where_ib_begins():
    spy = held_minutes()
    HeadTime.objects.create(
        instrument=spy, what="TRADES", start=dt.datetime(2022, 12, 29, 16, tzinfo=dt.UTC), asked=NOW
    )
    (found,) = holdings(spy, now=NOW)
    # The rest of Thursday from 11:00 in New York, and Friday; Monday was a holiday.
    assert (found.before, found.gaps.expected) == (300 + 390, 390)
    told = found.as_dict()
    assert (told["since"], told["closed_days"], told["half_days"]) == ("2022-12-29T16:00:00Z", 1, 0)
    assert [(each.kind, each.minutes) for each in found.absences()] == [(AbsenceKind.CLOSED, 390)]
    assert holdings(spy)[0].as_dict()["since"] == "2023-01-03T14:30:00Z"


@pytest.mark.usefixtures("bars_root")
def test_after_the_last_bar_only_what_is_due_is_missing():
    spy = held_minutes()
    (found,) = holdings(spy, now=NOW)
    assert (found.before, found.after, found.as_dict()["until"]) == (0, 390 + 390 + 30, "2023-01-06T15:00:00Z")
    assert found.gaps is not None and len(found.gaps) == 0
    early = NOW.replace(minute=0, second=30, hour=14)
    assert holdings(spy, now=early)[0].after == 780
    Instrument.objects.update(active=False)
    (found,) = holdings(Instrument.objects.get(), now=NOW)
    assert (found.after, found.as_dict()["until"]) == (0, "2023-01-03T21:00:00Z")


@pytest.mark.usefixtures("bars_root")
def test_prices_that_the_loader_does_not_keep_end_where_they_end():
    spy = make.instrument()
    store.write_bars(instrument=spy, series=make.minutes(390), source="test")
    HeadTime.objects.create(instrument=spy, what="TRADES", start=dt.datetime(2022, 1, 3, tzinfo=dt.UTC), asked=NOW)
    (found,) = holdings(spy, now=NOW)
    assert (found.held.adjustment, found.before, found.after) == ("raw", 0, 0)


@pytest.mark.usefixtures("bars_root")
@pytest.mark.parametrize(("source", "is_kept"), [("SPY.csv", False), (IB, True), (SIMULATED, True)])
def test_an_imported_file_does_not_lack_the_years_around_it(source, is_kept):
    spy = held_minutes(source=source)
    HeadTime.objects.create(instrument=spy, what="TRADES", start=dt.datetime(2022, 12, 30, tzinfo=dt.UTC), asked=NOW)
    (found,) = holdings(spy, now=NOW)
    assert (found.before, found.after) == ((390, 810) if is_kept else (0, 0))
    assert found.gaps is not None and (found.gaps.expected, len(found.gaps)) == (390, 0)


@pytest.mark.usefixtures("bars_root")
def test_an_imported_file_that_a_load_continues_is_kept_from_then_on():
    spy = held_minutes(source="SPY.csv")
    later = dataclasses.replace(make.minutes(30, first="2024-01-03T14:30"), adjustment=Adjustment.SPLIT)
    store.write_bars(instrument=spy, series=later, source=IB)
    assert holdings(spy, now=dt.datetime(2024, 1, 3, 15, 10, tzinfo=dt.UTC))[0].after == 10


@pytest.mark.parametrize(
    ("held", "missing", "mark"),
    [
        (10, {}, "#"),
        (0, {}, "_"),
        (96, {GapClass.UNEXPECTED: 4}, "+"),
        (5, {GapClass.UNEXPECTED: 5}, "-"),
        (0, {GapClass.UNEXPECTED: 5}, "."),
        (0, {GapClass.BEFORE_LISTING: 5}, "L"),
        (5, {GapClass.BEFORE_LISTING: 5}, "l"),
        (0, {GapClass.AFTER_DELISTING: 5}, "X"),
        (9, {GapClass.HALT: 1}, "h"),
        (9, {GapClass.NO_TRADES: 1}, "n"),
        (0, {GapClass.NO_PERMISSION: 5}, "P"),
        (99, {GapClass.FAILED: 1}, "f"),
        (9, {GapClass.HALT: 1, GapClass.NO_TRADES: 1}, "#"),
        (0, {GapClass.HALT: 1, GapClass.NO_TRADES: 1}, "_"),
        (0, {GapClass.FAILED: 1, GapClass.UNEXPECTED: 1}, "."),
        (95, {GapClass.FAILED: 1, GapClass.UNEXPECTED: 4, GapClass.HALT: 100}, "+"),
    ],
)
def test_one_reason_for_all_that_is_missing_stands_in_the_map_by_its_letter(held, missing, mark):
    row = np.zeros((1, len(GapClass)), np.int64)
    for code, bars in missing.items():
        row[0, code] = bars
    counts = Counts(np.array([held]) + row.sum(axis=1), row)
    assert Map("month", np.array([0, 1]), counts).line == mark


def test_the_legend_of_the_map_has_every_letter():
    assert len({code.letter for code in GapClass}) == len(GapClass)
    for code in set(GapClass) - {GapClass.UNEXPECTED}:
        assert f"{code.letter} {code.label.replace('_', ' ')}" in MAP_MARKS


@pytest.mark.usefixtures("bars_root")
def test_every_missing_bar_has_its_class():
    spy = held_minutes()
    day = dt.datetime(2023, 1, 4, tzinfo=dt.UTC)

    def at(hour, minute=0):
        return day.replace(hour=hour, minute=minute)

    series = {"instrument": spy, "timeframe": "1m", "what": "TRADES"}
    ProvenRange.objects.create(**series, start=at(14, 30), end=at(15), proven=NOW)
    Halt.objects.create(instrument=spy, start=at(15), end=at(15, 10))
    run = LoadRun.objects.create(**series)
    failed = {"load_run": run, "gap": 0, "duration": "1 D", "state": Fetch.State.FAILED, "ended": NOW}
    Fetch.objects.create(
        **series, **failed, start=at(16), end=at(17), code=162, error="HMDS: No market data permissions"
    )
    Fetch.objects.create(**series, **failed, start=at(18), end=at(18, 20), code=504, error="not connected")
    (found,) = holdings(spy, now=day.replace(hour=23))
    assert found.by_class() == dict.fromkeys(GapClass, 0) | {
        GapClass.NO_TRADES: 30,
        GapClass.HALT: 10,
        GapClass.NO_PERMISSION: 60,
        GapClass.FAILED: 20,
        GapClass.UNEXPECTED: 390 - 120,
    }
    assert found.after == 350, "bars that cannot exist are not to be loaded"
    # 390 of 740 bars that can exist
    drawn = found.map()
    assert drawn is not None and (drawn.unit, drawn.line) == ("week", "-")


def test_a_map_is_drawn_in_weeks_months_or_years_as_long_as_it_is(bars_root):
    spy = make.instrument()
    days = loads.series("1d", "2022-01-03", "2023-06-30", without=["2022-03-15"])
    store.write_bars(instrument=spy, series=days, source=IB)
    drawn = holdings(spy, now=dt.datetime(2023, 8, 15, tzinfo=dt.UTC))[0].map()
    assert drawn is not None
    assert (drawn.unit, drawn.line) == ("month", "##+" + "#" * 15 + "..") and len(drawn.edges) == 21
    assert drawn.counts.expected.sum() == drawn.counts.held.sum() + 1 + 20 + 10
    drawn = holdings(spy)[0].map()
    assert drawn is not None and drawn.line == "##+" + "#" * 15
    HeadTime.objects.create(instrument=spy, what="TRADES", start=dt.datetime(2010, 6, 1, tzinfo=dt.UTC), asked=NOW)
    drawn = holdings(spy, now=dt.datetime(2023, 7, 2, tzinfo=dt.UTC))[0].map()
    assert drawn is not None and (drawn.unit, drawn.line) == ("year", "." * 12 + "+#")
    store.write_bars(instrument=make.instrument("NEW"), series=make.minutes(390), source="test")
    assert holdings(Instrument.objects.get(symbol="NEW"))[0].map().line == "#"


def test_weeks_of_a_map_begin_on_monday(bars_root):
    spy = make.instrument()
    store.write_bars(
        instrument=spy, series=loads.series("1d", "2023-01-03", "2023-02-10", without=["2023-01-23"]), source="test"
    )
    drawn = holdings(spy)[0].map()
    assert drawn is not None and (drawn.unit, drawn.line) == ("week", "###-##")
    assert {str(np.datetime64(int(at), "ns").astype("datetime64[D]")) for at in drawn.edges[1:-1]} == {
        "2023-01-09", "2023-01-16", "2023-01-23", "2023-01-30", "2023-02-06",
    }  # fmt: skip


def test_many_instruments_are_looked_at_in_as_many_queries_as_one(bars_root, django_assert_num_queries):
    for number in range(12):
        store.write_bars(instrument=make.instrument(f"S{number}"), series=make.minutes(10, seed=number), source="test")
    with django_assert_num_queries(8):
        found = list(holdings_of(Instrument.objects.all(), now=NOW))
    assert [each.instrument.symbol for each in found] == [f"S{number}" for number in sorted(range(12), key=str)]


def test_the_command_draws_a_map_and_counts_by_class(bars_root, capsys, monkeypatch):
    held_minutes()
    monkeypatch.setattr(coverage, "gateway_now", lambda now: NOW)
    call_command("coverage", "SPY")
    shown = capsys.readouterr().out
    assert "  after the last: 810 bars until 2023-01-06T15:00Z" in shown
    assert "  why: 810 unexpected" in shown and "no bars are due" not in shown
    assert "  map by week, 2023-01-03 to 2023-01-06: -" in shown and "map: # all held" in shown
    call_command("coverage", "SPY", "--json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["classes"]["unexpected"] == 810 and found["classes"]["before_listing"] == 0
    assert found["map"]["line"] == "-" and found["missing"] == 0 and found["absences"] == []
    monkeypatch.setattr(coverage, "gateway_now", lambda now: dt.datetime(2023, 1, 18, tzinfo=dt.UTC))
    call_command("coverage", "SPY")
    assert "  no bars are due: 1 closed days, 0 half days" in capsys.readouterr().out
    call_command("coverage", "SPY", "--json")
    (found,) = json.loads(capsys.readouterr().out)
    assert found["absences"] == [{"day": "2023-01-16", "kind": "closed", "minutes": 390}]
    assert (found["closed_days"], found["map"]["line"]) == (1, "-..")


def test_the_command_shows_damage_and_the_rest(bars_root, capsys):
    for symbol in ("BAD", "GOOD"):
        store.write_bars(instrument=make.instrument(symbol), series=make.minutes(10), source="test")
    (bars_root / BarFile.objects.get(instrument__symbol="BAD").path).write_bytes(b"x")
    with pytest.raises(CommandError, match="1 of 2 series cannot be read: BAD 1m") as failed:
        call_command("coverage")
    assert failed.value.returncode == 1
    shown = capsys.readouterr().out
    assert "is damaged" in shown and "GOOD 1m raw: 10 bars, 2023-01-03 to 2023-01-03, 1 files" in shown
    with pytest.raises(CommandError, match="1 of 1 series cannot be read") as failed:
        call_command("coverage", "BAD", "--json", "--timeframe", "1m")
    assert failed.value.returncode == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["quarantined"] == 1 and found["rows"] == 0 and "is damaged" in found["fault"]
    call_command("coverage", "GOOD")
    with pytest.raises(CommandError, match="did you mean 'GOOD'") as wrong:
        call_command("coverage", "GOOOD")
    assert wrong.value.returncode == 2


def test_a_store_that_is_not_there_ends_with_1_after_everything_is_shown(bars_root, capsys):
    for symbol in ("ONE", "TWO"):
        store.write_bars(instrument=make.instrument(symbol), series=make.minutes(10), source="test")
    bars_root.rename(bars_root.with_name("unmounted"))
    with pytest.raises(CommandError, match="2 of 2 series cannot be read: ONE 1m, TWO 1m") as failed:
        call_command("coverage")
    assert failed.value.returncode == 1
    shown = capsys.readouterr().out
    assert shown.count("is the disk mounted") == 2
    bars_root.with_name("unmounted").rename(bars_root)
    call_command("coverage")


def test_nothing_held_says_what_to_do(capsys):
    call_command("coverage")
    assert "manage.py import_demo" in capsys.readouterr().out


def test_sweeping_from_the_command_line(bars_root, capsys):
    spy = make.instrument()
    store.write_bars(instrument=spy, series=make.minutes(10), source="test")
    store.write_bars(instrument=spy, series=make.minutes(20), source="test")
    call_command("sweep_bars", "--older-than", "0")
    assert capsys.readouterr().out.startswith("removed 1 files")


def test_the_age_that_sweeping_goes_by_is_that_of_the_file(bars_root, capsys):
    spy = make.instrument()
    for count in (10, 20, 30):
        store.write_bars(instrument=spy, series=make.minutes(count), source="test")
    written = time.time() - 3700
    os.utime(min(bars_root.rglob("*-v1-*.parquet")), (written, written))
    call_command("sweep_bars")
    assert capsys.readouterr().out.startswith("removed 1 files")
    assert sorted(path.name.split("-")[1] for path in bars_root.rglob("*.parquet")) == ["v2", "v3"]
    help_text = load_command_class("marketdata", "sweep_bars").help
    assert "The age is that of the file" in help_text
