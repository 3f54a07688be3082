"""Whatever clients and faults do to an exchange, its books agree with its ledger, over restarts too."""

import os
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.adjustments import Dividend, Split
from gateway.simulator.clock import ManualClock
from gateway.simulator.exchange import AccountSettings, Exchange, FillPolicy, State
from gateway.simulator.matching import on_tick
from gateway.simulator.records import WireOrder
from tests.gateway.simulator.exchange_checks import check
from tests.gateway.simulator.fake_market import AAA, BBB, DAY, EURUSD, FIRST_DAY, FUT, OPEN, SECOND, FakeMarket

ACCOUNTS = {"DU1": AccountSettings(cash=2_000_000.0), "DU2": AccountSettings(cash=50_000.0)}
SIZES = {1: 100, 2: 30, 3: 20_000, 4: 3}
POLICIES = (
    FillPolicy(),
    FillPolicy(part_size=17),
    FillPolicy(fractions=(0.5, 0.3, 0.2), commission_delay_seconds=20),
    FillPolicy(fill="next", delay_seconds=1.5, cancel_delay_seconds=2, tells_pending_cancel=True),
    FillPolicy(slippage_bps=3, locate_seconds=5, commission_delay_seconds=float("inf")),
)


@cache
def market_of(seed):
    corporate = {1: (Split(FIRST_DAY + 1, 2.0), Dividend(FIRST_DAY + 2, 0.5)), 2: (Split(FIRST_DAY + 2, 0.1),)}
    return FakeMarket(seed=seed, corporate=corporate)


class ExchangeMachine(RuleBasedStateMachine):
    orders = Bundle("orders")

    @initialize(seed=st.integers(0, 7), start=st.integers(-400, 560))
    def begin(self, seed, start):
        self.folder = tempfile.TemporaryDirectory()
        self.market = market_of(seed)
        self.clock = ManualClock(OPEN + start * SECOND)
        self.policy = FillPolicy()
        self.seen = {}
        self.corrected = set()
        self.next_id = 2
        self.open()

    def open(self):
        state = State(Path(self.folder.name) / "state")
        self.exchange = Exchange(self.market, self.clock, ACCOUNTS, policy=self.policy, state=state)

    @property
    def now(self):
        return self.exchange.now_ns

    @rule(
        target=orders,
        listing=st.sampled_from([AAA, AAA, BBB, EURUSD, FUT]),
        action=st.sampled_from(["BUY", "SELL"]),
        kind=st.sampled_from(
            ["MKT", "MKT", "LMT", "LMT", "STP", "STP LMT", "TRAIL", "MIT", "LIT", "MOC", "TRAIL LIMIT"]
        ),
        ticks=st.integers(-60, 60),
        parts=st.integers(1, 4),
        tif=st.sampled_from(["DAY", "DAY", "GTC", "IOC", "FOK"]),
        outside=st.booleans(),
        group=st.sampled_from(["", "", "", "g", "h"]),
        oca_type=st.integers(1, 3),
        transmit=st.sampled_from([True, True, True, False]),
        family=st.sampled_from(["", "", "child"]),
        client=st.sampled_from([0, 5]),
        account=st.sampled_from(sorted(ACCOUNTS)),
    )
    def place(
        self, listing, action, kind, ticks, parts, tif, outside, group, oca_type, transmit, family, client, account
    ):  # fmt: skip
        parent = self.last_parent.get((client, account), 0) if family and hasattr(self, "last_parent") else 0
        price = on_tick(self.exchange.mark(listing.con_id, self.now), listing.tick)
        near = on_tick(max(price + ticks * listing.tick, listing.tick), listing.tick)
        request = WireOrder(
            self.next_id,
            listing.contract,
            action,
            float(SIZES[listing.con_id] * parts),
            kind,
            limit_price=near if kind in ("LMT", "STP LMT", "LIT") else float("nan"),
            aux_price=(20 * listing.tick if kind.startswith("TRAIL") else near) if kind != "MKT" else float("nan"),
            limit_price_offset=listing.tick if kind == "TRAIL LIMIT" else float("nan"),
            tif="DAY" if kind == "MOC" else tif,
            outside_rth=outside,
            oca_group=f"{group} of day {self.now // DAY}" if group and not parent else "",
            oca_type=oca_type if group and not parent else 0,
            transmit=transmit,
            parent_id=parent,
            account=account,
        )
        self.next_id += 2
        self.exchange.place(client, request, self.now)
        if not hasattr(self, "last_parent"):
            self.last_parent = {}
        if not parent and self.exchange.find_order(client, request.order_id) is not None:
            self.last_parent[client, account] = request.order_id
        return client, request.order_id

    @rule(
        target=orders,
        listing=st.sampled_from([AAA, BBB, FUT]),
        away=st.integers(1, 8),
        exits=st.integers(1, 8),
        action=st.sampled_from(["BUY", "SELL"]),
    )
    def bracket(self, listing, away, exits, action):
        """A limit order that may wait, with exits so near that one which does not wait fills before it."""
        sign = 1 if action == "BUY" else -1
        other = "SELL" if action == "BUY" else "BUY"
        price = on_tick(self.exchange.mark(listing.con_id, self.now), listing.tick)
        limit = on_tick(price - sign * away * listing.tick, listing.tick)
        target = on_tick(price + sign * exits * listing.tick, listing.tick)
        stop = on_tick(limit - sign * exits * listing.tick, listing.tick)
        parent, size = self.next_id, float(SIZES[listing.con_id])
        self.next_id += 4
        for n, (side, kind, prices) in enumerate(
            [
                (action, "LMT", {"limit_price": limit}),
                (other, "LMT", {"limit_price": target}),
                (other, "STP", {"aux_price": stop}),
            ]
        ):
            request = WireOrder(
                parent + n, listing.contract, side, size, kind, tif="GTC", account="DU1",
                parent_id=parent if n else 0, transmit=n == 2, **prices,
            )  # fmt: skip
            self.exchange.place(5, request, self.now)
        return 5, parent

    @rule(listing=st.sampled_from([AAA, BBB, FUT]), oca_type=st.integers(0, 3), away=st.integers(-3, 5))
    def pair(self, listing, oca_type, away):
        """Two of one group, both of which will soon fill if they are let."""
        price = on_tick(self.exchange.mark(listing.con_id, self.now), listing.tick)
        for action, sign in (("BUY", 1), ("SELL", -1)):
            limit = on_tick(price - sign * away * listing.tick, listing.tick)
            request = WireOrder(
                self.next_id, listing.contract, action, float(SIZES[listing.con_id]), "LMT", limit_price=limit,
                tif="GTC", account="DU1", oca_group=f"pair {self.next_id // 2}", oca_type=oca_type,
            )  # fmt: skip
            self.exchange.place(5, request, self.now)
            self.next_id += 1
        self.next_id += self.next_id % 2

    @rule(listing=st.sampled_from([AAA, BBB]), action=st.sampled_from(["BUY", "SELL"]))
    def trail_far(self, listing, action):
        request = WireOrder(
            self.next_id, listing.contract, action, 10.0, "TRAIL", aux_price=3.0, tif="GTC", account="DU1"
        )
        self.next_id += 2
        self.exchange.place(5, request, self.now)

    @rule(which=orders, quantity=st.integers(1, 5), ticks=st.integers(-20, 20))
    def modify(self, which, quantity, ticks):
        placed = self.exchange.find_order(*which)
        if placed is None or placed.request.oca_group or placed.request.parent_id:
            return
        tick, request = placed.listing.tick, placed.request
        changes = {name: getattr(request, name) for name in WireOrder.__slots__}
        changes["quantity"] = float(SIZES[placed.listing.con_id] * quantity)
        if request.order_type == "LMT":
            changes["limit_price"] = on_tick(max(request.limit_price + ticks * tick, tick), tick)
        changes["transmit"] = True
        self.exchange.place(which[0], WireOrder(**changes), self.now)

    @rule(which=orders, other=st.sampled_from([0, 0, 1]))
    def cancel(self, which, other):
        self.exchange.cancel(which[0] + other, which[1], self.now)

    @rule(seconds=st.one_of(st.integers(1, 90), st.sampled_from([0, 0.25, 600, 7_200, 86_400])))
    def advance(self, seconds):
        self.exchange.advance(self.now + round(seconds * SECOND))

    @rule(n=st.integers(0, 20), part=st.sampled_from([0.0, 0.5, 1.0]), ticks=st.integers(-5, 5))
    def correct(self, n, part, ticks):
        done = self.exchange.executions()
        if done:
            execution = done[n % len(done)]
            step = execution.listing.size_step
            quantity = float(int(execution.quantity * part / step)) * step
            price = max(on_tick(execution.price, execution.listing.tick) + ticks * execution.listing.tick, 0.25)
            try:
                self.exchange.correct(execution.exec_id, quantity, price, self.now)
            except ValueError:
                return
            self.corrected.add(execution.perm_id)

    @rule(policy=st.sampled_from(POLICIES))
    def change_policy(self, policy):
        self.policy = self.exchange.policy = policy

    @rule(quantity=st.sampled_from([10, 100]), action=st.sampled_from(["BUY", "SELL"]))
    def manual(self, quantity, action):
        request = WireOrder(0, AAA.contract, action, quantity, "MKT", account="DU1")
        try:
            self.exchange.external_order(request, self.now)
        except ValueError:
            return
        self.exchange.bind_external(self.now)

    @rule(ends=st.sampled_from(["all", "first"]))
    def end(self, ends):
        if ends == "all":
            self.exchange.cancel_all(self.now)
        elif self.exchange.open_orders():
            self.exchange.cancel_by_exchange(self.exchange.open_orders()[0].perm_id, self.now, "why not")

    @precondition(lambda self: hasattr(self, "exchange"))
    @rule()
    def restart(self):
        before = self.picture()
        self.exchange.close()
        self.clock = ManualClock(self.now)
        self.open()
        # What only time changed is lived through again; what was told is there at once.
        assert self.picture(with_prices=False) == {key: before[key] for key in self.picture(with_prices=False)}
        self.exchange.advance(self.clock.now_ns())
        assert self.picture() == before

    def picture(self, with_prices=True):
        exchange = self.exchange
        orders = exchange.open_orders() + exchange.completed_orders()
        told = {
            "executions": [each._replace(listing=each.listing.con_id) for each in exchange.executions()],
            "cash": dict(exchange.books.cash),
            "ledger": list(map(str, exchange.ledger)),
            "ids": [exchange.next_order_id(client) for client in (0, 5)],
            "orders": [
                (each.perm_id, each.client_id, each.order_id, each.status, each.filled, each.average_price)
                for each in orders
            ],
            "holdings": sorted(
                (each.account, each.listing.con_id, each.quantity, each.average_price)
                for account in ACCOUNTS
                for each in exchange.holdings(account)
            ),
        }
        if with_prices:
            told["stops"] = [repr(each.stop_price) for each in orders]
            told["now"] = exchange.now_ns
        return told

    @invariant()
    def books_agree_with_the_ledger(self):
        if hasattr(self, "exchange"):
            check(self.exchange, self.market)

    @invariant()
    def what_is_over_stays_over(self):
        if not hasattr(self, "exchange"):
            return
        for placed in self.exchange.open_orders() + self.exchange.completed_orders():
            status, filled = self.seen.get(placed.perm_id, (placed.status, 0.0))
            if status.is_done:
                assert placed.status is status
            split = placed.listing.con_id in (1, 2)
            if placed.perm_id not in self.corrected and not split:
                assert placed.filled >= filled
            self.seen[placed.perm_id] = (placed.status, placed.filled)

    def teardown(self):
        if hasattr(self, "exchange"):
            self.exchange.close()
            self.folder.cleanup()


FEW = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=int(os.environ.get("EXCHANGE_EXAMPLES", "1000")))


def test_the_books_agree_whatever_happens():
    run_state_machine_as_test(ExchangeMachine, settings=FEW)


@pytest.mark.exhaustive
def test_the_books_agree_whatever_happens_often():
    run_state_machine_as_test(ExchangeMachine, settings=MANY)
