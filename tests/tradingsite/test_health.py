"""What the probes say when something is away, silent, full or late, and that they say it in time."""

import socket
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from strategies.models import Backtest
from tests.tradingsite.linkrow import link
from tests.tradingsite.people import person
from tradingsite import health
from tradingsite.embedded import embedded_queue_url, server_command, socket_path
from tradingsite.models import GatewayLink, Heartbeat
from tradingsite.queues import QUEUES

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def patience(request, monkeypatch):
    """A slow machine is no fault; what hangs is given up after the real deadline."""
    if "holds_nobody_up" not in request.node.name:
        monkeypatch.setattr(health, "DEADLINE_SECONDS", 60.0)


def seen(name: str, seconds_ago: float = 1.0) -> None:
    moment = timezone.now() - timedelta(seconds=seconds_ago)
    Heartbeat.objects.update_or_create(name=name, defaults={"seen": moment, "started": moment, "host": "h"})


def all_alive() -> None:
    seen("beat")
    seen("worker:backtest+import+report+scan@h")
    seen("worker:maintenance+notify@h")
    seen("worker:data@h")
    for queue in QUEUES:
        seen(f"queue:{queue}")
    link()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("q")
    process = subprocess.Popen(server_command(run_dir), stdout=subprocess.DEVNULL)
    url = embedded_queue_url(run_dir)
    for _ in range(200):
        if socket_path(run_dir).exists():
            break
        time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
def queue_server(server, settings):
    settings.CELERY_BROKER_URL = server


def named(found: list[health.Check], name: str) -> health.Check:
    return next(check for check in found if check.name == name)


def test_everything_is_fine(queue_server):
    all_alive()
    found = health.checks()
    assert [check for check in found if not check.ok] == []
    assert {f"queue {queue}" for queue in QUEUES} < {check.name for check in found}
    assert all(check.cause == check.remedy == "" for check in found)


def test_each_fault_names_its_cause_and_what_to_do(queue_server, settings, tmp_path):
    found = health.checks()
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    settings.VAR_DIR = tmp_path / "gone"
    found += health.checks()
    wrong = [check for check in found if not check.ok]
    assert {"beat", "queue data", "queue server", "disk"} <= {check.name for check in wrong}
    assert all(check.cause and check.remedy for check in wrong)


@pytest.mark.parametrize("silent", ["beat", "worker:maintenance+notify@h"])
def test_who_is_silent_for_long_is_not_alive(silent):
    all_alive()
    seen(silent, 44)
    assert all(check.ok for check in health.process_checks(health.beat_check))
    seen(silent, 46)
    wrong = {check.name for check in health.checks() if not check.ok} - {"queue server"}
    assert wrong == ({"beat"} if silent == "beat" else {"queue maintenance", "queue notify"})


def test_a_second_worker_of_a_queue_is_enough_and_an_old_silent_one_harms_nobody():
    all_alive()
    seen("worker:backtest+import+report+scan@h", 3600)
    seen("worker:import@other")
    found = health.checks()
    assert named(found, "queue import").ok
    assert not named(found, "queue scan").ok


def test_a_worker_that_lives_but_takes_nothing_is_found_unless_it_is_busy():
    all_alive()
    seen("queue:backtest", 200)
    check = named(health.checks(), "queue backtest")
    assert not check.ok
    assert "has taken nothing for 200 s" in check.cause
    now = timezone.now()
    Backtest.objects.create(directory="r1", strategy="s", timeframe="1d", state="running", started=now, heartbeat=now)
    assert named(health.checks(), "queue backtest").ok


@pytest.mark.parametrize(
    ("fields", "cause", "remedy"),
    [
        (None, "off: no process has ever held it here", "`manage.py worker data`"),
        ({"seconds_ago": 90}, "down: its holder has said nothing since ", "`manage.py worker data`"),
        ({"state": "down", "cause": "refused", "remedy": "start the gateway"}, "down: refused", "start the gateway"),
        ({"state": "syncing"}, "it is syncing", "wait"),
        ({"state": "degraded", "cause": "cut off from IB"}, "degraded: cut off from IB", "wait"),
    ],
)
def test_a_link_that_is_not_ready_says_why_and_what_to_do(fields, cause, remedy):
    all_alive()
    GatewayLink.objects.all().delete()
    if fields is not None:
        link(**fields)
    check = named(health.checks(), "link data")
    assert not check.ok
    assert check.cause.startswith(cause)
    assert remedy in check.remedy


def test_a_link_that_is_not_required_and_ended_as_it_should_is_no_fault():
    all_alive()
    link("trader:DU1", state="off")
    assert "link trader:DU1" not in {check.name for check in health.checks()}
    link("trader:DU1", state="down", cause="refused")
    assert not named(health.checks(), "link trader:DU1").ok


def test_migrations_that_the_code_has_and_the_database_lacks(monkeypatch):
    known = health._migrations_of_this_code()
    assert named(health.checks(), "migrations").ok
    monkeypatch.setattr(health, "_migrations_of_this_code", lambda: known | {("strategies", "0099_new")})
    check = named(health.checks(), "migrations")
    assert not check.ok
    assert "strategies.0099_new" in check.cause


def test_a_clock_that_is_off_is_found(monkeypatch):
    assert named(health.checks(), "clock").ok

    class Late(health.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - timedelta(seconds=30)

    monkeypatch.setattr(health, "datetime", Late)
    check = named(health.checks(), "clock")
    assert not check.ok
    assert check.detail.startswith(("29.", "30."))


def test_a_full_disk_is_found(monkeypatch):
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 10**18)
    assert not named(health.checks(), "disk").ok


def test_a_queue_server_that_accepts_and_says_nothing_holds_nobody_up(settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        began = time.monotonic()
        check = named(health.checks(), "queue server")
        assert time.monotonic() - began < health.DEADLINE_SECONDS + 2
    assert not check.ok


@pytest.mark.django_db(transaction=True)
def test_a_database_that_hangs_holds_nobody_up_and_is_asked_by_one_thread_alone(monkeypatch):
    let_go = threading.Event()
    asked = []
    mine = connections["default"]

    def hang():
        asked.append(connections["default"])
        let_go.wait(20)
        return []

    monkeypatch.setattr(health, "_database_checks", hang)
    try:
        began = time.monotonic()
        first = named(health.checks(), "database")
        middle = time.monotonic()
        second = named(health.checks(), "database")
        after = time.monotonic()
    finally:
        let_go.set()
    assert not first.ok
    assert not second.ok
    assert middle - began < health.DEADLINE_SECONDS + 1
    assert after - middle < health.BROKER_SECONDS + 1
    assert len(asked) == 1
    assert asked[0] is not mine is connections["default"]


@pytest.mark.django_db(transaction=True)
def test_a_question_is_asked_by_a_connection_of_its_own_which_is_closed_then():
    all_alive()
    found: list[health.Check] = []
    used = []

    def question():
        used.append(connections["default"])
        return health._database_checks()

    found += health.ask("database", question)(60)
    assert named(found, "beat").ok
    assert used[0] is not connections["default"]
    assert used[0].connection is None or used[0].is_in_memory_db()  # which lives as long as its connection


def test_inside_a_transaction_the_caller_answers_and_keeps_it():
    """However slow: a test's transaction, left to another thread, would stay open over all later tests."""
    mine = connections["default"]
    seen("beat")

    def slow():
        time.sleep(0.1)
        return health._database_checks()

    assert named(health.ask("database", slow)(0.01), "beat").ok
    assert connections["default"] is mine
    assert mine.in_atomic_block


def test_a_database_that_refuses_is_a_cause_not_an_error(monkeypatch):
    def refuse(*_):
        raise OperationalError("connection refused")

    monkeypatch.setattr(health.connection, "cursor", refuse)
    check = named(health.checks(), "database")
    assert not check.ok
    assert "connection refused" in check.cause


# ---- probes ------------------------------------------------------------------------------------------------------


def test_live_asks_no_database_even_for_who_is_logged_in(client, django_assert_num_queries):
    client.force_login(person(None))
    with django_assert_num_queries(0):
        answer = client.get("/healthz/live")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


def test_ready_tells_strangers_names_alone_and_people_the_details(client, queue_server):
    all_alive()
    fine = client.get("/healthz/ready")
    assert fine.status_code == 200
    assert fine.json()["ready"] is True
    seen("beat", 500)
    stranger = client.get("/healthz/ready")
    assert stranger.status_code == 503
    assert all(check.keys() == {"name", "ok"} for check in stranger.json()["checks"])
    assert {"name": "beat", "ok": False} in stranger.json()["checks"]
    client.force_login(person(None))
    told = named_json(client.get("/healthz/ready").json(), "beat")
    assert told["cause"].startswith("no sign of life for")
    assert "manage.py beat" in told["remedy"]


def named_json(answer: dict, name: str) -> dict:
    return next(check for check in answer["checks"] if check["name"] == name)


def test_ready_answers_while_the_database_is_away(client, monkeypatch):
    client.force_login(person(None))

    def refuse(*_):
        raise OperationalError("connection to 10.1.2.3 refused")

    monkeypatch.setattr(health.connection, "cursor", refuse)
    answer = client.get("/healthz/ready")
    assert answer.status_code == 503
    assert b"10.1.2.3" not in answer.content
    assert {"name": "database", "ok": False} in answer.json()["checks"]
