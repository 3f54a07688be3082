import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError

from domain.adjustments import Action, Delisting, Dividend, Split
from domain.errors import BadInput
from domain.quality import ratio_text
from marketdata import actions, services
from marketdata.errors import ActionsUnavailable, StoreError
from marketdata.models import Instrument


class Command(BaseCommand):
    help = (
        "Find the splits and dividends of an instrument: from the daily TRADES and ADJUSTED_LAST held (ib), from Yahoo "
        "(yahoo; needs the package yfinance), or from a file (csv FILE). Nothing is removed; a newer value for the "
        "same day and kind replaces the older. Exit codes: 0 done, 1 nothing could be found out, 2 an option is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbol")
        parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="of csv")
        parser.add_argument("--from", dest="provider", required=True, metavar="|".join(actions.PROVIDERS))
        parser.add_argument("--exchange", default="")
        parser.add_argument("--dry-run", action="store_true", help="show what is found and write nothing")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            provider = actions.provider(options["provider"], options["file"])
            instrument = Instrument.objects.named(
                services.check_symbol(options["symbol"]), exchange=options["exchange"]
            )
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            found = provider.actions(instrument)
            if options["dry_run"]:
                self._show(instrument, found)
                return
            report = services.record_actions(instrument=instrument, actions=found, source=options["provider"])
        except (BadInput, StoreError, ActionsUnavailable) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(report._asdict()))
            return
        self.stdout.write(
            f"{instrument.symbol}: {report.added} new, {report.changed} changed, {report.unchanged} held already"
        )

    def _show(self, instrument: Instrument, found: list[Action]) -> None:
        for action in sorted(found, key=lambda each: each.ex_day):
            match action:
                case Split(day, ratio):
                    text = f"split {ratio_text(ratio)}"
                case Dividend(day, amount):
                    text = f"dividend {amount:.6g}"
                case Delisting(day, _):
                    text = "delisting"
            self.stdout.write(f"{instrument.symbol} {np.datetime64(day, 'D')} {text}")
