"""Indicators: float64 columns in, float64 columns of the same length out.

All are causal (row t uses rows <= t) and NaN while warming up; each docstring says from which row on it has
values. Seeds and warm-up are TA-Lib's defaults (unstable period 0), and where a window has no range or no
movement the results are TA-Lib's too, unless the docstring says otherwise.

NaN in the input: leading ones (another indicator's warm-up) are skipped, so rows count from the first complete
one. A later NaN makes NaN while it is in the window; in recursive averages, from there on.

Wrong windows and columns raise BadInput naming indicator and parameter. `streaming` has the twins for live use,
`windows` how sums stay exact.
"""

from domain.indicators.averages import Macd, dema, ema, kama, macd, sma, wilder, wma
from domain.indicators.crosses import crosses_above, crosses_below, crossover, sma_cross
from domain.indicators.oscillators import (
    Aroon,
    Stochastic,
    aroon,
    cci,
    lag,
    momentum,
    roc,
    rsi,
    stochastic,
    williams_r,
)
from domain.indicators.trend import (
    DirectionalMovement,
    Supertrend,
    adx,
    directional_movement,
    minus_di,
    parabolic_sar,
    plus_di,
    supertrend,
)
from domain.indicators.volatility import (
    Bands,
    atr,
    band_width,
    bollinger,
    donchian,
    ewma_volatility,
    highest,
    keltner,
    lowest,
    natr,
    percent_b,
    stddev,
    true_range,
    zscore,
)
from domain.indicators.volume import mfi, obv, vwap

__all__ = [
    "Aroon",
    "Bands",
    "DirectionalMovement",
    "Macd",
    "Stochastic",
    "Supertrend",
    "adx",
    "aroon",
    "atr",
    "band_width",
    "bollinger",
    "cci",
    "crosses_above",
    "crosses_below",
    "crossover",
    "dema",
    "directional_movement",
    "donchian",
    "ema",
    "ewma_volatility",
    "highest",
    "kama",
    "keltner",
    "lag",
    "lowest",
    "macd",
    "mfi",
    "minus_di",
    "momentum",
    "natr",
    "obv",
    "parabolic_sar",
    "percent_b",
    "plus_di",
    "roc",
    "rsi",
    "sma",
    "sma_cross",
    "stddev",
    "stochastic",
    "supertrend",
    "true_range",
    "vwap",
    "wilder",
    "williams_r",
    "wma",
    "zscore",
]
