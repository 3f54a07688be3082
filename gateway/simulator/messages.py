"""Server to client: one function per message, to the payload of its frame. `version` is the connection's.

Field counts are exact, since clients drop a message, or the connection, that has one more or less. An amount that is
NaN is IB's number for none where its decoders know that, else empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from gateway.contract import Contract
from gateway.simulator import wire, wire_times
from gateway.simulator.bars_codec import (
    HistoryBody,
    head_timestamp,
    historical_data,
    historical_data_update,
    historical_schedule,
    history_body,
    realtime_bar,
)
from gateway.simulator.order_codec import completed_order, open_order
from gateway.simulator.records import Changed, CommissionReport, Execution, Holding, Listing, PlacedOrder
from gateway.simulator.ticks_codec import (
    historical_ticks,
    historical_ticks_bid_ask,
    historical_ticks_last,
    market_data_type,
    snapshot_end,
    tick_by_tick_bid_ask,
    tick_by_tick_last,
    tick_by_tick_mid_point,
    tick_generic,
    tick_news,
    tick_price,
    tick_req_params,
    tick_size,
    tick_string,
)
from gateway.simulator.wire import UNSET_DOUBLE, UNSET_INT, Value, decimal, escaped, payload, size

__all__ = [
    "HistoryBody",
    "completed_order",
    "head_timestamp",
    "historical_data",
    "historical_data_update",
    "historical_schedule",
    "historical_ticks",
    "historical_ticks_bid_ask",
    "historical_ticks_last",
    "history_body",
    "market_data_type",
    "open_order",
    "realtime_bar",
    "snapshot_end",
    "tick_by_tick_bid_ask",
    "tick_by_tick_last",
    "tick_by_tick_mid_point",
    "tick_generic",
    "tick_news",
    "tick_price",
    "tick_req_params",
    "tick_size",
    "tick_string",
]

NO_REQUEST = -1
"""The request id of a message that answers none: system notices, live executions."""


def handshake(version: int, when: str) -> bytes:
    """The answer to a client's greeting; `when` is `20261121 01:11:19 EST`, whose zone nobody reads."""
    return payload(version, when)


def managed_accounts(version: int, accounts: Sequence[str]) -> bytes:
    return payload(15, 1, ",".join(accounts))


def next_valid_id(version: int, order_id: int) -> bytes:
    return payload(9, 1, order_id)


def error(version: int, req_id: int, code: int, text: str, advanced_reject: str = "") -> bytes:
    newest = (escaped(advanced_reject),) if version >= 166 else ()
    return payload(4, 2, req_id, code, escaped(text), *newest)


def current_time(version: int, epoch_seconds: int) -> bytes:
    return payload(49, 1, epoch_seconds)


# Account


def account_value(version: int, account: str, key: str, value: str, currency: str) -> bytes:
    return payload(6, 2, key, value, currency, account)


def account_update_time(version: int, clock: str) -> bytes:
    """`clock` is `HH:MM`."""
    return payload(8, 1, clock)


def account_download_end(version: int, account: str) -> bytes:
    return payload(54, 1, account)


def portfolio_value(
    version: int, holding: Holding, market_price: float, market_value: float, unrealized_pnl: float
) -> bytes:
    contract = holding.listing.contract
    venue = contract.primary_exchange or contract.exchange
    return payload(
        *(7, 8, *_named(contract._replace(right=contract.right or "0"), venue), size(version, holding.quantity)),
        *(market_price, market_value, holding.average_cost, unrealized_pnl, holding.realized_pnl, holding.account),
    )


def position(version: int, holding: Holding) -> bytes:
    contract = holding.listing.contract
    held = (size(version, holding.quantity), holding.average_cost)
    return payload(61, 3, holding.account, *_named(contract, _venue(contract)), *held)


def position_end(version: int) -> bytes:
    return payload(62, 1)


def position_multi(version: int, req_id: int, holding: Holding, model: str = "") -> bytes:
    contract = holding.listing.contract
    held = (size(version, holding.quantity), holding.average_cost)
    return payload(71, 1, req_id, holding.account, *_named(contract, _venue(contract)), *held, model)


def position_multi_end(version: int, req_id: int) -> bytes:
    return payload(72, 1, req_id)


def account_summary(version: int, req_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    return payload(63, 1, req_id, account, tag, value, currency)


def account_summary_end(version: int, req_id: int) -> bytes:
    return payload(64, 1, req_id)


def account_update_multi(
    version: int, req_id: int, account: str, model: str, key: str, value: str, currency: str
) -> bytes:
    return payload(73, 1, req_id, account, model, key, value, currency)


def account_update_multi_end(version: int, req_id: int) -> bytes:
    return payload(74, 1, req_id)


def pnl(version: int, req_id: int, daily: float, unrealized: float, realized: float) -> bytes:
    return payload(94, req_id, *map(_amount, (daily, unrealized, realized)))


def pnl_single(
    version: int, req_id: int, position: float, daily: float, unrealized: float, realized: float, value: float
) -> bytes:
    return payload(95, req_id, size(version, position), *map(_amount, (daily, unrealized, realized, value)))


# Orders and executions


def standing(order: PlacedOrder) -> Changed:
    """Where an order stands now, as `order_status` says it."""
    return Changed(
        order.client_id,
        order.order_id,
        order.status,
        order.filled,
        order.remaining,
        order.average_price,
        order.perm_id,
        order.request.parent_id,
        order.last_price,
        order.why_held,
    )


def order_status(version: int, changed: Changed) -> bytes:
    amounts = (size(version, changed.filled), size(version, changed.remaining), changed.average_price)
    return payload(
        *(3, changed.order_id, str(changed.status), *amounts, changed.perm_id, changed.parent_id),
        *(changed.last_price, changed.client_id, changed.why_held, 0),
    )


def open_order_end(version: int) -> bytes:
    return payload(53, 1)


def completed_orders_end(version: int) -> bytes:
    return payload(102)


def exec_details(version: int, execution: Execution, req_id: int = NO_REQUEST) -> bytes:
    contract = execution.listing.contract
    newest: tuple[Value, ...] = (0,) if version >= 178 else ()
    return payload(
        *(11, req_id, execution.order_id, *_named(contract, _venue(contract))),
        *(execution.exec_id, wire_times.zoned(execution.time_ns, execution.listing.zone), execution.account),
        *(contract.primary_exchange or contract.exchange, execution.side, size(version, execution.quantity)),
        *(execution.price, execution.perm_id, execution.client_id, execution.liquidation),
        *(size(version, execution.cumulative), execution.average_price, execution.order_ref),
        *("", "", "", execution.last_liquidity, *newest),
    )


def exec_details_end(version: int, req_id: int) -> bytes:
    return payload(55, 1, req_id)


def commission_report(version: int, report: CommissionReport) -> bytes:
    profit = _amount(report.realized_pnl)
    return payload(59, 1, report.exec_id, report.commission, report.currency, profit, UNSET_DOUBLE, "")


# Contracts


def contract_details(
    version: int,
    req_id: int,
    listing: Listing,
    trading_hours: str,
    liquid_hours: str,
    order_types: str = "LMT,MKT,STP,STP LMT,TRAIL,TRAIL LIMIT",
) -> bytes:
    """`trading_hours` and `liquid_hours` as `wire_times.hours` writes them."""
    contract = listing.contract
    expiry = f"{contract.expiry} {listing.last_trade_time}" if listing.last_trade_time else contract.expiry
    venues = listing.valid_exchanges.count(",") + 1
    identifiers: tuple[Value, ...] = ("ISIN", listing.isin) if listing.isin else ()
    return payload(
        *(10, *((8,) if version < 164 else ()), req_id, contract.symbol, contract.sec_type, expiry),
        *(contract.strike, contract.right, contract.exchange, contract.currency, contract.local_symbol),
        *(contract.trading_class, contract.trading_class, contract.con_id, listing.tick),
        *((100,) if version < 164 else ()),
        *(contract.multiplier, order_types, listing.valid_exchanges, 1, listing.under_con_id),
        *(escaped(listing.long_name), contract.primary_exchange, listing.contract_month, listing.industry),
        *(listing.category, listing.subcategory, listing.zone, trading_hours, liquid_hours, "", 0),
        *(len(identifiers) // 2, *identifiers),
        *(UNSET_INT if contract.sec_type == "FUT" else 1, listing.under_symbol, _under_type(listing)),
        *(",".join([str(listing.market_rule)] * venues), contract.expiry, listing.stock_type),
        *_sizes(version, listing),
    )


def _under_type(listing: Listing) -> str:
    return "IND" if listing.under_symbol else ""


def _sizes(version: int, listing: Listing) -> tuple[Value, ...]:
    if version < wire.FRACTIONS:
        return ()
    if version == wire.FRACTIONS:
        return (listing.size_step,)
    return (listing.min_size, listing.size_step, listing.size_step)


def contract_details_end(version: int, req_id: int) -> bytes:
    return payload(52, 1, req_id)


def symbol_samples(version: int, req_id: int, listings: Sequence[Listing]) -> bytes:
    return payload(79, req_id, len(listings), *chain.from_iterable(_sample(version, listing) for listing in listings))


def _sample(version: int, listing: Listing) -> tuple[Value, ...]:
    contract = listing.contract
    newest: tuple[Value, ...] = (listing.long_name, "") if version >= 176 else ()
    venue = contract.primary_exchange or contract.exchange
    return (contract.con_id, contract.symbol, contract.sec_type, venue, contract.currency, 0, *newest)


def market_rule(version: int, rule_id: int, steps: Sequence[tuple[float, float]]) -> bytes:
    """`steps` are (low edge, increment)."""
    return payload(93, rule_id, len(steps), *chain.from_iterable(steps))


def sec_def_opt_params(
    version: int,
    req_id: int,
    exchange: str,
    under_con_id: int,
    trading_class: str,
    multiplier: str,
    expirations: Sequence[str],
    strikes: Sequence[float],
) -> bytes:
    chains: tuple[Value, ...] = (len(expirations), *expirations, len(strikes), *strikes)
    return payload(75, req_id, exchange, under_con_id, trading_class, multiplier, *chains)


def sec_def_opt_params_end(version: int, req_id: int) -> bytes:
    return payload(76, req_id)


# News, scanner and the rest


def news_providers(version: int, providers: Sequence[tuple[str, str]]) -> bytes:
    """`providers` are (code, name)."""
    return payload(85, len(providers), *chain.from_iterable(providers))


def news_article(version: int, req_id: int, body: str, *, binary: bool = False) -> bytes:
    """`body` is text or HTML; of a binary article, base64."""
    return payload(83, req_id, binary, body)


def historical_news(version: int, req_id: int, when: str, provider: str, article_id: str, headline: str) -> bytes:
    """`when` as `wire_times.utc_news` writes it."""
    return payload(86, req_id, when, provider, article_id, headline)


def historical_news_end(version: int, req_id: int, *, has_more: bool) -> bytes:
    return payload(87, req_id, has_more)


def news_bulletin(version: int, bulletin_id: int, kind: int, text: str, exchange: str) -> bytes:
    """`kind` is 1 for a bulletin, 2 and 3 for an exchange that is closed or open again."""
    return payload(14, 1, bulletin_id, kind, text, exchange)


def scanner_parameters(version: int, xml: str) -> bytes:
    return payload(19, 1, xml)


class ScannerRow(NamedTuple):
    contract: Contract
    distance: str = ""
    benchmark: str = ""
    projection: str = ""


def scanner_data(version: int, req_id: int, rows: Sequence[ScannerRow]) -> bytes:
    """The whole list again, ranked as it stands."""
    fields: Iterable[tuple[Value, ...]] = (_ranked(rank, row) for rank, row in enumerate(rows))
    return payload(20, 3, req_id, len(rows), *chain.from_iterable(fields))


def _ranked(rank: int, row: ScannerRow) -> tuple[Value, ...]:
    contract = row.contract
    return (
        *(rank, contract.con_id, contract.symbol, contract.sec_type, contract.expiry, contract.strike, contract.right),
        *(_venue(contract), contract.currency, contract.local_symbol, contract.trading_class, contract.trading_class),
        *(row.distance, row.benchmark, row.projection, ""),
    )


def fundamental_data(version: int, req_id: int, xml: str) -> bytes:
    return payload(51, 1, req_id, xml)


def family_codes(version: int, codes: Sequence[tuple[str, str]]) -> bytes:
    """`codes` are (account, family code)."""
    return payload(78, len(codes), *chain.from_iterable(codes))


def soft_dollar_tiers(version: int, req_id: int) -> bytes:
    """There are none."""
    return payload(77, req_id, 0)


def market_depth_exchanges(version: int) -> bytes:
    """There are none."""
    return payload(80, 0)


def smart_components(version: int, req_id: int, components: Sequence[tuple[int, str, str]] = ()) -> bytes:
    """`components` are (bit, exchange, letter)."""
    rows: Iterable[tuple[Value, ...]] = components
    return payload(82, req_id, len(components), *chain.from_iterable(rows))


def user_info(version: int, req_id: int, white_branding_id: str = "") -> bytes:
    return payload(107, req_id, white_branding_id)


# Pieces


def _amount(value: float) -> str:
    return decimal(value, UNSET_DOUBLE)


def _venue(contract: Contract) -> str:
    return contract.exchange or contract.primary_exchange


def _named(contract: Contract, exchange: str) -> tuple[Value, ...]:
    """The eleven fields that name a contract in an answer."""
    return (
        *(contract.con_id, contract.symbol, contract.sec_type, contract.expiry, contract.strike, contract.right),
        *(contract.multiplier, exchange, contract.currency, contract.local_symbol, contract.trading_class),
    )
