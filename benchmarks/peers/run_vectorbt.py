"""The rule in vectorbt: boolean signals, numba engine, a naive index (a zoned one is far slower)."""

import numpy as np
import pandas as pd
import vectorbt as vbt
from measure import CASH, FAST, FEE, SHARES, SLIPPAGE, SLOW, TIE, measure


def load(times, columns):
    index = pd.DatetimeIndex(times[0].astype("datetime64[ns]"))
    return pd.Series(columns[3], index=index), pd.Series(columns[0], index=index)


def run(series):
    close, open_ = series
    fast = vbt.MA.run(close, FAST).ma.to_numpy()
    slow = vbt.MA.run(close, SLOW).ma.to_numpy()
    lead = fast - slow
    # Decided at a bar's close, filled at the next bar's open: signals move one bar on.
    entries, exits = np.zeros(len(close), bool), np.zeros(len(close), bool)
    np.greater(lead[:-1], TIE, out=entries[1:])
    np.less(lead[:-1], -TIE, out=exits[1:])
    entries[: exits.argmax()] = False
    portfolio = vbt.Portfolio.from_signals(
        close,
        entries=entries,
        exits=exits,
        price=open_,
        size=SHARES,
        fixed_fees=FEE,
        slippage=SLIPPAGE,
        init_cash=CASH,
        engine="numba",
    )
    return portfolio.orders.count(), portfolio.final_value()


measure(load, {"signals": run})
