"""Loads over HTTP. The data worker's part is done by the test, against the simulated gateway."""

import threading
import time
import uuid
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from domain.timeframe import DAY_NS
from gateway.simulator.server import DEFAULT_START_NS
from marketdata import loading
from marketdata.models import BarFile, Fetch, LoadPlan, LoadRun, RequestLength
from marketdata.moments import as_datetime
from marketdata.services import set_watchlist
from tests.gateway.gateways import connected, start_gateway
from tests.marketdata.loads import day, held, midnight, truth
from tests.marketdata.make import instrument
from tests.tradingsite.linkrow import link
from tests.tradingsite.people import ROOT, person, problem, session
from tradingsite import attempts
from tradingsite.models import ConfigChange

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]
LOAD, PREVIEW, LOADS, PLANS = (f"{ROOT}/data/{name}" for name in ("load", "preview", "loads", "plans"))
AHEAD = DEFAULT_START_NS / 1e9


@pytest.fixture(scope="module")
def market():
    with start_gateway(history_pacing=False) as gateway, connected(gateway) as found:
        yield gateway, found


@pytest.fixture
def gateway(market, monkeypatch):
    """This process holds the data connection, and its row says so."""
    gateway, found = market
    monkeypatch.setattr("tradingsite.links.connection", lambda role: found if role == "data" else None)
    now_ns = gateway.call(lambda simulator: simulator.exchange.now_ns)
    link(clock_skew_s=now_ns / 1e9 - time.time(), seconds_ago=-3600)
    return gateway


@pytest.fixture
def researcher():
    return session(person("researcher"))


def work() -> int:
    """What the data worker does with what is queued; how many runs that were."""
    waiting = list(LoadRun.objects.filter(state="queued"))
    for run in waiting:
        attempts.perform(LoadRun, run.pk, loading.load_bars)
    return len(waiting)


# ---- asking --------------------------------------------------------------------------------------------------------


def test_a_load_is_a_run_to_follow_and_then_bars(researcher, gateway):
    aapl = instrument("AAPL")
    asked = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1h", "start": day(9)})
    assert asked.status_code == 202, asked.content
    queued = asked.json()
    assert (queued["state"], queued["waits_for"], queued["gateway"]["ready"]) == ("queued", "", True)
    assert (queued["requests"], queued["minutes"]) == (1, 0)
    assert queued["follow"].endswith(asked["Location"])
    assert asked["Location"] == f"{LOADS}/{queued['id']}"
    work()
    run = researcher.get(asked["Location"]).json()
    assert (run["state"], run["outcome"], run["started_by"]) == ("succeeded", "complete", "researcher")
    start, _ = truth(gateway, aapl, "1h", midnight(9), DEFAULT_START_NS)
    result = run["result"]
    assert np.array_equal(held(aapl, "1h").start, start)
    assert result | {"merged_file": "", "mode": ""} == {
        "status": "complete", "symbol": "AAPL", "timeframe": "1h", "what": "TRADES", "mode": "",
        "fetched_bars": len(start), "cached_before": 0, "merged_file": "", "gaps_analyzed": 1, "segments_fetched": 1,
        "segments_failed": 0, "ib_requests_made": 1, "failures": [],
    }  # fmt: skip
    assert result["merged_file"] == BarFile.objects.get().path


def test_a_load_that_has_nothing_to_do_is_answered_at_once_and_makes_no_run(researcher, gateway):
    aapl = instrument("AAPL")
    researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d", "start": day(30)})
    work()
    bars = len(held(aapl, "1d"))
    with CaptureQueriesContext(connection) as questions:
        found = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d"})
    assert found.status_code == 200
    assert found.json() == {
        "run": None, "status": "up_to_date", "symbol": "AAPL", "timeframe": "1d", "what": "TRADES", "mode": "tail",
        "fetched_bars": 0, "cached_before": bars, "merged_file": BarFile.objects.get().path, "gaps_analyzed": 0,
        "segments_fetched": 0, "segments_failed": 0, "ib_requests_made": 0, "failures": [],
    }  # fmt: skip
    assert len(questions) < 25
    assert LoadRun.objects.count() == 1


def test_the_same_wish_twice_is_one_load_and_one_with_a_key_is_answered_once(researcher, gateway):
    instrument("AAPL")
    wish = {"symbol": "AAPL", "timeframe": "1d", "start": day(30)}
    assert len({researcher.post(LOAD, wish).json()["id"] for _ in range(2)}) == 1
    key = {"HTTP_IDEMPOTENCY_KEY": str(uuid.uuid4())}
    other = wish | {"timeframe": "1h"}
    answers = [researcher.post(LOAD, other, **key) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    assert answers[1]["Idempotent-Replayed"] == "true" and answers[0].json() == answers[1].json()
    assert LoadRun.objects.count() == 2


def test_with_the_gateway_down_the_load_is_queued_and_the_answer_says_why(researcher):
    instrument("AAPL")
    asked = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d"}).json()
    assert asked["state"] == "queued"
    assert asked["gateway"] == {
        "ready": False,
        "cause": "no process has ever held it here",
        "remedy": "`manage.py worker data` starts it; `manage.py up` does too",
    }
    link(state="down", cause="nobody listens on 127.0.0.1:4002", remedy="start the gateway")
    again = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d"}).json()
    assert again["id"] == asked["id"]
    assert again["gateway"]["cause"] == "nobody listens on 127.0.0.1:4002"


@pytest.mark.django_db(transaction=True)
def test_a_short_load_is_waited_for_and_one_that_fails_is_no_success(researcher, gateway, settings):
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("a database in memory has one connection")
    settings.LOAD_WAIT_SECONDS = 20
    # An earlier test of this kind has taken away what the migrations wrote.
    RequestLength.objects.get_or_create(timeframe="1d", defaults={"duration": "1 Y"})
    instrument("AAPL")
    instrument("NOPE")

    def worker(count: int) -> None:
        try:
            while count:
                count -= work()
                time.sleep(0.02)
        finally:
            connections.close_all()

    thread = threading.Thread(target=worker, args=(2,), daemon=True)
    thread.start()
    found = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d", "start": day(30)})
    assert (found.status_code, found.json()["status"]) == (200, "complete")
    assert found["Location"] == f"{LOADS}/{found.json()['run']}"
    failed = researcher.post(LOAD, {"symbol": "NOPE", "timeframe": "1d", "start": day(30)})
    thread.join()
    assert "NOPE" in problem(failed, 422)["detail"]


YEAR_2000 = "2000-01-03"
WRONG = [
    ({}, "symbol"),
    ({"symbol": "AAPL"}, "timeframe"),
    ({"symbol": "AAPL", "timeframe": "2m"}, "timeframe"),
    ({"symbol": "AAPL", "timeframe": "1d", "mode": "rebuild"}, "mode"),
    ({"symbol": "AAPL", "timeframe": "1d", "mode": "everything"}, "mode"),
    ({"symbol": "AAPL", "timeframe": "1d", "what": "VOLUME"}, "what"),
    ({"symbol": "AAPL", "timeframe": "1d", "dry_run": True}, "dry_run"),
    ({"symbol": "A" * 10_000, "timeframe": "1d"}, "symbol"),
    ({"symbol": "../AAPL", "timeframe": "1d"}, "not a symbol"),
    ({"symbol": "AAPL/../x", "timeframe": "1d"}, "not a symbol"),
    ({"symbol": "NOPE", "timeframe": "1d"}, "POST /api/v1/ib/symbols/discover asks IB which contract NOPE is"),
    ({"symbol": "AAPL", "timeframe": "1d", "start": "2024-06-03", "end": "2024-06-01"}, "is not before end"),
    ({"symbol": "AAPL", "timeframe": "1d", "start": "2024-06-03T10:00:00"}, "has no zone"),
    ({"symbol": "AAPL", "timeframe": "1d", "start": "yesterday"}, "is no time"),
    ({"symbol": "AAPL", "timeframe": "1d", "start": "2999-01-01"}, "lies in the future"),
    ({"symbol": "AAPL", "timeframe": "1d", "end": "2999-01-01"}, "lies in the future"),
    ({"symbol": "AAPL", "timeframe": "1m", "what": "ADJUSTED_LAST"}, "ADJUSTED_LAST"),
    ([], ""),
    ("AAPL", ""),
]


@pytest.mark.parametrize("address", [LOAD, PREVIEW])
@pytest.mark.parametrize(("document", "word"), WRONG)
def test_what_cannot_be_loaded_is_refused_and_nothing_is_written(researcher, address, document, word):
    instrument("AAPL")
    found = problem(researcher.post(address, document), 400)
    assert word in found["detail"] + str(found.get("errors"))
    assert not LoadRun.objects.exists()


def test_a_symbol_that_no_instrument_can_have_is_refused_before_anything_is_looked_up(researcher):
    researcher.get(LOADS)
    with CaptureQueriesContext(connection) as questions:
        problem(researcher.post(LOAD, {"symbol": "../AAPL", "timeframe": "1d"}), 400)
        problem(researcher.post(LOAD, {"symbol": "A" * 10_000, "timeframe": "1d"}), 400)
    assert not [each for each in questions if "marketdata_instrument" in each["sql"]]


def test_a_range_of_too_many_requests_is_refused_with_their_number(researcher, settings):
    settings.LOAD_MAX_REQUESTS = 100
    instrument("AAPL")
    wish = {"symbol": "AAPL", "timeframe": "1m", "mode": "full", "start": "2000-01-03", "end": "2020-01-03"}
    for address in (LOAD, PREVIEW):
        assert "takes 5,0" in problem(researcher.post(address, wish), 400)["detail"]
    assert not LoadRun.objects.exists()


def test_of_several_instruments_the_exchange_tells(researcher):
    instrument("AAPL")
    wanted = instrument("AAPL", exchange="LSE")
    wish = {"symbol": "AAPL", "timeframe": "1d"}
    assert "say the exchange" in problem(researcher.post(LOAD, wish), 400)["detail"]
    assert researcher.post(LOAD, wish | {"exchange": "LSE"}).status_code == 202
    assert LoadRun.objects.get().instrument == wanted


def test_bars_of_another_source_are_not_mixed_with_simulated_ones(researcher):
    row = instrument("AAPL")
    now = timezone.now()
    BarFile.objects.create(
        instrument=row, timeframe="1d", adjustment="split", partition=0, start=now - timedelta(9), end=now, rows=5,
        bytes=1, sha256="0" * 64, path="x", source="mine.csv",
    )  # fmt: skip
    found = problem(researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1d"}), 400)
    assert "bars from mine.csv are held; simulated ones are not mixed with them" in found["detail"]


# ---- before and after ----------------------------------------------------------------------------------------------


def test_a_preview_says_what_a_load_then_does(researcher, gateway):
    instrument("AAPL")
    wish = {"symbol": "AAPL", "timeframe": "1h", "mode": "full", "start": day(200)}
    viewer = session(person("viewer"))
    found = viewer.post(PREVIEW, wish)
    assert found.status_code == 200
    preview = found.json()
    assert not LoadRun.objects.exists()
    assert (preview["mode"], preview["cached"], preview["head_known"]) == ("full", 0, False)
    assert preview["gaps_found"] == len(preview["gaps"]) == 1
    assert preview["gaps"][0]["missing"] == preview["missing"]
    assert preview["minutes"] == 0, "the first 58 requests need not wait"
    assert viewer.post(LOAD, wish).status_code == 403
    researcher.post(LOAD, wish)
    work()
    run = LoadRun.objects.get()
    assert (run.segments_fetched, run.fetched_bars) == (preview["requests"], preview["missing"])
    after = viewer.post(PREVIEW, wish).json()
    assert (after["requests"], after["minutes"], after["gaps"], after["head_known"]) == (0, 0, [], True)


def test_loads_are_listed_by_what_they_are_and_told_with_their_fetches(researcher, gateway):
    aapl, msft = instrument("AAPL"), instrument("MSFT")
    asked = researcher.post(LOAD, {"symbol": "AAPL", "timeframe": "1h", "start": day(200)}).json()
    work()
    other = LoadRun.objects.create(instrument=msft, timeframe="1d", mode="full")
    assert [row["symbol"] for row in researcher.get(LOADS).json()["results"]] == ["MSFT", "AAPL"]
    for query, symbols in (
        ({"symbol": "AAPL"}, ["AAPL"]),
        ({"timeframe": "1d"}, ["MSFT"]),
        ({"state": "succeeded", "outcome": "complete"}, ["AAPL"]),
        ({"mode": "full", "instrument": msft.pk}, ["MSFT"]),
        ({"plan": "none"}, []),
    ):
        found = researcher.get(LOADS, query).json()["results"]
        assert [row["symbol"] for row in found] == symbols, query
    address = f"{LOADS}/{asked['id']}/fetches"
    page = researcher.get(address, {"page_size": 2}).json()
    fetches = list(Fetch.objects.filter(instrument=aapl).order_by("pk"))
    assert page["count"] == len(fetches) > 4
    assert [row["id"] for row in page["results"]] == [row.pk for row in fetches[:2]]
    assert {row["state"] for row in page["results"]} == {"done"}
    assert researcher.get(address, {"state": "failed"}).json()["count"] == 0
    problem(researcher.get(address, {"state": "lost"}), 400)
    assert researcher.post(f"{LOADS}/{other.pk}/cancel").status_code == 202
    assert researcher.post(f"{LOADS}/{other.pk}/retry").json()["state"] == "queued"
    problem(researcher.post(f"{LOADS}/{asked['id']}/retry"), 409)
    assert researcher.get(f"{ROOT}/runs/{asked['id']}").json()["kind"] == "loadrun"


def test_a_load_that_ib_refused_in_part_lists_what_failed(researcher):
    row = instrument("AAPL")
    run = LoadRun.objects.create(
        instrument=row, timeframe="1d", state="failed", outcome="partial", finished=timezone.now(), segments_failed=1
    )
    start = as_datetime(DEFAULT_START_NS // DAY_NS * DAY_NS)
    Fetch.objects.create(
        load_run=run, instrument=row, timeframe="1d", gap=0, start=start, end=start + timedelta(1), duration="1 D",
        state="failed", error="No market data permissions",
    )  # fmt: skip
    result = researcher.get(f"{LOADS}/{run.pk}").json()["result"]
    assert result["status"] == "partial"
    assert result["failures"] == [
        {
            "start": start.isoformat(),
            "end": (start + timedelta(1)).isoformat(),
            "error": "No market data permissions",
        }
    ]


# ---- plans and pacing ----------------------------------------------------------------------------------------------


def test_a_plan_is_made_changed_and_removed_and_its_history_kept(researcher):
    set_watchlist(name="us", instruments=[instrument("AAPL")])
    made = researcher.post(PLANS, {"name": "minutes", "watchlist": "us", "timeframe": "1m"})
    assert made.status_code == 201, made.content
    plan = made.json()
    assert (plan["mode"], plan["every_minutes"], plan["what"], plan["enabled"]) == ("tail", 5, "", True)
    assert plan["next_run_at"] is not None and plan["last_run_at"] is None
    path = f"{PLANS}/{plan['id']}"
    off = researcher.patch(path, {"enabled": False}).json()
    assert off["next_run_at"] is None
    assert researcher.get(PLANS, {"enabled": "false"}).json()["count"] == 1
    assert researcher.delete(path).status_code == 204
    kept = ConfigChange.objects.filter(kind="load_plan", name="minutes").order_by("pk")
    assert [each.after and each.after.get("enabled", True) for each in kept] == [True, False, None]


@pytest.mark.parametrize(
    "document",
    [
        {"name": "x", "watchlist": "nobody", "timeframe": "1m"},
        {"name": "x", "watchlist": "us", "timeframe": "2m"},
        {"name": "x", "watchlist": "us", "mode": "rebuild"},
        {"name": "x", "watchlist": "us", "every_minutes": 0},
        {"name": "x", "watchlist": "us", "every_minutes": 10_081},
        {"name": "x", "watchlist": "us", "timeframe": "1m", "what": "ADJUSTED_LAST"},
        {"name": "x", "watchlist": "us", "start": "2999-01-01"},
        {"name": "x", "watchlist": "us", "next_run_at": "2024-01-01T00:00Z"},
        {"name": "", "watchlist": "us"},
        {"name": "x"},
    ],
)
def test_a_plan_that_cannot_be_is_refused(researcher, document):
    set_watchlist(name="us", instruments=[instrument("AAPL")])
    problem(researcher.post(PLANS, document), 400)
    assert not LoadPlan.objects.exists()


def test_the_budget_is_told(researcher):
    found = researcher.get(f"{ROOT}/data/pacing").json()
    assert (found["profile"], found["used"], found["limit"], found["open"]) == ("strict", 0, 58, 0)
    assert found["waiting"] == {"live": 0, "scan": 0, "tail": 0, "backfill": 0}
    assert found["paused_until"] is None
