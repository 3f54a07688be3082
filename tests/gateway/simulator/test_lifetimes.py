"""IB's ways to write a time, and from when to when an order lives."""

import pytest

from domain.errors import BadInput
from gateway.simulator.lifetimes import lifetime, midnight_after, midnight_before, moment, spoken
from gateway.simulator.working import FOREVER
from tests.gateway.simulator.exchange_words import order
from tests.gateway.simulator.fake_market import CLOSE, DAY, EXTENDED, MINUTE, OPEN, SECOND, FakeMarket

ZONE = "America/New_York"
EARLY, LATE = int(EXTENDED.open[0]), int(EXTENDED.close[0])


@pytest.mark.parametrize(
    "text",
    [
        "20261123 09:30:00 US/Eastern",
        "20261123 09:30:00 America/New_York",
        "20261123 09:30:00 EST",
        "20261123 09:30:00",
        "20261123-14:30:00",
        "20261123 08:30:00 US/Central",
        "20261123 14:30:00 UTC",
    ],
)
def test_a_time_may_be_written_in_many_ways(text):
    assert moment(text, ZONE) == OPEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "20261323 09:30:00",
        "20261123 24:00:00",
        "20261123 09:30:00 Nowhere/Land",
        "20261123 09:30",
        "20261123 09:30:00 ../UTC",
    ],
)
def test_what_is_no_time_is_said_to_be_none(text):
    with pytest.raises(BadInput, match="is not a time"):
        moment(text, ZONE)


def test_a_date_ends_with_its_last_second():
    assert moment("20261123", ZONE) == midnight_before(OPEN, ZONE)
    assert moment("20261123", ZONE, whole_day_ends=True) == midnight_after(OPEN, ZONE) - SECOND


def test_midnights_are_the_exchanges_over_a_change_of_clocks_too():
    before = moment("20261031 23:59:59", ZONE)
    first = midnight_after(before, ZONE)
    assert midnight_after(first, ZONE) - first == 25 * 3600 * SECOND
    assert midnight_before(first, ZONE) == first
    assert spoken(first, ZONE) == "2026-11-01 00:00:00 US/Eastern"


@pytest.mark.parametrize(
    ("now", "more", "expected"),
    [
        (OPEN, {}, (OPEN, CLOSE, (OPEN, CLOSE))),
        (CLOSE, {}, (CLOSE, CLOSE + DAY, (OPEN + DAY, CLOSE + DAY))),
        (
            CLOSE,
            {"outside_rth": True},
            (CLOSE, int(EXTENDED.close[0]), (int(EXTENDED.open[0]), int(EXTENDED.close[0]))),
        ),
        (OPEN, {"tif": "GTC"}, (OPEN, FOREVER, (OPEN, CLOSE))),
        (OPEN, {"tif": "OPG"}, (OPEN + DAY, OPEN + DAY + SECOND, (OPEN + DAY, CLOSE + DAY))),
        (OPEN, {"tif": "GTD", "good_till_date": "20261123-14:35:00"}, (OPEN, OPEN + 5 * MINUTE, (OPEN, CLOSE))),
        (OPEN, {"good_after_time": "20261123-14:35:00"}, (OPEN + 5 * MINUTE, CLOSE, (OPEN, CLOSE))),
        (OPEN, {"good_after_time": "20261120-14:35:00"}, (OPEN, CLOSE, (OPEN, CLOSE))),
    ],
)
def test_an_orders_life(now, more, expected):
    assert lifetime(FakeMarket(), 1, ZONE, order(**more), now) == expected
