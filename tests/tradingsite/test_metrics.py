"""The figures are those of the rows, and only who may reads them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from execution.models import Account, KillSwitch, Order
from marketdata.models import BarFile, Instrument
from reports.models import Alert
from strategies.models import Backtest
from tests.tradingsite.linkrow import link
from tests.tradingsite.people import person
from tradingsite import metrics
from tradingsite.models import Heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _anew():
    metrics.forget()
    yield
    metrics.forget()


def figures() -> dict[str, float]:
    metrics.forget()
    found = {}
    for family in text_string_to_metric_families(metrics.metrics_text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def backtest(number: int, state: str, **fields) -> Backtest:
    return Backtest.objects.create(directory=f"r{number}", strategy="s", timeframe="1d", state=state, **fields)


def test_runs_by_kind_and_state_with_time_spent_and_the_age_of_the_oldest(django_assert_max_num_queries):
    now = timezone.now()
    for number in range(3):
        backtest(number, "succeeded", started=now - timedelta(seconds=10 + number), finished=now)
    backtest(3, "failed", started=now - timedelta(seconds=2.5), finished=now)
    backtest(4, "cancelled", finished=now)
    backtest(5, "queued")
    Backtest.objects.filter(pk=backtest(6, "queued").pk).update(created=now - timedelta(seconds=300))
    with django_assert_max_num_queries(16):
        found = figures()
    assert found["ibdesk_runs{kind=backtest,state=succeeded}"] == 3
    assert found["ibdesk_runs{kind=backtest,state=queued}"] == 2
    assert found["ibdesk_runs{kind=barimport,state=queued}"] == 0
    assert found["ibdesk_run_seconds_total{kind=backtest,state=succeeded}"] == pytest.approx(33, abs=0.01)
    assert found["ibdesk_run_seconds_total{kind=backtest,state=failed}"] == pytest.approx(2.5, abs=0.01)
    assert found["ibdesk_runs_ended_total{kind=backtest,state=succeeded}"] == 3
    assert found["ibdesk_runs_ended_total{kind=backtest,state=cancelled}"] == 0
    assert 300 <= found["ibdesk_oldest_queued_seconds{kind=backtest}"] < 330


def test_the_desk_in_figures():
    instrument = Instrument.objects.create(symbol="AAPL", exchange="XNAS")
    account = Account.objects.create(number="DU1")
    for number, state in enumerate(["working", "working", "filled"]):
        Order.objects.create(
            ref=f"o{number}",
            account=account,
            instrument=instrument,
            side="buy",
            quantity=Decimal(1),
            order_type="market",
            time_in_force="DAY",
            state=state,
        )
    now = timezone.now()
    about = {
        "instrument": instrument,
        "timeframe": "1d",
        "start": now,
        "end": now + timedelta(days=1),
        "bytes": 1,
        "sha256": "0" * 64,
    }
    BarFile.objects.create(partition=0, rows=250, path="a", **about)
    BarFile.objects.create(partition=1, rows=50, path="b", **about)
    BarFile.objects.create(partition=2, rows=999, path="c", quarantined=now, **about)
    Alert.objects.create(level="warning", subject="x")
    Alert.objects.create(level="warning", subject="y", seen=now)
    KillSwitch.objects.create(engaged=now)
    Heartbeat.objects.create(name="beat", started=now, seen=now - timedelta(seconds=7))
    found = figures()
    assert found["ibdesk_orders{state=working}"] == 2
    assert found["ibdesk_orders{state=filled}"] == 1
    assert found["ibdesk_orders{state=unknown}"] == 0
    assert found["ibdesk_bars{timeframe=1d}"] == 300
    assert found["ibdesk_alerts_open{level=warning}"] == 1
    assert found["ibdesk_kill_switches{}"] == 1
    assert 7 <= found["ibdesk_heartbeat_age_seconds{name=beat}"] < 30
    assert found["ibdesk_database_up{}"] == 1
    assert found["ibdesk_disk_free_bytes{}"] > 0
    assert any(name.startswith("ibdesk_build_info{") and "trading_mode=simulated" in name for name in found)


def test_scrapes_that_come_close_together_ask_the_database_once(django_assert_num_queries):
    first = metrics.metrics_text()
    with django_assert_num_queries(0):
        assert metrics.metrics_text() == first


def test_without_the_database_the_rest_is_still_told(monkeypatch):
    def refuse():
        raise OperationalError("away")

    monkeypatch.setattr(metrics, "_runs", refuse)
    found = figures()
    assert found["ibdesk_database_up{}"] == 0
    assert "ibdesk_disk_free_bytes{}" in found
    assert not any(name.startswith("ibdesk_runs") for name in found)


def test_without_a_token_this_machine_reads_and_others_do_not(client):
    assert client.get("/metrics").status_code == 200
    refused = client.get("/metrics", REMOTE_ADDR="192.0.2.7")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_is_not_this_machine(client, settings, header):
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 401
    settings.BEHIND_PROXY = True
    assert client.get("/metrics").status_code == 401


def test_with_a_token_the_token_alone_counts(client, settings):
    settings.METRICS_TOKEN = "prometheus-token-1"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer é"}).status_code == 401
    assert client.get("/metrics?token=prometheus-token-1").status_code == 401
    answer = client.get("/metrics", headers={"Authorization": "Bearer prometheus-token-1"}, REMOTE_ADDR="192.0.2.7")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")


def test_people_with_a_role_read_and_people_without_do_not(client, settings):
    settings.METRICS_TOKEN = "prometheus-token-1"
    client.force_login(person(None, "norole"))
    assert client.get("/metrics").status_code == 401
    client.force_login(person("viewer", "vera"))
    assert client.get("/metrics").status_code == 200


def test_the_gateways_connections_by_role():
    link(
        latency_ms=1.5, clock_skew_s=-0.5, messages_in=100, messages_out=7, reconnects=2,
        notice_counts={"wait": 3, "note": 1},
    )  # fmt: skip
    link("trader:DU1", state="down", cause="refused")
    found = figures()
    assert found["ibdesk_link_up{role=data}"] == 1
    assert found["ibdesk_link_up{role=trader:DU1}"] == 0
    assert found["ibdesk_link_state{role=data,state=ready}"] == 1
    assert found["ibdesk_link_state{role=trader:DU1,state=down}"] == 1
    assert found["ibdesk_link_state{role=trader:DU1,state=ready}"] == 0
    assert found["ibdesk_link_latency_seconds{role=data}"] == 0.0015
    assert found["ibdesk_link_clock_skew_seconds{role=data}"] == -0.5
    assert found["ibdesk_link_messages_total{direction=in,role=data}"] == 100
    assert found["ibdesk_link_messages_total{direction=out,role=data}"] == 7
    assert found["ibdesk_link_reconnects_total{role=data}"] == 2
    assert found["ibdesk_link_notices_total{family=wait,role=data}"] == 3


def test_a_silent_holder_counts_as_down():
    link(seconds_ago=100)
    found = figures()
    assert (found["ibdesk_link_up{role=data}"], found["ibdesk_link_state{role=data,state=down}"]) == (0, 1)
