import keyword
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from strategies import registry
from strategies.arguments import load_strategies

STRATEGY = '''\
from pydantic import Field

from domain import indicators, strategy
from domain.bars import BarSeries
from strategies.registry import register


@register
class {title}(strategy.Strategy):
    """Say here what it does and why that should earn money."""

    name = "{name}"
    summary = "Long while the close is above its moving average by more than a band."

    class Params(strategy.Params):
        window: int = Field(50, ge=2, le=5_000, description="moving average", json_schema_extra={{"unit": "bars"}})
        band: float = Field(1.0, ge=0, le=50, description="width around it", json_schema_extra={{"unit": "percent"}})

    params: Params

    def warmup(self) -> int:
        return self.params.window

    def signals(self, bars: BarSeries) -> strategy.SignalSeries:
        average = indicators.sma(bars.close, self.params.window)
        band = self.params.band / 100
        return strategy.SignalSeries(
            strategy.holds(entry=bars.close > average * (1 + band), exit=bars.close < average * (1 - band))
        )
'''

TEST = '''\
import numpy as np
from {name} import {title}

from domain.bars import BarSeries
from domain.engine import backtest


def prices(close):
    """Daily bars that open, and end, where they close."""
    days = np.datetime64("2024-01-01", "D") + np.arange(len(close))
    return BarSeries.from_columns(
        "1d", start=days.astype("datetime64[ns]"), open=close, high=close, low=close, close=close
    )


def test_it_buys_a_rise_and_sells_the_fall_after_it():
    close = np.concatenate([np.full(20, 100.0), np.linspace(101, 120, 20), np.linspace(119, 90, 30)])
    result = backtest(prices(close), {title}(window=10, band=1.0))
    assert result.fills["side"].tolist() == ["buy", "sell"]
    assert result.trades["net_pnl"][0] > 0


def test_it_says_the_same_bar_by_bar():
    close = 100 + 10 * np.sin(np.arange(400) / 10)
    arrays, loop = (backtest(prices(close), {title}(window=20), path=path) for path in ("events", "loop"))
    assert len(arrays.fills["time"]) > 5
    assert arrays.result_hash == loop.result_hash


def test_it_never_looks_ahead():
    close = 100 + 10 * np.sin(np.arange(400) / 10)
    whole = {title}().signals(prices(close)).target
    for rows in (100, 250, 399):
        np.testing.assert_array_equal({title}().signals(prices(close[:rows])).target, whole[:rows])
'''


class Command(BaseCommand):
    help = "Make a strategy of your own, with parameters and a test that passes, in the plugins folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="lower-case letters, digits and _")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        folder = Path(settings.PLUGINS_DIR)
        strategy, test = folder / f"{name}.py", folder / f"test_{name}.py"
        self._refuse_bad(name, strategy, test)
        words = {"name": name, "title": "".join(part.capitalize() for part in name.split("_"))}
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((strategy, STRATEGY), (test, TEST)):
            with path.open("x", encoding="utf-8") as file:
                file.write(text.format(**words))
        self.stdout.write(f"Made {strategy} and {test}.")
        self.stdout.write(f"Try it: python -m pytest {test}; then python manage.py strategies {name}")

    def _refuse_bad(self, name: str, strategy: Path, test: Path) -> None:
        load_strategies()
        known = registry.entries()
        fault = ""
        if not registry.NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("test_"):
            fault = "is no name for a strategy; take lower-case letters, digits and _, such as golden_cross"
        elif name in known:
            fault = f"is taken by {known[name].source}"
        elif name == "conftest" or name in sys.stdlib_module_names or find_spec(name) is not None:
            fault = "is the name of a Python module that the file would hide"
        else:
            fault = next((f"would overwrite {path}, which is there" for path in (strategy, test) if path.exists()), "")
        if fault:
            raise CommandError(f"{name[:80]!r} {fault}", returncode=2)
