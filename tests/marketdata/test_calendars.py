import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from domain.errors import BadInput, UnknownName
from domain.instrument import InstrumentKind
from marketdata import calendars
from tests.domain.shared_files import day, ns, rows

# exchange_calendars 4.13 computes their holidays with an offset that pandas 3 no longer adds.
NOT_WITH_PANDAS_3 = {"ASEX", "BVB", "XBEL", "XBSE", "XCYS"}


@pytest.fixture
def fresh(settings, tmp_path):
    """No calendar in the process or on the disk; yields the cache folder."""
    settings.CACHE_DIR = tmp_path
    calendars._sessions.cache_clear()
    yield tmp_path / "calendars"
    calendars._sessions.cache_clear()


def test_new_york_sessions_are_those_of_the_reference():
    expected = rows("golden/calendars/nyse_sessions_2015_2026.csv")
    assert len(expected) > 2900
    table = calendars.sessions("XNYS").between(ns(expected[0]["open_utc"]), ns(expected[-1]["open_utc"]) + 1)
    assert table.label.tolist() == [day(row["session"]) for row in expected]
    assert table.open.tolist() == [ns(row["open_utc"]) for row in expected]
    assert table.close.tolist() == [ns(row["close_utc"]) for row in expected]
    half = table.is_half_day(np.arange(len(table)))
    assert half.tolist() == [row["kind"] != "regular" for row in expected]


def test_new_york_is_closed_on_the_weekdays_of_the_reference():
    closures = [day(row["date"]) for row in rows("golden/calendars/nyse_weekday_closures_2015_2026.csv")]
    table = calendars.sessions("XNYS")
    weekdays = np.arange("2015-01-01", "2027-01-01", dtype="datetime64[D]")
    weekdays = weekdays[np.is_busday(weekdays)].astype(np.int64)
    assert weekdays[table.session_of_label(weekdays) < 0].tolist() == closures


def test_both_libraries_agree_on_new_york_from_2015_on():
    import exchange_calendars

    other = exchange_calendars.get_calendar("XNYS", start="2015-01-01").schedule.loc[:"2026-12-31"]
    table = calendars.sessions("XNYS").between(ns("2015-01-01"), ns("2027-01-01"))
    assert table.open.tolist() == other["open"].dt.as_unit("ns").astype("int64").tolist()
    assert table.close.tolist() == other["close"].dt.as_unit("ns").astype("int64").tolist()


def test_new_york_remembers_late_openings_and_days_without_trading():
    table = calendars.sessions("XNYS")
    late = int(table.session_of_label(day("2002-09-11")))
    assert table.open[late] == ns("2002-09-11T16:00")
    assert (table.session_of_label(np.arange(day("2001-09-11"), day("2001-09-17"))) == -1).all()


def test_forex_trades_from_sunday_evening_to_friday_evening_new_york():
    table = calendars.sessions("FX")
    week = table.between(ns("2024-03-08T22:00"), ns("2024-03-15T21:00"))  # clocks change on Sunday the 10th
    assert week.label.tolist() == [day("2024-03-11") + i for i in range(5)]
    assert week.open.tolist() == [ns(f"2024-03-{10 + i}T21:00") for i in range(5)]
    assert week.close.tolist() == [ns(f"2024-03-{11 + i}T21:00") for i in range(5)]
    assert table.previous_close(ns("2024-03-09T12:00")) == ns("2024-03-08T22:00")
    assert not table.is_open(ns("2024-03-09T12:00")) and table.is_open(ns("2024-03-10T21:00"))


def test_a_lunch_break_is_gone_on_a_half_day():
    table = calendars.sessions("XHKG")
    full, half = table.session_of_label([day("2015-12-23"), day("2015-12-24")])
    assert (table.break_start[full], table.break_end[full]) == (ns("2015-12-23T04:00"), ns("2015-12-23T05:00"))
    assert (table.break_start[half], table.close[half]) == (0, ns("2015-12-24T04:00"))


def test_globex_stops_for_an_hour_a_day_and_early_on_thanksgiving():
    table = calendars.sessions(calendars.calendar_for("CME", InstrumentKind.FUTURE, "ES"))
    row = int(table.session_of_label(day("2023-11-23")))
    assert (table.open[row], table.close[row]) == (ns("2023-11-22T23:00"), ns("2023-11-23T18:00"))
    assert table.close[row - 1] == ns("2023-11-22T22:00")


def test_a_calendar_ends_with_a_whole_week_about_a_year_ahead():
    table = calendars.sessions("XNYS")
    ahead = table.label[-1] - np.datetime64("today").astype(np.int64)
    assert 330 < ahead <= 366
    assert np.datetime64(int(table.label[-1]) + 3, "D").astype(object).isoweekday() in (7, 1)  # ends Thursday or Friday


def test_a_bounded_calendar_starts_where_its_record_starts():
    with pytest.raises(BadInput, match="2017-01-04 to"):
        calendars.sessions("AIXK").is_open(ns("2016-12-01"))


def test_an_unknown_calendar_is_named_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'NASDAQ'"):
        calendars.sessions("NASDAK")


@pytest.mark.parametrize(
    ("exchange", "kind", "symbol", "calendar"),
    [
        ("SMART", InstrumentKind.STOCK, "AAPL", "XNYS"),
        ("island", InstrumentKind.STOCK, "AAPL", "XNYS"),
        ("ARCA", InstrumentKind.ETF, "SPY", "XNYS"),
        ("CBOE", InstrumentKind.INDEX, "SPX", "XNYS"),
        ("CBOE", InstrumentKind.FUTURE, "VIX", "CBOE_Futures"),
        ("TSE", InstrumentKind.STOCK, "RY", "XTSE"),
        ("TSEJ", InstrumentKind.STOCK, "7203", "XTKS"),
        ("LSEETF", InstrumentKind.ETF, "VUSA", "XLON"),
        ("IBIS", InstrumentKind.STOCK, "SAP", "XETR"),
        ("GLOBEX", InstrumentKind.FUTURE, "ES", "CME Globex Equity"),
        ("CME", InstrumentKind.FUTURE, "EUR", "CMEGlobex_FX"),
        ("CBOT", InstrumentKind.FUTURE, "ZN", "CME Globex Fixed Income"),
        ("CBOT", InstrumentKind.FUTURE, "ZC", "CMEGlobex_Grains"),
        ("NYMEX", InstrumentKind.FUTURE, "CL", "CMEGlobex_EnergyAndMetals"),
        ("DTB", InstrumentKind.FUTURE, "ESTX50", "XEUR"),
        ("SMART", InstrumentKind.FOREX, "EUR.USD", "FX"),
    ],
)
def test_an_exchange_of_ib_has_the_calendar_it_trades_by(exchange, kind, symbol, calendar):
    assert calendars.calendar_for(exchange, kind, symbol) == calendar


def test_an_unknown_exchange_is_refused():
    with pytest.raises(UnknownName, match="did you mean 'NYMEX'"):
        calendars.calendar_for("NYMEXX", InstrumentKind.FUTURE)


def test_every_calendar_that_an_exchange_maps_to_exists():
    targets = {*calendars._OF_EXCHANGE.values(), *calendars._OF_FUTURE.values()}
    assert targets <= set(calendars.calendar_names())


def test_a_corrupt_cache_file_is_rebuilt(fresh):
    good = calendars.sessions("FX")
    (file,) = fresh.glob("*.npy")
    for damage in (
        b"",
        b"not numpy",
        file.read_bytes()[:-100],
        file.read_bytes()[:500] + bytes(500) + file.read_bytes()[1000:],
    ):
        file.write_bytes(damage)
        calendars._sessions.cache_clear()
        assert calendars.sessions("FX").open.tolist() == good.open.tolist()
        assert len(np.load(file)) == 6


def test_a_cache_that_cannot_be_written_costs_only_time(fresh, caplog):
    fresh.write_text("a file where the folder should be")
    assert len(calendars.sessions("FX")) > 9000
    assert "calendar FX: cannot write the cache file" in caplog.text


def test_a_new_month_replaces_the_cache_file(fresh):
    now = calendars._sessions("FX", 1)
    later = calendars._sessions("FX", 2)
    assert now is not later
    assert len(list(fresh.iterdir())) == 1


def test_a_warm_cache_needs_no_pandas():
    calendars.sessions("XNYS")
    code = (
        "import sys, django; django.setup()\n"
        "from marketdata.calendars import sessions\n"
        "table = sessions('XNYS'); table.next_open(1_700_000_000 * 10**9)\n"
        "print(len(table), 'pandas' in sys.modules, 'exchange_calendars' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tradingsite.settings"}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(len(calendars.sessions("XNYS"))), "False", "False"], done.stderr
    assert str(settings.CACHE_DIR).startswith(os.environ["VAR_DIR"])


# Both libraries, our own, an alias, lunch breaks, a mirrored one, no weekends off, one with a short record.
@pytest.mark.parametrize("name", ["XLON", "CME Globex Equity", "FX", "NASDAQ", "XHKG", "XTAE", "24/7", "XSAU"])
def test_a_calendar_of_each_kind_builds(name):
    assert len(calendars.sessions(name)) > 1000


@pytest.mark.exhaustive
def test_every_name_that_the_libraries_know_builds():
    import pandas as pd

    names = calendars.calendar_names()
    assert len(names) > 200
    failed = set()
    for name in names:
        try:
            assert len(calendars.sessions(name)) > 1000
        except BadInput as error:
            assert "pandas older than 3 can" in str(error)
            failed.add(name)
    assert failed == (NOT_WITH_PANDAS_3 if pd.__version__ >= "3" else set())
