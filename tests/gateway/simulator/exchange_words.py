"""Short ways to set up an exchange in a test and to write down what it says."""

from gateway.simulator.clock import ManualClock
from gateway.simulator.exchange import AccountSettings, Exchange
from gateway.simulator.policy import FillPolicy
from gateway.simulator.records import Changed, Charged, Executed, Opened, Told, WireOrder
from tests.gateway.simulator.fake_market import AAA, OPEN, SECOND, FakeMarket

ACCOUNT = "DU1"
CLIENT = 7
START = OPEN + 60 * SECOND


def make(market=None, start_ns=START, cash=100_000.0, accounts=(ACCOUNT,), state=None, **policy):
    books = {number: AccountSettings(cash=cash) for number in accounts}
    market = market or FakeMarket()
    return Exchange(market, ManualClock(start_ns), books, policy=FillPolicy(**policy), state=state)


def order(order_id=1, action="BUY", quantity=100, kind="MKT", listing=AAA, **more):
    return WireOrder(order_id, listing.contract, action, quantity, kind, **more)


def place(exchange, *args, client=CLIENT, **kwargs):
    return short(exchange.place(client, order(*args, **kwargs), exchange.now_ns))


def cancel(exchange, order_id=1, client=CLIENT):
    return short(exchange.cancel(client, order_id, exchange.now_ns))


def wait(exchange, seconds):
    return short(exchange.advance(exchange.now_ns + round(seconds * SECOND)))


def short(facts):
    """Facts as words, without what positions and accounts have become."""
    words = []
    for fact in facts:
        if isinstance(fact, Opened):
            words.append(f"open {fact.order.order_id} {fact.order.status}")
        elif isinstance(fact, Changed):
            held = f" {fact.why_held}" if fact.why_held else ""
            words.append(f"status {fact.order_id} {fact.status} {fact.filled:g}/{fact.remaining:g}{held}")
        elif isinstance(fact, Executed):
            words.append(f"exec {fact.execution.side} {fact.execution.quantity:g} @ {fact.execution.price:g}")
        elif isinstance(fact, Charged):
            words.append(f"fee {fact.report.commission:g}")
        elif isinstance(fact, Told):
            words.append(f"{fact.code} {fact.order_id}")
    return words


def fills(words):
    return [word for word in words if word.startswith("exec")]


def said(facts, code):
    """The texts told with a code."""
    return [fact.text for fact in facts if isinstance(fact, Told) and fact.code == code]


def values(exchange, account=ACCOUNT):
    rows = exchange.account_values(account, exchange.now_ns)
    return {key: value for key, value, currency in rows if currency in ("", "USD")}
