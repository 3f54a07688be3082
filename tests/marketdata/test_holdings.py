import json
import os
import time

import numpy as np
import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError

from domain.adjustments import Delisting
from domain.bars import merge
from marketdata import services, store
from marketdata.holdings import holdings
from marketdata.models import BarFile
from tests.marketdata import make

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
