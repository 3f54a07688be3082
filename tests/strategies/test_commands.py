"""`plan`, `strategies` and `newstrategy` as a person calls them; `backtest` is in tests/reports."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from strategies.models import Backtest

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _library(known):
    pass


def test_plan_says_what_would_run_and_leaves_no_trace(market):
    before = files_below(market)
    text = call("plan", "--strategy", "ma_crossover", "--symbols", "ABC,XYZ", "--start", "2020-01-02")
    for part in (
        "ABC",
        "2019-10-",
        "Warm-up  50 bars",
        "long_only",
        "a full position is 47.50% of equity",
        "Nothing was run",
    ):
        assert part in text
    assert files_below(market) == before
    assert not Backtest.objects.exists()


def test_plan_as_json_is_json_alone(market):
    text = call(
        "plan", "--json", "--strategy", "momentum", "--symbols", "ABC", "--set", "window=30",
        "--set", "risk.daily_loss=500", "--set", "sizing.kind=quantity", "--set", "sizing.value=10", "--cash", "5000",
    )  # fmt: skip
    found = json.loads(text)
    assert found["config"]["strategy"] == {
        "name": "momentum",
        "params": {"window": 30, "threshold": 0.0, "allow_short": False},
    }
    assert (found["config"]["cash"], found["limits"]["daily_loss"]) == (5000, 500)
    assert found["size"] == {
        "bars": 505,
        "bars_to_trade_on": 505,
        "driver": "arrays where exact",
        "ledgers_megabytes": 0.0,
    }
    assert found["notes"] == []


def test_a_config_file_is_read_and_arguments_go_over_it(market, monkeypatch):
    file = market / "config.yaml"
    file.write_text(
        "run_id: ${RUN_ID}\nsymbols: [ABC]\nstrategy: {name: ma_crossover}\nparams:\n  fast: ${FAST}\ncash: 5000"
    )
    monkeypatch.setenv("FAST", "7")
    monkeypatch.delenv("RUN_ID", raising=False)
    found = json.loads(call("plan", "--json", "--config", str(file), "--set", "slow=21", "--symbols", "XYZ"))["config"]
    assert found["strategy"]["params"] == {"fast": 7, "slow": 21, "allow_short": False}
    assert (found["symbols"], found["cash"]) == (["XYZ"], 5000)
    other = json.loads(call("plan", "--json", "--config", str(file), "--strategy", "momentum"))["config"]
    assert other["strategy"] == {"name": "momentum", "params": {"window": 120, "threshold": 0.0, "allow_short": False}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which strategy"),
        (["--strategy", "momentun", "--symbols", "ABC"], "did you mean 'momentum'"),
        (["--strategy", "momentum", "--symbols", "NONE"], "unknown instrument 'NONE'"),
        (["--strategy", "momentum", "--symbols", "ABC", "--watchlist", "demo"], "not both"),
        (["--strategy", "momentum", "--symbols", "ABC", "--set", "window"], "expected name=value"),
        (["--strategy", "momentum", "--symbols", "ABC", "--set", "windw=3"], "did you mean 'window'"),
        (["--strategy", "momentum", "--symbols", "ABC", "--cash", "much"], "cash: Input should be a valid number"),
        (["--strategy", "momentum", "--symbols", "ABC", "--timeframe", "2d"], "unknown timeframe '2d'"),
        (["--strategy", "momentum", "--symbols", "ABC", "--start", "2030-01-01"], "held: 2019-01-02 to 2020-12-31"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "backtest"])
def test_what_was_asked_wrongly_ends_with_2_and_one_sentence(market, command, arguments, message):
    with pytest.raises(CommandError) as error:
        call(command, *arguments)
    assert message in str(error.value)
    assert error.value.returncode == 2
    assert not Backtest.objects.exists()


def test_damaged_bars_end_with_1(market):
    for path in (market / "bars").rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CommandError) as error:
        call("plan", "--strategy", "momentum", "--symbols", "ABC")
    assert error.value.returncode == 1


def test_strategies_are_listed_with_their_parameters(places):
    text = call("strategies")
    for part in ("ma_crossover", "momentum", "breakout", "mean_reversion", "default 20", "at least 2, at most 5000"):
        assert part in text
    found = {each["name"]: each for each in json.loads(call("strategies", "--json"))}
    assert {"ma_crossover", "momentum", "breakout", "mean_reversion"} <= set(found)
    fast = next(each for each in found["ma_crossover"]["parameters"] if each["name"] == "fast")
    assert fast == {
        "name": "fast", "type": "integer", "default": 20, "minimum": 1, "above": None, "maximum": 5000, "below": None,
        "choices": None, "unit": "bars", "help": "fast average",
    }  # fmt: skip
    for each in found.values():
        assert each["summary"]
        assert all(parameter["help"] for parameter in each["parameters"])


def test_one_strategy_is_shown_alone_and_an_unknown_one_is_suggested(places):
    assert [each["name"] for each in json.loads(call("strategies", "breakout", "--json"))] == ["breakout"]
    with pytest.raises(CommandError, match="did you mean 'breakout'") as error:
        call("strategies", "breakot")
    assert error.value.returncode == 2


def test_a_broken_plugin_is_a_warning_beside_the_list(places):
    (places / "plugins").mkdir()
    (places / "plugins" / "broken.py").write_text("1 / 0")
    errors = io.StringIO()
    call_command("strategies", stdout=io.StringIO(), stderr=errors)
    assert "broken.py could not be loaded: ZeroDivisionError: division by zero (line 1)" in errors.getvalue()


def test_a_new_strategy_is_known_runs_and_passes_its_test(market):
    assert "golden_cross.py" in call("newstrategy", "golden_cross")
    (found,) = json.loads(call("strategies", "golden_cross", "--json"))
    assert [each["name"] for each in found["parameters"]] == ["window", "band"]
    assert json.loads(call("plan", "--json", "--strategy", "golden_cross", "--symbols", "ABC"))["warmup_bars"] == 50
    test = market / "plugins" / "test_golden_cross.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(test)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil", "is no name"),
        ("Golden", "is no name"),
        ("class", "is no name"),
        ("test_this", "is no name"),
        ("", "is no name"),
        ("json", "is the name of a Python module"),
        ("numpy", "is the name of a Python module"),
        ("conftest", "is the name of a Python module"),
        ("momentum", "is taken by"),
    ],
)
def test_a_name_that_would_do_harm_is_refused(places, name, message):
    with pytest.raises(CommandError, match=message) as error:
        call("newstrategy", name)
    assert error.value.returncode == 2
    assert not (places / "plugins").exists()


@pytest.mark.parametrize("present", ["mine.py", "test_mine.py"])
def test_a_file_that_is_there_is_never_overwritten(places, present):
    (places / "plugins").mkdir()
    (places / "plugins" / present).write_text("# precious")
    with pytest.raises(CommandError, match="would overwrite") as error:
        call("newstrategy", "mine")
    assert error.value.returncode == 2
    assert {path.name: path.read_text() for path in (places / "plugins").iterdir()} == {present: "# precious"}
