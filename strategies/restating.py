"""What becomes of backtests whose bars were replaced: they are marked, and stay as they are."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from domain.bars import Adjustment
from marketdata.models import BarFile, Instrument
from strategies.models import Backtest


def mark_backtests(*, instrument: Instrument, timeframe: str, what: str, adjustment: str, **_signal: Any) -> None:
    """Mark the backtests that read this series. Hears `marketdata.signals.series_rebuilt`, in its transaction."""
    raw_is_held = BarFile.objects.of_series(instrument, timeframe, what).filter(adjustment=Adjustment.RAW).exists()
    default = Adjustment.RAW if raw_is_held else adjustment
    made = Backtest.objects.filter(
        timeframe=timeframe,
        state=Backtest.State.SUCCEEDED,
        restated__isnull=True,
        instruments__contains=instrument.symbol,
    )
    marked = []
    for row in made.only("instruments", "config").iterator():
        data = row.config.get("data") or {}
        same = (data.get("what") or "TRADES", data.get("adjustment") or default) == (what, adjustment)
        if same and instrument.symbol in row.instruments.split(", "):
            marked.append(row.pk)
    Backtest.objects.filter(pk__in=marked).update(restated=timezone.now())
