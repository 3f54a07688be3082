"""A real client library against the simulator over TCP: every operation that a strategy or a person may try.

Runs on ib_insync, or on ib_async where IB_LIBRARY says so.
"""

import asyncio
import datetime as dt
import importlib
import logging
import os
import time
from itertools import pairwise

import pytest

from gateway.simulator.outlet import MESSAGE_IDS
from gateway.simulator.server import start_simulator
from tests.gateway.simulator.worlds import known_market

library = importlib.import_module(os.environ.get("IB_LIBRARY", "ib_insync"))
IB, Contract, Stock, Forex, Future, Index = (
    library.IB, library.Contract, library.Stock, library.Forex, library.Future, library.Index
)  # fmt: skip
MarketOrder, LimitOrder, StopOrder, StopLimitOrder, Order = (
    library.MarketOrder, library.LimitOrder, library.StopOrder, library.StopLimitOrder, library.Order
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def market():
    return known_market()


@pytest.fixture
def handle(market):
    with start_simulator(market=market, message_rate=0, history_pacing=False, speed=4) as handle:
        yield handle


@pytest.fixture
def ib(handle):
    logging.getLogger(library.__name__).setLevel(logging.CRITICAL)
    ib = IB()
    ib.connect(handle.host, handle.port, clientId=1, timeout=10)
    ib.RequestTimeout = 10
    ib.codes = []
    ib.errorEvent += lambda req_id, code, text, contract: ib.codes.append(code)
    yield ib
    ib.disconnect()


@pytest.fixture
def apple(ib):
    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    return contract


def wait_for(ib, condition, seconds: float = 15.0):
    """Until something holds; fails by saying so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        try:
            ib.sleep(0.01)
        except ConnectionError:
            pass  # Every synchronous call is cancelled when a socket is lost: what is waited for may be just that.
    return condition()


def price(handle, con_id: int = 265598) -> float:
    return handle.call(lambda simulator: simulator.market.mark(con_id, simulator.now_ns()))


# Connecting


def test_it_connects_with_account_and_time(ib, handle):
    assert ib.isConnected()
    assert ib.managedAccounts() == ["DU1000001"]
    now = ib.reqCurrentTime()
    assert abs(now.timestamp() - handle.simulator.now_ns() / 1e9) < 5
    assert ib.client.serverVersion() == 176


def test_it_is_marked_as_simulated(ib):
    kinds = [value.value for value in ib.accountValues() if value.tag == "AccountType"]
    assert kinds == ["SIMULATED"]
    assert ib.managedAccounts()[0].startswith("DU")


@pytest.mark.parametrize("version", [157, 158, 159, 160, 163, 164, 166, 170, 176, 178])
def test_every_version_trades(market, version):
    with start_simulator(market=market, message_rate=0, max_version=version, speed=4) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        assert contract.conId == 265598
        (details,) = ib.reqContractDetails(contract)
        assert details.minTick == 0.01
        trade = ib.placeOrder(contract, MarketOrder("BUY", 5))
        wait_for(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
        assert trade.orderStatus.status == "Filled"
        assert ib.positions()[0].position == 5
        ib.disconnect()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        assert [each.orderStatus.status for each in ib.reqCompletedOrders(False)] == ["Filled"]
        ib.disconnect()


@pytest.mark.parametrize("message", ["managedAccounts", "nextValidId"])
def test_without_accounts_or_id_a_connection_does_not_come_about(handle, message):
    handle.faults.swallow(message)
    ib = IB()
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        ib.connect(handle.host, handle.port, clientId=3, timeout=0.5)
    ib.disconnect()


@pytest.mark.parametrize("message", ["positionEnd", "openOrderEnd", "completedOrdersEnd", "accountDownloadEnd"])
def test_with_an_end_withheld_it_connects_all_the_same(handle, message):
    handle.faults.swallow(message)
    ib = IB()
    ib.connect(handle.host, handle.port, clientId=3, timeout=0.5)
    assert ib.isConnected()
    ib.disconnect()


def test_a_client_id_in_use_is_told_326(ib, handle):
    codes = []
    second = IB()
    second.errorEvent += lambda req_id, code, text, contract: codes.append(code)
    with pytest.raises((TimeoutError, asyncio.TimeoutError, ConnectionError)):
        second.connect(handle.host, handle.port, clientId=1, timeout=1)
    assert 326 in codes
    assert ib.reqCurrentTime()
    second.disconnect()


@pytest.mark.parametrize(("verb", "error"), [("refuse", ConnectionError), ("mute_handshake", TimeoutError)])
def test_refused_and_mute_gateways_are_told_apart(handle, verb, error):
    getattr(handle.faults, verb)()
    ib = IB()
    with pytest.raises((error, asyncio.TimeoutError)):
        time.sleep(0.2)
        ib.connect(handle.host, handle.port, clientId=3, timeout=0.5)
    handle.faults.heal()
    end = time.monotonic() + 10
    while True:
        try:
            ib.connect(handle.host, handle.port, clientId=3, timeout=5)
            break
        except ConnectionError:
            assert time.monotonic() < end
    assert ib.isConnected()
    ib.disconnect()


def test_dropped_in_the_middle_of_a_request_it_comes_back_with_the_same_object(ib, handle, apple):
    handle.faults.drop(request="reqHistoricalData", how="rst")
    with pytest.raises(ConnectionError):
        ib.reqHistoricalData(apple, "", "1 D", "5 mins", "TRADES", True)
    ib.disconnect()
    ib.connect(handle.host, handle.port, clientId=1, timeout=10)
    assert ib.reqHistoricalData(apple, "", "1 D", "5 mins", "TRADES", True)


def test_a_stall_is_seen_by_who_asks_the_time(ib, handle):
    handle.faults.stall(1.0)
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        ib.run(asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.3))
    assert ib.isConnected()


@pytest.mark.parametrize("code", [1100, 1101, 1102])
def test_connectivity_is_told(ib, handle, code):
    handle.faults.sys(code)
    wait_for(ib, lambda: code in ib.codes)
    assert ib.isConnected()


def test_after_1101_data_is_gone_until_it_is_asked_for_again(ib, handle, apple):
    ticker = ib.reqMktData(apple)
    wait_for(ib, lambda: ticker.last == ticker.last)
    handle.faults.sys(1100)
    handle.faults.sys(1101)
    assert handle.call(lambda simulator: len(simulator.by_client[1].subscriptions.of_kind("market data"))) == 0
    ib.cancelMktData(apple)
    again = ib.reqMktData(apple)
    wait_for(ib, lambda: again.bid == again.bid and again.bid > 0)


def test_a_port_change_ends_the_connection(ib, handle):
    handle.faults.sys(1300)
    wait_for(ib, lambda: not ib.isConnected())


# Contracts


@pytest.mark.parametrize(
    ("contract", "kind"),
    [
        (Stock("AAPL", "SMART", "USD"), "STK"),
        (Forex("EURUSD"), "CASH"),
        (Index("SPX", "CBOE", "USD"), "IND"),
    ],
)
def test_a_contract_is_found(ib, contract, kind):
    (details,) = ib.reqContractDetails(contract)
    assert details.contract.secType == kind
    assert details.contract.conId > 0
    assert details.tradingHours
    assert details.longName


def test_a_future_with_several_months_is_ambiguous_and_one_of_them_is_not(ib):
    several = ib.reqContractDetails(Future("ES", exchange="CME"))
    assert len(several) > 2
    month = several[-1].contract.lastTradeDateOrContractMonth
    (one,) = ib.reqContractDetails(Future("ES", month, "CME"))
    assert one.contract.multiplier == "50"
    ib.codes.clear()
    assert not ib.reqHistoricalData(Future("ES", exchange="CME"), "", "1 D", "5 mins", "TRADES", True)
    assert 200 in ib.codes


def test_an_unknown_contract_is_told_200(ib):
    assert not ib.reqContractDetails(Stock("NOSUCHTHING", "SMART", "USD"))
    assert 200 in ib.codes


def test_symbols_are_searched(ib):
    found = ib.reqMatchingSymbols("AAPL")
    assert found[0].contract.symbol == "AAPL"


def test_a_market_rule_gives_its_steps(ib):
    rule = ib.reqMarketRule(26)
    assert [(step.lowEdge, step.increment) for step in rule] == [(0, 0.01)]


# History


@pytest.mark.parametrize("date_format", [1, 2])
@pytest.mark.parametrize("size", ["1 secs", "5 secs", "30 secs", "1 min", "5 mins", "1 hour", "1 day", "1W", "1M"])
def test_bars_of_every_kind_come_in_order(ib, apple, size, date_format):
    duration = {"1 secs": "1800 S", "1 hour": "2 D", "5 secs": "3600 S", "1 day": "1 M", "1W": "1 Y", "1M": "2 Y"}.get(
        size, "1 D"
    )
    bars = ib.reqHistoricalData(apple, "", duration, size, "TRADES", True, date_format)
    assert len(bars) > 1
    dates = [bar.date for bar in bars]
    assert dates == sorted(dates)
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)


@pytest.mark.parametrize("what", ["TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST"])
def test_bars_of_every_price_come(ib, apple, what):
    bars = ib.reqHistoricalData(apple, "", "1 D", "5 mins", what, True)
    assert len(bars) > 1
    assert (bars[0].volume > 0) is (what in ("TRADES", "ADJUSTED_LAST"))


@pytest.mark.parametrize(
    "end", ["20260303 15:00:00 US/Eastern", "20260303-20:00:00", dt.datetime(2026, 3, 3, 20, 0, tzinfo=dt.UTC)]
)
def test_the_end_may_be_written_in_three_ways(ib, apple, end):
    bars = ib.reqHistoricalData(apple, end, "1800 S", "1 min", "TRADES", True, 2)
    assert bars[-1].date.timestamp() == dt.datetime(2026, 3, 3, 19, 59, tzinfo=dt.UTC).timestamp()


def test_a_bad_end_a_bad_size_and_trades_of_a_pair_are_refused(ib, apple):
    assert not ib.reqHistoricalData(apple, "yesterday", "1 D", "5 mins", "TRADES", True)
    assert ib.codes[-1] == 10314
    (pair,) = ib.qualifyContracts(Forex("EURUSD"))
    assert not ib.reqHistoricalData(pair, "", "1 D", "5 mins", "TRADES", True)
    assert ib.codes[-1] == 162
    assert ib.reqHistoricalData(pair, "", "1 D", "5 mins", "MIDPOINT", True)


def test_a_schedule_names_its_sessions(ib, apple):
    schedule = ib.reqHistoricalSchedule(apple, 3)
    assert schedule.timeZone
    assert schedule.sessions[-1].refDate == "20260304"


@pytest.mark.parametrize("date_format", [1, 2])
def test_a_head_time_stamp_is_a_moment(ib, apple, date_format):
    assert ib.reqHeadTimeStamp(apple, "TRADES", True, date_format).year >= 2000


def test_history_kept_up_to_date_grows(market):
    with start_simulator(market=market, speed=20) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        bars = ib.reqHistoricalData(apple, "", "600 S", "5 secs", "TRADES", True, 2, keepUpToDate=True)
        before = len(bars)
        wait_for(ib, lambda: len(bars) >= before + 6)
        starts = [bar.date.timestamp() for bar in bars]
        assert {b - a for a, b in pairwise(starts)} == {5.0}
        ib.cancelHistoricalData(bars)
        whole = ib.reqHistoricalData(apple, "", "600 S", "5 secs", "TRADES", True, 2)
        held = {bar.date: (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in whole}
        streamed = [(bar.date, (bar.open, bar.high, bar.low, bar.close, bar.volume)) for bar in bars[before:-1]]
        assert streamed
        assert all(held[date] == values for date, values in streamed)
        ib.disconnect()


def test_cancelling_what_is_not_there_is_366(ib):
    ib.client.cancelHistoricalData(999)
    wait_for(ib, lambda: 366 in ib.codes)


def test_no_data_and_pacing_are_told_by_words(ib, handle, apple):
    texts = []
    ib.errorEvent += lambda req_id, code, text, contract: texts.append((code, text))
    handle.faults.no_data("AAPL")
    assert not ib.reqHistoricalData(apple, "", "1 D", "5 mins", "TRADES", True)
    handle.faults.pace()
    assert not ib.reqHistoricalData(apple, "", "1 D", "5 mins", "TRADES", True)
    assert [code for code, _ in texts] == [162, 162]
    assert "no data" in texts[0][1]
    assert "pacing violation" in texts[1][1]
    assert ib.reqHistoricalData(apple, "", "1 D", "5 mins", "TRADES", True)


def test_ticks_of_the_past_come(ib, apple):
    for what in ("TRADES", "MIDPOINT", "BID_ASK"):
        assert len(ib.reqHistoricalTicks(apple, "20260303-15:00:00", "", 50, what, True)) == 50


# Market data


def test_five_second_bars_come_every_five_seconds(market):
    with start_simulator(market=market, speed=20) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        bars = ib.reqRealTimeBars(apple, 5, "TRADES", False)
        wait_for(ib, lambda: len(bars) >= 5)
        starts = [bar.time.timestamp() for bar in bars]
        assert {b - a for a, b in pairwise(starts)} == {5.0}
        ib.cancelRealTimeBars(bars)
        ib.disconnect()


def test_ticks_come_live_with_both_sides(ib, apple):
    ticker = ib.reqMktData(apple)
    wait_for(ib, lambda: ticker.bid > 0 and ticker.ask > ticker.bid and ticker.volume > 0)
    assert ticker.close > 0
    assert ticker.marketDataType == 1
    ib.cancelMktData(apple)


def test_delayed_ticks_take_the_place_of_those_not_subscribed(ib, handle, apple):
    handle.faults.set("delayed_only", ["AAPL"])
    ib.reqMktData(apple)
    wait_for(ib, lambda: 10089 in ib.codes)
    ib.cancelMktData(apple)
    ib.reqMarketDataType(3)
    ticker = ib.reqMktData(apple)
    wait_for(ib, lambda: ticker.bid > 0)
    assert 10167 in ib.codes
    assert ticker.marketDataType == 3


@pytest.mark.parametrize("code", [354, 10168, 10186, 10197, 10089, 10090, 10091, 10167])
def test_a_permission_that_lacks_is_told_by_its_code(ib, handle, apple, code):
    handle.faults.set("denied", {"AAPL": code})
    ticker = ib.reqMktData(apple)
    wait_for(ib, lambda: code in ib.codes)
    if code in (10090, 10091, 10167):
        wait_for(ib, lambda: ticker.bid > 0)
    else:
        ib.sleep(0.4)
        assert not ticker.bid > 0


def test_a_snapshot_ends(ib, apple):
    (ticker,) = ib.reqTickers(apple)
    assert ticker.bid > 0
    assert not ib.client._reqIdSeq < 0


def test_the_line_after_the_last_is_refused(ib, handle):
    handle.faults.set("market_data_lines", 2)
    for symbol in ("AAPL", "MSFT", "NVDA"):
        (contract,) = ib.qualifyContracts(Stock(symbol, "SMART", "USD"))
        ib.reqMktData(contract)
    wait_for(ib, lambda: 101 in ib.codes)


def test_tick_by_tick_tells_trades(market):
    with start_simulator(market=market, speed=5) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        ticker = ib.reqTickByTickData(apple, "Last")
        seen = []
        ticker.updateEvent += lambda ticker: seen.extend(ticker.tickByTicks)
        wait_for(ib, lambda: len(seen) > 3)
        assert all(tick.price > 0 and tick.size > 0 for tick in seen)
        ib.disconnect()


# Orders


def test_a_market_order_fills_and_is_charged(ib, apple):
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10, orderRef="mine"))
    wait_for(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
    assert trade.orderStatus.status == "Filled"
    assert trade.fills[0].execution.shares == 10
    assert trade.fills[0].commissionReport.commission > 0
    assert trade.fills[0].execution.time.tzinfo is not None
    assert ib.positions()[0].position == 10
    assert wait_for(ib, ib.portfolio)[0].position == 10
    assert [fill.execution.orderRef for fill in ib.reqExecutions()] == ["mine"]


def test_a_limit_order_rests_is_changed_and_cancelled(ib, handle, apple):
    order = LimitOrder("BUY", 10, round(price(handle) * 0.9, 2), tif="GTC", outsideRth=True)
    trade = ib.placeOrder(apple, order)
    wait_for(ib, lambda: trade.orderStatus.status == "Submitted")
    assert [each.order.permId for each in ib.reqAllOpenOrders()] == [trade.order.permId]
    order.lmtPrice = round(price(handle) * 0.8, 2)
    ib.placeOrder(apple, order)
    wait_for(ib, lambda: len(trade.log) >= 3)
    wait_for(ib, lambda: handle.call(lambda s: s.exchange.open_orders(1)[0].request.limit_price) == order.lmtPrice)
    ib.cancelOrder(order)
    wait_for(ib, lambda: trade.orderStatus.status == "Cancelled")
    assert 202 in ib.codes


@pytest.mark.parametrize("kind", ["STP", "STP LMT", "TRAIL", "TRAIL %"])
def test_an_order_that_waits_for_a_trigger_is_held(ib, handle, apple, kind):
    now = price(handle)
    order = {
        "STP": StopOrder("SELL", 5, round(now * 0.9, 2)),
        "STP LMT": StopLimitOrder("SELL", 5, round(now * 0.89, 2), round(now * 0.9, 2)),
        "TRAIL": Order(action="SELL", totalQuantity=5, orderType="TRAIL", auxPrice=20),
        "TRAIL %": Order(action="SELL", totalQuantity=5, orderType="TRAIL", trailingPercent=9),
    }[kind]
    trade = ib.placeOrder(apple, order)
    wait_for(ib, lambda: trade.orderStatus.status == "PreSubmitted")
    assert "trigger" in trade.orderStatus.whyHeld


def test_of_a_bracket_the_children_wait_and_one_cancels_the_other(ib, handle, apple):
    now = price(handle)
    bracket = ib.bracketOrder("BUY", 10, round(now * 1.05, 2), round(now * 1.2, 2), round(now * 0.8, 2))
    trades = [ib.placeOrder(apple, order) for order in bracket]
    wait_for(ib, lambda: trades[0].orderStatus.status == "Filled")
    wait_for(ib, lambda: trades[1].orderStatus.status == "Submitted")
    assert trades[2].orderStatus.status == "PreSubmitted"
    ib.cancelOrder(bracket.takeProfit)
    wait_for(ib, lambda: trades[1].orderStatus.status == "Cancelled")


def test_the_others_of_a_group_are_cancelled_when_one_fills(ib, handle, apple):
    now = price(handle)
    orders = [LimitOrder("BUY", 10, round(now * 0.9, 2)), LimitOrder("BUY", 10, round(now * 1.05, 2))]
    trades = [ib.placeOrder(apple, order) for order in ib.oneCancelsAll(orders, "group", 1)]
    wait_for(ib, lambda: trades[1].orderStatus.status == "Filled")
    wait_for(ib, lambda: trades[0].orderStatus.status == "Cancelled")


def test_an_order_held_back_is_released_by_its_child(ib, handle, apple):
    now = price(handle)
    parent = LimitOrder("BUY", 5, round(now * 1.05, 2), transmit=False, orderId=ib.client.getReqId())
    held = ib.placeOrder(apple, parent)
    ib.sleep(0.3)
    assert held.orderStatus.status == "PendingSubmit"
    ib.placeOrder(apple, StopOrder("SELL", 5, round(now * 0.8, 2), parentId=parent.orderId))
    wait_for(ib, lambda: held.orderStatus.status == "Filled")


def test_fills_come_in_parts(ib, handle, apple):
    handle.faults.fill(fractions=[0.4, 0.6])
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10))
    wait_for(ib, lambda: trade.orderStatus.status == "Filled")
    assert [fill.execution.shares for fill in trade.fills] == [4, 6]
    assert [fill.execution.cumQty for fill in trade.fills] == [4, 10]


def test_what_if_answers_with_margins_and_places_nothing(ib, apple):
    state = ib.whatIfOrder(apple, MarketOrder("BUY", 100))
    assert float(state.initMarginChange) > 0
    assert state.commission > 0
    assert not ib.reqAllOpenOrders()


def test_all_orders_of_all_clients_are_cancelled_at_once(ib, handle, apple):
    other = IB()
    other.connect(handle.host, handle.port, clientId=2, timeout=10)
    trades = [client.placeOrder(apple, LimitOrder("BUY", 1, round(price(handle) * 0.9, 2))) for client in (ib, other)]
    wait_for(ib, lambda: all(trade.orderStatus.status == "Submitted" for trade in trades))
    ib.reqGlobalCancel()
    wait_for(ib, lambda: all(trade.orderStatus.status == "Cancelled" for trade in trades))
    other.disconnect()


def test_an_order_of_another_client_cannot_be_cancelled(ib, handle, apple):
    other = IB()
    other.connect(handle.host, handle.port, clientId=2, timeout=10)
    order = LimitOrder("BUY", 1, round(price(handle) * 0.9, 2))
    trade = ib.placeOrder(apple, order)
    wait_for(ib, lambda: trade.orderStatus.status == "Submitted")
    codes = []
    other.errorEvent += lambda req_id, code, text, contract: codes.append(code)
    other.client.cancelOrder(order.orderId, "")
    wait_for(ib, lambda: 10147 in codes)
    assert trade.orderStatus.status == "Submitted"
    other.disconnect()


@pytest.mark.parametrize("code", [201, 110, 203, 460])
def test_an_order_is_refused_by_a_code(ib, handle, apple, code):
    handle.faults.reject(code=code)
    ib.placeOrder(apple, MarketOrder("BUY", 1))
    wait_for(ib, lambda: code in ib.codes)
    assert not ib.positions()


def test_a_price_off_the_grid_is_110_a_used_id_103_and_a_filled_order_104(ib, handle, apple):
    ib.placeOrder(apple, LimitOrder("BUY", 1, round(price(handle) * 0.9, 2) + 0.001))
    wait_for(ib, lambda: 110 in ib.codes)
    trade = ib.placeOrder(apple, MarketOrder("BUY", 1))
    wait_for(ib, lambda: trade.orderStatus.status == "Filled")
    ib.client.placeOrder(trade.order.orderId, apple, LimitOrder("BUY", 1, 10.0))
    wait_for(ib, lambda: 104 in ib.codes)
    ib.client.placeOrder(1, apple, MarketOrder("BUY", 1))
    wait_for(ib, lambda: 103 in ib.codes)


def test_another_side_or_contract_is_no_modification(ib, handle, apple):
    order = LimitOrder("BUY", 1, round(price(handle) * 0.9, 2))
    trade = ib.placeOrder(apple, order)
    wait_for(ib, lambda: trade.orderStatus.status == "Submitted")
    ib.client.placeOrder(order.orderId, apple, LimitOrder("SELL", 1, order.lmtPrice))
    wait_for(ib, lambda: 105 in ib.codes)


def test_orders_outside_hours_are_held_with_399(market):
    night = 1_772_611_200_000_000_000  # 2026-03-04 03:00 in New York
    with start_simulator(market=market, start_ns=night) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        codes = []
        ib.errorEvent += lambda req_id, code, text, contract: codes.append(code)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        ib.placeOrder(apple, MarketOrder("BUY", 1))
        wait_for(ib, lambda: 399 in codes)
        assert handle.call(lambda simulator: len(simulator.exchange.open_orders(1))) == 1
        ib.disconnect()


def test_an_order_without_time_in_force_is_preset_with_10349(ib, handle, apple):
    handle.faults.policy("tif_preset", True)
    ib.placeOrder(apple, LimitOrder("BUY", 1, round(price(handle) * 0.9, 2)))
    wait_for(ib, lambda: 10349 in ib.codes)


def test_a_status_may_come_before_its_execution(ib, handle, apple):
    handle.faults.policy("status_first", True)
    trade = ib.placeOrder(apple, MarketOrder("BUY", 1))
    wait_for(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
    assert trade.orderStatus.status == "Filled"


def test_a_correction_is_the_next_revision(ib, handle, apple):
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10))
    wait_for(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
    first = trade.fills[0].execution
    handle.faults.correct(9, first.price)
    wait_for(ib, lambda: len(ib.fills()) == 2)
    second = ib.fills()[1].execution
    assert second.execId.rpartition(".")[0] == first.execId.rpartition(".")[0]
    assert second.execId > first.execId
    wait_for(ib, lambda: ib.positions()[0].position == 9)


def test_a_bust_takes_the_position_back(ib, handle, apple):
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10))
    wait_for(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
    handle.faults.bust()
    wait_for(ib, lambda: not [each for each in ib.positions() if each.position])


def test_a_commission_comes_late_or_never(ib, handle, apple):
    handle.faults.late_comm()
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10))
    wait_for(ib, lambda: trade.fills)
    ib.sleep(0.5)
    assert not trade.fills[0].commissionReport.execId


def test_the_exchange_may_cancel_by_itself(ib, handle, apple):
    trade = ib.placeOrder(apple, LimitOrder("BUY", 1, round(price(handle) * 0.9, 2)))
    wait_for(ib, lambda: trade.orderStatus.status == "Submitted")
    handle.faults.cancel(reason="Order is not in line")
    wait_for(ib, lambda: trade.orderStatus.status == "Cancelled")
    assert 202 in ib.codes


def test_an_order_of_a_person_is_seen_by_all_and_bound_by_client_zero(ib, handle):
    handle.faults.external("MSFT", "BUY", 7, order_type="LMT", limit_price=1.0)
    (trade,) = ib.reqAllOpenOrders()
    assert trade.order.orderId == 0
    assert trade.order.permId > 0
    zero = IB()
    zero.connect(handle.host, handle.port, clientId=0, timeout=10)
    wait_for(ib, zero.openTrades)
    assert handle.call(lambda simulator: simulator.exchange.open_orders()[0].order_id) < 0
    zero.disconnect()


def test_a_fill_while_away_is_found_on_return(ib, handle, apple):
    handle.faults.fill(delay_seconds=1.0)
    ib.placeOrder(apple, MarketOrder("BUY", 3, orderRef="away"))
    wait_for(ib, lambda: handle.call(lambda simulator: simulator.exchange.open_orders(1)))
    ib.disconnect()
    end = time.monotonic() + 15
    while handle.call(lambda simulator: simulator.exchange.open_orders(1)):
        assert time.monotonic() < end
        time.sleep(0.02)
    ib.connect(handle.host, handle.port, clientId=1, timeout=10)
    assert [fill.execution.orderRef for fill in ib.fills()] == ["away"]
    assert ib.positions()[0].position == 3
    (done,) = ib.reqCompletedOrders(False)
    assert done.orderStatus.status == "Filled"


def test_working_orders_are_told_again_on_return(ib, handle, apple):
    trade = ib.placeOrder(apple, LimitOrder("BUY", 1, round(price(handle) * 0.9, 2)))
    wait_for(ib, lambda: trade.orderStatus.status == "Submitted")
    next_id = ib.client._reqIdSeq
    ib.disconnect()
    ib.connect(handle.host, handle.port, clientId=1, timeout=10)
    assert [each.order.orderId for each in ib.openTrades()] == [trade.order.orderId]
    assert ib.client._reqIdSeq > trade.order.orderId
    assert next_id


# Accounts


def test_the_account_is_told_in_values_summary_and_profit(ib, apple):
    assert {"NetLiquidation", "TotalCashValue", "BuyingPower"} <= {value.tag for value in ib.accountValues()}
    summary = {value.tag: value.value for value in ib.accountSummary()}
    assert float(summary["NetLiquidation"]) == 1_000_000
    trade = ib.placeOrder(apple, MarketOrder("BUY", 10))
    wait_for(ib, lambda: trade.orderStatus.status == "Filled")
    pnl = ib.reqPnL("DU1000001")
    single = ib.reqPnLSingle("DU1000001", "", apple.conId)
    wait_for(ib, lambda: pnl.dailyPnL == pnl.dailyPnL and single.value > 0)
    assert single.position == 10


def test_two_accounts_are_kept_apart(market):
    with start_simulator(market=market, accounts=("DU1", "DU2"), message_rate=0) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        assert ib.managedAccounts() == ["DU1", "DU2"]
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        trade = ib.placeOrder(apple, MarketOrder("BUY", 4, account="DU2"))
        wait_for(ib, lambda: trade.orderStatus.status == "Filled")
        wait_for(ib, ib.positions)
        assert [(each.account, each.position) for each in ib.positions()] == [("DU2", 4)]
        ib.disconnect()


def test_a_read_only_gateway_refuses_orders_with_321(market):
    with start_simulator(market=market, read_only=True) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10, readonly=True)
        codes = []
        ib.errorEvent += lambda req_id, code, text, contract: codes.append(code)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        ib.placeOrder(apple, MarketOrder("BUY", 1))
        wait_for(ib, lambda: 321 in codes)
        ib.client.reqOpenOrders()
        ib.client.reqCompletedOrders(False)
        wait_for(ib, lambda: codes.count(321) == 3)
        ib.disconnect()


# The rest


def test_bulletins_come(ib, handle):
    ib.reqNewsBulletins(True)
    ib.sleep(0.1)
    handle.faults.bulletin("The floor is closed")
    wait_for(ib, ib.newsBulletins)
    assert ib.newsBulletins()[0].message == "The floor is closed"


def test_fundamentals_are_refused(ib, apple):
    assert not ib.reqFundamentalData(apple, "ReportSnapshot")
    assert 10358 in ib.codes


def test_a_hundred_requests_are_throttled_by_the_client_and_fifty_one_without_it_are_refused_one(market):
    with start_simulator(market=market) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        codes = []
        ib.errorEvent += lambda req_id, code, text, contract: codes.append(code)
        ib.sleep(1.2)
        contract = Stock("AAPL", "SMART", "USD")
        questions = asyncio.gather(*(ib.reqContractDetailsAsync(contract) for _ in range(100)))
        found = ib.run(asyncio.wait_for(questions, 30))
        assert all(len(each) == 1 for each in found)
        assert 100 not in codes
        ib.client.MaxRequests = 0
        ib.sleep(1.2)
        for _ in range(51):
            ib.client.reqCurrentTime()
        wait_for(ib, lambda: 100 in codes)
        assert codes.count(100) == 1
        assert ib.isConnected()
        ib.disconnect()


def test_every_message_a_fault_can_name_has_its_id():
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)


def test_news_is_told_of_by_providers_headlines_and_bodies(ib, apple):
    providers = ib.reqNewsProviders()
    assert "BRFG" in [provider.code for provider in providers]
    codes = "+".join(provider.code for provider in providers)
    found = ib.reqHistoricalNews(apple.conId, codes, "", "", 5)
    assert len(found) == 5
    body = ib.reqNewsArticle(found[0].providerCode, found[0].articleId)
    assert body.articleText
    assert ib.run(asyncio.wait_for(_refused_article(ib), 10)) is None
    assert 10172 in ib.codes


async def _refused_article(ib):
    task = asyncio.ensure_future(ib.reqNewsArticleAsync("BRFG", "BRFG$00000000"))
    for _ in range(500):
        if 10172 in ib.codes:
            break
        await asyncio.sleep(0.01)
    task.cancel()


def test_scanners_rank(ib):
    assert "TOP_PERC_GAIN" in ib.reqScannerParameters()
    wanted = library.ScannerSubscription(instrument="STK", locationCode="STK.US.MAJOR", scanCode="TOP_PERC_GAIN")
    rows = ib.reqScannerData(wanted)
    assert len(rows) > 5
    assert rows[0].contractDetails.contract.symbol
    assert [row.rank for row in rows] == list(range(len(rows)))


def test_pacing_refuses_the_same_question_within_fifteen_seconds(market):
    with start_simulator(market=market) as handle:
        ib = IB()
        ib.connect(handle.host, handle.port, clientId=1, timeout=10)
        (apple,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
        codes = []
        ib.errorEvent += lambda req_id, code, text, contract: codes.append(code)
        assert ib.reqHistoricalData(apple, "20260303-20:00:00", "60 S", "5 secs", "TRADES", True)
        assert not ib.reqHistoricalData(apple, "20260303-20:00:00", "60 S", "5 secs", "TRADES", True)
        assert codes == [162]
        handle.faults.set("history_pacing", False)
        assert ib.reqHistoricalData(apple, "20260303-20:00:00", "60 S", "5 secs", "TRADES", True)
        ib.disconnect()
