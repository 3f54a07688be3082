import pytest
from django.utils import timezone

from domain.bars import Adjustment
from domain.errors import BadInput
from gateway.contract import Contract
from gateway.errors import Refused
from gateway.simulator.server import DEFAULT_START_NS
from marketdata.contracts import basis_of, contract_of, default_what, regular_hours
from marketdata.models import Instrument, InstrumentDetails
from tests.gateway.simulator.worlds import known_market

FOREX = {"kind": "forex", "exchange": "IDEALPRO", "calendar": "FX"}
FUTURE = {"kind": "future", "exchange": "CME", "calendar": "CME Globex Equity", "multiplier": "50"}


@pytest.mark.parametrize(
    ("symbol", "fields", "expected"),
    [
        ("AAPL", {}, Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")),
        ("BRK.B", {}, Contract(symbol="BRK B", sec_type="STK", exchange="SMART", currency="USD")),
        (
            "SPY",
            {"kind": "etf", "primary": "ARCA"},
            Contract(symbol="SPY", sec_type="STK", exchange="SMART", primary_exchange="ARCA", currency="USD"),
        ),
        (
            "VOD",
            {"exchange": "LSE", "currency": "GBP"},
            Contract(symbol="VOD", sec_type="STK", exchange="LSE", currency="GBP"),
        ),
        ("EURUSD", FOREX, Contract(symbol="EUR", sec_type="CASH", exchange="IDEALPRO", currency="USD")),
        ("EUR.USD", {"kind": "forex"}, Contract(symbol="EUR", sec_type="CASH", exchange="IDEALPRO", currency="USD")),
        (
            "SPX",
            {"kind": "index", "exchange": "CBOE"},
            Contract(symbol="SPX", sec_type="IND", exchange="CBOE", currency="USD"),
        ),
        ("ES", FUTURE, Contract(symbol="ES", sec_type="FUT", multiplier="50", exchange="CME", currency="USD")),
        (
            "ESZ6",
            FUTURE,
            Contract(local_symbol="ESZ6", sec_type="FUT", multiplier="50", exchange="CME", currency="USD"),
        ),
        (
            "ESTX50",
            {"kind": "future", "exchange": "EUREX", "currency": "EUR", "multiplier": "10"},
            Contract(symbol="ESTX50", sec_type="FUT", multiplier="10", exchange="EUREX", currency="EUR"),
        ),
    ],
)
def test_an_instrument_without_an_id_is_asked_for_by_all_that_its_row_says(symbol, fields, expected):
    assert contract_of(Instrument(symbol=symbol, **fields)) == expected


def test_an_id_goes_with_its_exchange_alone_so_that_a_ticker_of_yesterday_does_no_harm():
    assert contract_of(Instrument(symbol="FB", con_id=107113386)) == Contract(con_id=107113386, exchange="SMART")
    assert contract_of(Instrument(symbol="EURUSD", con_id=7, kind="forex")) == Contract(con_id=7, exchange="IDEALPRO")


@pytest.mark.django_db
def test_a_future_of_which_details_are_kept_is_asked_for_with_its_expiry():
    future = Instrument.objects.create(symbol="ES", **FUTURE)
    InstrumentDetails.objects.create(instrument=future, expiry="20261218", trading_class="ES", refreshed=timezone.now())
    found = contract_of(Instrument.objects.get(pk=future.pk))
    assert (found.symbol, found.expiry, found.trading_class) == ("ES", "20261218", "ES")


@pytest.mark.parametrize(
    ("symbol", "fields"),
    [
        ("AAPL", {}),
        ("SPY", {"kind": "etf", "primary": "ARCA"}),
        ("EURUSD", FOREX),
        ("SPX", {"kind": "index", "exchange": "CBOE"}),
        ("ESZ6", FUTURE),
    ],
)
def test_the_market_finds_one_listing_of_each_kind_by_its_contract_and_the_same_one_by_its_id(symbol, fields):
    market = known_market()
    (listing,) = market.listed(contract_of(Instrument(symbol=symbol, **fields)), DEFAULT_START_NS)
    (same,) = market.listed(contract_of(Instrument(symbol="OLD", con_id=listing.con_id, **fields)), DEFAULT_START_NS)
    assert same.con_id == listing.con_id


def test_a_symbol_that_cannot_be_sent_is_refused():
    with pytest.raises((Refused, BadInput)):
        contract_of(Instrument(symbol="A\0B"))


@pytest.mark.parametrize(
    ("kind", "what", "hours", "basis"),
    [
        ("stock", "TRADES", True, Adjustment.SPLIT),
        ("etf", "TRADES", True, Adjustment.SPLIT),
        ("index", "TRADES", True, Adjustment.RAW),
        ("forex", "MIDPOINT", False, Adjustment.RAW),
        ("future", "TRADES", False, Adjustment.RAW),
    ],
)
def test_each_kind_has_its_bars_hours_and_basis(kind, what, hours, basis):
    instrument = Instrument(symbol="X", kind=kind)
    assert default_what(instrument) == what
    assert regular_hours(instrument) is hours
    assert basis_of(instrument, what) is basis
    assert basis_of(instrument, "ADJUSTED_LAST") is Adjustment.TOTAL
