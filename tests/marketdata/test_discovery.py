"""Against the simulated gateway, asked over TCP."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import BadInput
from gateway.connection import Connection
from gateway.contract import Contract
from gateway.simulator.clock import ManualClock
from gateway.simulator.market import Market
from gateway.simulator.records import Listing
from gateway.simulator.server import DEFAULT_START_NS, start_simulator
from marketdata import discovery
from marketdata.discovery import discover, refresh
from marketdata.lookup import check_wanted
from marketdata.models import Instrument, InstrumentDetails, Watchlist
from marketdata.services import set_watchlist
from tests.gateway.gateways import connected, start_gateway
from tests.gateway.simulator.worlds import known_market
from tests.marketdata.make import instrument
from tradingsite.models import ConfigChange

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=2)


@pytest.fixture(scope="module")
def usual() -> Iterator[Connection]:
    """A connection to the built-in market."""
    with start_gateway() as gateway, connected(gateway) as found:
        yield found


@contextmanager
def listing(*listings: Listing) -> Iterator[Connection]:
    """A connection to a market that lists these alone."""
    market = Market(listings, known_market().tape.source)
    with start_simulator(market=market, clock=ManualClock(DEFAULT_START_NS)) as gateway, connected(gateway) as found:
        yield found


def stock(symbol: str, con_id: int, **fields) -> Listing:
    """Like Apple, under another name."""
    (like,) = known_market().find(Contract(symbol="AAPL", sec_type="STK"))
    names = {"symbol": symbol, "local_symbol": symbol, "con_id": con_id}
    return replace(like, contract=like.contract._replace(**names | fields), long_name=f"company {con_id}")


def wanted(symbol: str, **hints):
    return check_wanted(symbol=symbol, **hints)


# ---- which contract ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "stored", "kind", "exchange", "currency", "calendar", "tick", "multiplier"),
    [
        ("EURUSD", "EURUSD", "forex", "IDEALPRO", "USD", "FX", "0.00005", 1),
        ("eur.usd", "EURUSD", "forex", "IDEALPRO", "USD", "FX", "0.00005", 1),
        ("USDJPY", "USDJPY", "forex", "IDEALPRO", "JPY", "FX", "0.005", 1),
        ("TSLA", "TSLA", "stock", "SMART", "USD", "XNYS", "0.01", 1),
        ("BRK.B", "BRK.B", "stock", "SMART", "USD", "XNYS", "0.01", 1),
        ("SPY", "SPY", "etf", "SMART", "USD", "XNYS", "0.01", 1),
        ("SPX", "SPX", "index", "CBOE", "USD", "XNYS", "0.01", 1),
        ("RUT", "RUT", "index", "RUSSELL", "USD", "XNYS", "0.01", 1),
        ("ESZ6", "ESZ6", "future", "CME", "USD", "CME Globex Equity", "0.25", 50),
        ("GCZ6", "GCZ6", "future", "COMEX", "USD", "CMEGlobex_EnergyAndMetals", "0.1", 100),
    ],
)
def test_a_symbol_alone_becomes_the_instrument_that_it_is(
    usual, symbol, stored, kind, exchange, currency, calendar, tick, multiplier
):
    found = discover(usual, wanted(symbol), NOW)
    row = Instrument.objects.get()
    assert (found.instrument, found.candidates, found.notes) == (row, (), ())
    assert (row.symbol, row.kind, row.exchange, row.currency) == (stored, kind, exchange, currency)
    assert (row.calendar, row.tick, row.multiplier, row.lot) == (calendar, Decimal(tick), multiplier, 1)
    (listed,) = known_market().listed(Contract(con_id=row.con_id), DEFAULT_START_NS)
    assert (row.name, row.primary) == (listed.long_name, listed.contract.primary_exchange)
    details = row.details
    assert details.local_symbol == listed.contract.local_symbol
    assert details.expiry == (listed.contract.expiry if kind == "future" else "")
    assert (details.isin, details.stock_type, details.zone) == (listed.isin, listed.stock_type, listed.zone)
    assert (details.market_rule, details.price_steps) == (
        listed.market_rule,
        [list(each) for each in listed.price_steps],
    )
    assert details.trading_hours.count(";") >= 5 and details.liquid_hours
    assert details.refreshed == NOW


def test_the_order_of_kinds_is_pair_stock_future():
    (pair,) = known_market().find(Contract(symbol="EUR", sec_type="CASH", currency="USD"))
    (future,) = known_market().find(Contract(local_symbol="ESZ6", sec_type="FUT"))
    named = replace(future, contract=future.contract._replace(symbol="EURUSD", local_symbol="EURUSD"))
    everything = [pair, stock("EURUSD", 5), named]
    for kind, count in (("forex", 3), ("stock", 2), ("future", 1)):
        with listing(*everything[-count:]) as connection:
            assert discover(connection, wanted("EURUSD"), NOW).instrument.kind == kind
    assert Instrument.objects.count() == 3


def test_doing_it_again_changes_nothing(usual):
    first = discover(usual, wanted("AAPL"), NOW)
    history = ConfigChange.objects.count()
    assert history == 1
    again = discover(usual, wanted("AAPL"), NOW)
    assert again == first
    assert (Instrument.objects.count(), InstrumentDetails.objects.count()) == (1, 1)
    assert ConfigChange.objects.count() == history


# ---- more than one -----------------------------------------------------------------------------------------------


def test_a_root_of_futures_is_many_contracts_and_none_is_taken(usual):
    found = discover(usual, wanted("ES"), NOW)
    assert found.instrument is None and not Instrument.objects.exists()
    assert len(found.candidates) > 2
    assert len({each.expiry for each in found.candidates}) == len(found.candidates)
    chosen = found.candidates[1]
    row = discover(usual, wanted("ES", con_id=chosen.con_id), NOW).instrument
    assert (row.con_id, row.symbol, row.details.expiry) == (chosen.con_id, chosen.symbol, chosen.expiry)


TWINS = (stock("ABC", 11), stock("ABC", 12, primary_exchange="NYSE"))


def test_two_stocks_of_one_ticker_are_shown_until_an_exchange_or_an_id_is_named():
    with listing(*TWINS) as connection:
        found = discover(connection, wanted("ABC"), NOW)
        assert [(each.con_id, each.primary) for each in found.candidates] == [(11, "NASDAQ"), (12, "NYSE")]
        assert not Instrument.objects.exists()
        assert discover(connection, wanted("ABC", exchange="NYSE"), NOW).instrument.con_id == 12


def test_of_two_that_both_live_under_one_ticker_the_second_is_not_put_in_the_place_of_the_first():
    with listing(*TWINS) as connection:
        first = discover(connection, wanted("ABC", con_id=11), NOW).instrument
        with pytest.raises(BadInput, match=r"held as contract 11.*inactive to hold contract 12"):
            discover(connection, wanted("ABC", con_id=12), NOW)
    assert list(Instrument.objects.all()) == [first]


def test_a_share_that_is_not_in_dollars_is_a_candidate_and_found_by_its_currency():
    with listing(stock("SIE", 21, currency="EUR", primary_exchange="IBIS")) as connection:
        found = discover(connection, wanted("SIE"), NOW)
        assert [(each.con_id, each.currency) for each in found.candidates] == [(21, "EUR")]
        assert not Instrument.objects.exists()
        row = discover(connection, wanted("SIE", currency="EUR"), NOW).instrument
    assert (row.con_id, row.currency, row.calendar) == (21, "EUR", "XETR")


@pytest.mark.parametrize(
    ("symbol", "hints", "said"),
    [
        ("QQQX", {}, "IB knows no QQQX"),
        ("AAPL", {"kind": "forex"}, "IB knows no AAPL as forex"),
        ("AAPL", {"currency": "CHF"}, "IB knows no AAPL in CHF; similar: AAPL"),
        ("AAPL", {"exchange": "CME"}, "IB knows no AAPL on CME"),
        ("AAPL", {"con_id": 7}, "IB knows no contract 7"),
        ("MSFT", {"con_id": 265598}, "contract 265598 is AAPL, not MSFT"),
        ("ZZZZZZ", {}, "IB knows no ZZZZZZ"),
    ],
)
def test_what_ib_does_not_know_is_said_with_what_is_like_it(usual, symbol, hints, said):
    with pytest.raises(BadInput, match=said):
        discover(usual, wanted(symbol, **hints), NOW)
    assert not Instrument.objects.exists()


def test_a_contract_of_a_kind_that_is_not_traded_here_is_refused():
    bond = stock("BOND", 31, sec_type="BOND")
    with listing(bond) as connection, pytest.raises(BadInput, match="IB's kind BOND"):
        discover(connection, wanted("BOND", con_id=31), NOW)


# ---- rows that are there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "fields", "kind"),
    [
        ("SPY", {}, "etf"),
        ("SPY", {"exchange": "ARCA"}, "etf"),
        ("SPY", {"kind": "etf", "primary": "ARCA"}, "etf"),
        ("EURUSD", {"kind": "forex", "exchange": "IDEALPRO", "calendar": "FX"}, "forex"),
        ("EUR.USD", {"kind": "forex", "exchange": "SMART", "calendar": "FX"}, "forex"),
    ],
)
def test_a_row_without_an_id_that_fits_gets_it_and_keeps_what_people_chose(usual, symbol, fields, kind):
    row = instrument(symbol, lot=5, margin=7, **fields)
    found = discover(usual, wanted(symbol), NOW).instrument
    assert found == row and Instrument.objects.count() == 1
    assert found.con_id and found.kind == kind and found.name
    assert (found.symbol, found.exchange, found.lot, found.margin) == (symbol, row.exchange, 5, 7)
    assert ConfigChange.objects.get().source == "gateway"


@pytest.mark.parametrize(
    "fields", [{"active": False}, {"kind": "future"}, {"currency": "EUR"}, {"exchange": "LSE"}, {"primary": "LSE"}]
)
def test_a_row_that_does_not_fit_is_left_alone(usual, fields):
    other = instrument("TSLA", **fields)
    found = discover(usual, wanted("TSLA"), NOW).instrument
    other.refresh_from_db()
    assert found != other and other.con_id is None


def test_which_of_two_rows_is_meant_is_not_guessed(usual):
    instrument("SPY"), instrument("SPY", kind="etf")
    with pytest.raises(BadInput, match="make all but one of them inactive"):
        discover(usual, wanted("SPY"), NOW)
    assert not Instrument.objects.filter(con_id__isnull=False).exists()


# ---- tickers that change, are reused and swapped -----------------------------------------------------------------


def test_the_same_id_under_a_new_ticker_renames_the_row_and_its_history_keeps_the_old_one():
    with listing(stock("FB", 41)) as connection:
        row = discover(connection, wanted("FB"), NOW).instrument
    set_watchlist(name="mine", instruments=[row])
    with listing(stock("META", 41)) as connection:
        found = refresh(row, connection, LATER)
    assert Instrument.objects.get() == found.instrument == row
    assert (found.instrument.symbol, found.instrument.details.refreshed) == ("META", LATER)
    assert found.notes == (f"FB (instrument {row.pk}, contract 41) is called META now",)
    change = ConfigChange.objects.filter(kind="instrument").latest("pk")
    assert (change.before["symbol"], change.after["symbol"]) == ("FB", "META")
    assert [each.symbol for each in Watchlist.objects.get().instruments.all()] == ["META"]


def test_the_new_name_finds_the_row_of_the_id_and_so_does_the_old_name_with_the_id():
    with listing(stock("FB", 41)) as connection:
        row = discover(connection, wanted("FB"), NOW).instrument
    with listing(stock("META", 41)) as connection:
        assert discover(connection, wanted("FB", con_id=41), LATER).instrument == row
        assert discover(connection, wanted("META"), LATER).instrument == row
    assert Instrument.objects.get().symbol == "META"


def test_a_ticker_that_passed_on_makes_the_row_of_a_company_that_is_gone_inactive():
    with listing(stock("WM", 51)) as connection:
        bank = discover(connection, wanted("WM"), NOW).instrument
    with listing(stock("WM", 52)) as connection:
        waste = discover(connection, wanted("WM"), LATER)
    bank.refresh_from_db()
    assert (bank.active, bank.con_id, bank.symbol) == (False, 51, "WM")
    assert waste.instrument != bank and waste.instrument.active and waste.instrument.con_id == 52
    assert waste.notes and "inactive" in waste.notes[0]


def test_a_ticker_that_passed_on_renames_the_company_that_lives_on():
    with listing(stock("FB", 41)) as connection:
        old = discover(connection, wanted("FB"), NOW).instrument
    with listing(stock("META", 41), stock("FB", 42)) as connection:
        new = discover(connection, wanted("FB"), LATER).instrument
    old.refresh_from_db()
    assert (old.symbol, old.active, old.con_id) == ("META", True, 41)
    assert (new.symbol, new.active, new.con_id) == ("FB", True, 42)


def test_companies_that_hand_their_tickers_round_keep_their_rows():
    before = [stock("AAA", 61), stock("BBB", 62), stock("CCC", 63)]
    after = [stock("BBB", 61), stock("CCC", 62), stock("AAA", 63)]
    with listing(*before) as connection:
        rows = {each: discover(connection, wanted(each), NOW).instrument.pk for each in ("AAA", "BBB", "CCC")}
    with listing(*after) as connection:
        found = refresh(Instrument.objects.get(con_id=61), connection, LATER)
    assert len(found.notes) == 3
    held = {each.pk: (each.symbol, each.con_id, each.active) for each in Instrument.objects.all()}
    assert held == {rows["AAA"]: ("BBB", 61, True), rows["BBB"]: ("CCC", 62, True), rows["CCC"]: ("AAA", 63, True)}


def test_a_row_without_an_id_makes_way_for_the_contract_that_got_its_ticker():
    with listing(stock("FB", 41)) as connection:
        row = discover(connection, wanted("FB"), NOW).instrument
    nameless = instrument("META")
    with listing(stock("META", 41)) as connection:
        found = refresh(row, connection, LATER)
    nameless.refresh_from_db()
    assert (found.instrument.symbol, nameless.active) == ("META", False)
    assert len(found.notes) == 2


def on_the_market(gateway, tickers: dict[int, str]) -> None:
    """From now on the gateway lists these contracts alone, under these tickers."""
    listings = [stock(ticker, con_id) for con_id, ticker in tickers.items()]
    market = Market(listings, known_market().tape.source)
    gateway.call(lambda simulator: setattr(simulator, "market", market))


TICKERS, IDS = ("AA", "BB", "CC", "DD"), (91, 92, 93, 94)
DAYS = st.lists(
    st.tuples(st.permutations(TICKERS), st.lists(st.booleans(), min_size=4, max_size=4), st.sampled_from(TICKERS)),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def changing():
    with start_gateway() as gateway, connected(gateway) as connection:
        yield gateway, connection


@settings(max_examples=int(os.environ.get("DISCOVERY_CASES", "6")))
@given(days=DAYS)
def test_whatever_becomes_of_tickers_a_row_stays_the_contract_that_it_was(changing, days):
    gateway, connection = changing
    identity: dict[int, int] = {}
    with transaction.atomic():
        for number, (tickers, is_listed, ticker) in enumerate(days):
            now = NOW + dt.timedelta(days=number)
            listed = {con_id: name for con_id, name, there in zip(IDS, tickers, is_listed, strict=True) if there}
            on_the_market(gateway, listed)
            try:
                found = discover(connection, wanted(ticker), now).instrument
            except BadInput as error:
                assert ticker not in listed.values() and "IB knows no" in str(error)
                continue
            assert listed[found.con_id] == found.symbol == ticker
            rows = list(Instrument.objects.order_by("pk").values_list("pk", "con_id", "symbol", "active"))
            assert [pk for pk, _, symbol, active in rows if active and symbol == ticker] == [found.pk]
            for pk, con_id, _, _ in rows:
                assert identity.setdefault(pk, con_id) == con_id
            assert len(set(identity.values())) == len(identity), "a contract has one row"
            assert discover(connection, wanted(ticker), now).notes == ()
            assert rows == list(Instrument.objects.order_by("pk").values_list("pk", "con_id", "symbol", "active"))
        transaction.set_rollback(True)


# ---- refreshing --------------------------------------------------------------------------------------------------


def test_what_was_asked_about_today_is_fresh_and_is_held_without_asking(usual):
    row = discover(usual, wanted("AAPL"), NOW).instrument
    soon = NOW + dt.timedelta(hours=23)
    assert discovery.is_fresh(row, soon) and not discovery.is_fresh(row, LATER)
    for found in (wanted("AAPL"), wanted("aapl", kind="etf"), wanted("AAPL", exchange="NASDAQ", con_id=265598)):
        assert discovery.held(found, soon) == row
    for other in (
        wanted("MSFT"),
        wanted("AAPL", kind="future"),
        wanted("AAPL", currency="EUR"),
        wanted("AAPL", con_id=1),
    ):
        assert discovery.held(other, soon) is None
    assert discovery.held(wanted("AAPL"), LATER) is None


def test_a_contract_that_ib_lists_no_more_keeps_what_is_known_of_it():
    with listing(stock("OLD", 71)) as connection:
        row = discover(connection, wanted("OLD"), NOW).instrument
    with listing(stock("NEW", 72)) as connection:
        found = refresh(row, connection, LATER)
    row.refresh_from_db()
    assert (row.symbol, row.active, found.notes) == ("OLD", True, ("OLD: IB lists its contract 71 no more",))
    assert InstrumentDetails.objects.get().refreshed == LATER


def test_a_row_without_an_id_that_fits_several_contracts_or_none_is_not_refreshed(usual):
    for row, said in (
        (instrument("ES", kind="future", exchange="CME"), "6 contracts fit: ESH6 "),
        (instrument("QQQX"), "IB knows no such contract"),
    ):
        with pytest.raises(BadInput, match=said):
            refresh(row, usual, NOW)
    assert not InstrumentDetails.objects.exists()


def test_an_inactive_row_is_refreshed_without_coming_back(usual):
    row = instrument("AAPL", con_id=265598, active=False)
    newer = instrument("AAPL", con_id=999)
    assert refresh(row, usual, NOW).instrument.active is False
    newer.refresh_from_db()
    assert newer.active
