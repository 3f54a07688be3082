import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from domain.errors import BadInput
from marketdata import services
from marketdata.action_files import read_actions


class Command(BaseCommand):
    help = (
        "Import splits, dividends and delistings from a CSV with the columns symbol, date, kind, value, or symbol, "
        "date, new_per_old (splits), or symbol, date, amount (dividends). All of the file or nothing. Exit codes: "
        "0 done, 1 the file was refused, 2 an option is wrong (the file was not opened)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--symbol", default="", help="only this one, or whose file without a symbol column is")
        parser.add_argument("--exchange", default="")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            services.check_listing(symbol=options["symbol"], exchange=options["exchange"])
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        path = options["file"]
        reports = {}
        try:
            found = read_actions(path, options["symbol"])
            with transaction.atomic():
                for symbol, actions in found.items():
                    instrument = services.save_instrument(
                        instrument=services.describe_instrument(symbol=symbol, exchange=options["exchange"])
                    )
                    reports[symbol] = services.record_actions(instrument=instrument, actions=actions, source=path.name)
        except BadInput as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({symbol: report._asdict() for symbol, report in reports.items()}, indent=1))
            return
        for symbol, report in reports.items():
            self.stdout.write(
                f"{symbol}: {report.added} new, {report.changed} changed, {report.unchanged} held already"
            )
