"""The life of a run: every state change is won by one process, and a dead one's work is given back."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from domain.errors import BadInput
from marketdata.models import BarImport
from tradingsite import attempts, runs
from tradingsite.runs import MAX_ATTEMPTS, STALE_SECONDS, Run

ENDS = {"succeeded", "failed", "cancelled"}


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """What would have been told to workers."""
    told = []

    def send_task(name, args, **_):
        told.append((name, *args))

    monkeypatch.setattr("tradingsite.celery.app.send_task", send_task)
    return told


def queued(**fields) -> BarImport:
    return BarImport.objects.create(name="a.csv", origin="web", **fields)


def fall_silent(run: Run, seconds: float = STALE_SECONDS + 1) -> None:
    type(run).objects.filter(pk=run.pk).update(heartbeat=timezone.now() - timedelta(seconds=seconds))


def state_of(run: Run) -> str:
    return type(run).objects.values_list("state", flat=True).get(pk=run.pk)


def test_a_message_that_comes_twice_begins_the_work_once(db):
    run = queued()
    assert runs.claim(BarImport, run.pk).attempts == 1
    assert runs.claim(BarImport, run.pk) is None
    done = []
    attempts.perform(BarImport, run.pk, done.append)
    assert done == []


@pytest.mark.parametrize(("queue", "begins"), [("import", True), ("data", False), (None, True)])
def test_a_message_that_waited_in_another_queue_is_left_to_the_sweep(db, monkeypatch, queue, begins):
    delivery = None if queue is None else {"routing_key": queue, "exchange": ""}
    monkeypatch.setattr("celery.current_task", SimpleNamespace(request=SimpleNamespace(delivery_info=delivery)))
    run = queued()
    attempts.perform(BarImport, run.pk, lambda attempt: None)
    assert state_of(run) == ("succeeded" if begins else "queued")


def test_work_ends_its_row_with_what_it_found_out(db):
    run = queued()

    def work(attempt):
        attempt.report(0.5)
        attempt.write("half done")
        attempt.fields["report"] = {"kept": 3}

    attempts.perform(BarImport, run.pk, work)
    run.refresh_from_db()
    assert (run.state, run.progress, run.report, run.log_tail) == ("succeeded", 1.0, {"kept": 3}, "half done\n")
    assert run.started <= run.finished


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadInput("row 3 has no date"), "row 3 has no date"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"),
        (SystemExit(3), "SystemExit: 3"),
        (MemoryError(), "it needed more than 4000 MB; raise RUN_MEMORY_MB or ask for fewer bars"),
    ],
)
def test_work_that_fails_says_why_in_its_row_and_does_not_hurt_the_worker(db, error, text):
    run = queued()

    def work(attempt):
        raise error

    attempts.perform(BarImport, run.pk, work)
    run.refresh_from_db()
    assert (run.state, run.error) == ("failed", text)
    assert ("Traceback" in run.log_tail) == (not isinstance(error, BadInput))


def test_where_the_database_fails_the_run_is_left_to_the_next_attempt(db):
    run = queued()

    def work(attempt):
        raise OperationalError("server closed the connection")

    with pytest.raises(OperationalError):
        attempts.perform(BarImport, run.pk, work)
    assert state_of(run) == "running"
    fall_silent(run)
    assert runs.sweep(timezone.now()).requeued == 1


def test_what_a_dead_process_left_gets_another_attempt_and_the_dead_one_cannot_write_any_more(db, sent):
    run = queued()
    first = runs.claim(BarImport, run.pk)
    fall_silent(run)
    assert runs.sweep(timezone.now()) == (1, 0, 1)
    assert sent == [("marketdata.tasks.import_bars", str(run.pk))]
    second = runs.claim(BarImport, run.pk)
    assert second.attempts == 2
    assert not runs.finish(first, Run.State.FAILED, error="from the grave")
    assert state_of(run) == "running"
    assert runs.finish(second, Run.State.SUCCEEDED)
    assert not runs.finish(second, Run.State.FAILED)


def test_a_poison_run_is_failed_after_three_attempts(db):
    run = queued()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert runs.claim(BarImport, run.pk).attempts == attempt
        fall_silent(run)
        runs.sweep(timezone.now())
    run.refresh_from_db()
    assert run.state == "failed"
    assert run.error.endswith("in each of 3 attempts")
    assert runs.claim(BarImport, run.pk) is None


def test_a_living_run_is_not_taken_from_its_process(db):
    run = queued()
    runs.claim(BarImport, run.pk)
    fall_silent(run, STALE_SECONDS - 5)
    assert runs.sweep(timezone.now()) == (0, 0, 0)
    assert state_of(run) == "running"


def test_what_no_worker_heard_of_is_told_again_and_what_was_just_told_is_not(db, sent):
    now = timezone.now()
    lost = queued(enqueued=now - timedelta(seconds=runs.RESEND_SECONDS + 1))
    queued(enqueued=now)
    never = queued()
    assert runs.sweep(now).sent == 2
    assert {run_id for _, run_id in sent} == {str(lost.pk), str(never.pk)}
    assert runs.sweep(now).sent == 0


def test_a_queue_that_is_out_of_reach_leaves_the_row_queued(db, monkeypatch):
    from kombu.exceptions import OperationalError as QueueError

    def refuse(*args, **kwargs):
        raise QueueError("connection refused")

    monkeypatch.setattr("tradingsite.celery.app.send_task", refuse)
    run = queued()
    assert not runs.send(run)
    run.refresh_from_db()
    assert (run.state, run.enqueued) == ("queued", None)


def test_a_message_is_sent_once_the_row_is_committed_and_not_before(db, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        runs.enqueue(queued())
        assert sent == []
    assert len(sent) == 1


def test_cancel_ends_a_queued_run_at_once_and_an_ended_one_never(db):
    run = queued()
    assert runs.cancel(run)
    assert state_of(run) == "cancelled"
    assert not runs.cancel(run)
    assert runs.claim(BarImport, run.pk) is None


def test_retry_queues_an_ended_run_anew_and_nothing_else(db):
    run = queued()
    assert not runs.retry(run)
    runs.cancel(run)
    assert runs.retry(run)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.error, run.cancel_requested) == ("queued", 0, "", None)


def test_a_cancelled_run_whose_process_died_is_cancelled(db):
    run = queued()
    runs.claim(BarImport, run.pk)
    assert runs.cancel(run)
    fall_silent(run)
    runs.sweep(timezone.now())
    assert state_of(run) == "cancelled"


class LifeOfRuns(RuleBasedStateMachine):
    """Whatever workers, people and sweeps do, each run ends once, and no attempt writes after its successor."""

    def __init__(self):
        super().__init__()
        self.ends: dict = {}
        self.attempts: list = []
        self.runs = [queued() for _ in range(2)]

    def note_end(self, run: Run) -> None:
        state = state_of(run)
        if state in ENDS:
            assert self.ends.setdefault(run.pk, state) == state

    @rule(which=st.integers(0, 1))
    def deliver(self, which):
        claimed = runs.claim(BarImport, self.runs[which].pk)
        if claimed is not None:
            assert self.runs[which].pk not in self.ends
            self.attempts.append(claimed)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), state=st.sampled_from([Run.State.SUCCEEDED, Run.State.FAILED]))
    def end(self, data, state):
        attempt = data.draw(st.sampled_from(self.attempts))
        newest = max(each.attempts for each in self.attempts if each.pk == attempt.pk)
        running = state_of(attempt) == "running"
        assert runs.finish(attempt, state) == (running and attempt.attempts == newest)

    @rule(which=st.integers(0, 1))
    def ask_to_cancel(self, which):
        ended = state_of(self.runs[which]) in ENDS
        assert runs.cancel(self.runs[which]) == (not ended)

    @rule(which=st.integers(0, 1), reclaim=st.booleans())
    def sweep_after_silence(self, which, reclaim):
        fall_silent(self.runs[which])
        runs.sweep(timezone.now(), reclaim=reclaim)

    @invariant()
    def every_end_is_final(self):
        for run in self.runs:
            self.note_end(run)
            row = BarImport.objects.get(pk=run.pk)
            assert row.attempts <= MAX_ATTEMPTS
            assert (row.finished is not None) == (row.state in ENDS)


def test_every_end_is_final_whatever_happens_in_whatever_order(db):
    rounds = hypothesis_settings(max_examples=60, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(LifeOfRuns, settings=rounds)
