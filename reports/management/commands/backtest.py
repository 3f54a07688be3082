import json
import shlex
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from domain.errors import BadInput
from reports.labels import count, label, metric, moment, money, signed
from reports.services import write_files
from strategies.arguments import add_arguments, plan_arguments
from strategies.backtests import Plan, Progress, run_backtest, run_directory
from strategies.models import Backtest
from tradingsite.runs import reclaim_dead

FIGURES = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "trades",
    "hit_rate",
    "profit_factor",
    "exposure",
    "turnover",
)


class Command(BaseCommand):
    help = (
        "Run a backtest and write its ledgers and report. Exit codes: 0 done, 1 failed or cancelled, "
        "2 refused before anything ran."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)
        parser.add_argument("--no-report", action="store_true", help="ledgers only")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _interruptible():
                self._work(options)
        except KeyboardInterrupt:
            raise CommandError("cancelled; a run that had not ended keeps its row, run.json and log.jsonl") from None

    def _work(self, options: dict[str, Any]) -> None:
        _, dead = reclaim_dead(Backtest, timezone.now())
        if dead:
            self.stderr.write(f"{dead} runs whose process died are marked as failed")
        plan = plan_arguments(options, self.stderr)
        folder = _run(plan, quiet=options["json"])
        summary = json.loads((folder / "summary.json").read_bytes())
        report = None if options["no_report"] else _write_report(folder)
        if options["json"]:
            self.stdout.write(json.dumps(summary, ensure_ascii=False, indent=2, sort_keys=True))
        else:
            _print_summary(summary, folder, report, self.stdout)


def _run(plan: Plan, quiet: bool) -> Path:
    """Run to the end; the run's directory. Whatever fails becomes one sentence and exit code 1."""
    try:
        with _progress(quiet) as progress:
            return run_directory(run_backtest(plan, command=shlex.join(sys.argv), progress=progress))
    except BadInput as error:
        raise CommandError(str(error)) from error
    except Exception as error:
        name = f"{type(error).__name__} in strategy {plan.strategy.label()}"
        raise CommandError(f"the run failed: {name}: {error} (--traceback shows where)") from error


def _write_report(folder: Path) -> Path:
    try:
        return write_files(folder)
    except (BadInput, OSError) as error:
        raise CommandError(
            f"the run succeeded and its ledgers are in {folder}, but not its report: {error}; "
            f"`manage.py report {folder.name}` writes it later"
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM cancels as Ctrl-C does."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    """A bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("backtest", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _print_summary(summary: dict[str, Any], folder: Path, report: Path | None, out: Any) -> None:
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.table import Table

    period, metrics = summary["period"], summary["metrics"]
    strategy = summary["strategy"]
    params = ", ".join(f"{name}={value}" for name, value in strategy["params"].items())
    held = f"{count(period['bars'])} bars of {summary['timeframe']}"
    figures = Table(
        title=f"{strategy['name']} ({params})",
        caption=f"{held}, {period['start'][:10]} to {period['end'][:10]}",
        box=ROUNDED,
        show_header=False,
    )
    for justify in ("left", "right", "left", "right"):
        figures.add_column(justify=justify)
    rows = [("Starting cash", money(summary["cash"])), ("Final equity", money(summary["final_equity"]))]
    rows += [(label(name), metric(name, metrics.get(name))) for name in FIGURES]
    rows += [(label(name), money(value)) for name, value in summary["costs"].items()]
    half = (len(rows) + 1) // 2
    for left, right in zip(rows[:half], [*rows[half:], ("", "")], strict=False):
        figures.add_row(*left, *right)

    instruments = Table(box=ROUNDED)
    for name in ("Instrument", "Bars", "Fills", "Trades", "Commission", "Position", "Profit"):
        instruments.add_column(name, justify="left" if name == "Instrument" else "right", overflow="fold")
    for symbol, part in summary["by_instrument"].items():
        numbers = (count(part["bars"]), count(part["fills"]), count(part["trades"]), money(part["commission"]))
        instruments.add_row(symbol, *numbers, f"{part['position']:,g}", signed(part["profit"], 2))

    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    console.print(figures)
    console.print(instruments)
    orders = ", ".join(f"{number:,} {name}" for name, number in summary["orders"].items() if number and name != "total")
    console.print(f"Orders   {summary['orders']['total']:,}: {orders}", soft_wrap=True)
    for rule, number in sorted(summary["denied"].items()):
        console.print(f"Denied   {number:,} by {rule}", soft_wrap=True)
    if summary["halted_at"]:
        console.print(f"Halted   {moment(summary['halted_at'])} by the kill switch", soft_wrap=True)
    for note in summary["notes"]:
        console.print(f"Note     {note}", soft_wrap=True, markup=False)
    for name in ("config", "data", "result"):
        console.print(f"{name.capitalize():<8} {summary[f'{name}_hash']}", soft_wrap=True)
    console.print(f"Ledgers  {folder}", soft_wrap=True, markup=False)
    if report is not None:
        console.print(f"Report   {report}", soft_wrap=True, markup=False)
