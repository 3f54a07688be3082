"""Orders at the simulated exchange: what clients are told, in which order, and what the books say."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.policy import RejectRule
from gateway.simulator.records import AccountChanged, Executed, HoldingChanged, Opened, OrderStatus, WireOrder
from tests.gateway.simulator.exchange_checks import check
from tests.gateway.simulator.exchange_words import (
    ACCOUNT,
    CLIENT,
    START,
    cancel,
    fills,
    make,
    order,
    place,
    said,
    short,
    values,
    wait,
)
from tests.gateway.simulator.fake_market import AAA, BBB, CLOSE, DAY, EURUSD, FUT, IDX, OPEN, SECOND, FakeMarket, stock

DOWN = ((100.0, 100.0, 99.0, 99.0), (99.0, 99.0, 97.0, 97.0))
UP = ((100.0, 101.0, 100.0, 101.0), (101.0, 103.0, 101.0, 103.0))
BACK = (103.0, 103.0, 101.0, 101.0)


def moving(*rows, at=START + SECOND, listing=AAA):
    market = FakeMarket()
    market.write(listing, at, *rows)
    return market


# Fills


def test_a_market_order_fills_at_the_open_of_the_next_second_and_is_told_as_ib_tells_it():
    exchange = make(moving((100.1, 100.3, 100.0, 100.2), 100.2, at=START))
    assert place(exchange) == ["open 1 PreSubmitted", "status 1 PreSubmitted 0/100"]
    facts = exchange.advance(START + 1)
    assert short(facts) == ["exec BOT 100 @ 100.1", "open 1 Filled", "status 1 Filled 100/0", "open 1 Filled", "fee 1"]
    assert [type(fact) for fact in facts[-2:]] == [HoldingChanged, AccountChanged]
    assert facts[0].execution.time_ns == START


def test_an_order_placed_inside_a_second_waits_for_the_next_one():
    exchange = make(moving((100.1, 100.3, 100.0, 100.2), (100.2, 100.4, 100.2, 100.4), at=START))
    exchange.place(CLIENT, order(), START + 1)
    assert short(exchange.advance(START + SECOND)) == []
    assert fills(short(exchange.advance(START + SECOND + 1))) == ["exec BOT 100 @ 100.2"]


@pytest.mark.parametrize(
    ("kind", "action", "prices", "path", "fill"),
    [
        ("LMT", "BUY", {"limit_price": 98.5}, DOWN, 98.5),
        ("LMT", "SELL", {"limit_price": 102}, UP, 102),
        ("LMT", "BUY", {"limit_price": 98.5}, (98.0,), 98),
        ("STP", "BUY", {"aux_price": 100.5}, UP, 100.5),
        ("STP", "SELL", {"aux_price": 99.5}, DOWN, 99.5),
        ("STP", "SELL", {"aux_price": 99.5}, (98.0,), 98),
        ("STP LMT", "BUY", {"aux_price": 100.5, "limit_price": 100.6}, UP, 100.5),
        ("STP LMT", "SELL", {"aux_price": 99.5, "limit_price": 99.6}, (*DOWN, (97.0, 99.8, 97.0, 99.8)), 99.6),
        ("MIT", "BUY", {"aux_price": 98.5}, DOWN, 98.5),
        ("MIT", "SELL", {"aux_price": 102}, UP, 102),
        ("LIT", "BUY", {"aux_price": 98.5, "limit_price": 98.6}, DOWN, 98.5),
        ("LIT", "BUY", {"aux_price": 98.5, "limit_price": 97.5}, DOWN, 97.5),
        ("TRAIL", "SELL", {"aux_price": 1.0}, (*UP, BACK), 102),
        ("TRAIL", "BUY", {"aux_price": 1.0}, (*DOWN, (97.0, 99.0, 97.0, 99.0)), 98),
        ("TRAIL", "SELL", {"trailing_percent": 1.0}, (*UP, BACK), 101.97),
        ("TRAIL", "SELL", {"aux_price": 1.0, "trail_stop_price": 99.8}, DOWN, 99.8),
        (
            "TRAIL LIMIT",
            "SELL",
            {"aux_price": 1.0, "limit_price_offset": 0.2},
            (*UP, BACK),
            102,
        ),
        ("LOC", "BUY", {"limit_price": 98}, DOWN, 97),
        ("MOC", "SELL", {}, UP, 103),
    ],
)
def test_each_order_type_fills_at_its_price(kind, action, prices, path, fill):
    exchange = make(moving(*path))
    assert place(exchange, action=action, kind=kind, **prices)[0].startswith("open 1")
    side = "BOT" if action == "BUY" else "SLD"
    assert fills(short(exchange.advance(CLOSE))) == [f"exec {side} 100 @ {fill:g}"]


def test_a_stop_limit_that_was_passed_by_waits_as_a_limit():
    exchange = make(moving((98.0, 98.0, 97.0, 97.0), 97.0, (97.0, 100.0, 97.0, 100.0)))
    assert place(exchange, action="SELL", kind="STP LMT", aux_price=99.5, limit_price=99.4) == [
        "open 1 PreSubmitted",
        "status 1 PreSubmitted 0/100 trigger",
    ]
    assert wait(exchange, 3) == ["open 1 Submitted", "status 1 Submitted 0/100"]
    assert fills(wait(exchange, 1)) == ["exec SLD 100 @ 99.4"]


def test_a_limit_order_that_rests_is_submitted_and_a_stop_waits_for_its_trigger():
    exchange = make()
    assert place(exchange, 1, kind="LMT", limit_price=90) == ["open 1 Submitted", "status 1 Submitted 0/100"]
    assert place(exchange, 2, kind="STP", aux_price=110) == [
        "open 2 PreSubmitted",
        "status 2 PreSubmitted 0/100 trigger",
    ]


def test_slippage_moves_market_and_stop_fills_against_the_order():
    exchange = make(slippage_bps=10)
    place(exchange)
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100.1"]


def test_nothing_fills_while_an_instrument_is_halted():
    market = moving(100.5)
    market.halts = {(AAA.con_id, START + second * SECOND) for second in range(5)}
    exchange = make(market)
    place(exchange)
    assert wait(exchange, 5) == []
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100.5"]


# Times in force


def test_a_day_order_ends_with_its_session():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    assert short(exchange.advance(CLOSE - 1)) == []
    facts = exchange.advance(CLOSE)
    assert short(facts) == ["status 1 Cancelled 0/100", "202 1"]
    assert said(facts, 202) == ["Order Canceled - reason:"]
    assert exchange.completed_orders()[0].completed_status == "Cancelled by System"


def test_a_good_till_cancelled_order_fills_days_later():
    exchange = make(moving(90.0, at=OPEN + 2 * DAY))
    place(exchange, kind="LMT", limit_price=95, tif="GTC")
    facts = exchange.advance(OPEN + 2 * DAY + SECOND)
    assert fills(short(facts)) == ["exec BOT 100 @ 90"]


def test_an_order_before_the_open_is_held_with_399_and_works_from_the_open_on():
    exchange = make(start_ns=OPEN - 60 * SECOND)
    facts = exchange.place(CLIENT, order(kind="LMT", limit_price=90), exchange.now_ns)
    assert short(facts) == ["open 1 PreSubmitted", "status 1 PreSubmitted 0/100", "399 1"]
    (text,) = said(facts, 399)
    assert text == (
        "Order Message:\nBUY 100 AAA NASDAQ\n"
        "Warning: Your order will not be placed at the exchange until 2026-11-23 09:30:00 US/Eastern"
    )
    assert wait(exchange, 59) == []
    assert wait(exchange, 1) == ["open 1 Submitted", "status 1 Submitted 0/100"]


def test_an_order_outside_regular_hours_works_at_once():
    exchange = make(start_ns=OPEN - 60 * SECOND)
    assert place(exchange, kind="LMT", limit_price=100, outside_rth=True)[0] == "open 1 Submitted"
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100"]


def test_outside_regular_hours_means_nothing_to_a_market_order_in_a_stock():
    exchange = make(start_ns=OPEN - 60 * SECOND)
    assert place(exchange, outside_rth=True) == [
        "2109 1",
        "open 1 PreSubmitted",
        "status 1 PreSubmitted 0/100",
        "399 1",
    ]
    assert place(exchange, 2, kind="MKT", listing=FUT, quantity=1, outside_rth=True)[0] == "open 2 PreSubmitted"
    assert fills(wait(exchange, 1)) == ["exec BOT 1 @ 5000"]


def test_a_market_order_held_overnight_fills_at_the_next_open():
    exchange = make(moving(123.0, at=OPEN + DAY), start_ns=CLOSE)
    assert place(exchange)[-1] == "399 1"
    facts = exchange.advance(OPEN + DAY + SECOND)
    assert fills(short(facts)) == ["exec BOT 100 @ 123"]
    assert next(fact for fact in facts if isinstance(fact, Executed)).execution.time_ns == OPEN + DAY


@pytest.mark.parametrize("tif", ["IOC", "FOK"])
def test_what_cannot_fill_at_once_is_cancelled_at_once(tif):
    exchange = make()
    place(exchange, kind="LMT", limit_price=99, tif=tif)
    assert wait(exchange, 1) == ["status 1 Cancelled 0/100", "202 1"]


def test_immediate_or_cancel_keeps_its_part_and_fill_or_kill_takes_none():
    exchange = make(part_size=40)
    place(exchange, 1, kind="LMT", limit_price=100, tif="IOC")
    assert wait(exchange, 1) == [
        "exec BOT 40 @ 100",
        "status 1 Submitted 40/60",
        "fee 1",
        "status 1 Cancelled 40/60",
        "202 1",
    ]
    place(exchange, 2, kind="LMT", limit_price=100, tif="FOK")
    assert wait(exchange, 1) == ["status 2 Cancelled 0/100", "202 2"]


def test_a_good_till_date_order_ends_at_its_time():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90, tif="GTD", good_till_date="20261123 09:32:00 US/Eastern")
    assert wait(exchange, 59) == []
    assert wait(exchange, 1) == ["status 1 Cancelled 0/100", "202 1"]


def test_a_good_after_time_order_waits_for_its_time():
    exchange = make()
    assert place(exchange, good_after_time="20261123-14:32:00")[0] == "open 1 PreSubmitted"
    assert fills(wait(exchange, 60)) == []
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100"]


def test_an_order_for_the_opening_fills_at_the_open_or_not_at_all():
    exchange = make(moving((101.0, 101.0, 99.0, 99.0), at=OPEN), start_ns=OPEN - 60 * SECOND)
    place(exchange, 1, tif="OPG")
    place(exchange, 2, kind="LMT", limit_price=100, tif="OPG")
    words = wait(exchange, 61)
    assert fills(words) == ["exec BOT 100 @ 101"]
    assert "status 2 Cancelled 0/100" in words


# Parts


def test_an_order_filled_in_parts_tells_each_part():
    exchange = make(part_size=40)
    place(exchange)
    assert wait(exchange, 1) == ["exec BOT 40 @ 100", "status 1 Submitted 40/60", "fee 1"]
    assert wait(exchange, 1) == ["exec BOT 40 @ 100", "status 1 Submitted 80/20", "fee 0"]
    assert wait(exchange, 1) == [
        "exec BOT 20 @ 100",
        "open 1 Filled",
        "status 1 Filled 100/0",
        "open 1 Filled",
        "fee 0",
    ]
    assert [each.cumulative for each in exchange.executions()] == [40, 80, 100]


def test_parts_may_be_fractions_of_the_order_or_of_the_volume():
    exchange = make(fractions=(0.5, 0.3, 0.2))
    place(exchange)
    assert fills(wait(exchange, 5)) == ["exec BOT 50 @ 100", "exec BOT 30 @ 100", "exec BOT 20 @ 100"]
    exchange = make(volume_cap=0.06)
    place(exchange)
    assert fills(wait(exchange, 5)) == ["exec BOT 60 @ 100", "exec BOT 40 @ 100"]


def test_all_or_none_waits_for_a_part_that_is_the_whole():
    exchange = make(part_size=40)
    place(exchange, all_or_none=True)
    assert wait(exchange, 5) == []


# Policies


def test_never_fills_never():
    exchange = make(fill="never")
    place(exchange)
    assert wait(exchange, 60) == []


def test_next_fills_a_second_after_the_touch():
    exchange = make(moving(100.5, 101.0), fill="next")
    place(exchange)
    assert fills(wait(exchange, 1)) == []
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100.5"]


def test_a_delay_keeps_an_order_from_the_market():
    exchange = make(moving(100.5, at=START + 3 * SECOND), delay_seconds=2.5)
    place(exchange)
    assert fills(wait(exchange, 3)) == []
    assert fills(wait(exchange, 1)) == ["exec BOT 100 @ 100.5"]


def test_the_status_may_come_before_the_execution_and_both_more_than_once():
    exchange = make(status_first=True, statuses_told=2, executions_told=2)
    place(exchange)
    assert wait(exchange, 1)[:5] == [
        "open 1 Filled",
        "status 1 Filled 100/0",
        "status 1 Filled 100/0",
        "exec BOT 100 @ 100",
        "exec BOT 100 @ 100",
    ]
    assert len(list(exchange.ledger.of("execution"))) == 1


def test_a_commission_may_come_late_or_never():
    exchange = make(commission_delay_seconds=2)
    place(exchange)
    assert "fee 1" not in wait(exchange, 1)
    (execution,) = exchange.executions()
    assert exchange.commission_of(execution.exec_id) is None
    assert values(exchange)["TotalCashValue"] == "90000.00"
    assert wait(exchange, 1) == ["open 1 Filled", "fee 1"]
    assert values(exchange)["TotalCashValue"] == "89999.00"
    exchange = make(commission_delay_seconds=float("inf"))
    place(exchange)
    assert "fee 1" not in short(exchange.advance(CLOSE))


def test_a_preset_time_in_force_is_told_and_the_order_lives():
    exchange = make(tif_preset=True)
    assert place(exchange, tif="") == ["10349 1", "open 1 PreSubmitted", "status 1 PreSubmitted 0/100"]
    assert fills(wait(exchange, 1))


def test_a_short_sale_waits_while_shares_are_located():
    exchange = make(locate_seconds=5)
    assert place(exchange, action="SELL") == ["open 1 PreSubmitted", "status 1 PreSubmitted 0/100", "404 1"]
    assert fills(wait(exchange, 5)) == []
    assert fills(wait(exchange, 1)) == ["exec SLD 100 @ 100"]


def test_a_cancel_may_be_slow_and_cross_a_fill():
    exchange = make(moving(*DOWN), cancel_delay_seconds=3, tells_pending_cancel=True)
    place(exchange, 1, kind="LMT", limit_price=99)
    place(exchange, 2, kind="LMT", limit_price=50)
    assert cancel(exchange, 1) == ["status 1 PendingCancel 0/100"]
    assert cancel(exchange, 2) == ["status 2 PendingCancel 0/100"]
    words = wait(exchange, 3)
    assert fills(words) == ["exec BOT 100 @ 99"]
    assert words[-2:] == ["status 2 Cancelled 0/100", "202 2"]


# Cancelling


def test_what_is_cancelled_says_so_and_fills_no_more():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    assert cancel(exchange) == ["status 1 Cancelled 0/100", "202 1"]
    assert exchange.open_orders() == []
    assert [done.completed_status for done in exchange.completed_orders()] == ["Cancelled by Trader"]


def test_cancels_that_cannot_be_are_answered_by_what_the_order_is():
    exchange = make()
    place(exchange, 1)
    place(exchange, 2, kind="LMT", limit_price=90)
    assert cancel(exchange, 2, client=8) == ["10147 2"]
    assert cancel(exchange, 99) == ["10147 99"]
    wait(exchange, 1)
    assert cancel(exchange, 1) == ["10148 1"]
    cancel(exchange, 2)
    assert cancel(exchange, 2) == ["161 2"]


def test_a_global_cancel_ends_the_orders_of_all_clients():
    exchange = make()
    place(exchange, 1, kind="LMT", limit_price=90, client=1)
    place(exchange, 1, kind="LMT", limit_price=91, client=2)
    words = short(exchange.cancel_all(exchange.now_ns))
    assert words == ["status 1 Cancelled 0/100", "202 1"] * 2


def test_an_order_may_be_cancelled_by_the_exchange_itself():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    facts = exchange.cancel_by_exchange(exchange.find_order(CLIENT, 1).perm_id, exchange.now_ns, "Halted by IB")
    assert short(facts) == ["status 1 Cancelled 0/100", "202 1"]
    assert said(facts, 202) == ["Order Canceled - reason:Halted by IB"]


# Changing


def test_price_and_quantity_of_a_working_order_may_change():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    perm_id = exchange.find_order(CLIENT, 1).perm_id
    assert place(exchange, kind="LMT", limit_price=100, quantity=60) == ["open 1 Submitted", "status 1 Submitted 0/60"]
    assert exchange.find_order(CLIENT, 1).perm_id == perm_id
    assert fills(wait(exchange, 1)) == ["exec BOT 60 @ 100"]


@pytest.mark.parametrize(
    "change", [{"action": "SELL"}, {"kind": "STP LMT", "aux_price": 95}, {"listing": BBB}, {"oca_group": "new"}]
)
def test_other_terms_may_not(change):
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    assert place(exchange, **{"kind": "LMT", "limit_price": 90, **change}) == ["105 1"]
    assert exchange.find_order(CLIENT, 1).status is OrderStatus.SUBMITTED


def test_a_refused_change_leaves_the_order_as_it_was():
    exchange = make()
    place(exchange, kind="LMT", limit_price=90)
    assert place(exchange, kind="LMT", limit_price=90.001) == ["110 1"]
    assert place(exchange, kind="LMT", limit_price=90, quantity=1e6) == ["201 1"]
    assert exchange.find_order(CLIENT, 1).request.quantity == 100


def test_a_trailing_stop_stays_where_it_got_when_only_its_quantity_changes():
    exchange = make(moving(*UP))
    place(exchange, action="SELL", kind="TRAIL", aux_price=1.0)
    wait(exchange, 5)
    assert exchange.find_order(CLIENT, 1).stop_price == 102
    place(exchange, action="SELL", kind="TRAIL", aux_price=1.0, quantity=50)
    assert exchange.find_order(CLIENT, 1).stop_price == 102
    place(exchange, action="SELL", kind="TRAIL", aux_price=2.0, quantity=50)
    assert exchange.find_order(CLIENT, 1).stop_price == 101


def test_a_trailing_limit_keeps_its_distance_from_the_stop_however_it_was_given():
    exchange = make(moving(*UP, BACK))
    place(exchange, action="SELL", kind="TRAIL LIMIT", aux_price=1.0, trail_stop_price=99.0, limit_price=98.5)
    wait(exchange, 3)
    placed = exchange.find_order(CLIENT, 1)
    assert (placed.stop_price, placed.request.limit_price_offset) == (102, 0.5)
    place(exchange, 1, "SELL", 50, kind="TRAIL LIMIT", aux_price=1.0, trail_stop_price=99.0, limit_price=98.5)
    assert exchange.find_order(CLIENT, 1).stop_price == 102
    assert fills(wait(exchange, 1)) == ["exec SLD 50 @ 102"]


def test_a_done_order_cannot_be_changed():
    exchange = make()
    place(exchange, 1)
    place(exchange, 2, kind="LMT", limit_price=90)
    wait(exchange, 1)
    assert place(exchange, 1) == ["104 1"]
    cancel(exchange, 2)
    assert place(exchange, 2, kind="LMT", limit_price=90) == ["103 2"]


# Families and groups


def bracket(exchange, *, parent=None, stop=95.0, target=105.0, quantity=100):
    words = place(exchange, 1, transmit=False, quantity=quantity, **(parent or {}))
    words += place(exchange, 2, "SELL", quantity, "LMT", limit_price=target, parent_id=1, transmit=False)
    assert words == []
    assert exchange.open_orders() == []
    return place(exchange, 3, "SELL", quantity, "STP", aux_price=stop, parent_id=1)


def test_the_last_of_a_bracket_releases_all_of_it_and_children_wait():
    exchange = make()
    assert bracket(exchange, parent={"kind": "LMT", "limit_price": 99}) == [
        "open 1 Submitted",
        "status 1 Submitted 0/100",
        "open 2 PreSubmitted",
        "status 2 PreSubmitted 0/100 child",
        "open 3 PreSubmitted",
        "status 3 PreSubmitted 0/100 child,trigger",
    ]


def test_children_work_from_the_second_after_their_parents_fill_as_one_group():
    exchange = make(moving((100.0, 106.0, 100.0, 106.0), 104.0, (104.0, 105.5, 104.0, 105.0), at=START))
    bracket(exchange)
    words = wait(exchange, 1)
    assert fills(words) == ["exec BOT 100 @ 100"]
    assert "status 2 Submitted 0/100" in words
    group = {placed.request.oca_group for placed in exchange.open_orders()}
    assert group == {str(exchange.find_order(CLIENT, 1).perm_id)}
    assert fills(wait(exchange, 1)) == []
    words = wait(exchange, 1)
    assert fills(words) == ["exec SLD 100 @ 105"]
    assert words[-2:] == ["status 3 Cancelled 0/100", "202 3"]
    assert exchange.holdings(ACCOUNT)[0].quantity == 0


def test_a_cancelled_parent_takes_its_children_along():
    exchange = make()
    bracket(exchange, parent={"kind": "LMT", "limit_price": 90})
    assert cancel(exchange, 1) == [
        f"{what} {n}{rest}" for n in (1, 2, 3) for what, rest in (("status", " Cancelled 0/100"), ("202", ""))
    ]


def test_a_child_needs_a_parent_that_works():
    exchange = make()
    assert place(exchange, 2, "SELL", kind="LMT", limit_price=110, parent_id=1) == ["10006 2"]
    place(exchange, 3)
    wait(exchange, 1)
    assert place(exchange, 4, "SELL", kind="LMT", limit_price=110, parent_id=3) == ["201 4"]


def test_a_parent_sent_anew_to_be_transmitted_takes_its_children_along():
    exchange = make()
    place(exchange, 1, kind="LMT", limit_price=90, transmit=False)
    place(exchange, 2, "SELL", kind="LMT", limit_price=110, parent_id=1, transmit=False)
    words = place(exchange, 1, kind="LMT", limit_price=91)
    assert [word for word in words if word.startswith("open")] == ["open 1 Submitted", "open 2 PreSubmitted"]


def group(exchange, oca_type, other_quantity=100):
    place(exchange, 1, kind="LMT", limit_price=99, oca_group="g", oca_type=oca_type)
    place(exchange, 2, kind="LMT", limit_price=90, quantity=other_quantity, oca_group="g", oca_type=oca_type)


@pytest.mark.parametrize("oca_type", [1, 2, 3])
def test_one_of_a_group_that_fills_cancels_the_others(oca_type):
    exchange = make(moving(*DOWN))
    group(exchange, oca_type)
    words = wait(exchange, 2)
    assert fills(words) == ["exec BOT 100 @ 99"]
    assert words[-2:] == ["status 2 Cancelled 0/100", "202 2"]


def test_a_part_cancels_the_others_with_type_1_and_reduces_them_with_2_and_3():
    for oca_type, expected in (
        (1, "status 2 Cancelled 0/50"),
        (2, "status 2 Submitted 0/30"),
        (3, "status 2 Submitted 0/30"),
    ):
        exchange = make(moving(*DOWN), part_size=40)
        group(exchange, oca_type, other_quantity=50)
        assert expected in wait(exchange, 2)


def test_nobody_joins_a_group_that_has_filled():
    exchange = make(moving(*DOWN))
    group(exchange, 1)
    wait(exchange, 3)
    facts = exchange.place(CLIENT, order(3, kind="LMT", limit_price=90, oca_group="g"), exchange.now_ns)
    assert said(facts, 201) == ["Order rejected - reason:The OCA group g has already been filled."]


def test_a_group_of_another_account_is_another_group():
    exchange = make(moving(*DOWN), accounts=("DU1", "DU2"))
    place(exchange, 1, kind="LMT", limit_price=99, oca_group="g", account="DU1")
    place(exchange, 2, kind="LMT", limit_price=98, oca_group="g", account="DU2")
    assert len(fills(wait(exchange, 3))) == 2


# Refusals


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (434, {"quantity": 0}),
        (388, {"quantity": 0.5}),
        (10243, {"quantity": 1.5}),
        (321, {"quantity": -1}),
        (110, {"kind": "LMT", "limit_price": 99.995}),
        (110, {"kind": "STP", "aux_price": 99.995}),
        (463, {"kind": "LMT"}),
        (463, {"kind": "STP", "aux_price": 0}),
        (387, {"kind": "PEG MID"}),
        (387, {"kind": "MOC", "listing": EURUSD, "quantity": 20_000}),
        (321, {"tif": "AUC"}),
        (321, {"action": "HOLD"}),
        (113, {"kind": "MOC", "tif": "GTC"}),
        (111, {"kind": "STP", "aux_price": 110, "tif": "OPG"}),
        (203, {"listing": IDX}),
        (200, {"listing": stock(99, "NONE")}),
        (201, {"unsupported": ("conditions",)}),
        (442, {"algo_strategy": "Adaptive"}),
        (10244, {"cash_quantity": 1000.0}),
        (321, {"account": "DU9"}),
        (391, {"tif": "GTD", "kind": "LMT", "limit_price": 90, "good_till_date": "soon"}),
        (391, {"tif": "GTD", "kind": "LMT", "limit_price": 90}),
        (391, {"good_after_time": "20261123 25:00:00"}),
        (201, {"tif": "GTD", "kind": "LMT", "limit_price": 90, "good_till_date": "20261122 10:00:00"}),
        (321, {"kind": "TRAIL"}),
        (321, {"kind": "TRAIL", "aux_price": 1.0, "trailing_percent": 1.0}),
        (463, {"kind": "TRAIL", "trailing_percent": 100.0}),
        (321, {"kind": "TRAIL LIMIT", "aux_price": 1.0}),
        (201, {"quantity": 10_000}),
        (413, {"what_if": True, "transmit": False}),
    ],
)
def test_a_wrong_order_is_refused_with_ibs_code_and_leaves_no_trace(code, change):
    exchange = make()
    assert place(exchange, **change) == [f"{code} 1"]
    assert exchange.open_orders() == []
    assert exchange.next_order_id(CLIENT) == 1
    assert not list(exchange.ledger.of("order"))


def test_an_order_id_must_be_new():
    exchange = make()
    place(exchange, 5, kind="LMT", limit_price=90)
    assert place(exchange, 4, kind="LMT", limit_price=90) == ["103 4"]
    assert place(exchange, 4, kind="LMT", limit_price=90, client=8) != ["103 4"]


def test_several_accounts_make_the_account_a_duty():
    exchange = make(accounts=("DU1", "DU2"))
    assert place(exchange) == ["436 1"]
    assert place(exchange, account="DU2")[0] == "open 1 PreSubmitted"


def test_the_refusal_for_want_of_money_names_both_sums():
    exchange = make()
    (text,) = said(exchange.place(CLIENT, order(quantity=10_000), exchange.now_ns), 201)
    assert "EQUITY WITH LOAN VALUE [100000.00 USD] MUST EXCEED THE INITIAL MARGIN [500000.00 USD]" in text


def test_orders_that_work_count_against_the_money():
    exchange = make()
    place(exchange, 1, kind="LMT", limit_price=99, quantity=1_500)
    assert place(exchange, 2, kind="LMT", limit_price=99, quantity=1_500) == ["201 2"]
    assert place(exchange, 3, "SELL", kind="LMT", limit_price=101, quantity=1_500)[0] == "open 3 Submitted"


def test_rules_and_permissions_refuse_as_they_are_told():
    exchange = make(denied_types=("FUT",), tells_inactive=True)
    assert place(exchange, 1, listing=FUT, quantity=1) == ["460 1", "status 1 Inactive 0/0"]
    exchange = make()
    exchange.reject_rules.append(RejectRule(code=201, symbol="AAA"))
    assert place(exchange, 1) == ["201 1"]
    assert place(exchange, 1)[0] == "open 1 PreSubmitted"


def test_a_what_if_order_is_answered_with_numbers_and_forgotten():
    exchange = make()
    facts = exchange.place(CLIENT, order(what_if=True), exchange.now_ns)
    (fact,) = facts
    assert isinstance(fact, Opened)
    assert fact.margins.initial == (0, 5_000, 5_000)
    assert fact.margins.maintenance == (0, 2_500, 2_500)
    assert fact.margins.equity == (100_000, -1, 99_999)
    assert (fact.margins.commission, fact.margins.currency) == (1.0, "USD")
    assert exchange.open_orders() == []
    assert place(exchange)[0] == "open 1 PreSubmitted"


NUMBERS = st.sampled_from([0.0, -1.0, 1.0, 100.0, 100.005, 1e-300, 1e300, 1.7e308, math.inf, -math.inf, math.nan])
WORDS = st.sampled_from(
    ["", "MKT", "lmt", "TRAIL", "TRAIL LIMIT", "STP", "BUY", "SELL", "GTC", "GTD", "OPG", "DU1", "\0", "é"]
)
TIMES = st.sampled_from(["", "x", "20261123", "99991231 00:00:00", "00010101-00:00:00", "20261123 09:40:00 UTC"])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_order_is_too_strange_to_be_answered(data):
    exchange = make()
    place(exchange, 1, kind="TRAIL", aux_price=1.0)
    for name in data.draw(st.lists(st.sampled_from(WireOrder.__slots__), min_size=1, max_size=5)):
        strange = order(data.draw(st.integers(1, 3)), kind=data.draw(st.sampled_from(["MKT", "LMT", "TRAIL LIMIT"])))
        drawn = {float: NUMBERS, str: TIMES if "time" in name or "date" in name else WORDS, int: st.integers(-9, 9)}
        kept = getattr(strange, name)
        if type(kept) in drawn:
            setattr(strange, name, data.draw(drawn[type(kept)]))
        facts = exchange.place(CLIENT, strange, exchange.now_ns)
        assert facts or not strange.transmit
    exchange.advance(CLOSE)
    check(exchange, exchange.market)


# Manual orders, ids


def test_a_manual_order_is_nobodys_until_client_0_binds_it():
    exchange = make()
    perm_id, facts = exchange.external_order(order(55, kind="LMT", limit_price=90), exchange.now_ns)
    assert short(facts) == []
    assert [(placed.order_id, placed.client_id, placed.perm_id) for placed in exchange.open_orders()] == [
        (0, 0, perm_id)
    ]
    assert short(exchange.bind_external(exchange.now_ns)) == ["open -1 Submitted", "status -1 Submitted 0/100"]
    assert cancel(exchange, -1, client=0) == ["status -1 Cancelled 0/100", "202 -1"]


def test_a_manual_order_fills_and_its_execution_has_no_order_id():
    exchange = make()
    exchange.external_order(order(), exchange.now_ns)
    facts = exchange.advance(exchange.now_ns + SECOND)
    assert short(facts) == ["exec BOT 100 @ 100", "fee 1"]
    assert facts[0].execution.order_id == 0
    exchange.binds_later = True
    _, facts = exchange.external_order(order(kind="LMT", limit_price=90), exchange.now_ns)
    assert short(facts)[0] == "open -1 Submitted"


def test_order_ids_grow_are_reserved_and_roll_back_as_a_fault():
    exchange = make()
    assert exchange.next_order_id(CLIENT) == 1
    place(exchange, 10, kind="LMT", limit_price=90)
    assert exchange.next_order_id(CLIENT) == 11
    assert exchange.reserve_order_ids(CLIENT, 5) == 11
    assert exchange.next_order_id(CLIENT) == 16
    assert exchange.roll_back_ids(CLIENT, 4) == 12
    assert place(exchange, 12, kind="LMT", limit_price=90)[0] == "open 12 Submitted"


# The day


def test_executions_and_completed_orders_are_of_the_day():
    exchange = make(commission_delay_seconds=0)
    place(exchange, 1)
    place(exchange, 2, kind="LMT", limit_price=90, tif="GTC")
    exchange.advance(CLOSE)
    assert len(exchange.executions()) == len(exchange.completed_orders()) == 1
    exchange.advance(OPEN + DAY)
    assert exchange.executions() == exchange.completed_orders() == []
    assert [placed.order_id for placed in exchange.open_orders()] == [2]


def test_executions_can_be_filtered():
    exchange = make()
    place(exchange, 1)
    place(exchange, 2, listing=BBB, action="SELL", client=8)
    wait(exchange, 1)
    assert len(exchange.executions()) == 2
    for wanted in ({"client_id": 8}, {"symbol": "BBB"}, {"side": "SELL"}, {"side": "SLD"}):
        assert [each.listing for each in exchange.executions(**wanted)] == [BBB]
    assert exchange.executions(since_ns=exchange.now_ns) == []
    assert exchange.executions(account="DU9") == []


def test_perm_ids_and_execution_ids_are_unique():
    exchange = make(part_size=10)
    for n in range(1, 6):
        place(exchange, n)
    wait(exchange, 20)
    assert len({placed.perm_id for placed in exchange.completed_orders()}) == 5
    ids = [each.exec_id for each in exchange.executions()]
    assert len(set(ids)) == 50
    assert all(each.endswith(".01.01") and each.count(".") == 3 for each in ids)


def test_an_idle_exchange_asks_the_market_for_no_path():
    market = FakeMarket()
    exchange = make(market)
    place(exchange)
    wait(exchange, 2)
    market.asked = 0
    exchange.advance(CLOSE)
    assert market.asked == 0
