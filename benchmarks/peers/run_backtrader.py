"""The rule in backtrader: its PandasData feed, preload and runonce, no observers."""

import backtrader as bt
import pandas as pd
from measure import CASH, FAST, FEE, SHARES, SLIPPAGE, SLOW, TIE, measure


class Cross(bt.Strategy):
    def __init__(self):
        # A flag of its own, since asking backtrader for the position at each bar costs more than the rule.
        self.fast = bt.ind.SMA(period=FAST)
        self.slow = bt.ind.SMA(period=SLOW)
        self.was_below = self.long = False

    def next(self):
        lead = self.fast[0] - self.slow[0]
        if lead > TIE:
            if self.was_below and not self.long:
                self.long = True
                self.buy(size=SHARES)
        elif lead < -TIE:
            self.was_below = True
            if self.long:
                self.long = False
                self.sell(size=SHARES)


class FeePerOrder(bt.CommInfoBase):
    params = (("stocklike", True), ("commtype", bt.CommInfoBase.COMM_FIXED))

    def _getcommission(self, size, price, pseudoexec):
        return FEE


def load(times, columns):
    index = pd.DatetimeIndex(times[0].astype("datetime64[ns]"))
    return pd.DataFrame(columns.T, index=index, columns=["open", "high", "low", "close", "volume"])


def run(frame):
    cerebro = bt.Cerebro(stdstats=False, preload=True, runonce=True)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(Cross)
    cerebro.broker.setcash(CASH)
    cerebro.broker.set_slippage_perc(SLIPPAGE, slip_open=True, slip_match=True, slip_out=True)
    cerebro.broker.addcommissioninfo(FeePerOrder())
    cerebro.run()
    filled = sum(order.status == bt.Order.Completed for order in cerebro.broker.orders)
    return filled, cerebro.broker.getvalue()


measure(load, {"on_bar": run})
