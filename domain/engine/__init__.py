"""The backtest engine: `backtest(feeds, strategy, settings) -> Result`."""

from domain.engine.result import Result
from domain.engine.run import backtest
from domain.engine.setup import Feed, MarketAt, RunSettings

__all__ = ["Feed", "MarketAt", "Result", "RunSettings", "backtest"]
