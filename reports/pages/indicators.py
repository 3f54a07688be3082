"""Indicators that a chart can show, chosen by a query string: `sma=20,50&bollinger=20/2&rsi=14`.

A name's value lists numbers of one line after another, with commas between them; several numbers of one indicator
have a slash between them, in the order of its function in `domain.indicators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from domain import indicators
from domain.bars import BarSeries, Floats
from domain.errors import BadInput

MAX_WINDOW = 500
MAX_OF_ONE = 4

Lines = dict[str, Floats]


class Indicator(NamedTuple):
    """`usual` is what to suggest, and how many numbers it takes, the last a factor and no window where `has_factor`;
    `pane` empty: it is drawn over the prices."""

    label: str
    usual: str
    pane: str
    lines: Callable[..., Lines]
    has_factor: bool = False


def _bands(bands: indicators.Bands) -> Lines:
    return {"upper": bands.upper, "middle": bands.middle, "lower": bands.lower}


def _macd(bars: BarSeries, fast: float, slow: float, signal: float) -> Lines:
    found = indicators.macd(bars.close, int(fast), int(slow), int(signal))
    return {"line": found.line, "signal": found.signal}


def _stochastic(bars: BarSeries, window: float, smooth_k: float, smooth_d: float) -> Lines:
    found = indicators.stochastic(bars.high, bars.low, bars.close, int(window), int(smooth_k), int(smooth_d))
    return {"k": found.k, "d": found.d}


INDICATORS: Mapping[str, Indicator] = {
    "sma": Indicator("Simple average", "20", "", lambda b, n: {"": indicators.sma(b.close, int(n))}),
    "ema": Indicator("Exponential average", "50", "", lambda b, n: {"": indicators.ema(b.close, int(n))}),
    "kama": Indicator("Adaptive average", "10", "", lambda b, n: {"": indicators.kama(b.close, int(n))}),
    "bollinger": Indicator(
        "Bollinger bands", "20/2", "", lambda b, n, k: _bands(indicators.bollinger(b.close, int(n), k)), True
    ),
    "donchian": Indicator(
        "Donchian channel", "20", "", lambda b, n: _bands(indicators.donchian(b.high, b.low, int(n)))
    ),
    "keltner": Indicator(
        "Keltner channel",
        "20/2",
        "",
        lambda b, n, k: _bands(indicators.keltner(b.high, b.low, b.close, int(n), k)),
        True,
    ),
    "supertrend": Indicator(
        "Supertrend",
        "10/3",
        "",
        lambda b, n, k: {"": indicators.supertrend(b.high, b.low, b.close, int(n), k).line},
        True,
    ),
    "rsi": Indicator("RSI", "14", "RSI", lambda b, n: {"": indicators.rsi(b.close, int(n))}),
    "stochastic": Indicator("Stochastic", "14/3/3", "Stochastic", _stochastic),
    "macd": Indicator("MACD", "12/26/9", "MACD", _macd),
    "adx": Indicator("ADX", "14", "ADX", lambda b, n: {"": indicators.adx(b.high, b.low, b.close, int(n))}),
    "atr": Indicator("ATR", "14", "ATR", lambda b, n: {"": indicators.atr(b.high, b.low, b.close, int(n))}),
    "mfi": Indicator(
        "Money flow", "14", "MFI", lambda b, n: {"": indicators.mfi(b.high, b.low, b.close, b.volume, int(n))}
    ),
}


class Chosen(NamedTuple):
    """One indicator with its numbers."""

    name: str
    numbers: tuple[float, ...]

    @property
    def label(self) -> str:
        return f"{self.name.upper()} {'/'.join(f'{number:g}' for number in self.numbers)}"

    def lines(self, bars: BarSeries) -> Lines:
        """Columns of the length of the bars, by the name of each line; BadInput for numbers that do not fit."""
        return INDICATORS[self.name].lines(bars, *self.numbers)


def read_indicators(query: Mapping[str, str]) -> list[Chosen]:
    """What a query string chooses, in the order of the table. BadInput says which value is wrong."""
    found = []
    for name, indicator in INDICATORS.items():
        texts = [text.strip() for text in query.get(name, "").split(",") if text.strip()]
        if len(texts) > MAX_OF_ONE:
            raise BadInput(f"{indicator.label}: at most {MAX_OF_ONE} at once")
        found += [Chosen(name, _numbers(indicator, text)) for text in texts]
    return found


def _numbers(indicator: Indicator, text: str) -> tuple[float, ...]:
    wanted = f"{indicator.label}: {text[:40]!r} must look like {indicator.usual}"
    try:
        numbers = tuple(float(part) for part in text.split("/"))
    except ValueError:
        raise BadInput(wanted) from None
    if len(numbers) != indicator.usual.count("/") + 1:
        raise BadInput(wanted)
    windows = numbers[:-1] if indicator.has_factor else numbers
    if not all(0 < number <= MAX_WINDOW for number in numbers) or not all(map(float.is_integer, windows)):
        raise BadInput(f"{wanted}, with whole windows from 1 to {MAX_WINDOW}")
    return numbers
