import json
from argparse import ArgumentParser
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata.holdings import MAP_MARKS, Holding, holdings_of
from marketdata.models import Instrument
from marketdata.previews import gateway_now

_GAPS_SHOWN = 5


class Command(BaseCommand):
    help = (
        "Show which bars are held, which are missing and why. Exit codes: 0 all that is held can be read, "
        "1 some of it is damaged or out of reach, 2 wrong use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("symbols", nargs="*", metavar="SYMBOL", help="default: every active instrument")
        parser.add_argument("--timeframe")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            frame = Timeframe.parse(options["timeframe"]) if options["timeframe"] else None
            wanted = [Instrument.objects.named(symbol) for symbol in options["symbols"]]
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            now = gateway_now(timezone.now())
            found = list(holdings_of(wanted or Instrument.objects.active(), frame, now=now))
        except BadInput as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([_document(each) for each in found], indent=1))
        elif not found:
            self.stdout.write("no bars are held; import some with `manage.py import_bars` or `manage.py import_demo`")
        else:
            for each in found:
                self._print(each)
            self.stdout.write("map: " + MAP_MARKS.replace("; ", ";\n     "))
        faulty = [f"{each.instrument.symbol} {each.held.timeframe}" for each in found if each.fault]
        if faulty:
            raise CommandError(f"{len(faulty)} of {len(found)} series cannot be read: {', '.join(faulty)}")

    def _print(self, holding: Holding) -> None:
        found = holding.as_dict()
        what = "" if found["what"] == "TRADES" else f" {found['what']}"
        self.stdout.write(
            f"{found['symbol']} {found['timeframe']}{what} {found['adjustment']}: {found['rows']:,} bars, "
            f"{found['start'][:10]} to {found['end'][:10]}, {found['files']} files, {found['bytes']:,} bytes, "
            f"{found['actions']} corporate actions"
        )
        if found["fault"]:
            self.stdout.write(self.style.ERROR(f"  {found['fault']}"))
            return
        if found["missing"]:
            self.stdout.write(
                f"  missing: {found['missing']:,} of {found['expected']:,} expected bars, in {found['gaps']:,} gaps"
            )
        for gap in found["largest_gaps"][:_GAPS_SHOWN]:
            self.stdout.write(f"    {gap['start']} to {gap['end']}: {gap['missing']:,} bars, {gap['class']}")
        if found["unexpected"]:
            self.stdout.write(f"  outside regular hours: {found['unexpected']:,} bars")
        if found["before"]:
            self.stdout.write(
                f"  before the first: {found['before']:,} bars since {found['since'][:10]}, as far as IB goes"
            )
        if found["after"]:
            self.stdout.write(f"  after the last: {found['after']:,} bars until {found['until'][:16]}Z")
        reasons = ", ".join(f"{bars:,} {name}" for name, bars in found["classes"].items() if bars)
        if reasons:
            self.stdout.write(f"  why: {reasons}")
        if found["closed_days"] or found["half_days"]:
            days = f"{found['closed_days']:,} closed days, {found['half_days']:,} half days"
            self.stdout.write(f"  no bars are due: {days}")
        if found["map"]:
            drawn = found["map"]
            span = f"{drawn['start'][:10]} to {drawn['end'][:10]}"
            self.stdout.write(f"  map by {drawn['unit']}, {span}: {drawn['line']}")


def _document(holding: Holding) -> dict[str, Any]:
    """What the API tells too, and the days on which the exchange was closed or closed early."""
    if holding.gaps is None:
        return holding.as_dict()
    days = [
        {"day": str(np.datetime64(each.day, "D")), "kind": each.kind.label, "minutes": each.minutes}
        for each in holding.absences()
    ]
    return holding.as_dict() | {"absences": days}
