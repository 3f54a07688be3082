"""Backtests as rows: what was asked, how it ended, and the figures that lists and searches need."""

from __future__ import annotations

from django.db import models

from tradingsite.runs import Run


class Backtest(Run):
    """One backtest. The ledgers in its directory are the result; what stands here is a copy of their summary."""

    strategy = models.CharField(max_length=64)
    timeframe = models.CharField(max_length=3)
    instruments = models.TextField(help_text="symbols in the order of the run")
    config_hash = models.CharField(max_length=64)
    data_hash = models.CharField(max_length=64)
    result_hash = models.CharField(max_length=64, blank=True)
    final_equity = models.DecimalField(max_digits=24, decimal_places=4, null=True, blank=True)
    total_return = models.FloatField(null=True, blank=True)
    max_drawdown = models.FloatField(null=True, blank=True)
    sharpe = models.FloatField(null=True, blank=True)
    trades = models.PositiveIntegerField(null=True, blank=True)

    class Meta(Run.Meta):
        indexes = [models.Index(fields=["strategy", "-created"], name="backtest_by_strategy")]
