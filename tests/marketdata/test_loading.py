"""Loads against a simulated gateway: what is held afterwards is what the simulator's market says, bar by bar."""

import threading
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from domain.gaps import GapClass
from domain.timeframe import DAY_NS, SECOND_NS, Timeframe
from gateway.simulator.server import DEFAULT_START_NS
from marketdata import loading, pacing, proofs, rebuilding, store
from marketdata.calendars import sessions
from marketdata.holdings import holdings
from marketdata.models import BarFile, HeadTime, LoadRun, Restatement
from marketdata.moments import as_datetime
from marketdata.signals import series_rebuilt
from tests.gateway.gateways import start_gateway
from tests.marketdata import make
from tests.marketdata.loads import data_worker, day, held, load, midnight, queued, truth
from tradingsite import attempts, endings, links
from tradingsite.runs import claim, retry

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]


@pytest.fixture
def gateway():
    handle = start_gateway(history_pacing=False)
    yield handle
    handle.stop()


@pytest.fixture
def worker(gateway, monkeypatch):
    with data_worker(gateway, monkeypatch) as connection:
        yield connection


def test_a_first_load_brings_every_bar_of_its_range_and_nothing_else(gateway, worker):
    aapl = make.instrument("AAPL")
    run = load(aapl, "1m", "tail", start=day(7))
    assert (run.state, run.outcome, run.mode) == ("succeeded", "complete", "full"), run.error
    bars = held(aapl, "1m")
    start, close = truth(gateway, aapl, "1m", midnight(7), DEFAULT_START_NS)
    assert np.array_equal(bars.start, start)
    assert np.array_equal(bars.close, close)
    assert len(bars) == run.fetched_bars > 1_000


# ---- every kind of bar ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeframe", "days"), [("1m", 5), ("5m", 20), ("15m", 30), ("30m", 60), ("1h", 60), ("1d", 900), ("1w", 900)]
)
def test_every_timeframe_is_held_as_the_market_was(gateway, worker, timeframe, days):
    aapl = make.instrument("AAPL")
    run = load(aapl, timeframe, start=day(days))
    assert run.outcome == "complete", run.error
    bars = held(aapl, timeframe)
    start, close = truth(gateway, aapl, timeframe, midnight(days), DEFAULT_START_NS)
    expected, _ = sessions("XNYS").expected_bars(Timeframe(timeframe), int(start[0]), int(start[-1]) + 1)
    assert np.array_equal(bars.start, expected)
    assert np.array_equal(bars.close, close)


@pytest.mark.parametrize(
    ("symbol", "fields", "what", "basis"),
    [
        ("EURUSD", {"kind": "forex", "exchange": "IDEALPRO", "calendar": "FX", "currency": "USD"}, "MIDPOINT", "raw"),
        ("AAPL", {}, "BID_ASK", "split"),
        ("AAPL", {}, "MIDPOINT", "split"),
    ],
)
def test_quotes_are_loaded_as_well(gateway, worker, symbol, fields, what, basis):
    row = make.instrument(symbol, **fields)
    run = load(row, "1h", start=day(6), what=what)
    assert run.outcome == "complete", run.error
    bars = held(row, "1h", what)
    start, close = truth(gateway, row, "1h", midnight(6), DEFAULT_START_NS, what)
    assert np.array_equal(bars.start, start)
    assert np.array_equal(bars.close, close)
    assert bars.adjustment == basis
    assert np.isnan(bars.volume).all()


# ---- modes ---------------------------------------------------------------------------------------------------------


def test_a_tail_asks_for_what_came_since_and_for_the_last_bar_again(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "5m", start=day(4))
    before = held(aapl, "5m")
    gateway.advance(2 * 86_400)
    run = load(aapl, "5m")
    assert (run.outcome, run.mode, run.cached_before) == ("complete", "tail", len(before))
    assert run.fetches.earliest("start").start == as_datetime(int(before.start[-1]))
    bars = held(aapl, "5m")
    start, close = truth(gateway, aapl, "5m", midnight(4), 2**62)
    assert np.array_equal(bars.start, start)
    assert np.array_equal(bars.close, close)
    assert len(bars) > len(before)


def test_a_bar_that_is_not_finished_is_left_to_the_next_load(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1h", start=day(2))
    last = held(aapl, "1h").end[-1]
    now_ns = gateway.call(lambda simulator: simulator.exchange.now_ns)
    assert last <= now_ns < last + Timeframe.H1.nanoseconds
    run = load(aapl, "1h")
    assert (run.outcome, run.ib_requests_made, run.gaps_analyzed) == ("up_to_date", 0, 0)


def test_where_nothing_is_missing_nothing_is_asked(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1d", start=day(90))
    for mode in ("tail", "full"):
        run = load(aapl, "1d", mode, start=day(90))
        assert (run.state, run.outcome, run.ib_requests_made) == ("succeeded", "up_to_date", 0)


def test_the_partly_held_year_is_filled_by_its_three_gaps_alone(gateway, worker):
    aapl = make.instrument("AAPL")
    for start, end in ((700, 300), (290, 40)):
        load(aapl, "1d", "full", start=day(start), end=day(end))
    before = held(aapl, "1d")
    run = load(aapl, "1d", "full", start=day(1_100))
    assert (run.outcome, run.gaps_analyzed, run.cached_before) == ("complete", 3, len(before))
    assert run.fetches.count() == 4, "the first gap is longer than a year"
    assert run.ib_requests_made == 5, "and where the history begins is worth a request then"
    start, close = truth(gateway, aapl, "1d", midnight(1_100), 2**62)
    bars = held(aapl, "1d")
    assert np.array_equal(bars.start, start)
    assert np.array_equal(bars.close, close)
    missing = len(bars) - len(before)
    assert run.fetched_bars == missing + 1, "and the last bar held, to compare it"


def test_a_backfill_goes_back_by_one_request_unless_told_how_far(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1d", "full", start=day(100))
    first = held(aapl, "1d").start[0]
    run = load(aapl, "1d", "backfill")
    assert (run.mode, run.outcome) == ("backfill", "complete")
    back = held(aapl, "1d").start[0]
    assert 360 * DAY_NS <= first - back <= 366 * DAY_NS
    load(aapl, "1d", "backfill", start=day(900))
    assert held(aapl, "1d").start[0] == truth(gateway, aapl, "1d", midnight(900), 2**62)[0][0]


def test_a_first_load_without_a_start_goes_back_to_ibs_first_bar(gateway, worker):
    aapl = make.instrument("AAPL")
    run = load(aapl, "1w")
    assert run.outcome == "complete", run.error
    head = HeadTime.objects.get(instrument=aapl, what="TRADES").start
    assert as_datetime(int(held(aapl, "1w").start[0])) - head < timedelta(days=7)
    assert load(aapl, "1w", "full").ib_requests_made == 0


# ---- what is not there ---------------------------------------------------------------------------------------------


def test_what_ib_says_does_not_exist_is_remembered_and_never_asked_again(gateway, worker):
    aapl = make.instrument("AAPL")
    gateway.faults.no_data(count=2)
    run = load(aapl, "1m", "full", start=day(7), end=day(2))
    assert run.outcome == "complete", run.error
    ends = sorted(run.fetches.values_list("state", flat=True))
    assert ends == ["done"] * (len(ends) - 2) + ["empty"] * 2 and len(ends) > 3
    again = load(aapl, "1m", "full", start=day(7), end=day(2))
    assert again.outcome == "up_to_date"
    reasons = holdings(aapl)[0].gaps
    assert set(reasons.reason.tolist()) <= {GapClass.NO_TRADES}


def test_an_answer_for_a_bar_that_may_still_come_proves_nothing(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1m", start=day(1))
    last = held(aapl, "1m").end[-1]
    gateway.advance(180)
    gateway.faults.no_data(count=1)
    assert load(aapl, "1m").fetches.get().state == "empty"
    assert held(aapl, "1m").end[-1] == last
    assert load(aapl, "1m").fetches.get().state == "done"
    assert held(aapl, "1m").end[-1] == last + 180 * SECOND_NS


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def soon(monkeypatch):
    monkeypatch.setattr(loading, "RETRY_SECONDS", (0.01, 0.02, 0.03, 0.04, 0.05, 0.06))


def test_a_segment_that_fails_for_a_while_is_asked_again_after_the_others(gateway, worker, monkeypatch):
    soon(monkeypatch)
    aapl = make.instrument("AAPL")
    gateway.faults.err(162, "Historical Market Data Service error message:Timed out", request="HistoricalData", count=2)
    run = load(aapl, "1m", "full", start=day(5))
    assert (run.outcome, run.segments_failed) == ("complete", 0)
    assert sorted(run.fetches.values_list("tries", flat=True), reverse=True)[:2] in ([2, 2], [3, 1])
    assert "try 2 in" in run.log_tail
    assert np.array_equal(held(aapl, "1m").start, truth(gateway, aapl, "1m", midnight(5), DEFAULT_START_NS)[0])


def test_one_that_never_comes_leaves_the_load_partial_and_the_rest_is_held(gateway, worker, monkeypatch):
    soon(monkeypatch)
    aapl = make.instrument("AAPL")
    text = "Historical Market Data Service error message:Timed out"
    gateway.faults.err(162, text, request="HistoricalData", count=10**6, nth=3)
    run = load(aapl, "1m", "full", start=day(7))
    assert (run.state, run.outcome) == ("failed", "partial")
    assert run.segments_fetched == 2
    assert run.segments_failed == run.fetches.filter(state="failed").count() > 0
    assert {row.tries for row in run.fetches.filter(state="failed")} == {1 + loading.MAX_RETRIES}
    told = loading.result_of(run)
    assert told["status"] == "partial"
    assert len(told["failures"]) == run.segments_failed
    assert text in told["failures"][0]["error"]
    assert f"{run.segments_failed} of {run.fetches.count()} segments failed" in run.error
    assert len(held(aapl, "1m")) == run.fetched_bars > 0
    gateway.faults.heal()
    again = load(aapl, "1m", "full", start=day(7))
    assert (again.outcome, again.segments_fetched) == ("complete", run.segments_failed + 1), "and the probe"
    assert np.array_equal(held(aapl, "1m").start, truth(gateway, aapl, "1m", midnight(7), DEFAULT_START_NS)[0])


def test_what_ib_takes_too_long_for_is_asked_in_halves(gateway, worker, monkeypatch):
    soon(monkeypatch)
    monkeypatch.setattr(loading, "REQUEST_SECONDS", 0.3)
    aapl = make.instrument("AAPL")
    gateway.faults.ignore("HistoricalData", 1)
    run = load(aapl, "1m", "full", start=day(2))
    assert run.outcome == "complete", run.error
    assert run.fetches.filter(state="split").count() == 1
    assert np.array_equal(held(aapl, "1m").start, truth(gateway, aapl, "1m", midnight(2), DEFAULT_START_NS)[0])


def test_after_a_pacing_error_the_whole_login_pauses_and_nothing_is_lost(gateway, worker, monkeypatch):
    paused = []
    monkeypatch.setattr(pacing, "pause", lambda: paused.append(True))
    aapl = make.instrument("AAPL")
    gateway.faults.pace(count=2)
    run = load(aapl, "1m", "full", start=day(4))
    assert (run.outcome, len(paused)) == ("complete", 2)
    assert max(run.fetches.values_list("tries", flat=True)) == 1, "it was nobody's fault"
    assert run.ib_requests_made == run.fetches.count() + 2
    assert np.array_equal(held(aapl, "1m").start, truth(gateway, aapl, "1m", midnight(4), DEFAULT_START_NS)[0])


def test_without_the_permission_nothing_more_is_asked_and_the_run_says_what_to_subscribe_to(gateway, worker):
    gateway.faults.set("history_denied", {"AAPL"})
    aapl = make.instrument("AAPL")
    run = load(aapl, "1m", "full", start=day(7))
    assert (run.state, run.outcome, run.ib_requests_made) == ("failed", "nothing", 2)
    assert "permission" in run.error and "subscribe" in run.error
    table = sessions("XNYS")
    known = proofs.explanations(aapl, Timeframe.M1, "TRADES", table)
    assert GapClass.NO_PERMISSION in {each.reason for each in known}


def test_a_symbol_that_ib_does_not_know_ends_the_run_with_ibs_words(gateway, worker):
    run = load(make.instrument("NOSUCH"), "1d", "full", start=day(7))
    assert (run.state, run.ib_requests_made) == ("failed", 0)
    assert "NOSUCH" in run.error and "IB knows no such contract" in run.error


def test_without_a_gateway_the_run_waits_in_the_queue_and_says_why(monkeypatch):
    monkeypatch.setattr(loading, "READY_SECONDS", 0.1)
    monkeypatch.setattr(links, "connection", lambda role: None)
    run = load(make.instrument("AAPL"), "1d", start="2024-01-01", now_ns=DEFAULT_START_NS)
    assert (run.state, run.attempts) == ("queued", 0)
    assert run.waits_for.startswith("the gateway: no process has ever held it here")


def test_a_gateway_that_goes_away_in_the_middle_costs_no_bar_and_no_second_request(gateway, worker, monkeypatch):
    aapl = make.instrument("AAPL")
    gateway.faults.drop(request="HistoricalData", nth=3)
    run = load(aapl, "1m", "full", start=day(7))
    assert run.outcome == "complete", run.error
    start, close = truth(gateway, aapl, "1m", midnight(7), DEFAULT_START_NS)
    assert np.array_equal(held(aapl, "1m").start, start)
    assert np.array_equal(held(aapl, "1m").close, close)
    assert run.ib_requests_made == 1 + run.fetches.count() + 1, "IB's first bar, each segment, and the lost one again"


def test_what_came_before_a_cancel_is_kept_and_a_retry_goes_on_there(gateway, worker, monkeypatch):
    aapl = make.instrument("AAPL")
    run = queued(aapl, "1m", "full", start=day(9))
    asked = []
    history = worker.history

    def cancelled_on_the_way(*arguments):
        asked.append(arguments[0].end_ns)
        if len(asked) == 3:
            raise attempts.RunCancelled
        return history(*arguments)

    monkeypatch.setattr(worker, "history", cancelled_on_the_way)
    attempts.perform(LoadRun, run.pk, loading.load_bars)
    run.refresh_from_db()
    assert (run.state, run.segments_fetched) == ("cancelled", 2)
    assert len(held(aapl, "1m")) == run.fetched_bars > 0
    assert retry(run)
    attempts.perform(LoadRun, run.pk, loading.load_bars)
    run.refresh_from_db()
    assert run.outcome == "complete"
    assert len(asked) == len(set(asked)) + 1, "the third, which no answer came of, is asked once more"
    assert np.array_equal(held(aapl, "1m").start, truth(gateway, aapl, "1m", midnight(9), DEFAULT_START_NS)[0])


def test_of_two_loads_of_one_series_the_later_waits(gateway, worker):
    aapl = make.instrument("AAPL")
    first, second = queued(aapl, "1d", start=day(30)), queued(aapl, "1d", "full", start=day(60))
    assert claim(LoadRun, first.pk)
    attempts.perform(LoadRun, second.pk, loading.load_bars)
    second.refresh_from_db()
    assert (second.state, second.waits_for) == ("queued", "another load of these bars")


def test_an_equal_load_that_is_open_is_the_same_one(gateway):
    aapl = make.instrument("AAPL")
    first = queued(aapl, "1d", start=day(30))
    assert queued(aapl, "1d", start=day(30)).pk == first.pk
    assert queued(aapl, "1d", start=day(31)).pk != first.pk
    LoadRun.objects.filter(pk=first.pk).update(state="failed", finished=first.created)
    assert queued(aapl, "1d", start=day(30)).pk != first.pk


def test_a_worker_that_is_told_to_end_gives_its_loads_back(gateway, worker, monkeypatch):
    aapl = make.instrument("AAPL")
    ending = threading.Event()
    monkeypatch.setattr(endings, "worker_ends", ending)
    history = worker.history

    def then_ending(*arguments):
        answer = history(*arguments)
        ending.set()
        return answer

    monkeypatch.setattr(worker, "history", then_ending)
    run = load(aapl, "1d", "full", start=day(900))
    assert (run.state, run.waits_for, run.attempts) == ("queued", "another worker: this one ends", 0)
    assert run.segments_fetched == 1
    assert len(held(aapl, "1d")) == run.fetched_bars > 0


# ---- a past that has changed ---------------------------------------------------------------------------------------


def as_before_a_split(instrument, timeframe):
    """The bars held, as they were before one share became two."""
    bars = held(instrument, timeframe)
    prices = {name: getattr(bars, name) * 2 for name in ("open", "high", "low", "close")}
    store.write_bars(
        instrument=instrument, series=replace(bars, volume=bars.volume / 2, **prices), source="IB, simulated"
    )


def test_after_a_split_nothing_is_mixed_and_the_series_is_rebuilt_in_one_piece(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1m", "full", start=day(5))
    as_before_a_split(aapl, "1m")
    old = held(aapl, "1m")
    gateway.advance(86_400)
    run = load(aapl, "1m")
    assert (run.state, run.outcome) == ("succeeded", "restated")
    assert held(aapl, "1m").content_hash() == old.content_hash(), "the old series serves until the new one is whole"
    found = Restatement.objects.get()
    assert (found.ratio, found.rebuilt) == (pytest.approx(0.5, abs=1e-6), None)
    assert "split of 2 for 1" in found.explanation
    again = load(aapl, "1m")
    assert again.outcome == "restated" and Restatement.objects.count() == 1, "it is known, and recorded once"
    heard = []

    def hear(**said):
        heard.append((said["timeframe"], said["what"], said["adjustment"]))

    series_rebuilt.connect(hear)
    attempts.perform(LoadRun, found.rebuild_id, loading.load_bars)
    series_rebuilt.disconnect(hear)
    rebuild = LoadRun.objects.get(pk=found.rebuild_id)
    assert (rebuild.state, rebuild.outcome, rebuild.mode) == ("succeeded", "complete", "rebuild"), rebuild.error
    start, close = truth(gateway, aapl, "1m", midnight(5), 2**62)
    bars = held(aapl, "1m")
    assert np.array_equal(bars.start, start)
    assert np.array_equal(bars.close, close)
    found.refresh_from_db()
    assert found.rebuilt is not None
    assert heard == [("1m", "TRADES", "split")]
    assert load(aapl, "1m").outcome == "up_to_date"
    assert load(aapl, "1m", "full", start=day(5)).ib_requests_made == 0, "what was asked for stays proven"


def test_a_rebuild_that_was_killed_before_the_swap_goes_on_with_what_it_has(gateway, worker, monkeypatch):
    aapl = make.instrument("AAPL")
    load(aapl, "1m", "full", start=day(5))
    as_before_a_split(aapl, "1m")
    gateway.advance(86_400)
    load(aapl, "1m")
    rebuild = LoadRun.objects.get(mode="rebuild")
    swap = rebuilding.swap

    def killed(*arguments):
        raise attempts.RunLost

    monkeypatch.setattr(rebuilding, "swap", killed)
    attempts.perform(LoadRun, rebuild.pk, loading.load_bars)
    LoadRun.objects.filter(pk=rebuild.pk).update(state="queued", started=None)
    store.sweep(older_than_seconds=0)
    monkeypatch.setattr(rebuilding, "swap", swap)
    before = LoadRun.objects.get(pk=rebuild.pk).ib_requests_made
    attempts.perform(LoadRun, rebuild.pk, loading.load_bars)
    rebuild.refresh_from_db()
    assert (rebuild.outcome, rebuild.ib_requests_made) == ("complete", before), rebuild.error
    assert np.array_equal(held(aapl, "1m").close, truth(gateway, aapl, "1m", midnight(5), 2**62)[1])


def test_a_bar_that_ib_corrected_a_little_is_held_as_it_is_now(gateway, worker):
    aapl = make.instrument("AAPL")
    load(aapl, "1d", "full", start=day(30))
    bars = held(aapl, "1d")
    wrong = bars.close.copy()
    wrong[-1] = min(wrong[-1] + 0.02, bars.high[-1]) if wrong[-1] + 0.02 <= bars.high[-1] else wrong[-1] - 0.02
    store.write_bars(instrument=aapl, series=replace(bars, close=wrong), source="IB, simulated")
    gateway.advance(86_400)
    assert load(aapl, "1d").outcome == "complete"
    assert np.array_equal(held(aapl, "1d").close, truth(gateway, aapl, "1d", midnight(30), 2**62)[1])


def test_adjusted_prices_are_fetched_anew_as_a_whole_each_time(gateway, worker):
    aapl = make.instrument("AAPL")
    run = load(aapl, "1d", start=day(500), what="ADJUSTED_LAST")
    assert (run.outcome, run.mode, run.fetches.count()) == ("complete", "rebuild", 1), run.error
    bars = held(aapl, "1d", "ADJUSTED_LAST")
    start, close = truth(gateway, aapl, "1d", midnight(500), 2**62, "ADJUSTED_LAST")
    assert np.array_equal(bars.start, start) and np.array_equal(bars.close, close)
    gateway.advance(5 * 86_400)
    again = load(aapl, "1d", what="ADJUSTED_LAST")
    assert (again.outcome, again.fetched_bars) == ("complete", len(held(aapl, "1d", "ADJUSTED_LAST")))
    assert again.fetched_bars > len(bars)
    assert load(aapl, "1d", what="ADJUSTED_LAST").ib_requests_made == 0


def test_bars_of_a_damaged_file_are_fetched_again_whatever_was_proven(gateway, worker, bars_root):
    aapl = make.instrument("AAPL")
    load(aapl, "1m", "full", start=day(5))
    whole = held(aapl, "1m")
    row = BarFile.objects.get()
    path = bars_root / row.path
    path.write_bytes(path.read_bytes()[:-100] + b"x" * 100)
    run = load(aapl, "1m", "full", start=day(5))
    assert run.outcome == "complete", run.error
    assert held(aapl, "1m").content_hash() == whole.content_hash()


def test_simulated_bars_never_stand_beside_real_ones(gateway, worker, settings):
    aapl = make.instrument("AAPL")
    load(aapl, "1d", "full", start=day(30))
    settings.TRADING_MODE = "paper"
    run = load(aapl, "1d", "full", start=day(30))
    assert (run.outcome, run.mode) == ("complete", "rebuild"), "what the simulator gave is replaced as a whole"
    assert {row.source for row in BarFile.objects.all()} == {"IB"}
    settings.TRADING_MODE = "simulated"
    gateway.advance(86_400)
    run = load(aapl, "1d")
    assert run.state == "failed"
    assert "simulated ones are not mixed with them" in run.error
