"""What the parts of the simulator hand to each other: listings, quotes, orders, executions, and the facts of a moment.

Times are UTC nanoseconds of exchange time; prices, quantities and money are floats in the contract's currency; NaN is
"not given", as is an empty text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from domain.costs import FREE, Commission
from domain.sessions import SessionTable
from gateway.contract import Contract

NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """One tradable (or, an index, merely quoted) contract and what IB would say of it.

    `contract` is complete: con_id, local symbol, trading class, primary exchange. `trading` are the sessions in which
    it trades at all, `regular` its regular hours; both carry the exchange's zone by their UTC offsets.
    `price_steps` are (low edge, increment) pairs as a market rule gives them, the first low edge 0.
    """

    contract: Contract
    long_name: str
    zone: str
    regular: SessionTable
    trading: SessionTable
    price_steps: tuple[tuple[float, float], ...] = ((0.0, 0.01),)
    market_rule: int = 26
    size_step: float = 1.0
    min_size: float = 1.0
    valid_exchanges: str = "SMART"
    stock_type: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    contract_month: str = ""
    last_trade_time: str = ""
    under_con_id: int = 0
    under_symbol: str = ""
    isin: str = ""
    commission: Commission = FREE
    initial_margin: float = NAN
    head_ns: int = 0

    @property
    def con_id(self) -> int:
        return self.contract.con_id

    @property
    def multiplier(self) -> float:
        return float(self.contract.multiplier or 1)

    @property
    def tick(self) -> float:
        return self.price_steps[0][1]


class Quote(NamedTuple):
    """The top of the book and the day so far. NaN where there is none (before the first trade, an index's bid)."""

    time_ns: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    last: float
    last_size: float
    volume: float
    open: float
    high: float
    low: float
    previous_close: float
    halted: bool = False


class Step(NamedTuple):
    """A piece of the price path, (start_ns, end_ns] of exchange time: what happened in it, as a bar of it."""

    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class OrderStatus(StrEnum):
    """IB's words. PENDING_SUBMIT is never sent: it is what a client shows of an order that was not transmitted."""

    PENDING_SUBMIT = "PendingSubmit"
    PENDING_CANCEL = "PendingCancel"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    INACTIVE = "Inactive"

    @property
    def is_done(self) -> bool:
        return self in (OrderStatus.FILLED, OrderStatus.CANCELLED)


@dataclass(slots=True)
class WireOrder:
    """An order as a client sent it: the fields of placeOrder that mean something here; what is not named is refused
    where it asks for something, and echoed where it does not. `order_type` and `tif` are IB's words."""

    order_id: int
    contract: Contract
    action: str
    quantity: float
    order_type: str
    limit_price: float = NAN
    aux_price: float = NAN
    tif: str = "DAY"
    oca_group: str = ""
    oca_type: int = 0
    account: str = ""
    open_close: str = ""
    origin: int = 0
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    trigger_method: int = 0
    outside_rth: bool = False
    hidden: bool = False
    display_size: int = 0
    all_or_none: bool = False
    min_quantity: int = 0
    good_after_time: str = ""
    good_till_date: str = ""
    trail_stop_price: float = NAN
    trailing_percent: float = NAN
    limit_price_offset: float = NAN
    what_if: bool = False
    clearing_intent: str = ""
    model_code: str = ""
    algo_strategy: str = ""
    cash_quantity: float = NAN
    unsupported: tuple[str, ...] = ()
    """Names of the fields that ask for what the simulator does not do (conditions, BAG legs, scale, algo …)."""


@dataclass(slots=True)
class PlacedOrder:
    """An order in the exchange's books. `perm_id` is account-wide and constant; `client_id` and `order_id` own it."""

    request: WireOrder
    listing: Listing
    client_id: int
    perm_id: int
    status: OrderStatus
    filled: float = 0.0
    average_price: float = 0.0
    last_price: float = 0.0
    stop_price: float = NAN
    """Of a stop or trailing order, as it stands now."""
    triggered: bool = False
    why_held: str = ""
    parent_perm_id: int = 0
    commission: float = NAN
    placed_ns: int = 0
    ended_ns: int = 0
    completed_status: str = ""
    """As completedOrder says it: `Filled Size: 100`, `Cancelled by Trader`."""
    warning: str = ""
    children: list[int] = field(default_factory=list)

    @property
    def order_id(self) -> int:
        return self.request.order_id

    @property
    def account(self) -> str:
        return self.request.account

    @property
    def remaining(self) -> float:
        return self.request.quantity - self.filled


class Execution(NamedTuple):
    """`exec_id` ends in a revision, `….01`; a correction is the same id with the next one."""

    exec_id: str
    time_ns: int
    account: str
    listing: Listing
    side: str
    """BOT or SLD."""
    quantity: float
    price: float
    perm_id: int
    client_id: int
    order_id: int
    order_ref: str
    cumulative: float
    average_price: float
    liquidation: int = 0
    last_liquidity: int = 2


class CommissionReport(NamedTuple):
    exec_id: str
    commission: float
    currency: str
    realized_pnl: float
    """NaN where the execution opened."""


class Holding(NamedTuple):
    """A position. `average_cost` contains the multiplier, as IB's does; `average_price` does not."""

    account: str
    listing: Listing
    quantity: float
    average_price: float
    realized_pnl: float

    @property
    def average_cost(self) -> float:
        return self.average_price * self.listing.multiplier


class Margins(NamedTuple):
    """What a what-if order answers: before, change and after, in the account's currency, and the commission."""

    initial: tuple[float, float, float]
    maintenance: tuple[float, float, float]
    equity: tuple[float, float, float]
    commission: float
    currency: str


# The facts of a moment, in the order in which a client is told of them.


class Opened(NamedTuple):
    """Told as openOrder to the owner."""

    order: PlacedOrder
    margins: Margins | None = None


class Changed(NamedTuple):
    """Told as orderStatus, with the numbers of that moment."""

    client_id: int
    order_id: int
    status: OrderStatus
    filled: float
    remaining: float
    average_price: float
    perm_id: int
    parent_id: int
    last_price: float
    why_held: str


class Executed(NamedTuple):
    execution: Execution


class Charged(NamedTuple):
    report: CommissionReport
    client_id: int


class Told(NamedTuple):
    """An error or a warning about an order (message 4)."""

    client_id: int
    order_id: int
    code: int
    text: str


class HoldingChanged(NamedTuple):
    holding: Holding


class AccountChanged(NamedTuple):
    account: str


Fact = Opened | Changed | Executed | Charged | Told | HoldingChanged | AccountChanged
