"""History out of the walk: bars of every size against pandas, adjusting by brute force, and what IB refuses."""

import math
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from domain.adjustments import Split
from gateway.contract import Contract
from gateway.simulator import requests
from gateway.simulator.bar_sizes import BAR_SIZES
from gateway.simulator.history import (
    HistoryAnswer,
    Ticks,
    five_second_bars,
    head_timestamp,
    historical_ticks,
    serve,
)
from gateway.simulator.history_request import Refusal, read_time
from gateway.simulator.records import Listing
from tests.gateway.simulator.marketplace import asked, market, ns, the

NOW = ns("2026-11-25T21:30:00")
SECOND = 10**9
NUMBERS = ("open", "high", "low", "close", "volume")


def served(listing: Listing, size: str = "1 min", duration: str = "1 D", now_ns: int = NOW, **changes) -> HistoryAnswer:
    answer = serve(market(), asked(listing, size, duration, **changes), now_ns)
    assert answer.refusal is None, answer.refusal
    return answer


def refusal(listing: Listing, size: str = "1 min", duration: str = "1 D", **changes) -> Refusal:
    answer = serve(market(), asked(listing, size, duration, **changes), NOW)
    assert answer.refusal is not None
    return answer.refusal


@lru_cache(maxsize=2)
def seconds_of(listing: Listing, start_ns: int, end_ns: int) -> pd.DataFrame:
    """The path as the exchange sees it, by the trading day each second belongs to, with a column `regular`."""
    steps = pd.DataFrame(market().steps(listing.con_id, start_ns, end_ns))
    where = pd.to_datetime(steps.start_ns, utc=True).dt.tz_convert(ZoneInfo(listing.zone))
    steps.index = pd.DatetimeIndex(where)
    row = np.searchsorted(listing.trading.open, steps.start_ns, side="right") - 1
    steps["day"] = listing.trading.label[row]
    row = np.searchsorted(listing.regular.open, steps.start_ns, side="right") - 1
    steps["regular"] = steps.start_ns.to_numpy() < listing.regular.close[row]
    return steps


RULES = {"secs": "s", "min": "min", "mins": "min", "hour": "h", "hours": "h"}


def resampled(seconds: pd.DataFrame, size: str) -> pd.DataFrame:
    """By pandas, session by session, on the clock of the exchange."""
    number, _, unit = size.partition(" ")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    parts = []
    for _, session in seconds.groupby("day"):
        local = session.tz_localize(None)
        bars = local.resample(f"{number}{RULES[unit]}", origin="start_day").agg({**how, "start_ns": "first"})
        parts.append(bars.dropna())
    return pd.concat(parts)


@pytest.mark.parametrize("size", [size.text for size in BAR_SIZES if size.is_intraday])
@pytest.mark.parametrize("use_rth", [True, False], ids=["regular", "all hours"])
@pytest.mark.parametrize(("symbol", "kind"), [("AAPL", "STK"), ("ESZ6", "FUT"), ("EUR.USD", "CASH"), ("SPX", "IND")])
def test_bars_of_every_size_are_those_that_pandas_makes_of_the_seconds(symbol, kind, size, use_rth):
    listing = the(symbol, kind)
    what = "MIDPOINT" if kind == "CASH" else "TRADES"
    bars = served(listing, size, "2 D", use_rth=use_rth, what=what).bars
    seconds = seconds_of(listing, int(listing.trading.open[listing.trading.session_of_label(bars.day[:1])[0]]), NOW)
    if use_rth:
        seconds = seconds[seconds.regular]
    expected = resampled(seconds, size)
    assert len(bars) == len(expected)
    shift = 0.0
    if kind == "CASH":
        quote = market().quote(listing.con_id, ns("2026-11-25T15:00"))
        shift = (quote.bid + quote.ask) / 2 - market().mark(listing.con_id, ns("2026-11-25T15:00"))
    for name in NUMBERS[: 5 if kind in ("STK", "FUT") else 4]:
        np.testing.assert_allclose(getattr(bars, name), expected[name] + shift, rtol=0, atol=1e-9, err_msg=name)
    # A session that opens inside a bar's clock labels it by its open.
    table = listing.regular if use_rth else listing.trading
    opens = table.open[np.searchsorted(table.open, bars.start, side="right") - 1]
    assert (bars.start >= opens).all()
    first_seconds = expected.start_ns.to_numpy()
    assert (bars.start <= first_seconds).all()


def test_the_first_hour_of_regular_trading_is_half_an_hour():
    bars = served(the("AAPL"), "1 hour", date_format=1)
    assert bars.dates(1)[:3] == [f"20261125 {clock} US/Eastern" for clock in ("09:30:00", "10:00:00", "11:00:00")]
    assert bars.bars.end[0] - bars.bars.start[0] == 1800 * SECOND


@pytest.mark.parametrize("use_rth", [True, False], ids=["regular", "all hours"])
@pytest.mark.parametrize(("symbol", "kind"), [("AAPL", "STK"), ("ESZ6", "FUT"), ("CLF7", "FUT")])
def test_a_day_is_what_its_minutes_are(symbol, kind, use_rth):
    listing = the(symbol, kind)
    days = served(listing, "1 day", "30 D", use_rth=use_rth).bars
    minutes = served(listing, "1 min", "30 D", use_rth=use_rth).bars
    frame = pd.DataFrame({name: getattr(minutes, name) for name in (*NUMBERS, "day")})
    expected = frame.groupby("day").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    assert days.day.tolist() == expected.index.tolist()
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(days, name), expected[name], rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("size", "rule"), [("1W", "W-SUN"), ("1M", "ME")])
def test_weeks_and_months_hold_whole_days_and_bear_the_date_of_their_last(size, rule):
    listing = the("MSFT")
    days = served(listing, "1 day", "3 Y").bars
    longer = served(listing, size, "2 Y")
    index = pd.DatetimeIndex(days.day.astype("datetime64[D]"))
    frame = pd.DataFrame({"high": days.high, "volume": days.volume, "close": days.close, "day": days.day}, index=index)
    expected = frame.resample(rule).agg({"high": "max", "volume": "sum", "close": "last", "day": "last"})
    expected = expected[-len(longer.bars) :]
    whole = slice(1, None)  # The first one may begin inside its week.
    np.testing.assert_allclose(longer.bars.high[whole], expected.high[whole])
    np.testing.assert_allclose(longer.bars.close[whole], expected.close[whole])
    assert longer.bars.day.tolist() == expected.day.astype(int).tolist()
    assert longer.dates(2)[-1] == "20261125"


def brute_force_total_return(listing: Listing, now_ns: int) -> dict[int, float]:
    """Day by day backwards: what a close is worth after every split and dividend that came later."""
    spans = market().tape.spans(listing)
    today = int(spans.day[spans.before(now_ns)])
    closes = {
        int(day): float(close)
        for day, close, regular in zip(spans.day, spans.close, spans.regular, strict=True)
        if regular and day <= today
    }
    days = sorted(closes)
    splits = {each.ex_day: each.new_per_old for each in market().splits(listing.con_id)}
    dividends = {each.ex_day: each.amount for each in market().dividends(listing.con_id)}
    factor, adjusted = 1.0, {}
    for day, following in zip(reversed(days), [None, *reversed(days[1:])], strict=True):
        if following is not None:
            paid = dividends.get(following, 0.0) * splits.get(following, 1.0)
            factor *= (1 - paid / closes[day]) / splits.get(following, 1.0)
        adjusted[day] = closes[day] * factor
    return adjusted


@pytest.mark.parametrize("symbol", ["AAPL", "XOM", "JPM", "KO"])
def test_adjusted_last_is_what_brute_force_makes_of_the_closes(symbol):
    listing = the(symbol)
    bars = served(listing, "1 day", "15 Y", what="ADJUSTED_LAST").bars
    expected = brute_force_total_return(listing, NOW)
    assert len(market().dividends(listing.con_id)) > 20
    np.testing.assert_allclose(bars.close, [expected[day] for day in bars.day.tolist()], rtol=0, atol=1e-4)


def test_trades_are_adjusted_for_splits_that_are_known_and_no_others():
    listing = next(
        each
        for each in market().listings()
        if each.contract.sec_type == "STK"
        and any(isinstance(s, Split) and 15000 < s.ex_day < 20400 for s in market().splits(each.con_id))
    )
    split = next(s for s in market().splits(listing.con_id) if 15000 < s.ex_day < 20400)
    row = int(np.searchsorted(listing.regular.label, split.ex_day))
    before, after = int(listing.regular.close[row - 1]), int(listing.regular.close[row])
    early = served(listing, "1 day", "5 D", now_ns=before).bars
    late = served(listing, "1 day", "5 D", now_ns=after).bars
    np.testing.assert_allclose(late.close[:4], early.close[1:] / split.new_per_old, atol=1e-4)
    np.testing.assert_allclose(late.volume[:4], early.volume[1:] * split.new_per_old, atol=1)


def test_five_second_bars_come_once_each_whoever_asks_when():
    listing = the("AAPL")
    start, end = ns("2026-11-25T14:29:57"), ns("2026-11-25T14:33:12")
    once = five_second_bars(market(), listing, "TRADES", True, start, end)
    pieces = [
        five_second_bars(market(), listing, "TRADES", True, after, after + 13 * SECOND)
        for after in range(start, end, 13 * SECOND)
    ]
    assert np.concatenate([piece.start for piece in pieces]).tolist() == once.start.tolist()
    assert once.start[0] == ns("2026-11-25T14:30:00")
    assert (once.end - once.start == 5 * SECOND).all()


def test_sides_stand_around_the_last_price_and_the_mean_between_them():
    listing = the("AAPL")
    bid, ask, mid, both, trades = (
        served(listing, "5 mins", what=what).bars for what in ("BID", "ASK", "MIDPOINT", "BID_ASK", "TRADES")
    )
    assert (bid.close < ask.close).all()
    assert (bid.close <= trades.close).all() and (trades.close <= ask.close).all()
    np.testing.assert_allclose(mid.close, (bid.close + ask.close) / 2)
    assert (both.high == ask.high).all() and (both.low == bid.low).all()
    assert ((both.open >= both.low) & (both.open <= both.high)).all()
    assert (both.open < both.close).all()  # Mean bid and mean ask.
    assert set(bid.volume) == set(both.average) == set(mid.trades) == {-1.0}


def test_volatility_is_the_deviation_of_thirty_daily_returns():
    bars = served(the("AAPL"), "1 day", "1 M", what="HISTORICAL_VOLATILITY").bars
    closes = served(the("AAPL"), "1 day", "1 Y").bars
    returns = np.diff(np.log(closes.close))[-30:]
    assert math.isclose(bars.close[-1], np.std(returns, ddof=1) * math.sqrt(252), abs_tol=1e-6)
    assert bars.open[1:].tolist() == bars.close[:-1].tolist()
    implied = served(the("AAPL"), "1 day", "1 M", what="OPTION_IMPLIED_VOLATILITY").bars
    assert (implied.close > 0).all()


def test_a_schedule_names_each_session_in_the_exchanges_time():
    schedule = served(the("AAPL"), "1 day", "1 W", what="SCHEDULE", now_ns=ns("2026-11-28T12:00")).schedule
    assert schedule.sessions[-1] == ("20261127-09:30:00", "20261127-13:00:00", "20261127")
    assert "20261126" not in [day for _, _, day in schedule.sessions]
    assert (schedule.zone, schedule.end) == ("US/Eastern", "20261127-13:00:00")


# Times and durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("2026-11-25T21:30:00", True)),
        ("20261125 12:00:00 US/Eastern", ("2026-11-25T17:00:00", True)),
        ("20260701 12:00:00 US/Eastern", ("2026-07-01T16:00:00", True)),
        ("20261125-12:00:00", ("2026-11-25T12:00:00", True)),
        ("20261125 12:00:00 UTC", ("2026-11-25T12:00:00", True)),
        ("20261125 12:00:00", ("2026-11-25T17:00:00", False)),
        ("12:00:00 US/Central", ("2026-11-25T18:00:00", True)),
        ("20261125 12:00:00 Europe/Nowhere", None),
        ("20261325 12:00:00 UTC", None),
        ("20261125", None),
        ("yesterday", None),
        ("20261125 12:00", None),
        ("20261125 12:00:00 ../etc", None),
    ],
)
def test_an_end_is_read_in_every_notation(text, expected):
    found = read_time(text, "US/Eastern", NOW)
    assert found == (None if expected is None else (ns(expected[0]), expected[1]))


def test_an_end_without_a_zone_is_warned_of_and_taken_in_the_instruments():
    answer = served(the("AAPL"), end="20261125 12:00:00")
    assert answer.warning.code == 2174
    assert answer.bars.end[-1] == ns("2026-11-25T17:00:00")


def test_a_bad_end_is_refused():
    assert refusal(the("AAPL"), end="20261125 12:00:00 Mars/Base").code == 10314


@pytest.mark.parametrize(
    ("duration", "first"),
    [
        ("60 S", "2026-11-25T20:59"),
        ("3600 S", "2026-11-25T20:00"),
        ("1 D", "2026-11-25T14:30"),
        ("3 D", "2026-11-23T14:30"),
        ("1 W", "2026-11-19T14:30"),
        ("1 M", "2026-10-26T13:30"),
        ("1 Y", "2025-11-26T14:30"),
    ],
)
def test_a_duration_counts_trading_time_or_the_calendar(duration, first):
    assert served(the("AAPL"), "1 min", duration).bars.start[0] == ns(first)


def test_a_duration_in_seconds_reaches_into_the_session_before():
    bars = served(the("AAPL"), "1 min", "3600 S", now_ns=ns("2026-11-25T15:00")).bars
    assert len(bars) == 60
    assert bars.start[0] == ns("2026-11-24T20:30")


def test_a_duration_shorter_than_a_bar_gives_the_bar_it_lies_in():
    assert served(the("AAPL"), "1 hour", "60 S").bars.start.tolist() == [ns("2026-11-25T20:00")]
    assert len(served(the("AAPL"), "1 day", "60 S").bars) == 1


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"bar_size": "7 mins"}, 321, "Legal ones are: 1 secs, 5 secs"),
        ({"bar_size": "1 minute"}, 321, "bar size"),
        ({"duration": "1 Q"}, 321, "duration"),
        ({"duration": "400 D"}, 321, "longer than 365 days must be made in years"),
        ({"what": "YIELD"}, 321, "YIELD"),
        ({"what": "ADJUSTED_LAST", "end": "20261120 16:00:00 US/Eastern"}, 321, "adjusted last"),
        ({"keep_up_to_date": True, "end": "20261120 16:00:00 US/Eastern"}, 321, "keep up to date"),
        ({"keep_up_to_date": True, "bar_size": "1 secs"}, 321, "5 seconds"),
        ({"what": "SCHEDULE"}, 321, "1 day"),
        ({"date_format": 3}, 321, "format"),
        ({"end": "20031126 15:59:00 US/Eastern"}, 162, "HMDS query returned no data: AAPL@SMART Trades"),
        ({"bar_size": "5 secs", "end": "20260126 15:59:00 US/Eastern"}, 162, "no data"),
    ],
)
def test_what_cannot_be_served_is_refused_in_ibs_words(changes, code, words):
    found = refusal(the("AAPL"), **changes)
    assert found.code == code
    assert words in found.text


def test_kinds_that_a_contract_has_none_of_are_no_data():
    assert refusal(the("EUR", "CASH")).text.endswith("no data: EUR.USD@IDEALPRO Trades")
    assert refusal(the("SPX", "IND"), what="BID").code == 162


def test_unknown_and_ambiguous_contracts_are_refused_with_200():
    unknown = asked(the("AAPL"))._replace(contract=Contract(symbol="NOPE", sec_type="STK"))
    assert serve(market(), unknown, NOW).refusal == Refusal(
        200, "No security definition has been found for the request"
    )
    several = unknown._replace(contract=Contract(symbol="ALPS", sec_type="STK", exchange="SMART", currency="USD"))
    assert "ambiguous" in serve(market(), several, NOW).refusal.text


def test_the_table_of_durations_binds_only_where_it_is_asked_to():
    wish = asked(the("AAPL"), "1 min", "1 M")
    assert serve(market(), wish, NOW).refusal is None
    assert serve(market(), wish, NOW, strict=True).refusal.code == 162
    assert serve(market(), asked(the("AAPL"), "1 hour", "1 M"), NOW, strict=True).refusal is None


# Other answers


@pytest.mark.parametrize(("date_format", "text"), [(1, "20050103-09:00:00"), (2, "1104742800")])
def test_the_head_is_when_trading_began(date_format, text):
    contract = Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")
    wish = requests.HeadTimestamp(1, contract, False, False, "TRADES", date_format)
    assert head_timestamp(market(), wish, NOW) == text
    assert head_timestamp(market(), wish._replace(use_rth=True, date_format=1), NOW) == "20050103-14:30:00"


def tick_wish(**changes) -> requests.HistoricalTicks:
    contract = Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")
    wish = requests.HistoricalTicks(1, contract, False, "20261125-15:00:00", "", 100, "TRADES", True, False, "")
    return wish._replace(**changes)


def test_ticks_of_the_past_are_the_seconds_in_which_something_was_traded():
    ticks = historical_ticks(market(), tick_wish(), NOW)
    assert isinstance(ticks, Ticks)
    assert len(ticks.rows) == 100
    steps = [s for s in market().steps(the("AAPL").con_id, ns("2026-11-25T15:00"), ns("2026-11-25T16:00")) if s.volume]
    assert ticks.rows == [(s.start_ns // SECOND, s.close, s.volume) for s in steps[:100]]
    before = historical_ticks(market(), tick_wish(start="", end="20261125-15:00:00", limit=3), NOW)
    assert [row[0] for row in before.rows] == sorted(row[0] for row in before.rows)
    assert before.rows[-1][0] < ns("2026-11-25T15:00") // SECOND


def test_quotes_of_the_past_carry_both_sides():
    ticks = historical_ticks(market(), tick_wish(what="BID_ASK", limit=10), NOW)
    assert all(bid < ask and bid_size > 0 and ask_size > 0 for _, bid, ask, bid_size, ask_size in ticks.rows)
    middles = historical_ticks(market(), tick_wish(what="MIDPOINT", limit=10), NOW)
    assert [row[1] for row in middles.rows] == [(row[1] + row[2]) / 2 for row in ticks.rows]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"end": "20261125-15:00:00"}, 321), ({"start": "now"}, 10314), ({"limit": 5000}, 321), ({"what": "BID"}, 321)],
)
def test_ticks_that_cannot_be_served_are_refused(changes, code):
    assert historical_ticks(market(), tick_wish(**changes), NOW).code == code
