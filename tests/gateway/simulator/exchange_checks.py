"""What must be true of an exchange at every moment, worked out from its ledger alone."""

from collections import defaultdict

import pytest

from domain.costs import commission
from domain.positions import DUST
from gateway.simulator.commissions import base_of

PAID_IN_FULL = ("STK", "CASH")


def last_revisions(ledger):
    found = {}
    for entry in ledger.of("execution"):
        found[base_of(entry["exec_id"])] = entry
    return found


def signed(entry):
    return entry["quantity"] if entry["side"] == "BOT" else -entry["quantity"]


def check(exchange, market):
    ledger = list(exchange.ledger)
    assert [entry["seq"] for entry in ledger] == list(range(1, len(ledger) + 1))
    executions = last_revisions(exchange.ledger)
    check_positions(exchange, executions)
    check_money(exchange, market, executions)
    check_fees(exchange, market, executions)
    check_orders(exchange, executions)
    check_families(exchange)
    check_groups(exchange, executions)


def check_positions(exchange, executions):
    expected = defaultdict(float)
    for entry in executions.values():
        expected[entry["account"], entry["con_id"]] += signed(entry)
    for entry in exchange.ledger.of("position"):
        expected[entry["account"], entry["con_id"]] += entry["quantity"]
    for account in exchange.books.settings:
        for holding in exchange.holdings(account):
            assert holding.quantity == pytest.approx(expected.pop((account, holding.listing.con_id), 0.0), abs=1e-6)
    assert all(abs(quantity) < DUST for quantity in expected.values())


def check_money(exchange, market, executions):
    """Cash in each currency is deposits less purchases less commissions, futures settled; equity follows from it."""
    cash, equity = defaultdict(float), defaultdict(float)
    for entry in exchange.ledger.of("cash"):
        if entry["reason"] not in ("trade", "commission"):
            cash[entry["account"], entry["currency"]] += entry["amount"]
        if entry["reason"] in ("deposit", "dividend", "split"):
            equity[entry["account"]] += entry["amount"]
    for entry in executions.values():
        listing = market.by_con_id(entry["con_id"])
        contract, account = listing.contract, entry["account"]
        money = signed(entry) * entry["price"] * listing.multiplier
        equity[account] -= money
        if contract.sec_type in PAID_IN_FULL:
            cash[account, contract.currency] -= money
        if contract.sec_type == "CASH":
            cash[account, contract.symbol] += signed(entry)
    told = defaultdict(float)
    for entry in exchange.ledger.of("commission"):
        cash[entry["account"], entry["currency"]] -= entry["amount"]
        equity[entry["account"]] -= entry["amount"]
        told[base_of(entry["exec_id"])] += entry["amount"]
    for key, amount in exchange.books.cash.items():
        assert amount == pytest.approx(cash.pop(key), abs=0.005), key
    assert all(abs(amount) < 0.005 for amount in cash.values())
    for account in exchange.books.settings:
        value = sum(
            holding.quantity * exchange.mark(holding.listing.con_id, exchange.now_ns) * holding.listing.multiplier
            for holding in exchange.holdings(account)
        )
        worth = exchange.books.worth(account, exchange.now_ns)
        assert worth.equity == pytest.approx(equity[account] + value, abs=0.005)
    for execution in exchange.executions():
        report = exchange.commission_of(execution.exec_id)
        if report is not None:
            assert report.commission == pytest.approx(told[base_of(execution.exec_id)], abs=1e-6)


def check_fees(exchange, market, executions):
    """An order of which all executions are charged has paid what its schedule says of the whole."""
    charged = {base_of(entry["exec_id"]) for entry in exchange.ledger.of("commission")}
    paid, filled, value, open_ended = (defaultdict(float) for _ in range(4))
    for entry in exchange.ledger.of("commission"):
        paid[executions[base_of(entry["exec_id"])]["perm_id"]] += entry["amount"]
    for base, entry in executions.items():
        perm_id, listing = entry["perm_id"], market.by_con_id(entry["con_id"])
        filled[perm_id] += signed(entry)
        value[perm_id] += entry["quantity"] * entry["price"] * listing.multiplier
        open_ended[perm_id] += base not in charged
    for perm_id, quantity in filled.items():
        listing = market.by_con_id(next(e["con_id"] for e in executions.values() if e["perm_id"] == perm_id))
        if not open_ended[perm_id]:
            expected = commission(listing.commission, quantity, value[perm_id]) if quantity else 0.0
            assert paid[perm_id] == pytest.approx(expected, abs=1e-6)


def check_orders(exchange, executions):
    filled = defaultdict(float)
    for entry in executions.values():
        filled[entry["perm_id"]] += entry["quantity"]
    revised = {entry["perm_id"] for entry in exchange.ledger.of("execution") if not entry["exec_id"].endswith(".01")}
    for placed in exchange.open_orders() + exchange.completed_orders():
        assert placed.filled == pytest.approx(filled[placed.perm_id], abs=1e-6)
        if placed.perm_id not in revised:
            assert placed.filled <= placed.request.quantity + DUST
    ends = [entry["perm_id"] for entry in exchange.ledger.of("end")]
    assert len(ends) == len(set(ends)), "an order ended twice"
    ended = {entry["perm_id"]: entry["seq"] for entry in exchange.ledger.of("end")}
    for entry in exchange.ledger.of("execution"):
        if entry["exec_id"].endswith(".01"):
            assert entry["seq"] < ended.get(entry["perm_id"], 1 << 60), "an order filled after its end"


def check_families(exchange):
    filled_at = {e["perm_id"]: e["seq"] for e in exchange.ledger.of("end") if e["status"] == "Filled"}
    parents = {e["perm_id"]: e["parent_perm_id"] for e in exchange.ledger.of("order") if e["parent_perm_id"]}
    for entry in exchange.ledger.of("execution"):
        parent = parents.get(entry["perm_id"])
        if parent is not None:
            assert filled_at[parent] < entry["seq"], "a child filled before its parent"


def check_groups(exchange, executions):
    """The members of a group fill together no more than one whole."""
    wholes, groups = {}, {}
    for entry in exchange.ledger.of("order", "change"):
        perm_id = entry["perm_id"]
        wholes[perm_id] = max(wholes.get(perm_id, 0.0), entry["quantity"])
        if entry["oca_group"]:
            groups[perm_id] = (entry["account"], entry["oca_group"])
    shares = defaultdict(float)
    for entry in executions.values():
        if entry["perm_id"] in groups and entry["exec_id"].endswith(".01"):
            shares[groups[entry["perm_id"]]] += entry["quantity"] / wholes[entry["perm_id"]]
    assert all(share <= 1 + 1e-6 for share in shares.values()), shares
