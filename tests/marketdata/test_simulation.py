import numpy as np
import pytest

from domain.errors import BadInput
from domain.timeframe import MINUTE_NS
from gateway.contract import Contract
from marketdata import store
from marketdata.models import Instrument
from marketdata.simulation import folder_market, listing_of, store_market
from tests.marketdata import make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]

START_NS = 1_672_930_000_000_000_000  # 2023-01-05 in New York


def test_stored_bars_are_the_prices_of_the_past():
    spy = make.instrument("SPY")
    bars = make.minutes(390)
    store.write_bars(instrument=spy, series=bars, source="test")
    market = store_market(1, START_NS)
    (listing,) = market.find(Contract(symbol="SPY", sec_type="STK", exchange="SMART", currency="USD"))
    for row in (0, 100, 388):
        end_ns = int(bars.start[row]) + MINUTE_NS
        assert market.mark(listing.con_id, end_ns - 1) == pytest.approx(bars.close[row], abs=0.2)
        steps = market.steps(listing.con_id, int(bars.start[row]), end_ns)
        assert (min(step.low for step in steps), max(step.high for step in steps)) == (bars.low[row], bars.high[row])


def test_an_instrument_without_a_contract_id_gets_the_same_one_at_every_start_and_stores_none():
    unknown = make.instrument("QQQX", name="Something")
    store.write_bars(instrument=unknown, series=make.minutes(30), source="test")
    first, second = (
        store_market(seed, START_NS).find(Contract(symbol="QQQX", sec_type="STK"))[0].con_id for seed in (1, 2)
    )
    assert first == second > 0
    assert Instrument.objects.get(symbol="QQQX").con_id is None


def test_an_instruments_own_contract_id_takes_the_place_of_the_built_in_one():
    spy = make.instrument("SPY", con_id=42)
    store.write_bars(instrument=spy, series=make.minutes(30), source="test")
    market = store_market(1, START_NS)
    assert [each.con_id for each in market.find(Contract(symbol="SPY", sec_type="STK", currency="USD"))] == [42]


def test_a_future_is_listed_with_its_own_steps():
    future = make.instrument(
        "ZZ", kind="future", exchange="CME", calendar="CME_Equity", tick="0.25", multiplier="50", margin="12000"
    )
    market = store_market_of(future)
    (listing,) = market.find(Contract(symbol="ZZ", sec_type="FUT"))
    assert (listing.tick, listing.multiplier, listing.initial_margin) == (0.25, 50.0, 12000.0)


def store_market_of(instrument: Instrument):
    store.write_bars(instrument=instrument, series=make.minutes(30), source="test")
    return store_market(1, START_NS)


def test_without_bars_it_says_how_to_get_some():
    make.instrument("SPY")
    with pytest.raises(BadInput, match="import_demo"):
        store_market(1, START_NS)


def test_a_folder_of_files_is_a_market(tmp_path):
    (tmp_path / "NEWS_1d.csv").write_text("date,open,high,low,close,volume\n2023-01-03,10,11,9,10.5,1000\n")
    market = folder_market(tmp_path, 1, START_NS)
    assert np.isfinite(market.mark(market.find(Contract(symbol="NEWS", sec_type="STK"))[0].con_id, START_NS))


def test_every_kind_of_instrument_has_a_listing():
    from gateway.simulator.listings import universe
    from gateway.simulator.server import date_of

    known = universe(date_of(START_NS))
    for symbol, fields, sec_type in (
        ("AAPL", {}, "STK"),
        ("EURUSD", {"kind": "forex", "exchange": "IDEALPRO", "calendar": "FX"}, "CASH"),
        ("SPX", {"kind": "index", "exchange": "CBOE"}, "IND"),
        ("VOD", {"exchange": "LSE", "currency": "GBP", "calendar": "XLON"}, "STK"),
    ):
        listing = listing_of(make.instrument(symbol, **fields), known)
        assert listing.contract.sec_type == sec_type
        assert listing.con_id > 0
