"""`make bench`: this engine and its peers on the same bars and the same rule, in turn; the table goes to the docs.

Each peer lives in an environment of its own under benchmarks/.envs, made here. Before anything is compared, orders and
final equity must agree. Takes about ten minutes; `--rounds 1` about three.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from benchmarks.bars import make_bars
from benchmarks.table import write_tables

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = HERE / ".data"
CENT = 0.005


class Engine(NamedTuple):
    """`environment` names its requirements file and its venv; ours runs in the one that runs this."""

    name: str
    environment: str
    script: str
    way: str
    skips: tuple[str, ...] = ()


ENGINES = (
    Engine("ours, signals", "", "run_ours.py", "signals"),
    Engine("ours, on_bar", "", "run_ours.py", "on_bar"),
    Engine("vectorbt (numba)", "vectorbt", "run_vectorbt.py", "signals"),
    Engine("backtesting.py", "backtesting", "run_backtesting.py", "on_bar"),
    # Ten years of minutes take it more than a minute a run; its time grows with the bars and nothing else.
    Engine("backtrader", "backtrader", "run_backtrader.py", "on_bar", skips=("minutes-10y",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often the engines take turns (default 3)")
    rounds = parser.parse_args().rounds
    pythons = {engine.environment: interpreter(engine.environment) for engine in ENGINES}
    lengths = make_bars(DATA)
    runs = defaultdict(list)
    for turn in range(rounds):
        for case in lengths:
            for engine in ENGINES:
                if case not in engine.skips:
                    print(f"round {turn + 1}/{rounds}  {case}  {engine.name}", file=sys.stderr)
                    runs[engine.name, case].append(run_engine(pythons[engine.environment], engine, case))
        for engine in ENGINES:
            cost = run_engine(pythons[engine.environment], engine, "daily-25y", "--once")
            runs[engine.name, "process"].append(cost)
    check_agreement(runs, lengths)
    figures = {key: {name: median_of(results, name) for name in results[0]} for key, results in runs.items()}
    extras = [*measure_command(rounds), *measure_script("store.py"), *measure_script("gaps.py")]
    write_tables(
        ROOT / "docs" / "performance.md", [engine.name for engine in ENGINES], lengths, figures, extras, rounds
    )


def interpreter(name: str) -> Path:
    """The Python of a peer's environment, which is made, or made anew, where its requirements say otherwise."""
    if not name:
        return Path(sys.executable)
    home, wanted = HERE / ".envs" / name, HERE / f"requirements-{name}.txt"
    python, installed = home / "bin" / "python", home / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        print(f"installing {name}", file=sys.stderr)
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
        installed.write_text(wanted.read_text())
    return python


def run_engine(python: Path, engine: Engine, case: str, *options: str) -> dict[str, float]:
    """One process; its own figures and `process_cpu`, what all of it took from start to end."""
    command = [python, HERE / "peers" / engine.script, DATA / f"{case}.npy", engine.way, *options]
    return run_timed(command, f"{engine.name} on {case}")


def run_timed(command: list, what: str, environment: dict[str, str] | None = None) -> dict[str, float]:
    before = os.times()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{what} failed:\n{done.stdout}{done.stderr}")
    spent = {
        "process_cpu": after.children_user + after.children_system - before.children_user - before.children_system,
        "process_wall": after.elapsed - before.elapsed,
    }
    last = done.stdout.strip().rpartition("\n")[2]
    return {**(json.loads(last) if last.startswith("{") else {}), **spent}


def check_agreement(runs: dict, lengths: dict[str, int]) -> None:
    """Same orders and, to half a cent, the same final equity; else there is nothing to compare."""
    for case in lengths:
        found = {name: run[0] for (name, at), run in runs.items() if at == case}
        orders = {name: result["orders"] for name, result in found.items()}
        equity = {name: result["equity"] for name, result in found.items()}
        if len(set(orders.values())) > 1 or max(equity.values()) - min(equity.values()) > CENT:
            raise SystemExit(f"{case}: the engines disagree\n  orders {orders}\n  equity {equity}")


def median_of(results: list[dict[str, float]], name: str) -> float:
    return statistics.median(result[name] for result in results)


def measure_command(rounds: int) -> list[tuple[str, str]]:
    """The whole of `manage.py backtest` on one daily instrument, report included, on a site made for it."""
    with tempfile.TemporaryDirectory() as state:
        environment = {
            **os.environ,
            "VAR_DIR": state,
            "DOTENV": os.devnull,
            "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
        }
        manage = [sys.executable, "manage.py"]
        for step in (["migrate", "--verbosity", "0"], ["import_demo"]):
            run_timed([*manage, *step], " ".join(step), environment)
        backtest = [*manage, "backtest", "--strategy", "ma_crossover", "--symbols", "AAPL", "--timeframe", "1d"]
        took = [run_timed(backtest, "backtest", environment) for _ in range(rounds)]
    cpu, wall = (median_of(took, name) for name in ("process_cpu", "process_wall"))
    return [(" ".join(["manage.py", *backtest[2:]]), f"{cpu:.2f} s CPU, {wall:.2f} s")]


def measure_script(name: str) -> list[tuple[str, str]]:
    """The `what: figure` lines of one of the scripts beside this one."""
    done = subprocess.run([sys.executable, HERE / name], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout}{done.stderr}")
    return [(what, figure) for what, _, figure in (line.rpartition(": ") for line in done.stdout.splitlines()) if what]


if __name__ == "__main__":
    main()
