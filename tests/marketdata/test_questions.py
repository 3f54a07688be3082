import datetime as dt

import pytest
from django.utils import timezone

from domain.pacing import Priority
from gateway.codes import error_of, meaning
from gateway.simulator.server import DEFAULT_START_NS
from marketdata import questions
from marketdata.lookup import check_wanted
from marketdata.models import GatewayQuestion, HeadTime, Instrument, PacingSlot
from marketdata.moments import as_datetime
from tests.gateway.gateways import connected, start_gateway
from tests.gateway.simulator.worlds import known_market
from tests.marketdata.gatewayside import answer_all, data_worker, usual  # noqa: F401 - fixtures
from tests.marketdata.make import instrument

pytestmark = pytest.mark.django_db
AAPL = {"con_id": 265598}


def which(symbol: str, **hints) -> GatewayQuestion:
    return questions.ask_which(wanted=check_wanted(symbol=symbol, **hints), origin="api")


def ranges(row: Instrument) -> GatewayQuestion:
    return questions.ask_ranges(instrument=row, whats=questions.whats_of(row), origin="api")


def test_an_open_question_is_not_asked_twice():
    first = which("TSLA")
    assert which("tsla ") == first
    assert which("TSLA", currency="USD") != first
    row = instrument("TSLA")
    assert ranges(row) == ranges(row) != first
    GatewayQuestion.objects.update(state="failed", finished=timezone.now())
    assert which("TSLA") != first


@pytest.mark.usefixtures("data_worker")
def test_the_answer_is_the_instrument_and_is_known_from_then_on():
    wanted = check_wanted(symbol="TSLA")
    assert questions.answer_to(wanted, timezone.now()) is None
    which("TSLA")
    (run,) = answer_all()
    row = Instrument.objects.get()
    assert (run.state, run.error, run.instrument, row.symbol) == ("succeeded", "", row, "TSLA")
    assert run.answer == {"instrument": row.pk, "candidates": [], "notes": []}
    assert questions.answer_to(wanted, timezone.now()) == run.answer
    assert questions.answer_to(wanted, timezone.now() + dt.timedelta(days=2)) is None


@pytest.mark.usefixtures("data_worker")
def test_candidates_are_an_answer_for_a_day_and_nothing_is_stored():
    which("ES")
    (run,) = answer_all()
    assert run.state == "succeeded" and run.instrument is None and not Instrument.objects.exists()
    assert {"ESZ6"} < {each["symbol"] for each in run.answer["candidates"]}
    wanted = check_wanted(symbol="ES")
    assert questions.answer_to(wanted, timezone.now()) == run.answer
    assert questions.answer_to(wanted._replace(exchange="CME"), timezone.now()) is None
    assert questions.answer_to(wanted, timezone.now() + dt.timedelta(days=2)) is None


@pytest.mark.usefixtures("data_worker")
def test_a_symbol_that_ib_does_not_know_fails_with_a_sentence():
    which("QQQX")
    (run,) = answer_all()
    assert (run.state, run.error, run.answer) == ("failed", "IB knows no QQQX", None)


@pytest.mark.usefixtures("data_worker")
def test_the_beginning_of_the_history_is_kept_for_a_day(data_worker):  # noqa: F811
    row = instrument("AAPL", **AAPL)
    ranges(row)
    (run,) = answer_all()
    (listed,) = (each for each in known_market().listings() if each.con_id == 265598)
    head = HeadTime.objects.get()
    assert head.what == "TRADES"
    assert abs(head.start - as_datetime(listed.head_ns)) <= dt.timedelta(days=1)
    assert run.answer == {"heads": {"TRADES": head.start.isoformat()}, "refused": {}}
    never = {"priority": Priority.TAIL, "wait": pytest.fail}
    assert questions.ask_head(data_worker, row, "TRADES", **never) == (head, False)
    HeadTime.objects.update(asked=head.asked - dt.timedelta(hours=25))
    PacingSlot.objects.all().delete()  # a day later nothing of the budget is used
    asked_again, was_asked = questions.ask_head(data_worker, row, "TRADES", **never)
    assert was_asked and asked_again.asked >= head.asked
    assert HeadTime.objects.count() == 1


@pytest.mark.usefixtures("data_worker")
def test_each_kind_of_instrument_is_asked_for_its_own_kind_of_bars():
    which("EURUSD"), which("ESZ6"), which("SPX")
    answer_all()
    rows = list(Instrument.objects.all())
    for row in rows:
        ranges(row)
    assert {run.state for run in answer_all()} == {"succeeded"}
    assert {head.instrument.symbol: head.what for head in HeadTime.objects.all()} == {
        "EURUSD": "MIDPOINT",
        "ESZ6": "TRADES",
        "SPX": "TRADES",
    }
    assert all(head.start < as_datetime(DEFAULT_START_NS) for head in HeadTime.objects.all())


@pytest.mark.usefixtures("data_worker")
def test_what_ib_refuses_is_said_and_not_asked_again_within_the_hour():
    row = instrument("QQQX")
    ranges(row)
    (run,) = answer_all()
    assert run.state == "failed" and run.error.startswith("QQQX: TRADES: no contract")
    assert questions.ranges_asked(row, timezone.now()) == run
    assert questions.ranges_asked(row, timezone.now() + dt.timedelta(hours=2)) is None


@pytest.mark.usefixtures("data_worker")
def test_where_ib_was_asked_too_often_the_whole_login_pauses_and_the_question_waits(monkeypatch):
    """The simulated gateway counts no such request; IB may."""
    paused = []
    text = "Historical Market Data Service error message:Historical data request pacing violation"

    def ask_head(*_, **__) -> None:
        raise error_of(meaning(162, text), text)

    monkeypatch.setattr(questions, "ask_head", ask_head)
    monkeypatch.setattr(questions.pacing, "pause", lambda: paused.append(1))
    ranges(instrument("AAPL", **AAPL))
    (run,) = answer_all()
    assert paused == [1]
    assert run.state == "queued" and "too often" in run.waits_for


def test_without_a_connection_the_question_waits_in_the_queue_and_says_for_what():
    which("TSLA")
    (run,) = answer_all()
    assert (run.state, run.attempts) == ("queued", 0)
    assert run.waits_for == "the gateway is not ready: no process has ever held it here"


def test_where_the_gateway_is_lost_the_question_waits_in_the_queue(monkeypatch):
    monkeypatch.setattr(questions, "READY_SECONDS", 0.05)
    with start_gateway() as gateway, connected(gateway) as connection:
        monkeypatch.setattr("tradingsite.links.connection", lambda role: connection)
        gateway.stop()
        which("TSLA")
        (run,) = answer_all()
    assert run.state == "queued" and run.waits_for.startswith("the gateway")


@pytest.mark.usefixtures("data_worker")
def test_no_permission_says_which_subscription_is_missing(monkeypatch):
    """The simulated gateway tells everybody where a history begins; IB may not."""
    text = "Historical Market Data Service error message:No market data permissions for NASDAQ STK"

    def ask_head(*_, **__) -> None:
        raise error_of(meaning(162, text), text)

    monkeypatch.setattr(questions, "ask_head", ask_head)
    ranges(instrument("AAPL", **AAPL))
    (run,) = answer_all()
    assert run.state == "failed"
    assert "No market data permissions for NASDAQ STK" in run.error and "subscribe to the market data" in run.error
