from __future__ import annotations

import numpy as np
from pydantic import Field

from domain import indicators, strategy
from domain.bars import BarSeries
from strategies.registry import register


@register
class Momentum(strategy.Strategy):
    """States its wish at every bar; the engine orders only where the wish changes."""

    name = "momentum"
    summary = "Long while the price has risen by more than a threshold over the window."

    class Params(strategy.Params):
        window: int = Field(
            120, ge=1, le=5_000, description="how far back the return looks", json_schema_extra={"unit": "bars"}
        )
        threshold: float = Field(
            0.0, ge=0, le=1_000, description="rise that is asked for", json_schema_extra={"unit": "percent"}
        )
        allow_short: bool = Field(False, description="be short while the price has fallen by more than the threshold")

    params: Params

    def warmup(self) -> int:
        return self.params.window + 1

    def signals(self, bars: BarSeries) -> strategy.SignalSeries:
        change = indicators.roc(bars.close, self.params.window)
        wanted = np.where(change > self.params.threshold, 1.0, 0.0)
        if self.params.allow_short:
            wanted[change < -self.params.threshold] = -1.0
        wanted[np.isnan(change)] = np.nan
        return strategy.SignalSeries(wanted)
