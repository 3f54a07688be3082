"""One command starts it all, and a backtest that a person asks for is done by a worker: on both pairs of servers."""

from __future__ import annotations

import json
import time

import pytest

from tests.faults import processes
from tests.faults.stack import SERVERS, on_servers, running

RESULT = """
import json
from strategies.models import Backtest
from strategies.backtests import run_directory
row = Backtest.objects.get()
print(json.dumps([row.state, row.attempts, row.trades, (run_directory(row) / "report.html").exists(), row.log_tail]))
"""
HEARTBEATS = """
import json
from tradingsite.models import Heartbeat
print(json.dumps(sorted(Heartbeat.objects.values_list("name", flat=True))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("servers", SERVERS)
def test_one_command_starts_it_all_and_a_backtest_is_done_with_its_report(tmp_path, servers):
    with on_servers(servers, tmp_path) as stack, running(stack):
        assert stack.post(0, 1).communicate(timeout=60)[0] == "posted\n"
        end = time.monotonic() + 90
        while True:
            state, attempts, trades, report, log = json.loads(processes.run(RESULT, stack.where))
            if (state == "succeeded" and report) or time.monotonic() > end:
                break
            time.sleep(0.5)
        assert (state, attempts, report) == ("succeeded", 1, True), log
        assert trades > 10
        while True:
            names = json.loads(processes.run(HEARTBEATS, stack.where))
            if {"beat", "sweeper", "queue:backtest", "queue:notify"} <= set(names) or time.monotonic() > end:
                break
            time.sleep(1)
        queues = {"backtest", "data", "import", "maintenance", "notify", "report", "scan"}
        assert {name.removeprefix("queue:") for name in names if name.startswith("queue:")} == queues
        assert sum(name.startswith("worker:") for name in names) == 3
        assert {"beat", "sweeper"} <= set(names)
    assert "Traceback" not in stack.log.read_text()
    assert stack.processes() == {}
