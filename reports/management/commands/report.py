from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.errors import BadInput
from strategies.backtests import run_directory
from strategies.models import Backtest

_NEWEST_SHOWN = 5


class Command(BaseCommand):
    help = (
        "Write report.html and report.ipynb of backtests again, from their ledgers. Exit codes: 0 done, "
        "1 a report could not be written, 2 no such run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN_ID", help="the run's id: the name of its directory")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = [_find(run) for run in options["runs"]]
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        failures = []
        for row in rows:
            try:
                self.stdout.write(str(write_files(run_directory(row))))
            except (BadInput, OSError) as error:
                ended = f"; the run {row.state}: {row.error}" if row.error else ""
                failures.append(f"run {row.directory}: no report: {error}{ended}")
        for failure in failures[:-1]:
            self.stderr.write(self.style.ERROR(failure))
        if failures:
            raise CommandError(failures[-1])


def write_files(folder: Path) -> Path:
    """Write both files of a run's report; returns the path of the HTML. BadInput or OSError says why not."""
    from reports.notebook import write_notebook
    from reports.tearsheet import write_report

    write_notebook(folder)
    return write_report(folder)


def _find(run: str) -> Backtest:
    """The run of that id; BadInput names the newest ones, since all of them would be too many."""
    row = Backtest.objects.filter(directory=run).first()
    if row is None:
        newest = ", ".join(Backtest.objects.values_list("directory", flat=True)[:_NEWEST_SHOWN])
        hint = f"the newest: {newest}" if newest else "no backtest has been run yet"
        raise BadInput(f"unknown run {run[:80]!r}; {hint}")
    return row
