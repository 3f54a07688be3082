"""The platform's own ticks."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from marketdata.models import BarImport
from tradingsite import heartbeats, runs, tasks
from tradingsite.models import AnsweredRequest, ApiToken, Heartbeat
from tradingsite.queues import QUEUES
from tradingsite.ticks import TICKS, write_ticks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    told = []
    monkeypatch.setattr("tradingsite.celery.app.send_task", lambda name, **more: told.append((name, more)))
    return told


def silent_run() -> BarImport:
    run = BarImport.objects.create(name="a.csv", origin="web")
    runs.claim(BarImport, run.pk)
    BarImport.objects.filter(pk=run.pk).update(heartbeat=timezone.now() - timedelta(minutes=5))
    return run


def test_after_a_silence_of_its_own_the_sweep_first_lets_the_running_ones_speak():
    run = silent_run()
    tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == "running", "the database may have been away for all of them"
    tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == "queued"


def test_a_sweep_that_slept_again_waits_again():
    tasks.sweep_runs()
    Heartbeat.objects.filter(name=tasks.SWEEPER).update(seen=timezone.now() - timedelta(minutes=2))
    run = silent_run()
    tasks.sweep_runs()
    run.refresh_from_db()
    assert run.state == "running"


def test_every_queue_is_asked_on_itself_and_answers_in_a_row(sent):
    tasks.send_pulses()
    assert {more["queue"] for _, more in sent} == set(QUEUES)
    for name, more in sent:
        assert name == "tradingsite.tasks.answer_pulse"
        assert more["expires"] <= heartbeats.SILENT_SECONDS
        tasks.answer_pulse(*more["args"])
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {f"queue:{name}" for name in QUEUES}


def test_a_heartbeat_is_one_row_however_often_it_beats():
    assert heartbeats.beat("worker:x", queues=["data"])
    first = Heartbeat.objects.get().seen
    assert heartbeats.beat("worker:x", queues=["data"])
    row = Heartbeat.objects.get()
    assert row.seen > first
    assert row.details == {"queues": ["data"]}
    heartbeats.forget("worker:x")
    assert not Heartbeat.objects.exists()


def test_tidying_removes_what_has_lost_its_use_and_nothing_else():
    user = User.objects.create_user("vera")
    long_ago = timezone.now() - timedelta(days=40)
    old = AnsweredRequest.objects.create(user=user, key="old", fingerprint="f")
    AnsweredRequest.objects.filter(pk=old.pk).update(created=long_ago)
    AnsweredRequest.objects.create(user=user, key="new", fingerprint="f")
    for name, expiry in (("gone", long_ago), ("good", timezone.now() + timedelta(days=1))):
        token, _ = ApiToken.objects.create(user, name=name)
        ApiToken.objects.filter(pk=token.pk).update(expiry=expiry)
    heartbeats.beat("worker:here")
    heartbeats.beat("worker:gone")
    Heartbeat.objects.filter(name="worker:gone").update(seen=long_ago)
    tasks.tidy()
    assert list(AnsweredRequest.objects.values_list("key", flat=True)) == ["new"]
    assert list(ApiToken.objects.values_list("name", flat=True)) == ["good"]
    assert list(Heartbeat.objects.values_list("name", flat=True)) == ["worker:here"]


def test_the_ticks_are_there_after_migrate_and_what_a_person_set_stays():
    write_ticks()
    assert set(PeriodicTask.objects.values_list("name", flat=True)) >= set(TICKS)
    row = PeriodicTask.objects.get(name="sweep runs")
    row.interval, _ = IntervalSchedule.objects.get_or_create(every=60, period=IntervalSchedule.SECONDS)
    row.enabled, row.task = False, "os.system"
    row.save()
    PeriodicTask.objects.filter(name="tidy up").delete()
    write_ticks()
    row.refresh_from_db()
    assert (row.interval.every, row.enabled, row.task) == (60, False, "tradingsite.tasks.sweep_runs")
    assert PeriodicTask.objects.filter(name="tidy up", enabled=True).exists()
