"""`manage.py backtest` in the same process, and as its own for what only a process can show."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from strategies.models import Backtest
from tests.faults import processes
from tests.strategies.conftest import known, market, places  # noqa: F401
from tradingsite.runs import DIED

ROOT = Path(__file__).resolve().parents[2]
ASKED = ("backtest", "--strategy", "ma_crossover", "--symbols", "ABC,XYZ", "--set", "fast=5", "--set", "slow=12")


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


def call(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_it_prints_the_figures_and_where_the_report_is(market):  # noqa: F811
    text = call(*ASKED)
    row = Backtest.objects.get()
    folder = market / "runs" / row.directory
    for part in ("ma_crossover", "Final equity", "Sharpe", "ABC", "XYZ", row.result_hash, str(folder / "report.html")):
        assert part in text
    assert {"report.html", "report.ipynb"} <= {path.name for path in folder.iterdir()}


def test_json_is_the_summary_alone(market):  # noqa: F811
    found = json.loads(call(*ASKED, "--json", "--no-report"))
    folder = market / "runs" / Backtest.objects.get().directory
    assert found == json.loads((folder / "summary.json").read_bytes())
    assert not (folder / "report.html").exists()


def test_the_ledgers_stay_as_they_are_when_the_report_is_written(market):  # noqa: F811
    with_report, without = json.loads(call(*ASKED, "--json")), json.loads(call(*ASKED, "--json", "--no-report"))
    assert with_report == without
    first, second = (market / "runs" / row.directory for row in Backtest.objects.all())
    for path in sorted(first.glob("*.parquet")):
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_report_that_fails_does_not_lose_the_run(market, monkeypatch):  # noqa: F811
    def fail(folder):
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("reports.tearsheet.write_report", fail)
        with pytest.raises(CommandError, match=r"the run succeeded and its ledgers are in .*disk full") as error:
            call(*ASKED)
    assert error.value.returncode == 1
    row = Backtest.objects.get()
    assert row.state == "succeeded"
    (advised,) = re.findall(r"`manage\.py ([^`]+)`", str(error.value))
    assert call(*advised.split()) == f"{market / 'runs' / row.directory / 'report.html'}\n"


def test_a_strategy_that_raises_ends_with_1_and_its_name(market):  # noqa: F811
    (market / "plugins").mkdir()
    (market / "plugins" / "buggy.py").write_text(
        "from domain.strategy import Strategy\nfrom strategies.registry import register\n\n@register\n"
        "class Buggy(Strategy):\n    name = 'buggy'\n    def on_bar(self, context):\n        return 1 / 0\n"
    )
    with pytest.raises(CommandError, match="ZeroDivisionError in strategy buggy: division by zero") as error:
        call("backtest", "--strategy", "buggy", "--symbols", "ABC")
    assert error.value.returncode == 1
    assert Backtest.objects.get().error == "ZeroDivisionError: division by zero"


# ---- as a process ------------------------------------------------------------------------------------------------

SLOW = """
import time
from domain.strategy import Strategy, target
from strategies.registry import register

@register
class Slow(Strategy):
    name = "slow"
    def on_bar(self, context):
        print("bar", context.i, flush=True)
        time.sleep(0.02)
        return target(float(context.i % 2))
"""
FILL_STORE = """
from tests.strategies import make
make.instrument("ABC", make.bars(seed=1))
make.instrument("XYZ", make.bars(seed=2))
"""
COUNT = """
from strategies.models import Backtest
for row in Backtest.objects.all():
    print(row.state, row.error)
"""

FALL_SILENT = """
from datetime import timedelta
from django.utils import timezone
from strategies.models import Backtest
long_ago = timezone.now() - timedelta(minutes=5)
assert Backtest.objects.filter(worker__endswith=WORKER).update(heartbeat=long_ago) == 1
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[str, str]:
    """The environment of an installation of its own, with bars."""
    state = tmp_path_factory.mktemp("site")
    where = processes.environment(state) | {"PLUGINS_DIR": str(state / "plugins"), "COLUMNS": "100"}
    processes.migrate(where)
    processes.run(FILL_STORE, where)
    (state / "plugins").mkdir()
    (state / "plugins" / "slow.py").write_text(SLOW)
    return where


def manage(where: dict[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=where | more, capture_output=True, text=True, timeout=120, check=False)


def test_two_processes_write_the_same_bytes(site):
    written = []
    for seed in ("1", "2"):
        done = manage(site, *ASKED, "--no-report", PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        folder = max((Path(site["VAR_DIR"]) / "runs").iterdir(), key=os.path.getmtime)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    one, two = written
    same = {name for name in one if one[name] == two[name]}
    assert same == {
        "bars.parquet", "orders.parquet", "fills.parquet", "trades.parquet", "equity.parquet", "summary.json",
    }  # fmt: skip


def test_wrong_use_ends_with_2_without_a_traceback(site):
    for arguments in (["--nonsense"], ["--strategy", "momentun", "--symbols", "ABC"]):
        done = manage(site, "backtest", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()


def test_a_used_run_id_ends_with_2_and_touches_nothing(market, tmp_path):  # noqa: F811
    file = tmp_path / "config.yaml"
    file.write_text("run_id: mine\nstrategy: momentum\nsymbols: [ABC]\n")
    call("backtest", "--config", str(file), "--no-report")
    with pytest.raises(CommandError, match="run_id 'mine' has been used") as error:
        call("backtest", "--config", str(file), "--no-report")
    assert error.value.returncode == 2
    assert Backtest.objects.get().state == "succeeded"


@pytest.fixture
def interruptible():
    """Ctrl-C reaches processes that are started now, though a shell in the background made us ignore it.

    What is ignored stays so in a new program; what is handled falls back to the system's default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_marked_cancelled_and_leaves_its_evidence(site, number):
    runs = Path(site["VAR_DIR"]) / "runs"
    before = set(runs.iterdir()) if runs.exists() else set()
    command = [sys.executable, str(ROOT / "manage.py"), "backtest", "--strategy", "slow", "--symbols", "ABC"]
    process = subprocess.Popen(command, env=site, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("bar")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "cancelled" in errors
    assert "Traceback" not in errors
    (left,) = set(runs.iterdir()) - before
    assert {path.name for path in left.iterdir()} == {"run.json", "log.jsonl"}
    assert json.loads((left / "run.json").read_bytes())["error"] == "cancelled by the user"
    assert processes.run(COUNT, site).splitlines()[0] == "cancelled cancelled by the user"


def test_a_killed_run_is_closed_by_the_next_backtest_and_a_living_one_is_not(site):
    command = [sys.executable, str(ROOT / "manage.py"), "backtest", "--strategy", "slow", "--symbols", "ABC"]
    both = [subprocess.Popen(command, env=site, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in both:
            assert process.stdout.readline().startswith("bar")
        both[0].kill()
        both[0].communicate(timeout=60)
        assert processes.run(COUNT, site).splitlines()[:2] == ["running ", "running "]
        processes.run(f"WORKER = ':{both[0].pid}'\n{FALL_SILENT}", site)
        done = manage(site, *ASKED, "--no-report")
        assert done.returncode == 0, done.stderr
        assert "1 runs whose process died are marked as failed" in done.stderr
        found = processes.run(COUNT, site).splitlines()[:3]
        assert sorted(found) == [f"failed {DIED}", "running ", "succeeded "]
    finally:
        for process in both:
            process.kill()
            process.communicate(timeout=60)
