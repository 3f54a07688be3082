"""Every message is what it was when it was read by a person, and what the real decoders take."""

from __future__ import annotations

import ast
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.simulator import messages, wire, wire_times
from gateway.simulator.wire import UNSET_DOUBLE
from tests.gateway.simulator import samples
from tests.gateway.simulator.real_clients import decode, load, spoken
from tests.gateway.simulator.samples import APPLE, MESSAGES, VERSIONS

_NONE = float(UNSET_DOUBLE)
every_client = pytest.mark.parametrize(("library", "version"), spoken(VERSIONS))
every_version = pytest.mark.parametrize("version", VERSIONS)


def test_every_message_is_golden() -> None:
    assert samples.GOLDEN.read_text().splitlines() == samples.golden_lines()


def test_every_function_has_an_example() -> None:
    source = Path(messages.__file__).read_text()
    written = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    public = {name for name in written | set(messages.__all__) if name.islower() and not name.startswith("_")}
    assert public - {"standing", "history_body"} == {name.split()[0] for name in MESSAGES}


@every_client
def test_the_real_decoders_take_every_message(library: str, version: int) -> None:
    for name, encode in MESSAGES.items():
        if name != "handshake":
            calls = [call[0] for call in decode(library, version, encode(version))]
            assert calls, name
            assert ("error" in calls) == name.startswith("error"), name


@every_version
def test_the_counts_of_fields_are_those_of_the_protocol(version: int) -> None:
    counts = {name: len(wire.split(encode(version))) for name, encode in MESSAGES.items()}
    late = (version >= 158) + (version >= 160) + (version >= 162) + 5 * (version >= 170) - (version >= 177)
    assert counts["open_order plain"] == 128 + late
    assert counts["completed_order"] == 96 + 5 * (version >= 170) - (version >= 177)
    assert counts["error"] == 5 + (version >= 166)
    assert counts["exec_details"] == 31 + (version >= 178)
    assert counts["contract_details"] == (41 if version < 163 else 42)
    exact = {
        "next_valid_id": 3,
        "historical_data_update": 10,
        "tick_price": 7,
        "order_status": 12,
        "commission_report": 8,
        "position": 16,
        "portfolio_value": 20,
        "completed_orders_end": 1,
        "realtime_bar": 11,
    }
    assert {name: counts[name] for name in exact} == exact


def _one(library: str, version: int, name: str) -> tuple[Any, ...]:
    (call,) = decode(library, version, MESSAGES[name](version))
    return call[1]


def _plain(value: Any) -> Any:
    """Numbers of all kinds as floats."""
    return float(value) if not isinstance(value, str | bool | list) and hasattr(value, "__float__") else value


@every_client
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("managed_accounts", ("DU123,DU124",)),
        ("next_valid_id", (41,)),
        ("current_time", (1795444200,)),
        ("account_value", ("NetLiquidation", "1000000.00", "USD", "DU123")),
        ("account_update_time", ("09:30",)),
        ("account_download_end", ("DU123",)),
        ("account_summary", (9, "DU123", "AccountType", "SIMULATED", "")),
        ("account_update_multi", (9, "DU123", "", "Cash", "1.5", "USD")),
        ("pnl", (9, 1.5, -2, _NONE)),
        ("pnl_single", (9, -3, 1.5, -2, _NONE, 901500)),
        ("order_status", (17, "Filled", 100, 0, 229.25, 2000001, 16, 229.3, 3, "", 0)),
        ("exec_details_end", (9,)),
        ("contract_details_end", (9,)),
        ("head_timestamp", (9, "19801212-14:30:00")),
        ("realtime_bar", (9, 1795444200, 1, 2, 0.5, 1.5, 100, 1.25, 3)),
        ("tick_req_params", (9, 0.01, "9c0001", 3)),
        ("market_data_type", (9, 3)),
        ("tick_size", (9, 8, 1234567)),
        ("tick_generic", (9, 49, 0)),
        ("tick_string", (9, 45, "1795444200")),
        ("tick_news", (9, 1795444200000, "BRFG", "BRFG$1", "Headline", "")),
        ("news_article", (9, 0, "<p>Body</p>")),
        ("historical_news", (9, "2026-11-23 15:30:01.0", "BRFG", "BRFG$1", "{A:800015:L:en} Headline")),
        ("historical_news_end", (9, True)),
        ("news_bulletin", (1, 2, "Exchange closed", "NYSE")),
        ("scanner_parameters", ("<ScanParameterResponse/>",)),
        ("fundamental_data", (9, "<Report/>")),
    ],
)
def test_plain_values_arrive_as_sent(library: str, version: int, name: str, expected: tuple[Any, ...]) -> None:
    assert tuple(map(_plain, _one(library, version, name))) == tuple(map(_plain, expected))


@every_client
def test_an_error_arrives_with_its_text(library: str, version: int) -> None:
    args = _one(library, version, "error")
    advanced = '{"a": 1}' if version >= 166 else ""
    if library == "ibapi":
        assert (args[0], *args[2:]) == (9, 201, "Order rejected - reason:não", advanced)
    else:
        assert args == (9, 201, r"Order rejected - reason:n\u00e3o", advanced)


_ORDER = {
    "action": "BUY",
    "totalQuantity": 100,
    "orderType": "TRAIL LIMIT",
    "lmtPrice": 229.5,
    "tif": "GTC",
    "ocaGroup": "oca-1",
    "ocaType": 1,
    "account": "DU123",
    "openClose": "O",
    "orderRef": "ref-1",
    "triggerMethod": 2,
    "outsideRth": True,
    "hidden": True,
    "displaySize": 10,
    "allOrNone": True,
    "minQty": 5,
    "goodAfterTime": "20261123 10:00:00 US/Eastern",
    "goodTillDate": "20261124 16:00:00 US/Eastern",
    "trailingPercent": 1.5,
    "lmtPriceOffset": 0.25,
    "modelCode": "model",
    "cashQty": 1000,
    "permId": 2000001,
    "exemptCode": -1,
    "deltaNeutralOrderType": "None",
    "clearingIntent": "IB",
    "whatIf": False,
}
_OPEN = {"orderId": 17, "clientId": 3, "parentId": 16, "trailStopPrice": 231.25, "adjustedOrderType": "None"}
_CONTRACT = {"conId": 265598, "symbol": "AAPL", "secType": "STK", "exchange": "SMART", "strike": 0, "currency": "USD"}


def _has(thing: Any, **expected: Any) -> None:
    assert {name: _plain(getattr(thing, name)) for name in expected} == {k: _plain(v) for k, v in expected.items()}


@every_client
def test_an_open_order_arrives_whole(library: str, version: int) -> None:
    order_id, contract, order, state = _one(library, version, "open_order")
    assert order_id == 17
    _has(contract, **_CONTRACT, right="?")
    _has(order, **_ORDER, **_OPEN)
    commission = "commissionAndFees" if library == "ibapi" else "commission"
    _has(state, status="PreSubmitted", **{commission: 1.05, f"{commission}Currency": "USD"})
    assert float(state.initMarginChange) == _NONE


@every_client
def test_a_what_if_order_arrives_with_its_margins(library: str, version: int) -> None:
    _, contract, order, state = _one(library, version, "open_order what-if")
    _has(contract, conId=495512563, multiplier="50", lastTradeDateOrContractMonth="20261218")
    assert order.whatIf
    moments = ("initMargin", "maintMargin", "equityWithLoan")
    got = [[float(getattr(state, moment + when)) for when in ("Before", "Change", "After")] for moment in moments]
    assert got == [list(part) for part in samples.MARGINS[:3]]
    assert state.warningText == "Your order will move the market."


@every_client
def test_a_completed_order_arrives_whole(library: str, version: int) -> None:
    contract, order, state = _one(library, version, "completed_order")
    _has(contract, **_CONTRACT)
    _has(order, **_ORDER, trailStopPrice=232, filledQuantity=100, parentPermId=2000000)
    _has(state, status="Filled", completedTime="20261123 10:30:01 US/Eastern", completedStatus="Filled Size: 100")


@every_client
def test_an_execution_arrives_with_the_moment_it_happened(library: str, version: int) -> None:
    req_id, contract, execution = _one(library, version, "exec_details")
    assert req_id == -1
    _has(contract, conId=495512563, symbol="ES", secType="FUT", multiplier="50", exchange="CME", localSymbol="ESZ6")
    _has(execution, orderId=19, clientId=3, permId=2000003, shares=2, cumQty=2, price=6100.25, avgPrice=6100.25)
    _has(execution, execId="0000e0d5.6560b3e2.01.01", acctNumber="DU123", side="BOT", orderRef="ref-2", lastLiquidity=2)
    when = "20261123 09:30:01 US/Central" if library == "ibapi" else datetime(2026, 11, 23, 15, 30, 1, tzinfo=UTC)
    assert execution.time == when


@every_client
def test_a_commission_report_arrives_without_a_profit_where_it_opened(library: str, version: int) -> None:
    (report,) = _one(library, version, "commission_report")
    commission = "commissionAndFees" if library == "ibapi" else "commission"
    _has(report, execId="x.01", currency="USD", realizedPNL=_NONE, **{commission: 1.05})


@every_client
def test_contract_details_arrive_whole(library: str, version: int) -> None:
    req_id, details = _one(library, version, "contract_details future")
    assert req_id == 9
    _has(details.contract, conId=495512563, symbol="ES", secType="FUT", multiplier="50", tradingClass="ES")
    _has(details, minTick=0.25, underSymbol="ES", marketRuleIds="67", validExchanges="CME", underConId=11004968)
    _has(details, timeZoneId="US/Central", contractMonth="202612", realExpirationDate="20261218")
    assert details.longName == "Société «E-mini» \\ 500"
    assert details.contract.lastTradeDateOrContractMonth == "20261218"
    assert details.lastTradeTime == "08:30:00"
    assert details.liquidHours.startswith("20261123:0830-20261123:1500;")
    if version >= 164:
        _has(details, minSize=1, sizeIncrement=1, suggestedSizeIncrement=1)


@every_client
def test_contract_details_carry_the_isin(library: str, version: int) -> None:
    _, details = _one(library, version, "contract_details")
    assert [(pair.tag, pair.value) for pair in details.secIdList] == [("ISIN", "US0378331005")]
    assert (details.stockType, details.industry, details.marketRuleIds) == ("COMMON", "Technology", "26,26,26")


@every_client
def test_bars_arrive_in_order_with_their_values(library: str, version: int) -> None:
    *bars, end = decode(library, version, MESSAGES["historical_data"](version))
    assert end[0] == "historicalDataEnd"
    got = [
        (bar.date, *(float(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume")))
        for _, (_, bar) in bars
    ]
    fraction = 0.5 if version >= 163 else 0
    assert got == [
        ("1795444200", 229, 229.5, 228, 229.25, 1200),
        ("1795444260", 229.01, 0.00005, 1e16, 229, fraction),
    ]
    assert [int(bar.barCount) for _, (_, bar) in bars] == [35, -1]


@every_client
def test_a_forming_bar_arrives_with_its_prices_where_they_belong(library: str, version: int) -> None:
    _, bar = _one(library, version, "historical_data_update")
    _has(bar, date="1795444200", open=229, high=229.5, low=228, close=229.25, volume=1200, barCount=35)


@every_client
def test_holdings_arrive_with_the_multiplier_in_their_cost(library: str, version: int) -> None:
    account, contract, quantity, cost = _one(library, version, "position")
    assert (account, contract.conId, float(quantity), cost) == ("DU123", 495512563, -3, 300025)
    contract, *values, account = _one(library, version, "portfolio_value")
    assert contract.right == "0"
    assert (account, [float(value) for value in values]) == ("DU123", [-3, 6010, -901500, 300025, -1425, 12.75])


@every_client
def test_symbols_found_arrive_with_their_names(library: str, version: int) -> None:
    req_id, found = _one(library, version, "symbol_samples")
    assert req_id == 9
    names = [(d.contract.conId, d.contract.symbol, d.contract.primaryExchange) for d in found]
    assert names == [(265598, "AAPL", "NASDAQ"), (495512563, "ES", "CME")]
    if version >= 176:
        assert [d.contract.description for d in found] == ["APPLE INC", "Société «E-mini» \\ 500"]


@every_client
def test_a_market_rule_arrives(library: str, version: int) -> None:
    rule_id, steps = _one(library, version, "market_rule")
    assert (rule_id, [(step.lowEdge, step.increment) for step in steps]) == (26, [(0, 0.0001), (1, 0.01)])


@every_client
def test_a_scan_arrives_ranked(library: str, version: int) -> None:
    *rows, end = decode(library, version, MESSAGES["scanner_data"](version))
    assert [(args[1], args[2].contract.symbol, args[3]) for _, args in rows] == [(0, "AAPL", "1"), (1, "ES", "")]
    assert end[0] == "scannerDataEnd"


@every_client
def test_a_schedule_arrives_with_its_sessions(library: str, version: int) -> None:
    *head, sessions = _one(library, version, "historical_schedule")
    assert head == [9, "20261123-09:30:00", "20261123-16:00:00", "US/Eastern"]
    assert [session.refDate for session in sessions] == ["20261123"]


@every_client
def test_a_price_without_a_quote_is_minus_one(library: str, version: int) -> None:
    calls = decode(library, version, MESSAGES["tick_price none"](version))
    assert [float(value) for value in calls[0][1][:3]] == [9, 1, -1]


# Times


@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
@pytest.mark.parametrize("zone", ["US/Eastern", "America/New_York", "Europe/London", "Asia/Kolkata", "Asia/Tokyo"])
def test_a_zoned_time_is_read_back_to_the_second(library: str, zone: str) -> None:
    read = load(library, "util").parseIBDatetime
    for hour in range(0, 8760, 7):
        time_ns = samples.ns(2026, 1, 1, 0, 30) + hour * 3600 * 10**9
        if zone != "Asia/Tokyo" and datetime.fromtimestamp(time_ns / 1e9, UTC).month in (10, 11):
            continue  # The hour that autumn repeats cannot be told apart as text.
        assert read(wire_times.zoned(time_ns, zone)).timestamp() * 1e9 == time_ns


@pytest.mark.parametrize("zone", ["US/Eastern", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_a_column_of_times_is_each_of_them(zone: str) -> None:
    starts = samples.ns(2026, 3, 1) + np.arange(5000, dtype=np.int64) * 3600 * 10**9 + 1_234_000_000_000
    assert wire_times.zoned_column(starts, zone) == [wire_times.zoned(int(start), zone) for start in starts]


def test_columns_of_nothing_are_empty() -> None:
    nothing = np.empty(0, np.int64)
    assert wire_times.zoned_column(nothing, "US/Eastern") == wire_times.epoch_column(nothing) == []
    assert messages.history_body(176, "a", "b", [], [], [], [], [], [], [], []) == messages.HistoryBody(
        "a", "b", 0, b""
    )


def test_an_instant_before_1970_has_a_text() -> None:
    assert wire_times.utc_dashed(samples.ns(1960, 1, 2, 3, 4, 5)) == "19600102-03:04:05"
    assert wire_times.day((date(1960, 1, 2) - date(1970, 1, 1)).days) == "19600102"


def test_closed_days_and_lunch_breaks_stand_in_the_hours() -> None:
    table = samples.REGULAR[:1]
    lunch = type(table)(
        "X", table.label, table.open, table.close, table.open + 3600 * 10**9, table.open + 2 * 3600 * 10**9
    )
    hours = wire_times.hours(lunch, "US/Eastern", samples.MONDAY - 5, 30)
    assert hours == "20261123:0930-20261123:1030,20261123:1130-20261123:1600"
    week = wire_times.hours(samples.REGULAR, "US/Eastern", samples.MONDAY, 3)
    assert week.endswith(";20261125:CLOSED")


# Bars


def test_a_bar_that_is_not_finite_is_refused() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite"):
            messages.history_body(176, "", "", ["1"], [1.0], [1.0], [bad], [1.0], [1.0], [1.0], [1])


def test_one_body_serves_many_requests() -> None:
    body = samples.bars(176, ["1", "2"])
    first, second = (messages.historical_data(176, req_id, body) for req_id in (1, 2))
    assert wire.split(first)[2:] == wire.split(second)[2:]
    assert (wire.split(first)[1], wire.split(second)[1]) == ("1", "2")


def test_a_listing_may_lack_what_is_optional() -> None:
    bare = type(APPLE)(APPLE.contract, "", "US/Eastern", samples.REGULAR, samples.TRADING)
    assert messages.contract_details(176, 1, bare, "", "").endswith(b"\0")
