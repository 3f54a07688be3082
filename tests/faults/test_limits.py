"""Limits of time and memory hold in the running stack, and two beats start each slot once."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.faults import processes
from tests.faults.stack import ROOT, Stack, running
from tradingsite.runs import DIED

pytestmark = pytest.mark.faults

BAD = """
import time
import numpy as np
from domain.strategy import Strategy, target
from strategies.registry import register

@register
class Endless(Strategy):
    name = "endless"
    def on_bar(self, context):
        time.sleep(60)

@register
class Deaf(Strategy):
    name = "deaf"
    def on_bar(self, context):
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass

@register
class Greedy(Strategy):
    name = "greedy"
    held = []
    def on_bar(self, context):
        self.held.append(np.ones(8_000_000))

@register
class Suicidal(Strategy):
    name = "suicidal"
    def on_bar(self, context):
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)

@register
class Modest(Strategy):
    name = "modest"
    def on_bar(self, context):
        return target(1.0)
"""
ASK = """
import json
from django.conf import settings
from strategies import registry
from strategies.backtests import queue_backtest
from strategies.config import parse_config
from tradingsite import runs
registry.load(settings.PLUGINS_DIR)
for name in sys.argv[1:]:
    runs.enqueue(queue_backtest(parse_config({"strategy": name, "symbols": ["ABC"]}), origin="api"))
"""
STATES = """
import json
from strategies.models import Backtest
print(json.dumps({row.strategy: [row.state, row.attempts, row.error] for row in Backtest.objects.all()}))
"""
SCHEDULE = """
from datetime import timedelta
from django.utils import timezone
from strategies.models import ScheduledBacktest, StrategyConfig
config, _ = StrategyConfig.objects.get_or_create(name="c", strategy="modest", symbols="ABC")
for number in range(10):
    due = {"strategy_config": config, "next_run_at": timezone.now() - timedelta(minutes=int(sys.argv[1]))}
    ScheduledBacktest.objects.update_or_create(name=f"s{number}", defaults=due)
"""
SLOTS = """
import json
from strategies.models import Backtest
print(json.dumps(list(Backtest.objects.filter(origin="schedule").values_list("effect_key", "state"))))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = Stack(tmp_path_factory.mktemp("limits"), BACKTEST_SECONDS="12", RUN_MEMORY_MB="1500")
    (made.state / "plugins").mkdir()
    (made.state / "plugins" / "bad.py").write_text(BAD)
    with running(made) as started:
        yield started


def until(stack: Stack, script: str, done, seconds: float):
    end = time.monotonic() + seconds
    while True:
        found = json.loads(processes.run(script, stack.where))
        if done(found) or time.monotonic() > end:
            return found
        time.sleep(1)


def test_work_that_never_ends_devours_memory_or_dies_ends_by_itself_and_the_next_one_is_well(stack):
    processes.run(ASK, stack.where, "endless", "deaf", "greedy", "suicidal", "modest")

    def all_ended(rows):
        return all(state not in ("queued", "running") for state, _, _ in rows.values())

    found = until(stack, STATES, all_ended, 300)
    assert found["modest"] == ["succeeded", 1, ""]
    late = "it took longer than is allowed; ask for less, or raise BACKTEST_SECONDS"
    assert found["endless"] == ["failed", 1, late]
    assert found["greedy"] == ["failed", 1, "it needed more than 1500 MB; raise RUN_MEMORY_MB or ask for fewer bars"]
    for poison in ("deaf", "suicidal"):
        assert found[poison] == ["failed", 3, f"{DIED} in each of 3 attempts"]


def test_two_beats_start_each_slot_once(stack):
    other = subprocess.Popen([sys.executable, "manage.py", "beat"], cwd=ROOT, env=stack.where)
    try:
        for minutes_ago in (30, 20, 10):
            processes.run(SCHEDULE, stack.where, str(minutes_ago))
            time.sleep(25)
    finally:
        other.terminate()
        other.wait(30)
    found = until(stack, SLOTS, lambda rows: len(rows) >= 30 and all(row[1] == "succeeded" for row in rows), 120)
    keys = [key for key, _ in found]
    assert len(keys) == len(set(keys)) == 30
