"""Loads on a running stack: by command, through the API and by a plan; a data worker is killed in the middle of one."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from tests.faults import processes
from tests.faults.stack import ROOT, SERVERS, Stack, on_servers, running
from tests.walks.test_discovery import TOKEN

LOADS = """
import json
from marketdata.models import LoadRun
print(json.dumps(list(LoadRun.objects.order_by("created").values_list("origin", "state", "outcome", "attempts"))))
"""

UNDER_WAY = """
import time
from marketdata.models import LoadRun
end = time.monotonic() + 90
minutes = LoadRun.objects.filter(timeframe="1m", state="running", planned__isnull=False)
while not minutes.exists() and time.monotonic() < end:
    time.sleep(0.1)
print("under way" if minutes.exists() else "it never began")
"""


def days_ago(days: int) -> str:
    return (dt.datetime.now(dt.UTC).date() - dt.timedelta(days)).isoformat()


def command(*args: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "ib_load", *args]


def load(stack: Stack, *args: str) -> tuple[int, str]:
    done = subprocess.run(command(*args), env=stack.where, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr


def call(stack: Stack, token: str, path: str, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/api/v1/{path}",
        json.dumps(document).encode(),
        {"Content-Type": "application/json", "Authorization": f"Token {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, json.loads(answer.read())


def keep_limits(stack: Stack) -> None:
    """The budget of a real gateway, so that a load takes a while."""
    file = stack.state / "pacing.yaml"
    file.write_text(f"pacing_profile:\n- login: 127.0.0.1:{stack.where['IB_PORT']}\n  profile: strict\n")
    importing = [sys.executable, str(ROOT / "manage.py"), "config", "import", str(file)]
    subprocess.run(importing, env=stack.where, check=True, capture_output=True, timeout=60)


def kill_data_worker(stack: Stack) -> None:
    (pid,) = (pid for pid, role in stack.processes().items() if role == "data")
    stack.kill(pid)


def wait_for_the_plan(stack: Stack) -> list[list[Any]]:
    """(origin, state, outcome, attempts) of all loads, once the plan's has ended."""
    end = time.monotonic() + 150
    while True:
        rows: list[list[Any]] = json.loads(processes.run(LOADS, stack.where))
        if any(origin == "schedule" and state == "succeeded" for origin, state, _, _ in rows):
            return rows
        assert time.monotonic() < end, rows
        time.sleep(2)


@pytest.mark.faults
@pytest.mark.parametrize("servers", SERVERS)
def test_symbols_become_bars_by_command_api_and_plan_and_a_killed_worker_costs_nothing(tmp_path, servers):
    with on_servers(servers, tmp_path) as stack, running(stack):
        keep_limits(stack)
        code, text = load(stack, "EURUSD", "TSLA", "1d", "--mode", "full", "--start", days_ago(400), "--json")
        assert code == 0, text
        assert {each["symbol"]: each["status"] for each in json.loads(text)} == dict.fromkeys(
            ("EURUSD", "TSLA"), "complete"
        )
        code, text = load(stack, "TSLA", "1d", "--json")
        (again,) = json.loads(text)
        assert (code, again["status"], again["ib_requests_made"]) == (0, "up_to_date", 0)

        token = processes.run(TOKEN, stack.where).strip()
        status, found = call(stack, token, "data/load", {"symbol": "TSLA", "timeframe": "1h", "start": days_ago(20)})
        assert (status, found["status"], found["segments_fetched"]) == (200, "complete", 1)

        # A minute's worth of requests, and the worker is killed after some of them.
        wish = ("TSLA", "1m", "--start", days_ago(30), "--json")
        follower = subprocess.Popen(
            command(*wish), env=stack.where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert processes.run(UNDER_WAY, stack.where).strip() == "under way"
        kill_data_worker(stack)
        call(stack, token, "watchlists", {"name": "w", "members": ["TSLA"]})
        call(stack, token, "data/plans", {"name": "p", "watchlist": "w", "timeframe": "30m", "start": days_ago(20)})
        out, errors = follower.communicate(timeout=240)
        assert follower.returncode == 0, out + errors
        (result,) = json.loads(out)
        assert (result["status"], result["segments_failed"], result["failures"]) == ("complete", 0, [])
        assert load(stack, "TSLA", "1m", "--dry-run", "--mode", "full", "--start", days_ago(30))[1].endswith(
            "0 requests, about 0 s\n"
        )

        rows = wait_for_the_plan(stack)
        assert [state for _, state, _, _ in rows] == ["succeeded"] * len(rows)
        assert max(attempts for _, _, _, attempts in rows) == 2, "the one whose worker was killed"
    assert "Traceback" not in stack.log.read_text()
