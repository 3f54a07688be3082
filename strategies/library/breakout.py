from __future__ import annotations

import numpy as np
from pydantic import Field

from domain import indicators, strategy
from domain.bars import BarSeries
from strategies.registry import register

ATR_WINDOW = 20


@register
class Breakout(strategy.Strategy):
    """Donchian's channels with a protective stop: a bracket is one more column beside the targets.

    A position that was stopped out is not bought again before the close has been below the exit channel.
    """

    name = "breakout"
    summary = "Long from a close above the highest high of the bars before it, until a close below their lowest low."

    class Params(strategy.Params):
        entry: int = Field(
            55, ge=2, le=5_000, description="channel to break out of", json_schema_extra={"unit": "bars"}
        )
        exit: int = Field(20, ge=2, le=5_000, description="channel to fall out of", json_schema_extra={"unit": "bars"})
        stop_atr: float = Field(
            3.0,
            ge=0,
            le=100,
            description="stop loss below the close that decides, 0 for none",
            json_schema_extra={"unit": f"average true ranges ({ATR_WINDOW} bars)"},
        )

    params: Params

    def warmup(self) -> int:
        return max(self.params.entry, self.params.exit, ATR_WINDOW) + 1

    def signals(self, bars: BarSeries) -> strategy.SignalSeries:
        # A close never leaves a channel that its own bar is part of: compare with the channel of the bar before.
        above = bars.close > indicators.lag(indicators.donchian(bars.high, bars.low, self.params.entry).upper)
        below = bars.close < indicators.lag(indicators.donchian(bars.high, bars.low, self.params.exit).lower)
        target = strategy.holds(entry=above, exit=below)
        if not self.params.stop_atr:
            return strategy.SignalSeries(target)
        stop = bars.close - self.params.stop_atr * indicators.atr(bars.high, bars.low, bars.close, ATR_WINDOW)
        return strategy.SignalSeries(target, stop_loss=np.where((target > 0) & (stop > 0), stop, np.nan))
