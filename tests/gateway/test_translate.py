from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.instrument import Instrument, InstrumentKind
from gateway.contract import Contract
from gateway.errors import Refused
from gateway.library import load
from gateway.translate import (
    clean,
    contract_for,
    contract_from,
    exchange_time_ns,
    ib_time,
    symbol_of,
    trading_hours,
)
from gateway.translate import (
    given as number_given,
)
from tests.gateway.gateways import LIBRARY

SECONDS = st.integers(0, 2**32)


@pytest.mark.parametrize(
    ("instrument", "more", "expected"),
    [
        (Instrument("AAPL"), {}, ("AAPL", "STK", "SMART", "USD", "")),
        (Instrument("BRK.B"), {}, ("BRK B", "STK", "SMART", "USD", "")),
        (Instrument("BP.", currency="GBP"), {"exchange": "LSE"}, ("BP.", "STK", "LSE", "GBP", "")),
        (Instrument("SPY", InstrumentKind.ETF), {}, ("SPY", "STK", "SMART", "USD", "")),
        (Instrument("EURUSD", InstrumentKind.FOREX), {}, ("EUR", "CASH", "IDEALPRO", "USD", "")),
        (Instrument("EUR.USD", InstrumentKind.FOREX), {"exchange": "SMART"}, ("EUR", "CASH", "IDEALPRO", "USD", "")),
        (
            Instrument("ES", InstrumentKind.FUTURE, multiplier=50.0),
            {"exchange": "CME", "expiry": "202703"},
            ("ES", "FUT", "CME", "USD", "50"),
        ),
        (Instrument("SPX", InstrumentKind.INDEX), {"exchange": "CBOE"}, ("SPX", "IND", "CBOE", "USD", "")),
    ],
)
def test_an_instrument_is_described_as_ib_does(instrument, more, expected):
    found = contract_for(instrument, **more)
    assert (found.symbol, found.sec_type, found.exchange, found.currency, found.multiplier) == expected


def test_a_symbol_comes_back_as_the_platform_writes_it():
    for symbol in ("AAPL", "BRK.B"):
        assert symbol_of(contract_for(Instrument(symbol))) == symbol
    assert symbol_of(contract_for(Instrument("EURUSD", InstrumentKind.FOREX))) == "EUR.USD"


@given(
    st.builds(
        Contract,
        con_id=st.integers(0, 2**31),
        symbol=st.text("ABC .", max_size=8),
        strike=st.floats(0, 1e6),
        right=st.sampled_from(["", "C", "P"]),
        exchange=st.sampled_from(["SMART", ""]),
    )
)
def test_a_contract_goes_through_the_library_unchanged(contract):
    assert contract_from(load(LIBRARY).contract(contract)) == contract


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x1b", "x" * 201, "a\u2028b"])
def test_text_that_would_be_two_fields_is_refused(text):
    with pytest.raises(Refused):
        clean(text)


@given(SECONDS)
def test_times_are_read_in_every_notation_as_the_standard_library_reads_them(seconds):
    moment = datetime.fromtimestamp(seconds, UTC)
    expected = seconds * 10**9
    assert exchange_time_ns(ib_time(expected)) == expected
    assert exchange_time_ns(f"{moment:%Y-%m-%d %H:%M:%S}.0") == expected
    assert exchange_time_ns(f"{moment:%Y%m%d %H:%M:%S} UTC") == expected
    if seconds > 10**9:
        assert exchange_time_ns(str(seconds)) == expected
    for zone in ("US/Eastern", "Europe/Amsterdam", "Asia/Kolkata"):
        local = moment.astimezone(ZoneInfo(zone))
        read = exchange_time_ns(f"{local:%Y%m%d  %H:%M:%S} {zone}")
        assert read == round(local.replace(fold=0).timestamp()) * 10**9
    local = moment.astimezone(ZoneInfo("America/New_York"))
    assert exchange_time_ns(f"{local:%Y%m%d %H:%M:%S}") == round(local.replace(fold=0).timestamp()) * 10**9


@pytest.mark.parametrize("text", ["", "soon", "20261399 00:00:00 UTC", "20261121 09:30:00 Mars/Base", "20261121", "99"])
def test_a_time_that_is_none_is_none(text):
    assert exchange_time_ns(text) is None


def test_trading_hours_are_sessions_and_closed_days_are_not():
    text = "20261123:0400-20261123:2000;20261126:CLOSED;20261129:1700-20261130:1600"
    found = trading_hours(text, "US/Eastern")
    assert [session.date for session in found] == ["20261123", "20261130"]
    opened = datetime(2026, 11, 23, 4, tzinfo=ZoneInfo("US/Eastern"))
    assert found[0].open_ns == opened.timestamp() * 1e9
    assert found[0].close_ns - found[0].open_ns == 16 * 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "zone"), [("20261123:0400", "UTC"), ("20261123:9900-20261123:2000", "UTC"), ("", "X/Y")]
)
def test_trading_hours_that_cannot_be_read_are_refused(text, zone):
    with pytest.raises(Refused):
        trading_hours(text, zone)


@pytest.mark.parametrize("text", ["", None, "1.7976931348623157E308", 1.7976931348623157e308])
def test_what_is_not_given_is_no_number(text):
    assert number_given(text) != number_given(text)
    assert number_given("2.5") == 2.5
