"""Orders on the wire: placeOrder read, openOrder and completedOrder written, at the server versions 157 to 178."""

from __future__ import annotations

import math

from gateway.simulator import wire
from gateway.simulator.cursor import Cursor
from gateway.simulator.records import Margins, PlacedOrder, WireOrder
from gateway.simulator.wire import UNSET_DOUBLE, UNSET_INT, Value

_NO_DELTA_NEUTRAL = ("", "None")
_CONDITION_FIELDS = {"1": 6, "3": 3, "4": 3, "5": 4, "6": 5, "7": 5}
"""Fields after the kind: price, time, margin, execution, volume, percent change."""
_PEG_BENCH = ("PEG BENCH", "PEGBENCH")
_PEG_BEST = ("PEG BEST", "PEGBEST")
_PEG_MID = ("PEG MID", "PEGMID")


class _Asked:
    """Collects the names of the fields that ask for what the simulator does not do."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.names: list[str] = []

    def add(self, name: str) -> None:
        if name not in self.names:
            self.names.append(name)

    def text(self, name: str, *none: str) -> str:
        value = self._cursor.text()
        if value and value not in none:
            self.add(name)
        return value

    def real(self, name: str) -> float:
        value = self._cursor.real()
        if value and not math.isnan(value):
            self.add(name)
        return value

    def integer(self, name: str, none: int = 0) -> int:
        value = self._cursor.set_integer()
        if value not in (0, none):
            self.add(name)
        return value

    def flag(self, name: str) -> bool:
        value = self._cursor.flag()
        if value:
            self.add(name)
        return value


def read_order(version: int, cursor: Cursor) -> WireOrder:
    """The order in a placeOrder, after its message id. What it asks for that is not done here stands in `unsupported`.

    Raises BadRequest with the order id.
    """
    asked = _Asked(cursor)
    order_id, contract = cursor.identity(), cursor.contract()
    asked.text("secIdType")
    asked.text("secId")
    order = WireOrder(
        order_id,
        contract,
        action=cursor.text(),
        quantity=cursor.real(0.0),
        order_type=cursor.text(),
        limit_price=cursor.real(),
        aux_price=cursor.real(),
        tif=cursor.text() or "DAY",
        oca_group=cursor.text(),
        account=cursor.text(),
        open_close=cursor.text(),
        origin=cursor.integer(),
        order_ref=cursor.text(),
        transmit=cursor.flag(),
        parent_id=cursor.integer(),
    )
    asked.flag("blockOrder")
    asked.flag("sweepToFill")
    order.display_size = cursor.set_integer()
    order.trigger_method = cursor.integer()
    order.outside_rth = cursor.flag()
    order.hidden = cursor.flag()
    if contract.sec_type == "BAG":
        _read_bag(cursor, asked)
    _read_allocation(version, cursor, asked, order)
    _read_special_prices(cursor, asked)
    _read_volatility(cursor, asked)
    order.trail_stop_price = cursor.real()
    order.trailing_percent = cursor.real()
    _read_scale_and_hedge(cursor, asked)
    cursor.flag()  # optOutSmartRouting: there is one exchange.
    asked.text("clearingAccount")
    order.clearing_intent = cursor.text()
    asked.flag("notHeld")
    if cursor.flag():
        asked.add("deltaNeutralContract")
        cursor.skip(3)
    order.algo_strategy = _read_algo(cursor, asked)
    order.what_if = cursor.flag()
    cursor.skip(2)  # orderMiscOptions, solicited: notes for IB.
    asked.flag("randomizeSize")
    asked.flag("randomizePrice")
    if order.order_type in _PEG_BENCH:
        asked.add("referenceContractId")
        cursor.skip(5)
    _read_conditions(cursor, asked)
    _read_adjustment(cursor, asked, order)
    cursor.skip(3)  # extOperator, soft dollar tier name and value: notes for IB.
    order.cash_quantity = cursor.real()
    cursor.skip(5)  # MiFID's four, dontUseAutoPriceForHedge: notes for IB.
    asked.flag("isOmsContainer")
    asked.flag("discretionaryUpToLimitPrice")
    cursor.skip()  # usePriceMgmtAlgo: leave to limit the damage of a bad price.
    _read_newest(version, cursor, asked, order)
    order.unsupported = tuple(asked.names)
    return order


def _read_bag(cursor: Cursor, asked: _Asked) -> None:
    asked.add("comboLegs")
    cursor.skip(8 * cursor.count(fields_each=8))
    for _ in range(cursor.count()):
        cursor.real()
    cursor.skip(2 * cursor.count(fields_each=2))


def _read_allocation(version: int, cursor: Cursor, asked: _Asked, order: WireOrder) -> None:
    cursor.skip()  # The shares allocation of old.
    asked.real("discretionaryAmt")
    order.good_after_time = cursor.text()
    order.good_till_date = cursor.text()
    asked.text("faGroup")
    asked.text("faMethod")
    asked.text("faPercentage")
    if version < 177:
        asked.text("faProfile")
    order.model_code = cursor.text()
    asked.integer("shortSaleSlot")
    asked.text("designatedLocation")
    asked.integer("exemptCode", none=-1)
    order.oca_type = cursor.integer()
    asked.text("rule80A")
    asked.text("settlingFirm")
    order.all_or_none = cursor.flag()
    order.min_quantity = cursor.set_integer()


def _read_special_prices(cursor: Cursor, asked: _Asked) -> None:
    asked.real("percentOffset")
    cursor.flag()  # eTradeOnly, firmQuoteOnly and nbboPriceCap mean nothing any more; old clients set them.
    cursor.flag()
    cursor.real()
    asked.integer("auctionStrategy")
    for name in ("startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper"):
        asked.real(name)
    cursor.flag()  # overridePercentageConstraints: there are none.


def _read_volatility(cursor: Cursor, asked: _Asked) -> None:
    asked.real("volatility")
    asked.integer("volatilityType")
    delta_neutral = asked.text("deltaNeutralOrderType", *_NO_DELTA_NEUTRAL)
    asked.real("deltaNeutralAuxPrice")
    if delta_neutral:
        cursor.skip(8)
    asked.flag("continuousUpdate")
    asked.integer("referencePriceType")


def _read_scale_and_hedge(cursor: Cursor, asked: _Asked) -> None:
    asked.integer("scaleInitLevelSize")
    asked.integer("scaleSubsLevelSize")
    increment = asked.real("scalePriceIncrement")
    if increment > 0:
        cursor.skip(7)
    for name in ("scaleTable", "activeStartTime", "activeStopTime"):
        asked.text(name)
    if asked.text("hedgeType"):
        cursor.skip()


def _read_algo(cursor: Cursor, asked: _Asked) -> str:
    strategy = asked.text("algoStrategy")
    if strategy:
        cursor.skip(2 * cursor.count(fields_each=2))
    asked.text("algoId")
    return strategy


def _read_conditions(cursor: Cursor, asked: _Asked) -> None:
    count = cursor.count(fields_each=4)
    for _ in range(count):
        kind = cursor.text()
        if kind not in _CONDITION_FIELDS:
            raise cursor.bad(f"no condition of kind {kind[:20]!r}")
        cursor.skip(_CONDITION_FIELDS[kind])
    if count:
        asked.add("conditions")
        cursor.flag()
        cursor.flag()


def _read_adjustment(cursor: Cursor, asked: _Asked, order: WireOrder) -> None:
    asked.text("adjustedOrderType", "None")
    cursor.real()  # triggerPrice belongs to the adjustment.
    order.limit_price_offset = cursor.real()
    for _ in range(3):
        cursor.real()
    cursor.integer()


def _read_newest(version: int, cursor: Cursor, asked: _Asked, order: WireOrder) -> None:
    if version >= 158:
        asked.integer("duration")
    if version >= 160:
        asked.integer("postToAts")
    if version >= 162:
        asked.flag("autoCancelParent")
    if version >= 166:
        cursor.skip()  # advancedErrorOverride: no order is refused with such an offer.
    if version >= 169:
        cursor.skip()  # manualOrderTime: a note for IB.
    if version >= 170:
        _read_pegged(cursor, asked, order)


def _read_pegged(cursor: Cursor, asked: _Asked, order: WireOrder) -> None:
    if order.contract.exchange == "IBKRATS":
        asked.integer("minTradeQty")
    up_to_mid = order.order_type in _PEG_MID
    if order.order_type in _PEG_BEST:
        asked.integer("minCompeteSize")
        up_to_mid = cursor.text() in ("Infinity", "Infinite")
        asked.add("competeAgainstBestOffset")
    if up_to_mid:
        asked.real("midOffsetAtWhole")
        asked.real("midOffsetAtHalf")


# Written


def _given(value: float) -> Value:
    """A price where there is one, else IB's number for none."""
    return UNSET_DOUBLE if math.isnan(value) else value


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _contract(order: PlacedOrder) -> tuple[Value, ...]:
    contract = order.listing.contract
    exchange = order.request.contract.exchange or contract.exchange
    return (
        contract.con_id,
        contract.symbol,
        contract.sec_type,
        contract.expiry,
        contract.strike,
        contract.right or "?",
        contract.multiplier,
        exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
    )


def _terms(version: int, order: PlacedOrder) -> tuple[Value, ...]:
    """Action to open/close, origin and reference."""
    request = order.request
    return (
        request.action,
        wire.size(version, request.quantity),
        request.order_type,
        _or_zero(request.limit_price),
        _or_zero(request.aux_price),
        request.tif,
        request.oca_group,
        request.account,
        request.open_close,
        request.origin,
        request.order_ref,
    )


def _allocation(version: int) -> tuple[Value, ...]:
    return ("",) * (4 if version < 177 else 3)


def _trail_stop(order: PlacedOrder) -> float:
    return order.request.trail_stop_price if math.isnan(order.stop_price) else order.stop_price


_PEG_OFFSETS: tuple[Value, ...] = ("", "", "", "", "")
_SCALE: tuple[Value, ...] = (UNSET_INT, UNSET_INT, UNSET_DOUBLE)
_NO_LEGS: tuple[Value, ...] = ("", 0, 0, 0)
"""No description, no legs, no leg prices, no routing parameters."""


def open_order(version: int, order: PlacedOrder, margins: Margins | None = None) -> bytes:
    """The order as its owner is told of it; with `margins` where it is a what-if."""
    request = order.request
    trailing = (_given(_trail_stop(order)), _given(request.trailing_percent))
    newest: tuple[Value, ...] = (UNSET_INT,) if version >= 158 else ()
    newest += (UNSET_INT,) if version >= 160 else ()
    newest += (0,) if version >= 162 else ()
    newest += _PEG_OFFSETS if version >= 170 else ()
    return wire.payload(
        *(5, order.order_id, *_contract(order), *_terms(version, order)),
        *(order.client_id, order.perm_id, request.outside_rth, request.hidden),
        *(0, request.good_after_time, "", *_allocation(version), request.model_code, request.good_till_date),
        *("", UNSET_DOUBLE, "", 0, "", -1),
        *(0, *(UNSET_DOUBLE,) * 5),
        *(request.display_size or UNSET_INT, 0, 0, request.all_or_none, request.min_quantity or UNSET_INT),
        *(request.oca_type, 0, 0, UNSET_DOUBLE, request.parent_id, request.trigger_method),
        *(UNSET_DOUBLE, 0, "None", UNSET_DOUBLE, 0, "", "", "", "?", 0, 0, ""),
        *(0, 0, *trailing, UNSET_DOUBLE, UNSET_INT, *_NO_LEGS, *_SCALE),
        *("", 0, "", request.clearing_intent or "IB", 0, 0, "", 0, request.what_if),
        *(str(order.status), *_money(order, margins), order.warning),
        *(0, 0, 0, "None", UNSET_DOUBLE, trailing[0], _given(request.limit_price_offset)),
        *(UNSET_DOUBLE, UNSET_DOUBLE, UNSET_DOUBLE, 0, "", "", "", _or_zero(request.cash_quantity)),
        *(0, 0, 0, 0, *newest),
    )


def _money(order: PlacedOrder, margins: Margins | None) -> tuple[Value, ...]:
    """Margins before, change and after, the commission and its bounds, and the currency."""
    if margins is None:
        currency = "" if math.isnan(order.commission) else order.listing.contract.currency
        return (*(UNSET_DOUBLE,) * 9, _given(order.commission), UNSET_DOUBLE, UNSET_DOUBLE, currency)
    moments = zip(margins.initial, margins.maintenance, margins.equity, strict=True)
    states = (_given(value) for moment in moments for value in moment)
    return (*states, _given(margins.commission), UNSET_DOUBLE, UNSET_DOUBLE, margins.currency)


def completed_order(version: int, order: PlacedOrder, completed_time: str) -> bytes:
    """An order that ended; `completed_time` is the zoned text of when."""
    request = order.request
    trailing = (_given(_trail_stop(order)), _given(request.trailing_percent))
    return wire.payload(
        *(101, *_contract(order), *_terms(version, order)),
        *(order.perm_id, request.outside_rth, request.hidden),
        *(0, request.good_after_time, *_allocation(version), request.model_code, request.good_till_date),
        *("", UNSET_DOUBLE, "", 0, "", -1),
        *(UNSET_DOUBLE,) * 5,
        *(request.display_size or UNSET_INT, 0, request.all_or_none, request.min_quantity or UNSET_INT),
        *(request.oca_type, request.trigger_method),
        *(UNSET_DOUBLE, 0, "None", UNSET_DOUBLE, 0, 0, 0, ""),
        *(0, 0, *trailing, *_NO_LEGS, *_SCALE),
        *("", "", request.clearing_intent or "IB", 0, 0, "", 0),
        *(str(order.status), 0, 0, 0, trailing[0], _given(request.limit_price_offset)),
        *(_or_zero(request.cash_quantity), 0, 0, "", wire.size(version, order.filled), UNSET_INT),
        *(0, "", 0, 0, order.parent_perm_id, completed_time, order.completed_status),
        *(_PEG_OFFSETS if version >= 170 else ()),
    )
