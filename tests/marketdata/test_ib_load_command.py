"""`manage.py ib_load`: what it asks for, how it follows, what it says and how it ends."""

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from gateway.simulator.server import DEFAULT_START_NS
from marketdata import loading, questions, store
from marketdata.management.commands import ib_load
from marketdata.models import BarFile, GatewayQuestion, Instrument, LoadRun
from marketdata.services import set_watchlist
from tests.gateway.gateways import connected, start_gateway
from tests.marketdata.loads import day, held, midnight, truth
from tests.marketdata.make import instrument
from tests.tradingsite.linkrow import link
from tradingsite import attempts, runs
from tradingsite.runs import cancel

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]


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
def at_work(gateway, monkeypatch):
    """Whatever is queued has been done by the time that the command looks again."""

    def work(seconds: float) -> None:
        for run in LoadRun.objects.filter(state="queued"):
            attempts.perform(LoadRun, run.pk, loading.load_bars)

    def answer(question: GatewayQuestion, seconds: float) -> None:
        attempts.perform(GatewayQuestion, question.pk, questions.answer_question)
        question.refresh_from_db()

    monkeypatch.setattr(ib_load.time, "sleep", work)
    monkeypatch.setattr(runs, "wait_for", answer)
    return gateway


def run(*args: str, code: int = 0) -> tuple[str, str]:
    """What it wrote to standard output and to standard error."""
    out, errors = io.StringIO(), io.StringIO()
    if code:
        with pytest.raises(CommandError) as raised:
            call_command("ib_load", *args, stdout=out, stderr=errors)
        assert raised.value.returncode == code, raised.value
        errors.write(str(raised.value))
    else:
        call_command("ib_load", *args, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


# ---- loading -------------------------------------------------------------------------------------------------------


def test_a_load_is_followed_to_its_end_and_told_with_its_cost(at_work):
    aapl = instrument("AAPL")
    text, progress = run("AAPL", "1h", "--mode", "full", "--start", day(60))
    start, _ = truth(at_work, aapl, "1h", midnight(60), DEFAULT_START_NS)
    assert np.array_equal(held(aapl, "1h").start, start)
    lines = text.splitlines()
    made = LoadRun.objects.get()
    assert lines[0] == "AAPL 1h TRADES, full: complete"
    assert lines[1] == (
        f"  {len(start)} bars fetched, 0 held before, 1 gap analyzed, 3 of 3 segments fetched, 3 requests made"
    )
    assert lines[2].strip() == BarFile.objects.get().path
    assert lines[3].startswith("cost: 3 requests to IB in ")
    assert progress.splitlines()[-1] == f"[{'#' * 24}] 100%   3 of 3 requests   {len(start)} bars"
    assert (made.origin, made.attempts) == ("api", 1), "a worker's, so that another one has it where that dies"


def test_a_second_load_has_nothing_to_do_and_costs_nothing(at_work):
    instrument("AAPL")
    run("AAPL", "1d", "--start", day(30))
    text, _ = run("AAPL", "1d", "--json")
    (result,) = json.loads(text)
    assert (result["status"], result["ib_requests_made"], result["run"]) == ("up_to_date", 0, None)
    assert LoadRun.objects.count() == 1


def test_a_watchlist_and_several_symbols_are_loads_side_by_side(at_work):
    aapl, msft, old = instrument("AAPL"), instrument("MSFT"), instrument("OLD", active=False)
    set_watchlist(name="us", instruments=[msft, old, aapl])
    text, _ = run("--watchlist", "us", "1d", "--start", day(30), "--json")
    results = json.loads(text)
    assert {each["symbol"]: each["status"] for each in results} == {"AAPL": "complete", "MSFT": "complete"}
    text, _ = run("AAPL", "MSFT", "AAPL", "1h", "--start", day(5))
    assert text.count("complete") == 2
    assert text.splitlines()[-1].startswith("cost: ")


def test_a_symbol_that_is_not_held_is_discovered_first(at_work):
    text, said = run("EURUSD", "1h", "--mode", "full", "--start", day(5))
    row = Instrument.objects.get()
    assert (row.symbol, row.kind) == ("EURUSD", "forex")
    assert text.startswith("EURUSD 1h MIDPOINT, full: complete")
    assert said.startswith("EURUSD is not held yet: IB is asked which contract it is")


def test_a_symbol_that_may_be_several_contracts_is_never_guessed(at_work):
    _, said = run("ES", "1h", code=2)
    assert "ES may be several contracts: ESH6" in said
    assert not Instrument.objects.exists() and not LoadRun.objects.exists()
    run("QQQX", "1h", code=1)


def test_a_load_that_fails_ends_with_one_and_says_why(at_work):
    instrument("NOPE")
    text, said = run("NOPE", "1d", code=1)
    assert text.startswith("NOPE 1d TRADES, tail: failed\n")
    assert "1 of 1 series not complete: NOPE 1d" in said
    assert "NOPE" in text.splitlines()[2] and "cost: " in text


def test_a_past_that_ib_has_restated_is_followed_until_it_is_rebuilt(at_work):
    aapl = instrument("AAPL")
    run("AAPL", "1h", "--start", day(20), "--end", day(8))
    bars = held(aapl, "1h")
    doubled = {name: getattr(bars, name) * 2 for name in ("open", "high", "low", "close")}
    store.write_bars(instrument=aapl, series=replace(bars, **doubled), source="IB, simulated")
    text, _ = run("AAPL", "1h")
    assert "AAPL 1h TRADES, tail: restated" in text
    assert "AAPL 1h TRADES, rebuild: complete" in text
    _, close = truth(at_work, aapl, "1h", midnight(20), DEFAULT_START_NS)
    assert np.array_equal(held(aapl, "1h").close, close)


def test_one_that_was_cancelled_elsewhere_is_not_complete(gateway, monkeypatch):
    instrument("AAPL")
    monkeypatch.setattr(ib_load.time, "sleep", lambda seconds: cancel(LoadRun.objects.get()))
    text, _ = run("AAPL", "1d", code=1)
    assert "AAPL 1d TRADES, tail: cancelled" in text


# ---- without anybody who works -------------------------------------------------------------------------------------


def test_without_a_data_worker_it_is_queued_and_says_who_is_missing():
    instrument("AAPL")
    _, said = run("AAPL", "1d", code=3)
    assert "1 load queued, and not begun. The gateway is off (no process has ever held it here)" in said
    assert "`manage.py worker data` starts it" in said
    assert LoadRun.objects.get().state == "queued"
    _, said = run("NEW", "1d", code=3)
    assert "IB has not said yet which contract that is" in said


def test_a_gateway_that_is_away_is_waited_for_a_while(monkeypatch):
    instrument("AAPL")
    link(state="down", cause="nobody listens", remedy="start the gateway", seconds_ago=-3600)
    monkeypatch.setattr(ib_load, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(ib_load, "_POLL_SECONDS", 0.01)
    _, said = run("AAPL", "1d", code=3)
    assert "The gateway is down (nobody listens): start the gateway" in said


def test_what_is_not_followed_is_queued(gateway):
    instrument("AAPL")
    text, _ = run("AAPL", "1d", "--no-wait")
    made = LoadRun.objects.get()
    assert text == f"AAPL 1d TRADES: run {made.run_id} queued\n"
    assert json.loads(run("AAPL", "1d", "--no-wait", "--json")[0]) == [{"run": made.run_id, "state": "queued"}]
    link(state="down", cause="nobody listens", remedy="start the gateway", seconds_ago=-3600)
    assert "queued only" in run("AAPL", "1d", "--no-wait", code=3)[1]


def test_ctrl_c_leaves_the_load_to_the_worker(gateway, monkeypatch):
    instrument("AAPL")

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ib_load.time, "sleep", interrupt)
    _, said = run("AAPL", "1d", code=130)
    assert "goes on in the data worker" in said
    assert (LoadRun.objects.get().state, LoadRun.objects.get().cancel_requested) == ("queued", None)


# ---- before it runs ------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(at_work):
    instrument("AAPL")
    text, _ = run("AAPL", "1h", "--mode", "full", "--start", day(60), "--dry-run")
    (found,) = json.loads(run("AAPL", "1h", "--mode", "full", "--start", day(60), "--dry-run", "--json")[0])
    assert not LoadRun.objects.exists()
    lines = text.splitlines()
    assert lines[0] == (f"AAPL 1h TRADES, full: 0 bars held, {found['missing']} missing in 1 gap, 3 requests at most")
    assert lines[-1] == "3 requests, about 0 s"
    run("AAPL", "1h", "--mode", "full", "--start", day(60))
    made = LoadRun.objects.get()
    assert (made.segments_fetched, made.fetched_bars) == (found["requests"], found["missing"])
    assert "run `manage.py" not in run("NEW", "1h", "--dry-run", code=2)[1]
    assert not GatewayQuestion.objects.exists()


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["AAPL"], "unknown timeframe"),
        (["AAPL", "2m"], "unknown timeframe"),
        (["1h"], "give symbols and then a timeframe"),
        (["AAPL", "1h", "--watchlist", "us"], "or --watchlist"),
        (["1h", "--watchlist", "nobody"], "unknown watchlist"),
        (["1h", "--watchlist", "empty"], "no active members"),
        (["../AAPL", "1h"], "is not a symbol"),
        (["A" * 10_000, "1h"], "is not a symbol"),
        (["AAPL", "1h", "--start", "2024-06-03T10:00:00"], "has no zone"),
        (["AAPL", "1h", "--start", "2024-06-03", "--end", "2024-06-01"], "is not before end"),
        (["AAPL", "1h", "--start", "2999-06-03"], "lies in the future"),
        (["AAPL", "1m", "--what", "ADJUSTED_LAST"], "ADJUSTED_LAST"),
    ],
)
def test_wrong_use_ends_with_two_and_a_sentence(args, word):
    instrument("AAPL")
    set_watchlist(name="empty", instruments=[])
    assert word in run(*args, code=2)[1]
    assert not LoadRun.objects.exists()
