"""What the API says of the connections to the gateway, and the one thing that it can ask of them."""

import datetime as dt
import socket

import pytest
from django.contrib.admin.models import LogEntry

from tests.tradingsite.linkrow import link
from tests.tradingsite.people import by_token, person, problem, session
from tradingsite.models import GatewayLink

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/ib"
NOTICE = {
    "at": "2026-03-02T12:00:00+00:00", "code": 1100, "family": "wait", "words": "cut off from IB",
    "remedy": "wait", "text": "Connectivity between IB and TWS has been lost.",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch, request):
    """Web never opens a socket to the gateway."""

    def refuse(*args, **kwargs):
        raise AssertionError("a request reached for the network")

    monkeypatch.setattr(socket, "create_connection", refuse)


def test_the_status_has_state_figures_notices_and_indicators():
    row = link(messages_in=7, messages_out=5, farms={"usfarm": "ok"}, notices=[NOTICE], notice_counts={"wait": 1})
    found = session(person("viewer")).get(f"{ROOT}/status").json()
    assert found["ready"] is True
    (shown,) = found["links"]
    assert (shown["role"], shown["state"], shown["messages_in"], shown["messages_out"]) == ("data", "ready", 7, 5)
    assert (shown["farms"], shown["notice_counts"]) == ({"usfarm": "ok"}, {"wait": 1})
    assert shown["notices"][0]["words"] == "cut off from IB"
    assert (shown["host"], shown["port"], shown["client_id"], shown["epoch"]) == ("127.0.0.1", 4002, 11, row.epoch)
    assert [(each["name"], each["ok"]) for each in found["indicators"]] == [("link data", True)]


def test_where_nobody_ever_held_a_role_the_status_says_so():
    found = session(person("viewer")).get(f"{ROOT}/status").json()
    assert found["ready"] is False
    assert [(each["role"], each["state"]) for each in found["links"]] == [("data", "off")]
    assert "manage.py worker data" in found["indicators"][0]["remedy"]


def test_what_a_silent_holder_told_is_not_shown_as_the_state():
    link(seconds_ago=100)
    (shown,) = session(person("viewer")).get(f"{ROOT}/status").json()["links"]
    assert shown["state"] == "down"
    assert GatewayLink.objects.get().state == "ready", "the row stays as its holder left it"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, []),
        ({"state": "down", "cause": "refused"}, ["link data"]),
        ({"heartbeat": None}, ["API of data"]),
        ({"heartbeat": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, ["API of data"]),
        ({"seconds_ago": 300}, ["link data", "API of data"]),
    ],
)
def test_health_is_503_where_the_connection_or_the_api_does_not_answer(fields, wrong):
    link(**fields)
    answer = session(person("viewer")).get(f"{ROOT}/health")
    assert answer.status_code == (503 if wrong else 200)
    found = answer.json()
    assert found["ok"] is not bool(wrong)
    assert [each["name"] for each in found["checks"] if not each["ok"]] == wrong
    assert all(each["cause"] for each in found["checks"] if not each["ok"])


def test_the_settings_are_told_without_any_secret(settings):
    settings.IB_PORT, settings.IB_ACCOUNT = 7497, "DU1000001"
    found = session(person("viewer")).get(f"{ROOT}/config").json()
    assert (found["host"], found["port"], found["account"]) == ("127.0.0.1", 7497, "DU1000001")
    assert found["client_ids"] == {"data": 11, "trader": 12, "doctor": 13}
    assert found["trading_mode"] == "simulated"
    assert settings.SECRET_KEY not in str(found)


def test_a_cleanup_is_a_wish_in_every_row_asked_once_and_recorded():
    link(), link("trader:DU1")
    tess = person("trader", "tess")
    first = session(tess).post(f"{ROOT}/cleanup")
    assert first.status_code == 202
    assert [(each["role"], each["by"]) for each in first.json()["links"]] == [("data", "tess"), ("trader:DU1", "tess")]
    again = session(person("admin", "ada")).post(f"{ROOT}/cleanup")
    assert again.json() == first.json()
    assert LogEntry.objects.filter(user=tess).count() == LogEntry.objects.count() == 2
    assert GatewayLink.objects.filter(disconnect_asked__isnull=False, disconnect_by=tess).count() == 2


def test_the_same_key_gets_the_same_answer_even_after_the_wish_was_followed():
    link()
    client = session(person("trader"))
    first = client.post(f"{ROOT}/cleanup", headers={"Idempotency-Key": "k"})
    GatewayLink.objects.update(disconnect_asked=None)
    again = client.post(f"{ROOT}/cleanup", headers={"Idempotency-Key": "k"})
    assert again.json() == first.json() and again["Idempotent-Replayed"] == "true"
    assert GatewayLink.objects.get().disconnect_asked is None


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("researcher", 403), ("trader", 202), ("admin", 202)])
def test_only_who_trades_may_ask_for_it(role, status):
    link()
    assert session(person(role)).post(f"{ROOT}/cleanup").status_code == status


def test_a_token_needs_the_scope_too_and_a_stranger_gets_nothing():
    link()
    problem(by_token(person("trader"), "viewer").post(f"{ROOT}/cleanup"), 403)
    for address in ("status", "health", "config"):
        problem(session(None).get(f"{ROOT}/{address}"), 401)
