"""One example of every message, and the things they speak of; `python -m tests.gateway.simulator.samples` prints
the golden frames, to be read before they are committed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from domain.sessions import SessionTable
from gateway.contract import Contract
from gateway.simulator import messages, wire, wire_times
from gateway.simulator.records import (
    NAN,
    CommissionReport,
    Execution,
    Holding,
    Listing,
    Margins,
    OrderStatus,
    PlacedOrder,
    WireOrder,
)

VERSIONS = (157, 158, 159, 160, 162, 163, 164, 166, 169, 170, 174, 176, 177, 178)
GOLDEN_VERSIONS = (157, 163, 176, 178)
GOLDEN = Path(__file__).with_name("frames.txt")


def ns(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 10**9  # type: ignore[misc]


MONDAY, TUESDAY = 20780, 20781  # 2026-11-23 and -24
_DAYS = np.array([MONDAY, TUESDAY, TUESDAY + 2], np.int64)
_MIDNIGHT = _DAYS * 86400 * 10**9
REGULAR = SessionTable("XNYS", _DAYS, _MIDNIGHT + 14 * 3600 * 10**9 + 1800 * 10**9, _MIDNIGHT + 21 * 3600 * 10**9)
TRADING = SessionTable("XNYS", _DAYS, _MIDNIGHT + 9 * 3600 * 10**9, _MIDNIGHT + 25 * 3600 * 10**9)

APPLE = Listing(
    Contract(
        *(265598, "AAPL", "STK", "", 0.0, "", "", "SMART", "NASDAQ", "USD", "AAPL", "NMS"),
    ),
    "APPLE INC",
    "US/Eastern",
    REGULAR,
    TRADING,
    valid_exchanges="SMART,NASDAQ,NYSE",
    stock_type="COMMON",
    industry="Technology",
    category="Computers",
    subcategory="Computers",
    isin="US0378331005",
)
FUTURE = Listing(
    Contract(
        *(495512563, "ES", "FUT", "20261218", 0.0, "", "50", "CME", "", "USD", "ESZ6", "ES"),
    ),
    "Société «E-mini» \\ 500",
    "US/Central",
    REGULAR,
    TRADING,
    price_steps=((0.0, 0.25),),
    market_rule=67,
    valid_exchanges="CME",
    contract_month="202612",
    last_trade_time="08:30:00 US/Central",
    under_con_id=11004968,
    under_symbol="ES",
)

ORDER = WireOrder(
    17,
    APPLE.contract,
    "BUY",
    100.0,
    "TRAIL LIMIT",
    limit_price=229.5,
    tif="GTC",
    oca_group="oca-1",
    oca_type=1,
    account="DU123",
    open_close="O",
    order_ref="ref-1",
    parent_id=16,
    trigger_method=2,
    outside_rth=True,
    hidden=True,
    display_size=10,
    all_or_none=True,
    min_quantity=5,
    good_after_time="20261123 10:00:00 US/Eastern",
    good_till_date="20261124 16:00:00 US/Eastern",
    trail_stop_price=231.25,
    trailing_percent=1.5,
    limit_price_offset=0.25,
    model_code="model",
    cash_quantity=1000.0,
)
PLACED = PlacedOrder(ORDER, APPLE, 3, 2000001, OrderStatus.PRE_SUBMITTED, commission=1.05)
PLAIN = PlacedOrder(
    WireOrder(18, APPLE.contract, "SELL", 7.0, "MKT", account="DU123"), APPLE, 3, 2000002, OrderStatus.SUBMITTED
)
WHAT_IF = PlacedOrder(
    WireOrder(19, FUTURE.contract, "BUY", 1.0, "MKT", account="DU123", what_if=True),
    FUTURE,
    3,
    2000003,
    OrderStatus.PRE_SUBMITTED,
    warning="Your order will move the market.",
)
MARGINS = Margins((100.0, 12.5, 112.5), (90.0, 10.0, 100.0), (1e6, -2.25, 999997.75), 2.25, "USD")
DONE = PlacedOrder(
    ORDER,
    APPLE,
    3,
    2000001,
    OrderStatus.FILLED,
    filled=100.0,
    average_price=229.25,
    last_price=229.3,
    stop_price=232.0,
    why_held="",
    parent_perm_id=2000000,
    completed_status="Filled Size: 100",
)
EXECUTION = Execution(
    *("0000e0d5.6560b3e2.01.01", ns(2026, 11, 23, 15, 30, 1), "DU123", FUTURE, "BOT", 2.0, 6100.25),
    *(2000003, 3, 19, "ref-2", 2.0, 6100.25),
)
HOLDING = Holding("DU123", FUTURE, -3.0, 6000.5, 12.75)
BAR_STARTS = np.array([ns(2026, 11, 23, 14, 30), ns(2026, 11, 23, 14, 31)], np.int64)


def bars(version: int, dates: list[str]) -> messages.HistoryBody:
    return messages.history_body(
        version,
        "20261123 09:30:00 US/Eastern",
        "20261123 09:32:00 US/Eastern",
        dates,
        *([229.0, 229.01], [229.5, 0.00005], [228.0, 1e16], [229.25, 229.0]),
        *([1200.0, 0.5], [229.1, -1.0], [35, -1]),
    )


MESSAGES: dict[str, Callable[[int], bytes]] = {
    "handshake": lambda v: messages.handshake(v, "20261123 09:30:00 EST"),
    "managed_accounts": lambda v: messages.managed_accounts(v, ["DU123", "DU124"]),
    "next_valid_id": lambda v: messages.next_valid_id(v, 41),
    "error": lambda v: messages.error(v, 9, 201, "Order rejected - reason:não", '{"a": 1}'),
    "error notice": lambda v: messages.error(v, -1, 2104, "Market data farm connection is OK:usfarm"),
    "current_time": lambda v: messages.current_time(v, 1795444200),
    "account_value": lambda v: messages.account_value(v, "DU123", "NetLiquidation", "1000000.00", "USD"),
    "account_update_time": lambda v: messages.account_update_time(v, "09:30"),
    "account_download_end": lambda v: messages.account_download_end(v, "DU123"),
    "portfolio_value": lambda v: messages.portfolio_value(v, HOLDING, 6010.0, -901500.0, -1425.0),
    "position": lambda v: messages.position(v, HOLDING),
    "position_end": messages.position_end,
    "position_multi": lambda v: messages.position_multi(v, 9, HOLDING),
    "position_multi_end": lambda v: messages.position_multi_end(v, 9),
    "account_summary": lambda v: messages.account_summary(v, 9, "DU123", "AccountType", "SIMULATED", ""),
    "account_summary_end": lambda v: messages.account_summary_end(v, 9),
    "account_update_multi": lambda v: messages.account_update_multi(v, 9, "DU123", "", "Cash", "1.5", "USD"),
    "account_update_multi_end": lambda v: messages.account_update_multi_end(v, 9),
    "pnl": lambda v: messages.pnl(v, 9, 1.5, -2.0, NAN),
    "pnl_single": lambda v: messages.pnl_single(v, 9, -3.0, 1.5, -2.0, NAN, 901500.0),
    "order_status": lambda v: messages.order_status(v, messages.standing(DONE)),
    "open_order": lambda v: messages.open_order(v, PLACED),
    "open_order plain": lambda v: messages.open_order(v, PLAIN),
    "open_order what-if": lambda v: messages.open_order(v, WHAT_IF, MARGINS),
    "open_order_end": messages.open_order_end,
    "completed_order": lambda v: messages.completed_order(v, DONE, wire_times.zoned(EXECUTION.time_ns, "US/Eastern")),
    "completed_orders_end": messages.completed_orders_end,
    "exec_details": lambda v: messages.exec_details(v, EXECUTION),
    "exec_details_end": lambda v: messages.exec_details_end(v, 9),
    "commission_report": lambda v: messages.commission_report(v, CommissionReport("x.01", 1.05, "USD", NAN)),
    "contract_details": lambda v: messages.contract_details(v, 9, APPLE, *_hours(APPLE)),
    "contract_details future": lambda v: messages.contract_details(v, 9, FUTURE, *_hours(FUTURE)),
    "contract_details_end": lambda v: messages.contract_details_end(v, 9),
    "symbol_samples": lambda v: messages.symbol_samples(v, 9, [APPLE, FUTURE]),
    "market_rule": lambda v: messages.market_rule(v, 26, [(0.0, 0.0001), (1.0, 0.01)]),
    "sec_def_opt_params": lambda v: messages.sec_def_opt_params(
        v, 9, "SMART", 265598, "AAPL", "100", ["20261218", "20270115"], [220.0, 222.5]
    ),
    "sec_def_opt_params_end": lambda v: messages.sec_def_opt_params_end(v, 9),
    "head_timestamp": lambda v: messages.head_timestamp(v, 9, wire_times.utc_dashed(ns(1980, 12, 12, 14, 30))),
    "historical_data": lambda v: messages.historical_data(v, 9, bars(v, wire_times.epoch_column(BAR_STARTS))),
    "historical_data zoned": lambda v: messages.historical_data(
        v, 9, bars(v, wire_times.zoned_column(BAR_STARTS, "US/Eastern"))
    ),
    "historical_data days": lambda v: messages.historical_data(
        v, 9, bars(v, wire_times.day_column(np.array([MONDAY, TUESDAY])))
    ),
    "historical_data_update": lambda v: messages.historical_data_update(
        v, 9, "1795444200", 229.0, 229.5, 228.0, 229.25, 1200.0, 229.1, 35
    ),
    "historical_schedule": lambda v: messages.historical_schedule(
        *(v, 9, "20261123-09:30:00", "20261123-16:00:00", "US/Eastern"),
        [("20261123-09:30:00", "20261123-16:00:00", "20261123")],
    ),
    "realtime_bar": lambda v: messages.realtime_bar(v, 9, 1795444200, 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 3),
    "tick_req_params": lambda v: messages.tick_req_params(v, 9, 0.01, "9c0001"),
    "market_data_type": lambda v: messages.market_data_type(v, 9, 3),
    "snapshot_end": lambda v: messages.snapshot_end(v, 9),
    "tick_price": lambda v: messages.tick_price(v, 9, 1, 229.25, 300.0),
    "tick_price none": lambda v: messages.tick_price(v, 9, 1, NAN, 0.0),
    "tick_size": lambda v: messages.tick_size(v, 9, 8, 1234567.0),
    "tick_generic": lambda v: messages.tick_generic(v, 9, 49, 0.0),
    "tick_string": lambda v: messages.tick_string(v, 9, 45, "1795444200"),
    "tick_news": lambda v: messages.tick_news(v, 9, 1795444200000, "BRFG", "BRFG$1", "Headline"),
    "tick_by_tick_last": lambda v: messages.tick_by_tick_last(v, 9, 1795444200, 229.25, 100.0, "NASDAQ"),
    "tick_by_tick_bid_ask": lambda v: messages.tick_by_tick_bid_ask(v, 9, 1795444200, 229.2, 229.3, 100.0, 200.0),
    "tick_by_tick_mid_point": lambda v: messages.tick_by_tick_mid_point(v, 9, 1795444200, 229.25),
    "historical_ticks": lambda v: messages.historical_ticks(v, 9, [(1795444200, 229.25, 0.0)]),
    "historical_ticks_bid_ask": lambda v: messages.historical_ticks_bid_ask(
        v, 9, [(1795444200, 229.2, 229.3, 100.0, 200.0)]
    ),
    "historical_ticks_last": lambda v: messages.historical_ticks_last(v, 9, [(1795444200, 229.25, 100.0, "NASDAQ")]),
    "news_providers": lambda v: messages.news_providers(v, [("BRFG", "Briefing.com"), ("BRFUPDN", "Ups and downs")]),
    "news_article": lambda v: messages.news_article(v, 9, "<p>Body</p>"),
    "historical_news": lambda v: messages.historical_news(
        v, 9, wire_times.utc_news(EXECUTION.time_ns), "BRFG", "BRFG$1", "{A:800015:L:en} Headline"
    ),
    "historical_news_end": lambda v: messages.historical_news_end(v, 9, has_more=True),
    "news_bulletin": lambda v: messages.news_bulletin(v, 1, 2, "Exchange closed", "NYSE"),
    "scanner_parameters": lambda v: messages.scanner_parameters(v, "<ScanParameterResponse/>"),
    "scanner_data": lambda v: messages.scanner_data(
        v, 9, [messages.ScannerRow(APPLE.contract, "1", "2", "3"), messages.ScannerRow(FUTURE.contract)]
    ),
    "fundamental_data": lambda v: messages.fundamental_data(v, 9, "<Report/>"),
    "family_codes": lambda v: messages.family_codes(v, [("DU123", "")]),
    "soft_dollar_tiers": lambda v: messages.soft_dollar_tiers(v, 9),
    "market_depth_exchanges": messages.market_depth_exchanges,
    "smart_components": lambda v: messages.smart_components(v, 9, [(1, "NASDAQ", "Q")]),
    "user_info": lambda v: messages.user_info(v, 9),
}


def _hours(listing: Listing) -> tuple[str, str]:
    return (
        wire_times.hours(listing.trading, listing.zone, MONDAY, 4),
        wire_times.hours(listing.regular, listing.zone, MONDAY, 4),
    )


def golden_lines() -> list[str]:
    return [
        f"{name} {version}: {'|'.join(wire.split(encode(version)))}"
        for name, encode in MESSAGES.items()
        for version in GOLDEN_VERSIONS
    ]


if __name__ == "__main__":
    print("\n".join(golden_lines()))
