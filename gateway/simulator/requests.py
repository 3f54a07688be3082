"""Client to server: every request as a value, and the one table that reads them.

The fields of a class are the fields of the wire in their order, without message id and per-message version; where
a request does not follow its class, it has a reader of its own below.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from gateway.contract import Contract
from gateway.simulator.cursor import BadRequest, ComboLeg, Cursor
from gateway.simulator.order_codec import read_order
from gateway.simulator.records import WireOrder

__all__ = ["BadRequest", "ComboLeg", "Request", "Unknown", "parse"]


class Unknown(NamedTuple):
    """A message id that no table row knows; `fields` are all of it."""

    id: int
    fields: list[str]


class StartApi(NamedTuple):
    client_id: int
    capabilities: str


class ManagedAccts(NamedTuple):
    pass


class Ids(NamedTuple):
    number: int


class CurrentTime(NamedTuple):
    pass


class ServerLogLevel(NamedTuple):
    level: int


class Positions(NamedTuple):
    pass


class CancelPositions(NamedTuple):
    pass


class PositionsMulti(NamedTuple):
    req_id: int
    account: str
    model: str


class CancelPositionsMulti(NamedTuple):
    req_id: int


class OpenOrders(NamedTuple):
    pass


class AllOpenOrders(NamedTuple):
    pass


class AutoOpenOrders(NamedTuple):
    bind: bool


class CompletedOrders(NamedTuple):
    api_only: bool


class AccountUpdates(NamedTuple):
    subscribe: bool
    account: str


class AccountUpdatesMulti(NamedTuple):
    req_id: int
    account: str
    model: str
    ledger_and_nlv: bool


class CancelAccountUpdatesMulti(NamedTuple):
    req_id: int


class AccountSummary(NamedTuple):
    req_id: int
    group: str
    tags: str


class CancelAccountSummary(NamedTuple):
    req_id: int


class Pnl(NamedTuple):
    req_id: int
    account: str
    model: str


class CancelPnl(NamedTuple):
    req_id: int


class PnlSingle(NamedTuple):
    req_id: int
    account: str
    model: str
    con_id: int


class CancelPnlSingle(NamedTuple):
    req_id: int


class Executions(NamedTuple):
    """A filter; empty, or client_id 0, is "any". `time` is `yyyymmdd-hh:mm:ss` or `yyyymmdd hh:mm:ss [zone]`."""

    req_id: int
    client_id: int
    account: str
    time: str
    symbol: str
    sec_type: str
    exchange: str
    side: str


class ContractDetails(NamedTuple):
    req_id: int
    contract: Contract
    include_expired: bool
    sec_id_type: str
    sec_id: str
    issuer_id: str = ""


class MatchingSymbols(NamedTuple):
    req_id: int
    pattern: str


class MarketRule(NamedTuple):
    rule_id: int


class SecDefOptParams(NamedTuple):
    req_id: int
    symbol: str
    fut_fop_exchange: str
    sec_type: str
    con_id: int


class HistoricalData(NamedTuple):
    req_id: int
    contract: Contract
    include_expired: bool
    end: str
    bar_size: str
    duration: str
    use_rth: bool
    what: str
    date_format: int
    legs: tuple[ComboLeg, ...]
    keep_up_to_date: bool
    options: str


class CancelHistoricalData(NamedTuple):
    req_id: int


class HeadTimestamp(NamedTuple):
    req_id: int
    contract: Contract
    include_expired: bool
    use_rth: bool
    what: str
    date_format: int


class CancelHeadTimestamp(NamedTuple):
    req_id: int


class HistogramData(NamedTuple):
    req_id: int
    contract: Contract
    include_expired: bool
    use_rth: bool
    period: str


class CancelHistogramData(NamedTuple):
    req_id: int


class HistoricalTicks(NamedTuple):
    req_id: int
    contract: Contract
    include_expired: bool
    start: str
    end: str
    limit: int
    what: str
    use_rth: bool
    ignore_size: bool
    options: str


class TickByTick(NamedTuple):
    """`kind` is Last, AllLast, BidAsk or MidPoint."""

    req_id: int
    contract: Contract
    kind: str
    limit: int
    ignore_size: bool


class CancelTickByTick(NamedTuple):
    req_id: int


class MarketData(NamedTuple):
    req_id: int
    contract: Contract
    legs: tuple[ComboLeg, ...]
    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool
    options: str


class CancelMarketData(NamedTuple):
    req_id: int


class MarketDataType(NamedTuple):
    kind: int


class RealTimeBars(NamedTuple):
    req_id: int
    contract: Contract
    bar_seconds: int
    what: str
    use_rth: bool
    options: str


class CancelRealTimeBars(NamedTuple):
    req_id: int


class MarketDepth(NamedTuple):
    req_id: int
    contract: Contract
    rows: int
    is_smart: bool
    options: str


class CancelMarketDepth(NamedTuple):
    req_id: int
    is_smart: bool


class MarketDepthExchanges(NamedTuple):
    pass


class SmartComponents(NamedTuple):
    req_id: int
    exchange: str


class PlaceOrder(NamedTuple):
    order: WireOrder


class CancelOrder(NamedTuple):
    order_id: int
    manual_time: str = ""


class GlobalCancel(NamedTuple):
    pass


class ExerciseOptions(NamedTuple):
    req_id: int
    contract: Contract
    action: int
    quantity: int
    account: str
    override: bool


class NewsProviders(NamedTuple):
    pass


class NewsArticle(NamedTuple):
    req_id: int
    provider: str
    article_id: str
    options: str


class HistoricalNews(NamedTuple):
    """`providers` are joined by `+`; `start` and `end` are `yyyy-mm-dd hh:mm:ss[.0]` in UTC."""

    req_id: int
    con_id: int
    providers: str
    start: str
    end: str
    limit: int
    options: str


class NewsBulletins(NamedTuple):
    all_messages: bool


class CancelNewsBulletins(NamedTuple):
    pass


class ScannerParameters(NamedTuple):
    pass


class ScannerSubscription(NamedTuple):
    """Limits are NaN where not given; ratings, maturities and settings are text as sent."""

    req_id: int
    rows: int
    instrument: str
    location: str
    scan_code: str
    above_price: float
    below_price: float
    above_volume: float
    market_cap_above: float
    market_cap_below: float
    moody_above: str
    moody_below: str
    sp_above: str
    sp_below: str
    maturity_above: str
    maturity_below: str
    coupon_above: float
    coupon_below: float
    exclude_convertible: bool
    option_volume_above: float
    settings: str
    stock_type: str
    filter_options: str
    options: str


class CancelScannerSubscription(NamedTuple):
    req_id: int


class FundamentalData(NamedTuple):
    req_id: int
    contract: Contract
    report: str
    options: str


class CancelFundamentalData(NamedTuple):
    req_id: int


class CalculateImpliedVolatility(NamedTuple):
    req_id: int
    contract: Contract
    option_price: float
    under_price: float
    options: str


class CalculateOptionPrice(NamedTuple):
    req_id: int
    contract: Contract
    volatility: float
    under_price: float
    options: str


class CancelCalculateImpliedVolatility(NamedTuple):
    req_id: int


class CancelCalculateOptionPrice(NamedTuple):
    req_id: int


class FamilyCodes(NamedTuple):
    pass


class SoftDollarTiers(NamedTuple):
    req_id: int


class UserInfo(NamedTuple):
    req_id: int


class RequestFa(NamedTuple):
    kind: int


class ReplaceFa(NamedTuple):
    kind: int
    xml: str
    req_id: int


class QueryDisplayGroups(NamedTuple):
    req_id: int


class SubscribeToGroupEvents(NamedTuple):
    req_id: int
    group_id: int


class UpdateDisplayGroup(NamedTuple):
    req_id: int
    contract_info: str


class UnsubscribeFromGroupEvents(NamedTuple):
    req_id: int


class WshMetaData(NamedTuple):
    req_id: int


class CancelWshMetaData(NamedTuple):
    req_id: int


class WshEventData(NamedTuple):
    req_id: int
    con_id: int
    filter: str = ""
    fill_watchlist: bool = False
    fill_portfolio: bool = False
    fill_competitors: bool = False
    start_date: str = ""
    end_date: str = ""
    limit: int = 0


class CancelWshEventData(NamedTuple):
    req_id: int


Request = Any
"""One of the classes above; told apart by `match` or `type`."""

Reader = Callable[[int, Cursor], Request]
Class = TypeVar("Class", bound=tuple[Any, ...])


def _contract_details(version: int, cursor: Cursor) -> ContractDetails:
    return ContractDetails(
        cursor.identity(),
        cursor.contract(),
        cursor.flag(),
        cursor.text(),
        cursor.text(),
        cursor.text() if version >= 176 else "",
    )


def _historical_data(version: int, cursor: Cursor) -> HistoricalData:
    req_id, contract = cursor.identity(), cursor.contract()
    return HistoricalData(
        req_id,
        contract,
        include_expired=cursor.flag(),
        end=cursor.text(),
        bar_size=cursor.text(),
        duration=cursor.text(),
        use_rth=cursor.flag(),
        what=cursor.text(),
        date_format=cursor.integer(),
        legs=cursor.legs(contract),
        keep_up_to_date=cursor.flag(),
        options=cursor.text(),
    )


def _market_data(version: int, cursor: Cursor) -> MarketData:
    req_id, contract = cursor.identity(), cursor.contract()
    legs = cursor.legs(contract)
    if cursor.flag():
        cursor.skip(3)  # The delta-neutral contract: of options, which the simulator does not have.
    return MarketData(req_id, contract, legs, cursor.text(), cursor.flag(), cursor.flag(), cursor.text())


def _place_order(version: int, cursor: Cursor) -> PlaceOrder:
    return PlaceOrder(read_order(version, cursor))


def _cancel_order(version: int, cursor: Cursor) -> CancelOrder:
    return CancelOrder(cursor.identity(), cursor.text() if version >= 169 else "")


def _exercise_options(version: int, cursor: Cursor) -> ExerciseOptions:
    req_id, contract = cursor.identity(), cursor.contract(primary_exchange=False)
    return ExerciseOptions(req_id, contract, cursor.integer(), cursor.integer(), cursor.text(), cursor.flag())


def _fundamental_data(version: int, cursor: Cursor) -> FundamentalData:
    req_id = cursor.identity()
    contract = Contract(
        con_id=cursor.integer(),
        symbol=cursor.text(),
        sec_type=cursor.text(),
        exchange=cursor.text(),
        primary_exchange=cursor.text(),
        currency=cursor.text(),
        local_symbol=cursor.text(),
    )
    return FundamentalData(req_id, contract, cursor.text(), _counted_options(cursor))


def _implied_volatility(version: int, cursor: Cursor) -> CalculateImpliedVolatility:
    return CalculateImpliedVolatility(
        cursor.identity(), cursor.contract(), cursor.real(), cursor.real(), _counted_options(cursor)
    )


def _option_price(version: int, cursor: Cursor) -> CalculateOptionPrice:
    return CalculateOptionPrice(
        cursor.identity(), cursor.contract(), cursor.real(), cursor.real(), _counted_options(cursor)
    )


def _counted_options(cursor: Cursor) -> str:
    """All options in one text, before which some clients put their number."""
    if cursor.left > 1:
        cursor.integer()
    return cursor.text()


def _wsh_event_data(version: int, cursor: Cursor) -> WshEventData:
    request = WshEventData(cursor.identity(), cursor.set_integer())
    if version >= 171:
        request = request._replace(
            filter=cursor.text(),
            fill_watchlist=cursor.flag(),
            fill_portfolio=cursor.flag(),
            fill_competitors=cursor.flag(),
        )
    if version >= 173:
        request = request._replace(start_date=cursor.text(), end_date=cursor.text(), limit=cursor.set_integer())
    return request


_READ_BY_TYPE: dict[object, Callable[[Cursor], Any]] = {
    int: Cursor.integer,
    float: Cursor.real,
    bool: Cursor.flag,
    str: Cursor.text,
    Contract: Cursor.contract,
}
_IDENTITIES = ("req_id", "order_id")


def _in_order(request: type[Class]) -> Reader:
    """A reader that takes the class's fields as they stand."""
    hints = typing.get_type_hints(request)
    readers: tuple[Callable[[Cursor], Any], ...] = tuple(
        Cursor.identity if name in _IDENTITIES else _READ_BY_TYPE[kind] for name, kind in hints.items()
    )

    def read(version: int, cursor: Cursor) -> Class:
        return request(*(reader(cursor) for reader in readers))

    return read


class Row(NamedTuple):
    """How one message id is read. `versioned` requests carry a version number of their own, which says nothing."""

    id: int
    request: type[tuple[Any, ...]]
    versioned: bool
    read: Reader


def _row(id: int, request: type[Class], versioned: bool, read: Reader | None = None) -> Row:
    return Row(id, request, versioned, read or _in_order(request))


_V, _BARE = True, False
TABLE: dict[int, Row] = {
    row.id: row
    for row in (
        _row(1, MarketData, _V, _market_data),
        _row(2, CancelMarketData, _V),
        _row(3, PlaceOrder, _BARE, _place_order),
        _row(4, CancelOrder, _V, _cancel_order),
        _row(5, OpenOrders, _V),
        _row(6, AccountUpdates, _V),
        _row(7, Executions, _V),
        _row(8, Ids, _V),
        _row(9, ContractDetails, _V, _contract_details),
        _row(10, MarketDepth, _V),
        _row(11, CancelMarketDepth, _V),
        _row(12, NewsBulletins, _V),
        _row(13, CancelNewsBulletins, _V),
        _row(14, ServerLogLevel, _V),
        _row(15, AutoOpenOrders, _V),
        _row(16, AllOpenOrders, _V),
        _row(17, ManagedAccts, _V),
        _row(18, RequestFa, _V),
        _row(19, ReplaceFa, _V),
        _row(20, HistoricalData, _BARE, _historical_data),
        _row(21, ExerciseOptions, _V, _exercise_options),
        _row(22, ScannerSubscription, _BARE),
        _row(23, CancelScannerSubscription, _V),
        _row(24, ScannerParameters, _V),
        _row(25, CancelHistoricalData, _V),
        _row(49, CurrentTime, _V),
        _row(50, RealTimeBars, _V),
        _row(51, CancelRealTimeBars, _V),
        _row(52, FundamentalData, _V, _fundamental_data),
        _row(53, CancelFundamentalData, _V),
        _row(54, CalculateImpliedVolatility, _V, _implied_volatility),
        _row(55, CalculateOptionPrice, _V, _option_price),
        _row(56, CancelCalculateImpliedVolatility, _V),
        _row(57, CancelCalculateOptionPrice, _V),
        _row(58, GlobalCancel, _V),
        _row(59, MarketDataType, _V),
        _row(61, Positions, _V),
        _row(62, AccountSummary, _V),
        _row(63, CancelAccountSummary, _V),
        _row(64, CancelPositions, _V),
        _row(67, QueryDisplayGroups, _V),
        _row(68, SubscribeToGroupEvents, _V),
        _row(69, UpdateDisplayGroup, _V),
        _row(70, UnsubscribeFromGroupEvents, _V),
        _row(71, StartApi, _V),
        _row(74, PositionsMulti, _V),
        _row(75, CancelPositionsMulti, _V),
        _row(76, AccountUpdatesMulti, _V),
        _row(77, CancelAccountUpdatesMulti, _V),
        _row(78, SecDefOptParams, _BARE),
        _row(79, SoftDollarTiers, _BARE),
        _row(80, FamilyCodes, _BARE),
        _row(81, MatchingSymbols, _BARE),
        _row(82, MarketDepthExchanges, _BARE),
        _row(83, SmartComponents, _BARE),
        _row(84, NewsArticle, _BARE),
        _row(85, NewsProviders, _BARE),
        _row(86, HistoricalNews, _BARE),
        _row(87, HeadTimestamp, _BARE),
        _row(88, HistogramData, _BARE),
        _row(89, CancelHistogramData, _BARE),
        _row(90, CancelHeadTimestamp, _BARE),
        _row(91, MarketRule, _BARE),
        _row(92, Pnl, _BARE),
        _row(93, CancelPnl, _BARE),
        _row(94, PnlSingle, _BARE),
        _row(95, CancelPnlSingle, _BARE),
        _row(96, HistoricalTicks, _BARE),
        _row(97, TickByTick, _BARE),
        _row(98, CancelTickByTick, _BARE),
        _row(99, CompletedOrders, _BARE),
        _row(100, WshMetaData, _BARE),
        _row(101, CancelWshMetaData, _BARE),
        _row(102, WshEventData, _BARE, _wsh_event_data),
        _row(103, CancelWshEventData, _BARE),
        _row(104, UserInfo, _BARE),
    )
}


def parse(version: int, fields: list[str]) -> Request:
    """The request in the fields of one frame, at a server version of 157 to 178.

    Returns Unknown for an id without a row. Raises BadRequest, with the request's name and its id where known, for
    anything that does not fit the row: a field too few, a field too many, a number that is none.
    """
    message = Cursor("message id", fields).integer(unset=-1)
    row = TABLE.get(message)
    if row is None:
        return Unknown(message, fields)
    cursor = Cursor(row.request.__name__, fields, start=1)
    if row.versioned:
        cursor.skip()
    request = row.read(version, cursor)
    cursor.end()
    return request
