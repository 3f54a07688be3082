"""One connection for each role, as long as its lease lasts, and a row that says how it is."""

import datetime as dt
from types import SimpleNamespace

import pytest
from celery.signals import celeryd_after_setup
from django.contrib.admin.models import LogEntry
from django.db import OperationalError
from django.db.models import DateTimeField, Value
from django.utils import timezone

from gateway.codes import Family
from gateway.states import State
from tests.tradingsite.gatewaydouble import NOON, Double, notice
from tests.tradingsite.people import person
from tradingsite import leases, linkrows, links
from tradingsite.celery import _let_go_of_link
from tradingsite.models import GatewayLink, Lease

pytestmark = pytest.mark.django_db


class Time:
    """One clock for the holders and the database."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.now = Value(NOON, output_field=DateTimeField())

    def __call__(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.now.value += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    Double.made = []
    return Time()


@pytest.fixture
def link(clock):
    return links.Link("data", Double, now=clock.now, clock=clock)


def go_on(link: links.Link, clock: Time, seconds: float) -> None:
    """The thread at work for so long."""
    for _ in range(int(seconds)):
        clock.pass_(1.0)
        link.turn()
        link.guard()


def begun(link: links.Link, clock: Time) -> Double:
    link.turn()
    go_on(link, clock, 1)
    assert link.connection() is Double.made[-1]
    return Double.made[-1]


def test_it_takes_the_lease_begins_a_connection_and_tells_its_row(link, clock):
    begun(link, clock)
    row = GatewayLink.objects.get()
    assert (row.role, row.state, row.since, row.epoch, row.holder) == ("data", "ready", NOON, 1, link.holder)
    assert (row.host, row.port, row.client_id, row.library) == ("127.0.0.1", 4002, 11, "ib_insync 0.9.86")
    assert (row.accounts, row.account_kind, row.server_version) == (["DU1000001"], "simulated", 176)
    assert (row.messages_in, row.messages_out, row.reconnects, row.farms) == (20, 10, 0, {"usfarm": "ok"})
    assert Lease.objects.get().holder == link.holder


def test_a_change_is_told_within_a_second_and_mere_counts_every_five(link, clock):
    connection = begun(link, clock)
    connection.change(messages_in=21)
    go_on(link, clock, 3)
    assert GatewayLink.objects.get().messages_in == 20
    go_on(link, clock, 3)
    assert GatewayLink.objects.get().messages_in == 21
    connection.change(state=State.DOWN, cause="refused", remedy="start it", messages_in=22)
    go_on(link, clock, 1)
    row = GatewayLink.objects.get()
    assert (row.state, row.cause, row.remedy, row.messages_in) == ("down", "refused", "start it", 22)


def test_while_nothing_changes_it_says_so_every_five_seconds(link, clock):
    begun(link, clock)
    GatewayLink.objects.update(seen=NOON)
    go_on(link, clock, 3)
    assert GatewayLink.objects.get().seen == NOON
    go_on(link, clock, 2)
    assert GatewayLink.objects.get().seen > NOON


def test_a_role_that_is_held_is_waited_for(link, clock, monkeypatch):
    waited = []
    monkeypatch.setattr(link._stopping, "wait", waited.append)
    other = leases.take("data", "another", now=clock.now, clock=clock)
    link.turn()
    assert Double.made == [] and link.connection() is None and waited == [links.TAKE_SECONDS]
    other.release()
    begun(link, clock)
    assert GatewayLink.objects.get().epoch == 2


def test_a_lease_that_is_lost_ends_the_connection(link, clock):
    first = begun(link, clock)
    Lease.objects.update(holder="another", epoch=2)
    go_on(link, clock, 6)
    assert first.ended and link.connection() is None
    assert [each.running for each in Double.made] == [False]


def test_where_the_database_does_not_answer_the_guard_ends_the_connection_in_time(link, clock, monkeypatch):
    first = begun(link, clock)
    renew = leases.HeldLease.renew

    def refuse(*_):
        raise OperationalError("away")

    monkeypatch.setattr(leases.HeldLease, "renew", refuse)
    for second in range(1, 10):
        clock.pass_(1.0)
        link.guard()
        assert link.connection() is (first if second < 9 else None)
    assert first.ended
    with pytest.raises(OperationalError):
        link.turn()
    monkeypatch.setattr(leases.HeldLease, "renew", renew)
    link.turn()  # the lease is still ours: five seconds were left
    assert link.connection() is Double.made[1] and link.epoch == 1
    assert GatewayLink.objects.get().holder == link.holder


def test_after_a_long_silence_it_is_taken_anew_with_the_next_epoch(link, clock):
    begun(link, clock)
    clock.pass_(60)
    link.guard()
    link.turn()
    assert link.connection() is None
    begun(link, clock)
    assert (link.epoch, GatewayLink.objects.get().epoch) == (2, 2)


def test_an_old_holder_cannot_write_over_the_row_of_a_new_one(link, clock):
    begun(link, clock)
    GatewayLink.objects.update(epoch=5, state="syncing", holder="another")
    Double.made[-1].change(state=State.DOWN)
    go_on(link, clock, 2)
    row = GatewayLink.objects.get()
    assert (row.state, row.holder, row.epoch) == ("syncing", "another", 5)


def test_a_wish_to_disconnect_is_followed_once_and_the_counts_go_on(link, clock):
    first = begun(link, clock)
    tess = person("trader", "tess")
    (asked,) = linkrows.ask_to_reconnect(person=tess)
    assert asked.disconnect_asked is not None and asked.disconnect_by == tess
    (again,) = linkrows.ask_to_reconnect(person=person("admin", "ada"))
    assert (again.disconnect_asked, again.disconnect_by) == (asked.disconnect_asked, tess), "one wish is enough"
    assert [(each.user, each.get_change_message()) for each in LogEntry.objects.all()] == [
        (tess, "asked to disconnect and reconnect")
    ]
    go_on(link, clock, 3)
    second = Double.made[-1]
    assert first.ended and second.running and len(Double.made) == 2
    row = GatewayLink.objects.get()
    assert row.disconnect_asked is None and row.disconnect_done is not None
    assert (row.messages_in, row.reconnects, row.disconnect_by) == (40, 1, tess)
    go_on(link, clock, 10)
    assert len(Double.made) == 2


def test_a_wish_from_before_it_began_is_done_by_its_beginning(link, clock):
    GatewayLink.objects.create(role="data", disconnect_asked=timezone.now())
    begun(link, clock)
    go_on(link, clock, 5)
    assert len(Double.made) == 1
    assert GatewayLink.objects.get().disconnect_asked is None


def test_at_its_end_the_connection_is_closed_the_lease_given_back_and_the_row_says_off(link, clock):
    connection = begun(link, clock)
    link._stopping.set()
    link._serve()
    assert connection.ended
    row, lease = GatewayLink.objects.get(), Lease.objects.get()
    assert (row.state, row.cause) == ("off", "the process that held it has ended")
    assert (lease.holder, lease.epoch) == ("", 1)


def test_a_connection_that_cannot_be_made_is_told_and_tried_again(link, clock, monkeypatch):
    tried = []

    def refuse(hear):
        tried.append(GatewayLink.objects.get().cause)
        if len(tried) == 2:
            link._stopping.set()
        raise RuntimeError("password=hunter2hunter2 is no library")

    monkeypatch.setattr(link, "_connect", refuse)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    link._serve()
    assert tried == ["", "RuntimeError: password=*** is no library"]


def test_the_last_fifty_notices_are_kept_the_newest_first_and_all_are_counted_by_family(link, clock):
    connection = begun(link, clock)
    connection.say(*(notice(code) for code in range(40)))
    go_on(link, clock, 1)
    connection.say(*(notice(code, Family.WAIT, "password=hunter2hunter2") for code in range(40, 70)))
    go_on(link, clock, 7)
    row = GatewayLink.objects.get()
    assert [each["code"] for each in row.notices] == list(range(69, 19, -1))
    assert row.notices[0] == {
        "at": NOON.isoformat(), "code": 69, "family": "wait", "words": "words of 69", "remedy": "",
        "text": "password=***",
    }  # fmt: skip
    assert row.notice_counts == {"note": 40, "wait": 30}


def test_what_was_never_measured_is_told_as_unknown(link, clock):
    connection = begun(link, clock)
    assert GatewayLink.objects.get().clock_skew_s is None
    nothing = {"server_version": 0, "last_heartbeat_ns": 0, "latency_ms": float("nan"), "state": State.CONNECTING}
    connection.change(**nothing)
    go_on(link, clock, 1)
    row = GatewayLink.objects.get()
    assert (row.state, row.server_version, row.heartbeat, row.latency_ms) == ("connecting", None, None, None)


# ---- what others read --------------------------------------------------------------------------------------------


def test_a_role_that_nobody_ever_held_says_how_to_start_it():
    (standing,) = linkrows.standings()
    assert (standing.role, standing.state, standing.ok, standing.wanted) == ("data", "off", False, True)
    assert "manage.py worker data" in standing.remedy


def test_a_holder_that_is_silent_is_not_believed(link, clock):
    begun(link, clock)
    (standing,) = linkrows.standings()
    assert standing.ok and standing.since == NOON
    later = timezone.now() + dt.timedelta(seconds=linkrows.SILENT_SECONDS + 5)
    (standing,) = linkrows.standings(later)
    assert (standing.state, standing.ok) == ("down", False)
    assert standing.cause.startswith("its holder has said nothing since ")


def test_what_ended_as_it_should_is_missed_only_where_it_is_required():
    now = timezone.now()
    for role in ("data", "trader:DU1"):
        GatewayLink.objects.create(role=role, state="off", seen=now, since=now, cause="ended")
    assert [(each.role, each.wanted) for each in linkrows.standings()] == [("data", True), ("trader:DU1", False)]


# ---- which process holds it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queues", "holds"), [({"data"}, ["data"]), ({"data", "import"}, []), ({"backtest", "scan"}, []), (set(), [])]
)
def test_of_all_workers_that_of_the_queue_data_alone_holds_the_link(monkeypatch, queues, holds):
    held, ended = [], []
    monkeypatch.setattr(links, "hold", held.append)
    monkeypatch.setattr(links, "let_go", lambda: ended.append(True))
    worker = SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues))))
    celeryd_after_setup.send(sender="data@here", instance=worker, conf=None)
    assert held == holds
    _let_go_of_link()
    assert ended == [True]


def test_a_process_that_holds_nothing_has_no_connection():
    assert links.connection("data") is None
    links.let_go()
