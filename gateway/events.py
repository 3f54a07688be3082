"""What the connection tells its consumer, in the order in which it came.

Facts are as IB sent them: nothing here is the client library's opinion of an order. `raw` are the fields of the
message, kept for a journal; `session` counts the connects of this process, as order ids have a meaning only within the
client id that used them. Times are UTC nanoseconds of this machine's clock (`at_ns`) or the exchange's (`time_ns`).
NaN is "not given", as is an empty text.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.codes import Family
from gateway.contract import Contract
from gateway.states import State

Raw = tuple[str, ...]


class StateChanged(NamedTuple):
    at_ns: int
    session: int
    state: State
    before: State
    cause: str
    remedy: str


class Notice(NamedTuple):
    """IB's message 4. `id` is a request's or an order's number, -1 for the gateway itself."""

    at_ns: int
    session: int
    id: int
    code: int
    family: Family
    words: str
    remedy: str
    text: str
    is_order: bool
    raw: Raw


class OrderTerms(NamedTuple):
    """What an order asks for, in IB's words (`action` BUY, `order_type` LMT, `tif` GTC)."""

    action: str
    quantity: float
    order_type: str
    limit_price: float
    aux_price: float
    tif: str
    trail_stop_price: float
    trailing_percent: float
    limit_price_offset: float
    oca_group: str
    outside_rth: bool


class OrderOpened(NamedTuple):
    """openOrder: the order as the gateway holds it. Of a manual order `order_id` is 0 or negative."""

    at_ns: int
    session: int
    client_id: int
    order_id: int
    perm_id: int
    parent_id: int
    ref: str
    account: str
    contract: Contract
    terms: OrderTerms
    status: str
    commission: float
    warning: str
    raw: Raw


class OrderCompleted(NamedTuple):
    """completedOrder: IB gives no order id; `perm_id` and `ref` say which it was."""

    at_ns: int
    session: int
    perm_id: int
    parent_perm_id: int
    ref: str
    account: str
    contract: Contract
    terms: OrderTerms
    status: str
    filled: float
    completed_time: str
    completed_status: str
    raw: Raw


class OrderStatusChanged(NamedTuple):
    at_ns: int
    session: int
    client_id: int
    order_id: int
    perm_id: int
    parent_id: int
    status: str
    filled: float
    remaining: float
    average_price: float
    last_price: float
    why_held: str
    raw: Raw


class Executed(NamedTuple):
    """An execution; a correction is the same `base` with a higher `revision`, and replaces it.

    `quantity` is signed: positive bought.
    """

    at_ns: int
    session: int
    exec_id: str
    base: str
    revision: int
    time_ns: int
    account: str
    contract: Contract
    quantity: float
    price: float
    perm_id: int
    client_id: int
    order_id: int
    ref: str
    cumulative: float
    average_price: float
    liquidation: bool
    live: bool
    """False where it answers a request for the day's executions."""
    raw: Raw


class CommissionReported(NamedTuple):
    at_ns: int
    session: int
    exec_id: str
    commission: float
    currency: str
    realized_pnl: float
    raw: Raw


class PositionReported(NamedTuple):
    """`average_cost` contains the multiplier. Quantity 0: closed."""

    at_ns: int
    session: int
    account: str
    contract: Contract
    quantity: float
    average_cost: float


class AccountValueReported(NamedTuple):
    at_ns: int
    account: str
    key: str
    value: str
    currency: str


class OpenOrders(NamedTuple):
    """All clients' working orders, and the statuses told in the same answer."""

    orders: tuple[OrderOpened, ...]
    statuses: tuple[OrderStatusChanged, ...]


class Executions(NamedTuple):
    """The day's executions as IB tells them, corrections among them, and the commissions told in the same answer."""

    executions: tuple[Executed, ...]
    commissions: tuple[CommissionReported, ...]


class Synchronised(NamedTuple):
    """All that the gateway holds, each part proven complete by its end mark; told before the state becomes ready.

    `is_read_only`: orders were not asked for, as the settings say that this gateway does not tell them.
    """

    at_ns: int
    session: int
    next_order_id: int
    account: str
    positions: tuple[PositionReported, ...]
    open_orders: OpenOrders
    completed_orders: tuple[OrderCompleted, ...]
    executions: Executions
    account_values: tuple[AccountValueReported, ...]
    is_read_only: bool


class HoldingValued(NamedTuple):
    """portfolioValue: a position with its market value, in the contract's currency."""

    at_ns: int
    account: str
    contract: Contract
    quantity: float
    market_price: float
    market_value: float
    average_cost: float
    unrealized_pnl: float
    realized_pnl: float


class QuoteChanged(NamedTuple):
    """The whole top of the book and day so far, after a change. `subscription` is the number it was asked under."""

    at_ns: int
    subscription: int
    contract: Contract
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
    halted: bool
    data_type: int
    """1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""


class BarUpdated(NamedTuple):
    """A bar of a kept history. `closed` is told once, when a later bar shows that it will not change any more."""

    at_ns: int
    subscription: int
    contract: Contract
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool


class FiveSecondBar(NamedTuple):
    at_ns: int
    subscription: int
    contract: Contract
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    average: float


class PnlReported(NamedTuple):
    """Of an account, or (`con_id` not 0) of one position with its quantity and value."""

    at_ns: int
    subscription: int
    account: str
    con_id: int
    daily: float
    unrealized: float
    realized: float
    quantity: float
    value: float


class NewsHeadline(NamedTuple):
    at_ns: int
    subscription: int
    time_ns: int
    provider: str
    article_id: str
    headline: str


class Bulletin(NamedTuple):
    """`kind` 1 is news, 2 an exchange that stopped trading, 3 one that resumed."""

    at_ns: int
    id: int
    kind: int
    text: str
    exchange: str


class ScannerRow(NamedTuple):
    rank: int
    contract: Contract
    distance: str
    benchmark: str
    projection: str


class ScannerUpdated(NamedTuple):
    at_ns: int
    subscription: int
    rows: tuple[ScannerRow, ...]


class SubscriptionEnded(NamedTuple):
    """The gateway refused it or took it away for good; it is not asked for again."""

    at_ns: int
    subscription: int
    contract: Contract
    code: int
    words: str
    remedy: str


Event = (
    StateChanged
    | Notice
    | OrderOpened
    | OrderCompleted
    | OrderStatusChanged
    | Executed
    | CommissionReported
    | PositionReported
    | HoldingValued
    | AccountValueReported
    | QuoteChanged
    | BarUpdated
    | FiveSecondBar
    | PnlReported
    | NewsHeadline
    | Bulletin
    | ScannerUpdated
    | SubscriptionEnded
    | Synchronised
)

# Only the newest of these matters, so a consumer that is far behind may miss some.
REPLACEABLE = (QuoteChanged, PnlReported, AccountValueReported, HoldingValued)
