"""The running stack against kill -9, a flushed queue and a database that goes away: no run lost, none done twice.

Runs on SQLite with the embedded queue, and on PostgreSQL with Redis where both answer on this machine. The seed is
printed; FAULT_SEED repeats it, FAULT_KILLS says how many processes are killed (200 for the table in docs).
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter

import pytest
import redis

from tests.faults.stack import Stack, on_servers, running
from tradingsite.runs import DIED

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("FAULT_KILLS", "40"))
OUTAGE_SECONDS = 60.0


@pytest.fixture(params=["sqlite and the embedded queue", "postgresql and redis"])
def stack(request, tmp_path):
    with on_servers(request.param, tmp_path) as made, running(made):
        yield made


@pytest.fixture
def chance():
    seed = int(os.environ.get("FAULT_SEED", str(random.SystemRandom().randrange(10**6))))
    print(f"FAULT_SEED={seed}")
    return random.Random(seed)


def wait_for_all(stack: Stack, total: int, seconds: float) -> dict:
    end = time.monotonic() + seconds
    while True:
        found = stack.count()
        open_runs = [row for row in found["rows"] if row[1] in ("queued", "running")]
        if (len(found["rows"]) == total and not open_runs) or time.monotonic() > end:
            return found
        time.sleep(1)


def check(found: dict, total: int) -> Counter:
    """Every run is there and ended exactly once, and the same question got the same answer."""
    assert len(found["rows"]) == total
    ends = Counter(run_id for run_id, _ in found["ended"])
    states = Counter(row[1] for row in found["rows"])
    assert states["queued"] == states["running"] == 0, states
    assert set(ends.values()) == {1}, [run for run, times in ends.items() if times > 1]
    assert len(ends) == total
    assert dict(found["ended"]) == {row[0]: row[1] for row in found["rows"]}
    answers: dict[str, set[str]] = {}
    for _, state, attempts, error, result_hash, config_hash in found["rows"]:
        if state == "failed":  # killed in each of its attempts: given up, and said so
            assert (attempts, error) == (3, f"{DIED} in each of 3 attempts")
        else:
            answers.setdefault(config_hash, set()).add(result_hash)
    assert all(len(hashes) == 1 for hashes in answers.values())
    assert len(answers) == 7
    return states


def test_two_hundred_backtests_posted_at_once_are_done_once_each(stack):
    posting = stack.post(0, 200, seconds=0.0)
    assert posting.communicate(timeout=120)[0] == "posted\n"
    states = check(wait_for_all(stack, 200, 240), 200)
    assert states == {"succeeded": 200}


def test_processes_are_killed_under_load_and_no_run_is_lost_or_done_twice(stack, chance):
    total = max(40, KILLS)
    posting = stack.post(0, total, pause=2.0, seconds=1.5)
    killed: Counter = Counter()
    while sum(killed.values()) < KILLS:
        time.sleep(chance.uniform(1.0, 4.0))
        roles: dict[str, list[int]] = {}
        for pid, role in stack.processes().items():
            roles.setdefault(role, []).append(pid)
        roles.pop("other", None)
        if roles:
            # Every other one is a process that is at a run just now, where it hurts.
            unhit = sorted(roles.keys() - killed.keys()) or sorted(roles)  # so that few kills meet every role too
            role = "worker child" if "worker child" in roles and chance.random() < 0.5 else chance.choice(unhit)
            stack.kill(chance.choice(sorted(roles[role])))
            killed[role] += 1
    assert posting.communicate(timeout=300)[0] == "posted\n"
    found = wait_for_all(stack, total, 300 + 3 * total)
    states = check(found, total)
    attempts = Counter(row[2] for row in found["rows"])
    print(f"{dict(killed)} killed; {dict(states)} of {total} runs; attempts {dict(attempts)}")
    assert states["succeeded"] >= total * 0.9
    assert len(killed) >= 5
    assert len(attempts) > 1, "no run was hit"


def test_a_flushed_queue_loses_no_run(stack):
    posting = stack.post(0, 30, seconds=0.3)
    assert posting.communicate(timeout=120)[0] == "posted\n"
    time.sleep(1)
    url = stack.where["CELERY_BROKER_URL"] or f"unix://{stack.state}/run/queue.sock"
    queue = redis.Redis.from_url(url)
    for _ in range(3):
        queue.flushdb()
        time.sleep(0.5)
    states = check(wait_for_all(stack, 30, 200), 30)
    assert states == {"succeeded": 30}


def test_a_database_that_is_away_for_a_minute_loses_no_run(stack):
    posting = stack.post(0, 40, pause=0.2, seconds=3.0)
    time.sleep(6)
    if stack.gate is not None:
        stack.gate.shut()
        time.sleep(OUTAGE_SECONDS)
        stack.gate.open()
    else:
        with sqlite3.connect(stack.state / "db.sqlite3", timeout=30) as holder:
            holder.execute("BEGIN IMMEDIATE")
            time.sleep(OUTAGE_SECONDS)
            holder.rollback()
    assert posting.communicate(timeout=300)[0] == "posted\n"
    states = check(wait_for_all(stack, 40, 300), 40)
    assert states == {"succeeded": 40}
