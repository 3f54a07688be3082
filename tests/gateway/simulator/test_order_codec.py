"""An order sent by a real client is read with its terms, and what it asks for beyond them is named."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract import Contract
from gateway.simulator import messages, wire
from gateway.simulator import requests as rq
from gateway.simulator.records import OrderStatus, PlacedOrder, WireOrder
from tests.gateway.simulator import samples
from tests.gateway.simulator.real_clients import LIBRARIES, Sent, decode, load, spoken
from tests.gateway.simulator.test_requests import APPLE, BAG, VERSIONS, theirs

every_client = pytest.mark.parametrize(("library", "version"), spoken(VERSIONS))


def blank(library: str, **terms: Any) -> Any:
    order = load(library, "order").Order()
    for name, value in terms.items():
        assert hasattr(order, name), name
        setattr(order, name, value)
    return order


def place(library: str, version: int, order: Any, contract: Contract = APPLE, **more: Any) -> WireOrder:
    """The order that the library's placeOrder sends, read."""
    client = Sent(library, version)
    wanted = theirs(library, contract)
    for name, value in more.items():
        setattr(wanted, name, value)
    client.client.placeOrder(17, wanted, order)
    assert len(client.payloads) == 1
    request = rq.parse(version, client.fields)
    assert isinstance(request, rq.PlaceOrder)
    return request.order


def same(first: object, second: object) -> bool:
    """Equal, where NaN equals NaN."""
    return repr(first) == repr(second)


@every_client
def test_a_bare_order_asks_for_nothing_special(library: str, version: int) -> None:
    got = place(library, version, blank(library, action="BUY", totalQuantity=100, orderType="MKT"))
    # The two kinds of clients differ in what they say of opening and closing when they are asked to say nothing.
    assert same(got, WireOrder(17, APPLE, "BUY", 100.0, "MKT", open_close=got.open_close))


@every_client
def test_every_term_is_read_where_it_stands(library: str, version: int) -> None:
    order = blank(
        library,
        action="SELL",
        totalQuantity=7,
        orderType="TRAIL LIMIT",
        lmtPrice=229.5,
        auxPrice=0.05,
        tif="GTD",
        ocaGroup="oca",
        ocaType=2,
        account="DU123",
        openClose="C",
        origin=1,
        orderRef="ref",
        transmit=False,
        parentId=16,
        displaySize=3,
        triggerMethod=7,
        outsideRth=True,
        hidden=True,
        goodAfterTime="20261123 10:00:00 US/Eastern",
        goodTillDate="20261124 16:00:00 US/Eastern",
        modelCode="model",
        allOrNone=True,
        minQty=2,
        trailStopPrice=231.25,
        trailingPercent=1.5,
        clearingIntent="IB",
        whatIf=True,
        lmtPriceOffset=0.25,
        cashQty=1000.0,
    )
    expected = WireOrder(
        17,
        APPLE,
        "SELL",
        7.0,
        "TRAIL LIMIT",
        limit_price=229.5,
        aux_price=0.05,
        tif="GTD",
        oca_group="oca",
        oca_type=2,
        account="DU123",
        open_close="C",
        origin=1,
        order_ref="ref",
        transmit=False,
        parent_id=16,
        trigger_method=7,
        outside_rth=True,
        hidden=True,
        display_size=3,
        all_or_none=True,
        min_quantity=2,
        good_after_time="20261123 10:00:00 US/Eastern",
        good_till_date="20261124 16:00:00 US/Eastern",
        trail_stop_price=231.25,
        trailing_percent=1.5,
        limit_price_offset=0.25,
        what_if=True,
        clearing_intent="IB",
        model_code="model",
        cash_quantity=1000.0,
    )
    assert same(place(library, version, order), expected)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("terms", "version"),
    [
        ({"blockOrder": True}, 157),
        ({"sweepToFill": True}, 157),
        ({"discretionaryAmt": 0.1}, 157),
        ({"faGroup": "all"}, 157),
        ({"faMethod": "NetLiq"}, 157),
        ({"faPercentage": "10"}, 157),
        ({"shortSaleSlot": 2}, 157),
        ({"designatedLocation": "elsewhere"}, 157),
        ({"exemptCode": 1}, 157),
        ({"rule80A": "I"}, 157),
        ({"settlingFirm": "firm"}, 157),
        ({"percentOffset": 0.1}, 157),
        ({"auctionStrategy": 1}, 157),
        ({"startingPrice": 1.0}, 157),
        ({"stockRefPrice": 1.0}, 157),
        ({"delta": 0.5}, 157),
        ({"stockRangeLower": 1.0}, 157),
        ({"stockRangeUpper": 2.0}, 157),
        ({"volatility": 0.2}, 157),
        ({"volatilityType": 1}, 157),
        ({"deltaNeutralOrderType": "MKT"}, 157),
        ({"continuousUpdate": True}, 157),
        ({"referencePriceType": 1}, 157),
        ({"scaleInitLevelSize": 5, "scaleSubsLevelSize": 6, "scalePriceIncrement": 0.1}, 157),
        ({"scaleTable": "t"}, 157),
        ({"activeStartTime": "x"}, 157),
        ({"activeStopTime": "x"}, 157),
        ({"hedgeType": "P", "hedgeParam": "2"}, 157),
        ({"clearingAccount": "other"}, 157),
        ({"notHeld": True}, 157),
        ({"algoStrategy": "Vwap"}, 157),
        ({"algoId": "a1"}, 157),
        ({"randomizeSize": True}, 157),
        ({"randomizePrice": True}, 157),
        ({"adjustedOrderType": "STP"}, 157),
        ({"isOmsContainer": True}, 157),
        ({"discretionaryUpToLimitPrice": True}, 157),
        ({"duration": 60}, 158),
        ({"postToAts": 1}, 160),
        ({"autoCancelParent": True}, 162),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_not_done_here_is_named(library: str, terms: dict[str, Any], version: int) -> None:
    kind = "VOL" if "volatility" in terms else "LMT"  # ib_async sends a volatility with VOL orders only.
    order = blank(library, action="BUY", totalQuantity=100, orderType=kind, lmtPrice=229.5, orderRef="ref", **terms)
    got = place(library, version, order)
    assert set(got.unsupported) == set(terms) - {"hedgeParam"}
    expected = WireOrder(17, APPLE, "BUY", 100.0, kind, 229.5, order_ref="ref", open_close=got.open_close)
    expected.unsupported, expected.algo_strategy = got.unsupported, terms.get("algoStrategy", "")
    assert same(got, expected)


def _with_conditions(library: str) -> Any:
    module = load(library, "order_condition" if library == "ibapi" else "order")
    order = blank(library, action="BUY", totalQuantity=1, orderType="LMT", lmtPrice=5.0, conditionsCancelOrder=True)
    kinds = {1: "Price", 3: "Time", 4: "Margin", 5: "Execution", 6: "Volume", 7: "PercentChange"}
    for kind in kinds.values():
        condition = getattr(module, f"{kind}Condition")()
        for name in ("secType", "exchange", "exch", "symbol", "time"):
            if hasattr(condition, name):
                setattr(condition, name, "x")
        for name in ("isMore", "percent", "price", "conId", "triggerMethod", "changePercent", "volume"):
            if getattr(condition, name, 0) is None:
                setattr(condition, name, 1)
        condition.isConjunctionConnection = True
        order.conditions.append(condition)
    return order


@every_client
def test_conditions_of_all_kinds_do_not_shift_what_follows(library: str, version: int) -> None:
    order = _with_conditions(library)
    order.lmtPriceOffset, order.cashQty = 0.5, 9.0
    got = place(library, version, order)
    assert got.unsupported == ("conditions",)
    assert (got.limit_price_offset, got.cash_quantity) == (0.5, 9.0)


@every_client
def test_a_bag_with_everything_does_not_shift_what_follows(library: str, version: int) -> None:
    module = load(library, "order")
    tag = load(library, {"ibapi": "tag_value", "ib_insync": "objects", "ib_async": "contract"}[library]).TagValue
    leg_price = getattr(module, "OrderComboLeg", None) or load("ibapi", "order").OrderComboLeg
    price = leg_price()
    price.price = 1.25
    order = blank(
        library,
        action="BUY",
        totalQuantity=1,
        orderType="LMT",
        lmtPrice=5.0,
        orderRef="ref",
        orderComboLegs=[price, price],
        smartComboRoutingParams=[tag("NonGuaranteed", "1")],
        algoStrategy="Vwap",
        algoParams=[tag("a", "1"), tag("b", "2")],
        scalePriceIncrement=0.1,
        hedgeType="P",
        hedgeParam="2",
        deltaNeutralOrderType="MKT",
        lmtPriceOffset=0.5,
    )
    neutral = load(library, "contract").DeltaNeutralContract()
    got = place(library, version, order, BAG, deltaNeutralContract=neutral)
    asked = ("comboLegs", "deltaNeutralOrderType", "scalePriceIncrement", "hedgeType", "deltaNeutralContract")
    assert got.unsupported == (*asked, "algoStrategy")
    assert (got.algo_strategy, got.limit_price_offset, got.order_ref) == ("Vwap", 0.5, "ref")


@every_client
@pytest.mark.parametrize(
    ("order_type", "exchange", "terms"),
    [
        ("PEG BENCH", "SMART", {"referenceContractId": 5}),
        ("PEG MID", "IBKRATS", {"midOffsetAtWhole": 0.01}),
        ("PEG BEST", "IBKRATS", {"minTradeQty": 100, "minCompeteSize": 100, "competeAgainstBestOffset": 0.02}),
        ("PEG BEST", "IBKRATS", {"competeAgainstBestOffset": math.inf, "midOffsetAtWhole": 0.01}),
    ],
)
def test_pegged_orders_are_read_to_their_end(
    library: str, version: int, order_type: str, exchange: str, terms: dict[str, Any]
) -> None:
    if version < 170 and order_type != "PEG BENCH":
        terms = {}
    order = blank(library, action="BUY", totalQuantity=100, orderType=order_type, **terms)
    got = place(library, version, order, APPLE._replace(exchange=exchange))
    assert (got.order_type, got.contract.exchange) == (order_type, exchange)
    if terms:
        assert got.unsupported


def test_a_condition_of_an_unknown_kind_is_a_bad_request() -> None:
    client = Sent("ib_insync", 176)
    order = _with_conditions("ib_insync")
    order.conditions[0].condType = 8
    client.client.placeOrder(17, theirs("ib_insync", APPLE), order)
    with pytest.raises(rq.BadRequest, match="PlaceOrder: no condition of kind '8'") as caught:
        rq.parse(176, client.fields)
    assert caught.value.req_id == 17


@every_client
def test_an_order_that_a_client_learned_from_us_can_be_sent_again(library: str, version: int) -> None:
    """As ib_insync does to modify what it found open: `?`, `None` and IB's unset numbers are no wishes."""
    placed = PlacedOrder(
        WireOrder(17, APPLE, "BUY", 100.0, "LMT", 229.5, account="DU123", open_close="O", clearing_intent="IB"),
        samples.APPLE,
        3,
        2000001,
        OrderStatus.SUBMITTED,
    )
    ((_, (_, contract, order, _)),) = decode(library, version, messages.open_order(version, placed))
    if library == "ibapi":
        contract.primaryExchange = ""
        order.volatilityType, order.referencePriceType = 0, 0
    client = Sent(library, version)
    client.client.placeOrder(17, contract, order)
    got = rq.parse(version, client.fields).order
    assert got.unsupported == ()
    assert (got.contract.right, got.contract.strike, got.limit_price, got.quantity) == ("", 0.0, 229.5, 100.0)
    assert math.isnan(got.trail_stop_price)
    assert math.isnan(got.trailing_percent)


# Round trips: what the exchange holds goes out as openOrder and comes back through the client as placeOrder.

_WORD = st.text("abcXYZ 0189-_.", max_size=12)
_PRICE = st.floats(0.0001, 1e6).map(lambda price: round(price, 4))
_MAYBE_PRICE = st.one_of(st.just(math.nan), _PRICE)
_orders = st.builds(
    WireOrder,
    st.integers(1, 2**31 - 2),
    st.just(APPLE._replace(primary_exchange="")),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 10**9).map(float),
    st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "MIDPRICE"]),
    limit_price=_PRICE,
    aux_price=_PRICE,
    tif=st.sampled_from(["DAY", "GTC", "IOC", "GTD", "OPG"]),
    oca_group=_WORD,
    oca_type=st.integers(0, 3),
    account=_WORD,
    open_close=st.sampled_from(["", "O", "C"]),
    origin=st.integers(0, 1),
    order_ref=_WORD,
    parent_id=st.integers(0, 2**31 - 2),
    trigger_method=st.integers(0, 8),
    outside_rth=st.booleans(),
    hidden=st.booleans(),
    display_size=st.integers(0, 1000),
    all_or_none=st.booleans(),
    min_quantity=st.integers(0, 1000),
    good_after_time=_WORD,
    good_till_date=_WORD,
    trail_stop_price=_MAYBE_PRICE,
    trailing_percent=_MAYBE_PRICE,
    limit_price_offset=_MAYBE_PRICE,
    what_if=st.booleans(),
    clearing_intent=st.just("IB"),
    model_code=_WORD,
    cash_quantity=_PRICE,
)


@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(order=_orders, version=st.sampled_from([version for version in VERSIONS if version <= 176]))
def test_an_order_goes_out_and_comes_back_the_same(library: str, version: int, order: WireOrder) -> None:
    placed = PlacedOrder(order, samples.APPLE, 3, 2000001, OrderStatus.SUBMITTED)
    ((_, (_, contract, theirs_, _)),) = decode(library, version, messages.open_order(version, placed))
    client = Sent(library, version)
    client.client.placeOrder(order.order_id, contract, theirs_)
    assert same(rq.parse(version, client.fields).order, order)


@settings(max_examples=150, deadline=None)
@given(order=_orders, version=st.sampled_from(VERSIONS), filled=st.floats(0, 1e9), stop=_MAYBE_PRICE)
def test_every_order_has_the_field_count_of_its_version(
    order: WireOrder, version: int, filled: float, stop: float
) -> None:
    placed = PlacedOrder(order, samples.APPLE, 3, 2000001, OrderStatus.FILLED, filled=filled, stop_price=stop)
    open_count = len(wire.split(messages.open_order(version, placed)))
    done_count = len(wire.split(messages.completed_order(version, placed, "")))
    late = (version >= 158) + (version >= 160) + (version >= 162) + 5 * (version >= 170) - (version >= 177)
    assert (open_count, done_count) == (128 + late, 96 + 5 * (version >= 170) - (version >= 177))
