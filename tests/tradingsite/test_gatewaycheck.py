"""The doctor's look at the gateway names cause and cure, by the simulator's faults over TCP."""

import socket

import pytest

from gateway.simulator.server import start_simulator
from tests.tradingsite.test_doctor import doctor
from tradingsite import gatewaycheck


@pytest.fixture
def gateway(settings):
    with start_simulator() as running:
        settings.IB_PORT = running.port
        settings.IB_HEARTBEAT_DEADLINE_SECONDS = 1.0
        yield running


def wrong() -> dict[str, str]:
    return {each.name: f"{each.cause} | {each.remedy}" for each in gatewaycheck.checks() if not each.ok}


def test_a_gateway_in_order_is_fine(gateway):
    found = gatewaycheck.checks()
    assert [each for each in found if not each.ok] == []
    assert {"gateway port", "gateway client id", "gateway account"} <= {each.name for each in found}


def test_where_nothing_listens_it_says_how_to_start_the_simulator(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.IB_PORT = taken.getsockname()[1]
    found = wrong()
    assert "manage.py simulator" in found["gateway port"]
    settings.TRADING_MODE = "paper"
    assert "manage.py simulator" not in wrong()["gateway port"]
    assert "4002 paper" in wrong()["gateway port"]


def test_a_client_id_in_use(gateway):
    gateway.faults.in_use(60)
    assert "client id" in wrong()["gateway client id"]


def test_an_account_of_another_kind_is_refused(gateway, settings):
    settings.TRADING_MODE = "live"
    assert "kind" in wrong()["gateway account"]


def test_settings_that_cannot_be(settings):
    settings.IB_HOST = ""
    assert "IB_" in wrong()["gateway"]


@pytest.mark.django_db
def test_the_doctor_asks_it_unless_told_not_to(monkeypatch):
    asked = []
    monkeypatch.setattr(gatewaycheck, "checks", lambda: asked.append(True) or [])
    doctor("--offline")
    assert asked == []
    doctor()
    assert asked == [True]
