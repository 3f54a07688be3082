"""How much history one request asks for, as IB documents it for each length of bar. The rows are what counts."""

from __future__ import annotations

from typing import Any

LENGTHS = {"1m": "1 D", "5m": "1 W", "15m": "2 W", "30m": "1 M", "1h": "1 M", "1d": "1 Y", "1w": "2 Y"}


def write_lengths(**_: Any) -> None:
    """Make the rows that are missing; runs after every `migrate`. The others stay as they were."""
    from marketdata.models import RequestLength

    held = set(RequestLength.objects.values_list("timeframe", flat=True))
    RequestLength.objects.bulk_create(
        RequestLength(timeframe=timeframe, duration=duration)
        for timeframe, duration in LENGTHS.items()
        if timeframe not in held
    )
