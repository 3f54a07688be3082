"""The market: what it lists, and that what it says depends on the moment and on nothing else."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import BadInput
from gateway.contract import Contract
from gateway.simulator.listings import MARKET_RULES, universe
from gateway.simulator.market import Market
from gateway.simulator.prices import on_grid
from gateway.simulator.walk import WalkPrices
from tests.gateway.simulator.marketplace import TODAY, listed, market, new_market, ns, the

SECOND = 10**9
NOON = ns("2026-11-25T17:00")


def test_the_universe_is_large_and_every_listing_is_whole():
    listings = market().listings()
    assert len(listings) >= 120
    assert {each.contract.sec_type for each in listings} == {"STK", "CASH", "FUT", "IND"}
    for each in listings:
        contract = each.contract
        each.regular.check()
        each.trading.check()
        assert contract.con_id > 0 and contract.local_symbol and contract.trading_class and contract.currency
        assert each.price_steps == MARKET_RULES[each.market_rule]
        assert contract.exchange in each.valid_exchanges.split(",")
        assert "\\" not in each.long_name
        assert each.con_id in listed().characters


def test_a_contract_keeps_its_number_whatever_else_is_listed():
    earlier = {each.contract.local_symbol: each.con_id for each in universe(TODAY.replace(year=2025)).listings}
    now = {each.contract.local_symbol: each.con_id for each in listed().listings if each.contract.sec_type != "FUT"}
    assert all(earlier[name] == number for name, number in now.items())
    assert the("AAPL").con_id == 265598


@pytest.mark.parametrize(
    ("contract", "count"),
    [
        (Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD"), 1),
        (Contract(symbol="aapl", sec_type="STK", currency="USD"), 1),
        (Contract(symbol="AAPL", sec_type="STK", currency="EUR"), 0),
        (Contract(symbol="AAPL", sec_type="STK", exchange="ISLAND"), 1),
        (Contract(symbol="AAPL", sec_type="STK", exchange="IDEALPRO"), 0),
        (Contract(con_id=265598), 1),
        (Contract(con_id=1), 0),
        (Contract(symbol="EUR", sec_type="CASH", exchange="IDEALPRO", currency="USD"), 1),
        (Contract(local_symbol="EUR.USD", sec_type="CASH"), 1),
        (Contract(symbol="ALPS", sec_type="STK", exchange="SMART", currency="USD"), 2),
        (Contract(symbol="ALPS", sec_type="STK", primary_exchange="AMEX"), 1),
        (Contract(symbol="ES", sec_type="FUT", exchange="CME"), 8),
        (Contract(symbol="ES", sec_type="FUT", expiry="202703", exchange="CME"), 1),
        (Contract(symbol="ES", sec_type="FUT", expiry="20270319", exchange="CME"), 1),
        (Contract(local_symbol="ESH7", exchange="CME"), 1),
        (Contract(symbol="ES", sec_type="FUT", expiry="202703", multiplier="5"), 0),
        (Contract(symbol="SPX", sec_type="IND", exchange="CBOE"), 1),
        (Contract(), 0),
    ],
)
def test_a_partial_contract_finds_all_that_it_may_mean(contract, count):
    assert len(market().find(contract)) == count


def test_a_listing_comes_back_as_of_the_exchange_asked_for():
    found = market().find(Contract(symbol="AAPL", sec_type="STK", exchange="NASDAQ"))[0]
    assert (found.contract.exchange, found.con_id) == ("NASDAQ", 265598)


def test_a_search_goes_by_symbol_and_by_name():
    assert market().search("AAP")[0].contract.symbol == "AAPL"
    assert "MSFT" in [each.contract.symbol for each in market().search("microsoft")]
    assert market().search(" ") == []


def test_futures_of_one_root_stand_apart_by_their_carry_and_end():
    near, far = the("ESZ6", "FUT"), the("ESH7", "FUT")
    ratio = market().mark(far.con_id, NOON) / market().mark(near.con_id, NOON)
    assert 1.004 < ratio < 1.014
    after = ns("2026-12-19T15:00")
    assert market().session(near.con_id, after, True) is None
    assert market().is_expired(near.con_id, after)
    assert not market().is_expired(near.con_id, NOON)
    wish = Contract(symbol="ES", sec_type="FUT", exchange="CME")
    still, ever = market().listed(wish, after), market().listed(wish, after, expired=True)
    assert near in ever
    assert near not in still
    assert {each.con_id for each in still} < {each.con_id for each in ever}
    with pytest.raises(BadInput, match="ESZ6"):
        market().next_open(near.con_id, after, True)


def test_sessions_are_asked_for_with_and_without_extended_hours():
    con_id = the("AAPL").con_id
    assert market().session(con_id, ns("2026-11-25T12:00"), False) is None
    assert market().session(con_id, ns("2026-11-25T12:00"), True) == (ns("2026-11-25T09:00"), ns("2026-11-26T01:00"))
    assert market().session(con_id, ns("2026-11-25T21:00"), False) is None
    assert market().next_open(con_id, ns("2026-11-25T21:00"), False) == ns("2026-11-27T14:30")


# Prices


@pytest.mark.parametrize(
    ("symbol", "kind"), [("AAPL", "STK"), ("TUPZ", "STK"), ("EUR.USD", "CASH"), ("ESZ6", "FUT"), ("GCZ6", "FUT")]
)
def test_all_prices_lie_on_the_grid_and_the_book_does_not_cross(symbol, kind):
    listing = the(symbol, kind)
    for minute in range(0, 600, 7):
        quote = market().quote(listing.con_id, ns("2026-11-25T13:00:03") + minute * 60 * SECOND)
        prices = [price for price in (quote.bid, quote.ask, quote.last, quote.high, quote.low) if not math.isnan(price)]
        np.testing.assert_allclose(on_grid(np.array(prices), listing.price_steps), prices, rtol=0, atol=1e-12)
        assert not quote.bid >= quote.ask
        assert quote.low <= quote.high
        if not math.isnan(quote.last):
            assert quote.low <= quote.last <= quote.high


def test_there_is_no_bid_where_nothing_trades():
    index = market().quote(the("SPX", "IND").con_id, NOON)
    assert math.isnan(index.bid) and math.isnan(index.volume) and index.last > 0
    pair = market().quote(the("EUR.USD", "CASH").con_id, NOON)
    assert math.isnan(pair.last) and pair.bid < pair.ask
    night = market().quote(the("AAPL").con_id, ns("2026-11-26T05:00"))
    assert math.isnan(night.bid) and night.last == market().mark(the("AAPL").con_id, ns("2026-11-26T05:00"))
    assert math.isnan(market().quote(the("ABNB").con_id, ns("2019-11-26T15:00")).last)


def test_the_day_so_far_is_what_the_steps_made_of_it():
    con_id = the("AAPL").con_id
    now = ns("2026-11-25T18:12:34")
    steps = market().steps(con_id, ns("2026-11-25T09:00"), now)
    quote = market().quote(con_id, now)
    assert quote.high == max(step.high for step in steps)
    assert quote.low == min(step.low for step in steps)
    assert quote.volume == sum(step.volume for step in steps)
    assert quote.last == steps[-1].close
    assert quote.open == next(step.open for step in steps if step.start_ns == ns("2026-11-25T14:30"))
    evening = market().quote(con_id, ns("2026-11-24T21:00"))
    assert quote.previous_close == evening.last


def test_the_same_index_its_fund_and_its_future_move_together():
    marks = [
        [market().mark(listing.con_id, ns("2026-11-25T15:00") + n * 1800 * SECOND) for n in range(12)]
        for listing in (the("SPX", "IND"), the("SPY"))
    ]
    assert np.corrcoef(np.diff(np.log(marks)))[0, 1] > 0.95


@given(st.data())
@settings(max_examples=25)
def test_steps_join_whatever_pieces_they_are_asked_for_in(data):
    listing = data.draw(st.sampled_from([the("AAPL"), the("ESZ6", "FUT"), the("EUR.USD", "CASH"), the("TUPZ")]))
    start = ns("2026-11-24T06:00") + data.draw(st.integers(0, 40 * 3600 * 10)) * SECOND // 10
    cuts = data.draw(st.lists(st.integers(0, 20_000 * 10**9), max_size=6))
    end = start + 20_000 * SECOND
    edges = [start, *sorted(start + cut for cut in cuts), end]
    pieces = [
        step for after, until in itertools.pairwise(edges) for step in market().steps(listing.con_id, after, until)
    ]
    whole = market().steps(listing.con_id, start, end)
    assert pieces == whole
    for step, following in itertools.pairwise(whole):
        assert start < step.end_ns <= end
        assert step.low <= min(step.open, step.close) <= max(step.open, step.close) <= step.high
        if following.start_ns == step.end_ns and market().session(listing.con_id, step.end_ns - 1, False) == (
            market().session(listing.con_id, step.end_ns, False)
        ):
            assert following.open == step.close


@given(st.lists(st.tuples(st.sampled_from(["AAPL", "SPY", "TUPZ", "XOM"]), st.integers(0, 4000)), max_size=12))
@settings(max_examples=25)
def test_what_is_said_does_not_depend_on_what_was_asked_before(questions):
    one, other = new_market(), market()
    moments = [(the(symbol).con_id, ns("2015-01-05T15:00:07") + hours * 3600 * SECOND) for symbol, hours in questions]
    backwards = [one.quote(con_id, moment) for con_id, moment in reversed(moments)]
    assert repr([other.quote(con_id, moment) for con_id, moment in moments]) == repr(backwards[::-1])


def test_another_seed_is_another_market():
    con_id = the("AAPL").con_id
    assert new_market(8).mark(con_id, NOON) != market().mark(con_id, NOON)
    assert new_market(-3).mark(con_id, NOON) > 0


def test_a_path_drawn_again_is_the_same():
    small = Market(listed().listings, WalkPrices(7, listed().characters), 7)
    small.tape._paths._limit = 1
    con_ids = [the(symbol).con_id for symbol in ("AAPL", "SPY", "AAPL")]
    quotes = [small.quote(con_id, NOON) for con_id in con_ids]
    assert quotes[0] == quotes[2] == market().quote(con_ids[0], NOON)


def test_a_halt_stops_the_path_and_its_bars():
    source = market().tape.source
    listing, row = next(
        (each, int(rows[0]))
        for each in market().listings()
        if len(rows := np.flatnonzero(source.spans(each).halt_end)) and each.contract.sec_type == "STK"
    )
    spans = source.spans(listing)
    start, end = (int(spans.start[row] + column[row] * SECOND) for column in (spans.halt_start, spans.halt_end))
    assert market().is_halted(listing.con_id, start)
    assert not market().is_halted(listing.con_id, start - 1)
    assert not market().is_halted(listing.con_id, end)
    assert market().quote(listing.con_id, start + SECOND).halted
    assert market().steps(listing.con_id, start, end) == []
    assert market().mark(listing.con_id, start) == market().mark(listing.con_id, end)


def test_prices_look_like_a_markets():
    spans = market().tape.spans(the("SPY"))
    close = spans.close[spans.regular]
    returns = np.diff(np.log(close))
    assert 0.12 < returns.std() * math.sqrt(252) < 0.25
    assert ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 > 3.5  # Fat tails.
    size = np.abs(returns)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.05  # Volatility comes in clusters.
    path = market().tape.path(the("SPY"), spans.before(NOON))
    minutes = np.diff(path.volume[::60])
    assert minutes[:15].mean() > 2 * minutes[150:240].mean() < minutes[-15:].mean()  # The day's volume is a U.
    other = market().tape.spans(the("JPM"))
    _days, rows, mine = np.intersect1d(spans.day[spans.regular], other.day[other.regular], return_indices=True)
    splits = np.diff(np.log(other.close[other.regular][mine]))
    calm = np.abs(splits) < 0.3
    assert np.corrcoef(np.diff(np.log(close[rows]))[calm], splits[calm])[0, 1] > 0.3


def test_two_listings_of_one_number_are_refused():
    twice = replace(the("AAPL"), long_name="again")
    with pytest.raises(BadInput, match="con_id"):
        Market([the("AAPL"), twice], market().tape.source)
