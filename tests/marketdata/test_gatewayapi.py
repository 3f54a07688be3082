"""Discovery and ranges over HTTP. The data worker's part is done by the test, against the simulated gateway."""

import datetime as dt
import threading
import time
import uuid

import pytest
from django.db import connection, connections
from django.utils import timezone

from marketdata import store
from marketdata.models import GatewayQuestion, HeadTime, Instrument, InstrumentDetails
from tests.marketdata.gatewayside import answer_all, data_worker, usual  # noqa: F401 - fixtures
from tests.marketdata.make import instrument, minutes
from tests.tradingsite.people import ROOT, by_token, person, problem, session

pytestmark = pytest.mark.django_db
DISCOVER, DISCOVERED, RANGES = (f"{ROOT}/ib/{name}" for name in ("symbols/discover", "symbols/discovered", "ranges"))


@pytest.fixture
def researcher():
    return session(person("researcher"))


def discovered(client, symbol: str, **hints):
    """The answer to the second asking, after the data worker's."""
    assert client.post(DISCOVER, {"symbol": symbol, **hints}).status_code == 202
    answer_all()
    answer = client.post(DISCOVER, {"symbol": symbol, **hints})
    assert answer.status_code == 200, answer.content
    return answer.json()


# ---- discovering -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("data_worker")
@pytest.mark.parametrize(("symbol", "kind"), [("EURUSD", "forex"), ("TSLA", "stock"), ("ESZ6", "future")])
def test_a_new_symbol_is_a_run_to_follow_and_then_an_instrument(researcher, symbol, kind):
    asked = researcher.post(DISCOVER, {"symbol": symbol})
    assert asked.status_code == 202 and asked.json()["state"] == "queued"
    answer_all()
    run = researcher.get(asked["Location"]).json()
    assert (run["state"], run["kind"], run["started_by"]) == ("succeeded", "discover", "researcher")
    row = Instrument.objects.get()
    assert run["answer"]["instrument"] == run["instrument"] == row.pk
    assert researcher.get(f"{ROOT}/runs/{run['id']}").json()["kind"] == "gatewayquestion"
    found = researcher.post(DISCOVER, {"symbol": symbol})
    assert found.status_code == 200
    assert (found.json()["ambiguous"], found.json()["candidates"]) == (False, [])
    shown = found.json()["instrument"]
    assert (shown["symbol"], shown["kind"], shown["con_id"]) == (symbol, kind, row.con_id)
    assert shown["details"]["local_symbol"] == row.details.local_symbol
    assert GatewayQuestion.objects.count() == 1


@pytest.mark.usefixtures("data_worker")
def test_where_several_fit_all_are_shown_and_one_is_chosen_by_its_id(researcher):
    found = discovered(researcher, "ES")
    assert (found["ambiguous"], found["instrument"]) == (True, None)
    assert not Instrument.objects.exists()
    chosen = found["candidates"][2]
    row = discovered(researcher, "ES", con_id=chosen["con_id"])["instrument"]
    assert (row["symbol"], row["details"]["expiry"]) == (chosen["symbol"], chosen["expiry"])
    Instrument.objects.update(active=False)
    assert researcher.post(DISCOVER, {"symbol": "ES", "con_id": chosen["con_id"]}).status_code == 202, "asked anew"


@pytest.mark.usefixtures("data_worker")
def test_the_same_wish_twice_is_one_question(researcher):
    first, second = (researcher.post(DISCOVER, {"symbol": "TSLA"}).json()["id"] for _ in range(2))
    assert first == second
    key = {"HTTP_IDEMPOTENCY_KEY": str(uuid.uuid4())}
    answers = [researcher.post(DISCOVER, {"symbol": "MSFT"}, **key) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    assert answers[1]["Idempotent-Replayed"] == "true" and answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"symbol": ""},
        {"symbol": " "},
        {"symbol": "A" * 10_000},
        {"symbol": "../../etc/passwd"},
        {"symbol": "A/B"},
        {"symbol": "A..B"},
        {"symbol": "A\0B"},
        {"symbol": ["AAPL"]},
        {"symbol": "AAPL", "instrument_type": "bond"},
        {"symbol": "AAPL", "exchange": "NAS DAQ"},
        {"symbol": "AAPL", "exchange": "E" * 17},
        {"symbol": "AAPL", "currency": "US1"},
        {"symbol": "AAPL", "con_id": 0},
        {"symbol": "AAPL", "con_id": 2**31},
        {"symbol": "AAPL", "con_id": "x"},
        {"symbol": "AAPL", "kind": "stock"},
        [],
        "AAPL",
    ],
)
def test_what_is_no_symbol_is_refused_and_nothing_is_asked(researcher, document):
    problem(researcher.post(DISCOVER, document), 400)
    assert not GatewayQuestion.objects.exists()


def test_a_viewer_may_look_but_not_discover():
    viewer = session(person("viewer"))
    problem(viewer.post(DISCOVER, {"symbol": "TSLA"}), 403)
    problem(by_token(person("admin"), "viewer").post(DISCOVER, {"symbol": "TSLA"}), 403)
    assert viewer.get(DISCOVERED).status_code == 200
    assert not GatewayQuestion.objects.exists()


def test_while_the_gateway_is_away_the_run_says_what_it_waits_for(researcher):
    asked = researcher.post(DISCOVER, {"symbol": "TSLA"})
    answer_all()
    run = researcher.get(asked["Location"]).json()
    assert run["state"] == "queued" and run["waits_for"].startswith("the gateway is not ready")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("data_worker")
def test_an_answer_that_comes_soon_is_the_answer_to_the_request(researcher, settings):
    settings.DISCOVER_WAIT_SECONDS = 20

    def work(count: int) -> None:
        try:
            while count:
                count -= len(answer_all())
                time.sleep(0.01)
        finally:
            connections.close_all()

    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("a database in memory has one connection")
    worker = threading.Thread(target=work, args=(2,), daemon=True)
    worker.start()
    found = researcher.post(DISCOVER, {"symbol": "TSLA"})
    assert (found.status_code, found.json()["instrument"]["symbol"]) == (200, "TSLA")
    assert problem(researcher.post(DISCOVER, {"symbol": "QQQX"}), 422)["detail"] == "IB knows no QQQX"
    worker.join(20)
    assert not worker.is_alive()


# ---- what was discovered -----------------------------------------------------------------------------------------


def known(symbol: str, kind: str, con_id: int) -> Instrument:
    row = instrument(symbol, kind=kind, con_id=con_id)
    InstrumentDetails.objects.create(instrument=row, local_symbol=symbol, refreshed=timezone.now())
    return row


def test_what_was_discovered_is_listed_by_kind_in_pages(researcher):
    for number in range(60):
        known(f"P{number:02}", "forex", 100 + number)
    known("AAPL", "stock", 1)
    instrument("MINE")
    everything = researcher.get(DISCOVERED, {"page_size": 40}).json()
    assert (everything["count"], len(everything["results"])) == (61, 40)
    assert len(researcher.get(everything["next"]).json()["results"]) == 21
    pairs = researcher.get(DISCOVERED, {"instrument_type": "forex", "page_size": 500}).json()["results"]
    assert [each["symbol"] for each in pairs] == [f"P{number:02}" for number in range(60)]
    assert {each["kind"] for each in pairs} == {"forex"}
    assert researcher.get(DISCOVERED, {"instrument_type": "future"}).json()["count"] == 0
    assert researcher.get(DISCOVERED, {"symbol": "AAPL"}).json()["results"][0]["details"]["local_symbol"] == "AAPL"


@pytest.mark.parametrize("query", [{"instrument_type": "bond"}, {"instrument_type": "FOREX"}, {"ordering": "x"}])
def test_an_unknown_kind_is_refused(researcher, query):
    problem(researcher.get(DISCOVERED, query), 400)


def test_a_page_of_what_was_discovered_takes_few_queries(researcher, django_assert_max_num_queries):
    for number in range(50):
        known(f"P{number:02}", "forex", 100 + number)
    with django_assert_max_num_queries(8):
        assert len(researcher.get(DISCOVERED).json()["results"]) == 50


# ---- ranges ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("data_worker")
def test_ranges_are_what_is_held_at_once_and_what_ib_has_once_it_was_asked(researcher, bars_root):
    row = instrument("AAPL", con_id=265598)
    bars = minutes(30)
    store.write_bars(instrument=row, series=bars, source="test")
    first = researcher.get(RANGES, {"symbol": "AAPL"}).json()
    assert (first["symbol"], first["instrument"], first["what"], first["head"]) == ("AAPL", row.pk, "TRADES", None)
    assert first["asked"]["state"] == "queued"
    (held,) = first["held"]
    assert (held["timeframe"], held["rows"], held["start"]) == ("1m", 30, "2023-01-03T14:30:00Z")
    assert held["end"] == "2023-01-03T15:00:00Z"
    assert researcher.get(RANGES, {"symbol": "AAPL", "timeframe": "1d"}).json()["held"] == []
    answer_all()
    second = researcher.get(RANGES, {"symbol": "AAPL", "timeframe": "1m"}).json()
    head = HeadTime.objects.get()
    assert dt.datetime.fromisoformat(second["head"]) == head.start
    assert (second["asked"], second["error"], len(second["heads"])) == (None, "", 1)
    assert GatewayQuestion.objects.count() == 1


@pytest.mark.usefixtures("data_worker")
def test_what_ib_could_not_say_is_told(researcher):
    instrument("QQQX")
    researcher.get(RANGES, {"symbol": "QQQX"})
    answer_all()
    found = researcher.get(RANGES, {"symbol": "QQQX"}).json()
    assert (found["head"], found["asked"]) == (None, None)
    assert "no contract" in found["error"]
    assert GatewayQuestion.objects.count() == 1


def test_a_viewers_look_asks_ib_nothing():
    instrument("AAPL")
    found = session(person("viewer")).get(RANGES, {"symbol": "AAPL"}).json()
    assert (found["head"], found["asked"]) == (None, None)
    assert not GatewayQuestion.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"symbol": "NOPE"},
        {"symbol": "A" * 10_000},
        {"symbol": "../AAPL"},
        {"symbol": "AAPL", "timeframe": "2m"},
        {"symbol": "AAPL", "instrument_type": "bond"},
        {"symbol": "AAPL", "exchange": "a b"},
    ],
)
def test_ranges_of_what_cannot_be_are_refused(researcher, query):
    instrument("AAPL")
    problem(researcher.get(RANGES, query), 400)
    assert not GatewayQuestion.objects.exists()
