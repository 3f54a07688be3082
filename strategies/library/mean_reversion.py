from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, model_validator

from domain import indicators, strategy
from domain.bars import BarSeries, Floats
from strategies.registry import register


@register
class MeanReversion(strategy.Strategy):
    """Decides bar by bar, because when it gives up depends on when it got in: that is state, not an array.

    What can be an array still is: `indicators` are computed once and read by name.
    """

    name = "mean_reversion"
    summary = "Buys when the close falls far below its mean and sells when it has come back, or after some bars."

    class Params(strategy.Params):
        window: int = Field(20, ge=2, le=5_000, description="mean and deviation", json_schema_extra={"unit": "bars"})
        entry: float = Field(
            2.0, gt=0, le=20, description="distance below the mean to buy at", json_schema_extra={"unit": "deviations"}
        )
        exit: float = Field(
            0.5, ge=0, le=20, description="distance below the mean to sell at", json_schema_extra={"unit": "deviations"}
        )
        patience: int = Field(
            20, ge=1, le=100_000, description="longest time to hold on", json_schema_extra={"unit": "bars"}
        )

        @model_validator(mode="after")
        def _is_in_order(self) -> MeanReversion.Params:
            if self.exit >= self.entry:
                raise ValueError(f"exit must be below entry, not {self.exit} and {self.entry}")
            return self

    params: Params
    bars_held = 0

    def warmup(self) -> int:
        return self.params.window + 1

    def indicators(self, bars: BarSeries) -> Mapping[str, Floats]:
        return {"distance": indicators.zscore(bars.close, self.params.window)}

    def on_bar(self, context: strategy.Context) -> strategy.Wishes:
        before, now = context.history("distance", 2)
        if context.position:
            self.bars_held += 1
            if now >= -self.params.exit:
                return strategy.target(0.0, reason="back at its mean")
            if self.bars_held >= self.params.patience:
                return strategy.target(0.0, reason="out of patience")
        elif before > -self.params.entry >= now:
            self.bars_held = 0
            return strategy.target(1.0, reason="far below its mean")
        return None
