import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.adjustments import DividendConvention
from domain.bars import Adjustment
from domain.errors import BadInput
from domain.instrument import InstrumentKind
from marketdata.errors import StoreError
from marketdata.import_options import OPTIONS, SESSIONS, STAMPS, read_options
from marketdata.importing import FileReport, check_options, import_file
from marketdata.models import What
from marketdata.reporting import print_report, progress


class Command(BaseCommand):
    help = (
        "Import bars from CSV or Parquet files: all of a file or nothing, with a report of what was kept and why not. "
        "Exit codes: 0 done, 1 a file was refused or could not be written, 2 an option is wrong (no file was opened)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--symbol", default="", help="default: a symbol column, else the file's name")
        parser.add_argument("--timeframe", help="1m 5m 15m 30m 1h 1d 1w; default: found in the times")
        parser.add_argument("--exchange", default="", help="IB's name; default SMART")
        parser.add_argument("--kind", choices=[kind.value for kind in InstrumentKind], default="")
        parser.add_argument("--currency", default="")
        parser.add_argument("--calendar", default="", help="such as XNYS, XEUR, 24/7; default: the exchange's")
        parser.add_argument(
            "--columns", default="", help="field=column,…: time open high low close volume adj_close symbol"
        )
        parser.add_argument("--tz", default="", help="zone of times that name none, such as America/New_York")
        parser.add_argument("--stamp", choices=STAMPS, default="start", help="which end of a bar its time is")
        parser.add_argument("--adjustment", choices=[each.value for each in Adjustment], default="raw")
        parser.add_argument("--adj-close", default="", help="column of the adjusted close")
        parser.add_argument("--derive-actions", choices=[each.value for each in DividendConvention])
        parser.add_argument("--session", choices=SESSIONS, default="regular")
        parser.add_argument("--what", choices=What.values, default=What.TRADES.value)
        parser.add_argument("--since", help="first date to take")
        parser.add_argument("--until", help="last date to take")
        parser.add_argument("--strict", action="store_true", help="refuse a file instead of dropping rows")
        parser.add_argument("--dry-run", action="store_true", help="read and check, write nothing")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wanted = read_options({name: options[name] for name in OPTIONS})
            check_options(wanted)
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        reports: list[FileReport] = []
        failures: list[str] = []
        with progress(len(options["files"]), quiet=options["json"]) as advance:
            for path in options["files"]:
                advance(path.name)
                try:
                    reports.append(import_file(path, wanted, dry_run=options["dry_run"]))
                except (BadInput, StoreError) as error:
                    failures.append(str(error))
        if options["json"]:
            documents = [report.as_dict() for report in reports]
            self.stdout.write(json.dumps({"files": documents, "failed": failures}, indent=1))
        else:
            for report in reports:
                print_report(report, self.stdout, dry_run=options["dry_run"])
        if failures:
            for failure in failures[:-1]:
                self.stderr.write(self.style.ERROR(failure))
            raise CommandError(failures[-1])
        sys.stdout.flush()
