"""The rule in backtesting.py. Its spread is charged at entry only, so slippage goes into the commission, which it
charges at both ends: the same cash to the cent."""

import warnings

import pandas as pd
from backtesting import Backtest, Strategy
from measure import CASH, FAST, FEE, SHARES, SLIPPAGE, SLOW, TIE, measure

warnings.filterwarnings("ignore", message="Some trades remain open")


def moving_average(values, period):
    return pd.Series(values).rolling(period).mean()


class Cross(Strategy):
    def init(self):
        self.fast = self.I(moving_average, self.data.Close, FAST)
        self.slow = self.I(moving_average, self.data.Close, SLOW)
        self.was_below = self.long = False

    def next(self):
        lead = self.fast[-1] - self.slow[-1]
        if lead > TIE:
            if self.was_below and not self.long:
                self.long = True
                self.buy(size=SHARES)
        elif lead < -TIE:
            self.was_below = True
            if self.long:
                self.long = False
                self.position.close()


def costs(size, price):
    return FEE + abs(size) * price * SLIPPAGE


def load(times, columns):
    index = pd.DatetimeIndex(times[0].astype("datetime64[ns]"))
    return pd.DataFrame(columns.T, index=index, columns=["Open", "High", "Low", "Close", "Volume"])


def run(frame):
    statistics = Backtest(frame, Cross, cash=CASH, commission=costs).run()
    strategy = statistics["_strategy"]
    return 2 * len(strategy.closed_trades) + len(strategy.trades), statistics["_equity_curve"]["Equity"].iloc[-1]


measure(load, {"on_bar": run})
