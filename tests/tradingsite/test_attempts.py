"""An attempt: a cancel, a lost row and a worker's end reach the work, and its row says how it went."""

import os
import resource
import signal
import threading
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from marketdata.models import BarImport
from tests.tradingsite.test_runs import fall_silent, queued, sent, state_of  # noqa: F401
from tradingsite import attempts, runs
from tradingsite.attempts import RunCancelled, RunLost
from tradingsite.runs import MAX_ATTEMPTS


def beating(monkeypatch) -> None:
    monkeypatch.setattr(attempts, "BEAT_SECONDS", 0.05)


def busy(attempt, seconds: float = 30.0) -> None:
    """Work that looks at nothing and nobody, as a strategy does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sum(range(1000))
        except Exception:  # noqa: BLE001 - what strategies do
            pass
    raise AssertionError("nobody interrupted the work")


@pytest.mark.django_db(transaction=True)
def test_cancel_reaches_work_that_is_running(monkeypatch):
    beating(monkeypatch)
    run = queued()
    threading.Timer(0.3, lambda: runs.cancel(run)).start()
    attempts.perform(BarImport, run.pk, busy)
    run.refresh_from_db()
    assert (run.state, run.error) == ("cancelled", "cancelled by the user")


@pytest.mark.django_db(transaction=True)
def test_a_process_that_was_taken_for_dead_stops_and_leaves_the_row_to_its_successor(monkeypatch):
    beating(monkeypatch)
    run = queued()

    def take_over():
        fall_silent(run)
        # As a sweep would, between two of its beats.
        BarImport.objects.filter(pk=run.pk).update(state="queued", started=None, heartbeat=None)
        runs.claim(BarImport, run.pk)

    taking_over = threading.Timer(0.3, take_over)
    taking_over.start()
    attempts.perform(BarImport, run.pk, busy)
    taking_over.join()  # between its two steps the old process may have stopped already
    run.refresh_from_db()
    assert (run.state, run.attempts, run.error) == ("running", 2, "")


@pytest.mark.django_db(transaction=True)
def test_progress_and_log_reach_the_row_while_the_work_goes_on(monkeypatch):
    beating(monkeypatch)
    run = queued()
    seen = []

    def work(attempt):
        attempt.report(0.25)
        attempt.write("reading")
        for _ in range(100):
            time.sleep(0.02)
            seen.append(BarImport.objects.values_list("progress", "log_tail").get(pk=run.pk))
            if seen[-1] == (0.25, "reading\n"):
                return

    attempts.perform(BarImport, run.pk, work)
    assert seen[-1] == (0.25, "reading\n")


@pytest.mark.django_db(transaction=True)
def test_work_in_a_thread_hears_of_a_cancel_where_it_reports(monkeypatch):
    beating(monkeypatch)
    run = queued()
    heard = []

    def work(attempt):
        runs.cancel(run)
        for _ in range(200):
            time.sleep(0.02)
            try:
                attempt.report(0.1)
            except RunCancelled:
                heard.append("cancelled")
                raise

    thread = threading.Thread(target=lambda: attempts.perform(BarImport, run.pk, work))
    thread.start()
    thread.join(20)
    assert heard == ["cancelled"]
    assert state_of(run) == "cancelled"


def test_a_run_that_wants_more_memory_than_it_may_have_fails_and_the_next_is_well(db, settings):
    settings.RUN_MEMORY_MB = 1_500
    greedy, modest = queued(), queued()

    def devour(attempt):
        held = []
        for _ in range(100):
            held.append(bytearray(64_000_000))

    attempts.perform(BarImport, greedy.pk, devour)
    attempts.perform(BarImport, modest.pk, lambda attempt: None)
    greedy.refresh_from_db()
    assert greedy.error == "it needed more than 1500 MB; raise RUN_MEMORY_MB or ask for fewer bars"
    assert state_of(modest) == "succeeded"


def test_a_run_that_gives_way_waits_in_the_queue_with_its_progress_and_its_attempt_is_not_counted(db):
    run = queued()

    def work(attempt):
        attempt.report(0.4)
        attempt.write("two of five")
        raise attempts.GiveWay("the gateway")

    for _ in range(MAX_ATTEMPTS + 2):
        attempts.perform(BarImport, run.pk, work)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.waits_for, run.started) == ("queued", 0, "the gateway", None)
    assert (run.log_tail, run.progress) == ("two of five\n", 0.4)
    attempts.perform(BarImport, run.pk, lambda attempt: None)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.waits_for) == ("succeeded", 1, "")


def test_one_that_gives_way_at_once_is_told_of_at_once_and_another_by_the_sweep(db, monkeypatch):
    told = []
    monkeypatch.setattr(attempts, "send", lambda run: told.append(run.pk))

    def give_way(at_once):
        def work(attempt):
            raise attempts.GiveWay("its next turn", at_once=at_once)

        run = queued()
        attempts.perform(BarImport, run.pk, work)
        return run.pk

    give_way(False)
    assert told == [give_way(True)]


def test_one_that_waits_is_sent_again_within_a_quarter_of_a_minute(db, sent):  # noqa: F811
    run = queued()

    def work(attempt):
        raise attempts.GiveWay("the gateway")

    attempts.perform(BarImport, run.pk, work)
    now = timezone.now()
    assert runs.sweep(now + timedelta(seconds=runs.WAIT_SECONDS - 2)).sent == 0
    assert runs.sweep(now + timedelta(seconds=runs.WAIT_SECONDS + 2)).sent == 1


def test_an_attempt_that_lost_its_run_cannot_give_it_away(db):
    run = queued()

    def work(attempt):
        BarImport.objects.filter(pk=run.pk).update(attempts=2)
        raise attempts.GiveWay("the gateway")

    attempts.perform(BarImport, run.pk, work)
    assert state_of(run) == "running"


def test_what_the_process_held_before_is_not_counted_as_the_run_s(db, settings):
    settings.RUN_MEMORY_MB = 300
    held = bytearray(400_000_000)
    run = queued()
    attempts.perform(BarImport, run.pk, lambda attempt: bytearray(100_000_000) and None)
    assert (state_of(run), len(held)) == ("succeeded", 400_000_000)


def test_a_run_that_shares_its_process_with_others_leaves_the_limit_of_the_process_alone(db):
    seen = []

    def work():
        with attempts.memory_limit(1):
            seen.append(resource.getrlimit(resource.RLIMIT_DATA))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert seen == [resource.getrlimit(resource.RLIMIT_DATA)]


def test_a_run_whose_worker_is_told_to_end_is_given_to_another(db):
    run = queued()

    def work(attempt):
        os.kill(os.getpid(), signal.SIGTERM)
        busy(attempt)

    before = signal.getsignal(signal.SIGTERM)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with pytest.raises(SystemExit):
            attempts.perform(BarImport, run.pk, work)
        run.refresh_from_db()
        assert (run.state, run.attempts) == ("queued" if attempt < MAX_ATTEMPTS else "failed", attempt)
    assert signal.getsignal(signal.SIGTERM) is before


def test_interruptions_are_no_exceptions_so_that_a_strategy_cannot_swallow_them():
    assert not issubclass(RunCancelled, Exception)
    assert not issubclass(RunLost, Exception)
