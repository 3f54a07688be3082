from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.errors import BadInput
from reports.services import write_files
from strategies.backtests import run_directory
from strategies.models import Backtest


class Command(BaseCommand):
    help = (
        "Write report.html and report.ipynb of backtests again, from their ledgers. Exit codes: 0 done, "
        "1 a report could not be written, 2 no such run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN_ID", help="the run's id: the name of its directory")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            rows = [Backtest.objects.named(run) for run in options["runs"]]
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
