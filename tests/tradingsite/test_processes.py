"""The command lines of the roles, and that the queues they serve have a task that fits."""

import importlib
from itertools import pairwise

import pytest

from domain.errors import BadInput
from tradingsite.celery import VISIBILITY_SECONDS, app
from tradingsite.processes import beat_command, web_command, worker_command
from tradingsite.queues import QUEUES, limits
from tradingsite.runs import RESEND_SECONDS, run_models
from tradingsite.ticks import TICKS


def options(command: list[str]) -> dict[str, str]:
    return {name: value for name, value in pairwise(command) if name.startswith("--")}


@pytest.mark.parametrize("queue", QUEUES)
def test_each_queue_has_a_worker_with_its_pool(queue):
    given = options(worker_command([queue]))
    assert (given["--queues"], given["--pool"]) == (queue, QUEUES[queue].pool)
    assert int(given["--concurrency"]) == QUEUES[queue].concurrency


def test_queues_can_share_a_worker():
    given = options(worker_command(["backtest", "report"], 3))
    assert (given["--queues"], given["--concurrency"], given["--max-tasks-per-child"]) == ("backtest,report", "3", "50")


@pytest.mark.parametrize(
    ("queues", "fault"),
    [
        (["backtests"], "unknown queue 'backtests'"),
        ([], "say which queues"),
        (["data", "import"], "queue data has a worker of its own"),
    ],
)
def test_an_unknown_queue_is_refused(queues, fault):
    with pytest.raises(BadInput, match=fault):
        worker_command(queues)


def test_every_run_has_a_task_on_its_queue_with_the_limits_of_that_queue():
    for model in run_models():
        module, _, name = model.task.rpartition(".")
        task = getattr(importlib.import_module(module), name)
        assert task.name == model.task
        queue = QUEUES[model.queue]
        assert (task.soft_time_limit, task.time_limit) == (queue.soft_seconds, queue.hard_seconds)


def test_the_limit_of_a_backtest_is_a_setting(settings):
    settings.BACKTEST_SECONDS = 60
    assert limits("backtest") == {"soft_time_limit": 60, "time_limit": 70}
    assert limits("report") == {"soft_time_limit": 540, "time_limit": 600}


def test_every_tick_has_a_task_that_takes_no_argument():
    app.loader.import_default_modules()
    for tick in TICKS.values():
        module, _, name = tick.task.rpartition(".")
        getattr(importlib.import_module(module), name)
        assert tick.task in app.tasks


def test_a_message_is_never_given_to_two_workers_because_the_first_is_slow():
    assert max(queue.hard_seconds for queue in QUEUES.values()) < VISIBILITY_SECONDS
    assert app.conf.broker_transport_options["visibility_timeout"] == VISIBILITY_SECONDS
    assert RESEND_SECONDS < VISIBILITY_SECONDS


def test_messages_are_json_and_nothing_else():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.result_serializer == "json"


def test_web_and_beat_stay_in_the_foreground(tmp_path):
    assert options(web_command("127.0.0.1:9000"))["--bind"] == "127.0.0.1:9000"
    assert "--no-control-socket" in web_command("127.0.0.1:9000")
    assert options(beat_command(tmp_path))["--pidfile"] == ""
