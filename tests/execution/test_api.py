"""The books over HTTP, and the kill switch that takes two people."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from execution.models import Account, Fill, KillSwitch, Order, Position
from tests.marketdata.make import instrument
from tests.tradingsite.people import ROOT, by_token, person, problem, session

pytestmark = pytest.mark.django_db


def book(number: int) -> Order:
    """An order of 10 in an account and an instrument of its own, with a fill and a position."""
    account, row = Account.objects.create(number=f"DU{number}", kind="paper"), instrument(f"S{number}")
    order = Order.objects.create(
        ref=f"ref-{number}", account=account, instrument=row, side="buy", quantity=10, order_type="market",
        time_in_force="DAY", state="working" if number % 2 else "filled",
    )  # fmt: skip
    about = {"account": account, "instrument": row, "quantity": Decimal("10")}
    Fill.objects.create(exec_id=f"e{number}", order=order, side="buy", price="1.5", time=timezone.now(), **about)
    Position.objects.create(**about)
    return order


def test_the_books_are_read_and_filtered():
    for number in range(3):
        book(number)
    viewer = session(person("viewer"))
    assert viewer.get(f"{ROOT}/orders?open=true").json()["results"][0]["ref"] == "ref-1"
    assert viewer.get(f"{ROOT}/orders?open=false&account=DU2").json()["count"] == 1
    assert viewer.get(f"{ROOT}/fills?symbol=S2").json()["results"][0]["order"] == "ref-2"
    assert viewer.get(f"{ROOT}/positions?account=DU1").json()["results"][0]["quantity"] == "10.00000000"
    assert viewer.get(f"{ROOT}/accounts?kind=live").json()["count"] == 0
    order = viewer.get(f"{ROOT}/orders").json()["results"][0]
    assert viewer.get(f"{ROOT}/orders/{order['id']}").json() == order


@pytest.mark.parametrize("prefix", ["accounts", "orders", "fills", "positions", "kill-switch"])
def test_nobody_writes_the_books_through_the_api(prefix):
    book(1)
    admin = session(person("admin"))
    for method in ("post", "put", "patch", "delete"):
        problem(getattr(admin, method)(f"{ROOT}/{prefix}", {}), 405)
        problem(getattr(admin, method)(f"{ROOT}/{prefix}/1", {}), 405)


def test_lists_of_the_books_ask_the_same_however_many_rows_there_are():
    viewer = session(person("viewer"))

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            for prefix in ("accounts", "orders", "fills", "positions", "kill-switch"):
                assert viewer.get(f"{ROOT}/{prefix}").status_code == 200
        return len(queries)

    def add(number: int) -> None:
        account = book(number).account
        KillSwitch.objects.create(account=account, engaged=timezone.now(), engaged_by=person("trader"))

    add(0)
    first = count()
    for number in range(1, 9):
        add(number)
    assert count() == first


def test_one_person_halts_and_another_resumes():
    trader, admin = person("trader"), person("admin")
    made = session(trader).post(f"{ROOT}/kill-switch/engage", {"level": "cancel", "reason": "odd fills"})
    assert (made.status_code, made.json()["engaged_by"]) == (200, trader.username)
    path = f"{ROOT}/kill-switch/{made.json()['id']}/release"
    problem(session(trader).post(path), 403)
    assert session(admin).get(f"{ROOT}/kill-switch?engaged=true").json()["count"] == 1
    assert session(admin).post(path).json()["released_by"] == admin.username
    problem(session(admin).post(path), 400)
    assert session(admin).get(f"{ROOT}/kill-switch?engaged=true").json()["count"] == 0


def test_who_engaged_cannot_release_and_a_viewer_can_do_neither():
    admin, _other, viewer = person("admin"), person("admin"), session(person("viewer"))
    switch = session(admin).post(f"{ROOT}/kill-switch/engage", {}).json()
    assert switch["level"] == "pause"
    assert "another person" in problem(session(admin).post(f"{ROOT}/kill-switch/{switch['id']}/release"), 400)["detail"]
    problem(viewer.post(f"{ROOT}/kill-switch/engage", {}), 403)
    problem(viewer.post(f"{ROOT}/kill-switch/{switch['id']}/release"), 403)


def test_a_token_of_lower_scope_does_not_halt():
    trader = person("trader")
    problem(by_token(trader, "researcher").post(f"{ROOT}/kill-switch/engage", {}), 403)
    assert not KillSwitch.objects.exists()
    assert by_token(trader, "trader").post(f"{ROOT}/kill-switch/engage", {}).status_code == 200


def test_a_halt_of_an_account_that_is_not_there_is_refused():
    trader = session(person("trader"))
    for document in ({"account": "U1"}, {"level": "explode"}, {"engaged_by": 1}, {"reason": "x" * 301}):
        problem(trader.post(f"{ROOT}/kill-switch/engage", document), 400)
    assert not KillSwitch.objects.exists()
