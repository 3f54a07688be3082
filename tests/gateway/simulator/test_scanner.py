"""The scanner against sorting by hand."""

import math
from xml.etree import ElementTree as ET

import pytest

from gateway.simulator import requests
from gateway.simulator.history_request import Refusal
from gateway.simulator.scanner import parameters, scan
from tests.gateway.simulator.marketplace import listed, market, ns

NOW = ns("2026-11-25T17:00")
NAN = math.nan


def wish(code: str, **changes) -> requests.ScannerSubscription:
    numbers = dict.fromkeys(
        (
            *("above_price", "below_price", "above_volume", "market_cap_above", "market_cap_below"),
            *("coupon_above", "coupon_below", "option_volume_above"),
        ),
        NAN,
    )
    texts = dict.fromkeys(
        (
            *("moody_above", "moody_below", "sp_above", "sp_below", "maturity_above", "maturity_below"),
            *("settings", "stock_type", "filter_options", "options"),
        ),
        "",
    )
    request = requests.ScannerSubscription(
        req_id=1,
        rows=10,
        instrument="STK",
        location="STK.US.MAJOR",
        scan_code=code,
        exclude_convertible=False,
        **numbers,
        **texts,
    )
    return request._replace(**changes)


def scanned(code: str, **changes):
    rows = scan(market(), listed().characters, wish(code, **changes), NOW)
    assert not isinstance(rows, Refusal)
    return rows


def by_hand(value) -> list[str]:
    stocks = [each for each in market().listings() if each.contract.sec_type == "STK"]
    quotes = {each.con_id: market().quote(each.con_id, NOW) for each in stocks}
    return [each.con_id for each in sorted(stocks, key=lambda each: (-value(quotes[each.con_id]), each.con_id))]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("TOP_PERC_GAIN", lambda quote: quote.last / quote.previous_close - 1),
        ("TOP_PERC_LOSE", lambda quote: 1 - quote.last / quote.previous_close),
        ("MOST_ACTIVE", lambda quote: quote.volume),
    ],
)
def test_a_list_is_led_by_those_that_lead_it(code, value):
    assert [row.listing.con_id for row in scanned(code)] == by_hand(value)[:10]


def test_filters_of_price_volume_and_value_leave_out_who_does_not_pass():
    rows = scanned("MOST_ACTIVE", above_price=50, below_price=300, above_volume=1e6, market_cap_above=100_000, rows=50)
    assert rows
    for row in rows:
        quote = market().quote(row.listing.con_id, NOW)
        assert 50 <= quote.last <= 300 and quote.volume >= 1e6
        assert listed().characters[row.listing.con_id].shares * quote.last >= 1e11


def test_a_place_and_a_kind_narrow_the_list():
    assert {row.listing.contract.primary_exchange for row in scanned("MOST_ACTIVE", location="STK.NYSE")} == {"NYSE"}
    assert {row.listing.stock_type for row in scanned("MOST_ACTIVE", stock_type="ETF")} == {"ETF"}
    assert len(scanned("HOT_BY_VOLUME", rows=3)) == 3
    assert len(scanned("HOT_BY_VOLUME", rows=-1)) == 50


@pytest.mark.parametrize(
    "changes", [{"scan_code": "HIGH_OPT_IMP_VOLAT"}, {"location": "STK.EU"}, {"instrument": "BOND"}]
)
def test_what_is_not_scanned_for_is_refused(changes):
    refusal = scan(market(), listed().characters, wish("MOST_ACTIVE", **changes), NOW)
    assert isinstance(refusal, Refusal) and refusal.code == 162


def test_the_parameters_are_xml_that_names_the_scans():
    root = ET.fromstring(parameters())
    codes = {node.text for node in root.iter("scanCode")}
    assert {"TOP_PERC_GAIN", "TOP_PERC_LOSE", "MOST_ACTIVE", "HOT_BY_VOLUME"} <= codes
    assert "STK.US.MAJOR" in {node.text for node in root.iter("locationCode")}
