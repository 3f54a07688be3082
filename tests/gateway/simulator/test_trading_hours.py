"""Hours by rule against the calendar libraries, and the two changes of the clocks."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from gateway.simulator import trading_hours
from tests.gateway.simulator.marketplace import ns

HOUR = 3600 * 10**9


def rows_between(table, first: str, last: str):
    lo, hi = np.searchsorted(table.open, [ns(first), ns(last)])
    return table[slice(int(lo), int(hi))]


def test_new_yorks_days_and_half_days_are_those_of_both_calendar_libraries():
    import exchange_calendars
    import pandas_market_calendars

    ours = rows_between(trading_hours.us_stocks(), "2010-01-01", "2026-12-31T23:00")
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule("2010-01-01", "2026-12-31")
    for column, theirs in (("open", "market_open"), ("close", "market_close")):
        moments = pd.DatetimeIndex(schedule[theirs]).as_unit("ns").asi8
        assert getattr(ours, column).tolist() == moments.tolist()
    calendar = exchange_calendars.get_calendar("XNYS", start="2010-01-01", end="2026-12-31")
    assert ours.open.tolist() == pd.DatetimeIndex(calendar.schedule["open"]).as_unit("ns").asi8.tolist()
    assert ours.close.tolist() == pd.DatetimeIndex(calendar.schedule["close"]).as_unit("ns").asi8.tolist()


def test_days_before_2010_are_right_too():
    import pandas_market_calendars

    ours = rows_between(trading_hours.us_stocks(), "1998-01-01", "2010-01-01")
    schedule = pandas_market_calendars.get_calendar("NYSE").schedule("1998-01-01", "2009-12-31")
    assert ours.label.tolist() == (schedule.index.as_unit("ns").asi8 // (24 * HOUR)).tolist()


def test_easter_is_the_churchs():
    from dateutil.easter import easter

    assert [trading_hours.easter(year) for year in range(1990, 2100)] == [easter(year) for year in range(1990, 2100)]


@pytest.mark.parametrize(
    ("before", "after", "shift"),
    [("2026-03-06", "2026-03-09", -1), ("2026-10-30", "2026-11-02", 1)],
    ids=["spring", "autumn"],
)
def test_sessions_move_with_the_clocks(before, after, shift):
    for table in (trading_hours.us_stocks(), trading_hours.cme_equity(), trading_hours.nymex(), trading_hours.forex()):
        rows = table.session_of_label([int(np.datetime64(day, "D").astype(int)) for day in (before, after)])
        assert (rows >= 0).all()
        for column in (table.open, table.close):
            assert column[rows[1]] - column[rows[0]] == 3 * 24 * HOUR + shift * HOUR


def test_futures_trade_over_holidays_till_noon_and_not_on_good_friday():
    table = trading_hours.cme_equity()
    thanksgiving = int(table.session_of_label([(date(2026, 11, 26) - date(1970, 1, 1)).days])[0])
    assert table.close[thanksgiving] == ns("2026-11-26T18:00")
    assert table.open[thanksgiving] == ns("2026-11-25T23:00")
    good_friday = (date(2026, 4, 3) - date(1970, 1, 1)).days
    assert table.session_of_label([good_friday])[0] == -1


def test_forex_opens_on_sunday_and_pauses_a_quarter_of_an_hour_a_day():
    week = rows_between(trading_hours.forex(), "2026-11-15", "2026-11-21")
    assert week.open[0] == ns("2026-11-15T22:15")
    assert week.close[-1] == ns("2026-11-20T22:00")
    assert set((week.open[1:] - week.close[:-1]).tolist()) == {15 * 60 * 10**9}


@pytest.mark.parametrize(
    "table",
    [
        trading_hours.us_stocks(),
        trading_hours.us_stocks_extended(),
        trading_hours.us_index(),
        trading_hours.cme_equity(),
        trading_hours.cme_equity_regular(),
        trading_hours.nymex(),
        trading_hours.nymex_regular(900, 1430),
        trading_hours.forex(),
    ],
    ids=lambda table: table.calendar,
)
def test_every_table_keeps_its_promises(table):
    table.check()
