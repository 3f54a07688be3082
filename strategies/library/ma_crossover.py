from __future__ import annotations

from pydantic import Field, model_validator

from domain import indicators, strategy
from domain.bars import BarSeries
from strategies.registry import register


@register
class MaCrossover(strategy.Strategy):
    """States something only at the crossing, so an average that is already above at the start is not bought."""

    name = "ma_crossover"
    summary = "Long from where the fast moving average of closes rises above the slow one until it falls below."

    class Params(strategy.Params):
        fast: int = Field(20, ge=1, le=5_000, description="fast average", json_schema_extra={"unit": "bars"})
        slow: int = Field(50, ge=2, le=5_000, description="slow average", json_schema_extra={"unit": "bars"})
        allow_short: bool = Field(False, description="be short instead of flat while the fast one is below")

        @model_validator(mode="after")
        def _is_in_order(self) -> MaCrossover.Params:
            if self.fast >= self.slow:
                raise ValueError(f"fast must be below slow, not {self.fast} and {self.slow}")
            return self

    params: Params

    def warmup(self) -> int:
        return self.params.slow

    def signals(self, bars: BarSeries) -> strategy.SignalSeries:
        cross = indicators.sma_cross(bars.close, self.params.fast, self.params.slow)
        target = strategy.holds(entry=cross > 0, exit=cross < 0)
        if self.params.allow_short:
            target[cross < 0] = -1.0
        return strategy.SignalSeries(target)
