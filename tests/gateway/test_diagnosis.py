"""The diagnosis names cause and cure of everything that can be wrong between here and the gateway."""

import time

import pytest

from gateway import diagnosis
from gateway.diagnosis import diagnose
from gateway.troubles import EXPLANATIONS, Trouble
from tests.gateway.gateways import connected, settings, start_gateway, until
from tests.gateway.test_supervisor import LOGIN, Peer


def problems(found):
    return {finding.name: finding for finding in found if not finding.ok}


@pytest.fixture
def gateway():
    with start_gateway() as gateway:
        yield gateway


def only_problem(settings):
    found = diagnose(settings)
    (name,) = problems(found)
    problem = found[-1] if not found[-1].ok else problems(found)[name]
    assert problem.cause
    assert problem.remedy
    return name, problem


def test_a_gateway_that_is_well_has_nothing_found(gateway):
    found = diagnose(settings(gateway))
    assert problems(found) == {}
    assert [finding.name for finding in found][:4] == ["port", "greeting", "version", "client id"]
    assert "live quotes come" in found[-1].detail
    assert "DU1000001" in next(finding.detail for finding in found if finding.name == "login")


def test_a_port_where_nothing_listens_is_named(gateway):
    gateway.faults.refuse()
    chosen = settings(gateway)
    while True:  # the door closes with the simulator's next turn
        name, problem = only_problem(chosen)
        if name == "port":
            break
    assert "4002" in problem.remedy


def test_a_port_where_something_else_listens_is_named():
    with Peer(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n", framed=False) as peer:
        name, problem = only_problem(settings(peer))
    assert name == "greeting"
    assert "something else" in problem.cause


def test_a_disclaimer_that_waits_is_named(gateway):
    gateway.faults.mute_handshake()
    name, problem = only_problem(settings(gateway, connect_seconds=0.3))
    assert name == "greeting"
    assert "disclaimer" in problem.remedy


def test_an_old_gateway_is_named():
    with Peer(greeting=b"100\x0020200101 00:00:00 EST\x00") as peer:
        name, problem = only_problem(settings(peer))
    assert name == "version"
    assert "100" in problem.detail


def test_a_client_id_in_use_is_named(gateway):
    gateway.faults.in_use()
    name, problem = only_problem(settings(gateway, client_id=3))
    assert name == "client id"
    assert "client id 3" in problem.detail


def test_an_account_of_another_kind_is_named(gateway):
    name, problem = only_problem(settings(gateway, kind="live"))
    assert name == "account"
    assert "simulated" in problem.detail


def test_a_read_only_api_is_named(gateway):
    gateway.faults.set("read_only", True)
    name, problem = only_problem(settings(gateway))
    assert name == "orders"
    assert "Read-Only API" in problem.remedy


@pytest.mark.parametrize(("code", "word"), [(354, "subscribe"), (10197, "other TWS")])
def test_market_data_that_does_not_come_is_named(gateway, code, word):
    if code == 10197:
        gateway.faults.set("competing_session", True)
    else:
        gateway.faults.set("denied", {"AAPL": code})
    name, problem = only_problem(settings(gateway))
    assert name == "market data"
    assert word in problem.remedy


def test_a_wrong_clock_is_named(gateway):
    gateway.call(lambda simulator: simulator.clock.advance(time.time() - simulator.now_ns() / 1e9))
    gateway.faults.clock(4.0)
    found = problems(diagnose(settings(gateway, max_clock_skew_seconds=30.0)))
    assert "NTP" in found["clock"].remedy


def test_a_farm_that_is_down_is_named(gateway):
    with connected(gateway) as connection:
        gateway.faults.farm(2105)
        until(lambda: any(farm.status == "broken" for farm in connection.snapshot().farms))
        finding = diagnosis.of_ib(connection)
    assert not finding.ok
    assert "ushmds" in finding.detail


def test_a_gateway_that_tells_half_is_named():
    with Peer(*LOGIN) as peer:
        name, problem = only_problem(settings(peer, kind="paper", sync_seconds=0.3))
    assert name == "orders"
    assert "did not" in problem.cause


def test_each_trouble_has_its_words():
    assert set(EXPLANATIONS) == set(Trouble)
    assert all(explanation.cause and explanation.remedy for explanation in EXPLANATIONS.values())
