"""Strategy configurations, risk profiles, and backtests as rows: what was asked, how it ended, and the figures that
lists and searches need.

Sections of a configuration (parameters, limits, costs, sizes) are JSON documents, checked by the very pydantic models
that check a YAML file: one definition makes the admin form, the file format and the API's schema.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from domain.timeframe import Timeframe
from marketdata.models import Watchlist
from strategies import querysets
from tradingsite.runs import Run

TIMEFRAMES = [(each.value, each.value) for each in Timeframe]


class RiskProfile(models.Model):
    """Limits under a name: `strategies.config.RiskConfig` as a document. A rule that is left out is off."""

    name = models.CharField(max_length=64, unique=True)
    limits = models.JSONField(default=dict)
    notes = models.TextField(blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class StrategyConfig(models.Model):
    """A strategy with everything that decides what it does: parameters, instruments, limits, costs, sizes."""

    name = models.CharField(max_length=64, unique=True)
    strategy = models.CharField(max_length=64, help_text="its name in the registry")
    params = models.JSONField(default=dict, blank=True)
    timeframe = models.CharField(max_length=3, choices=TIMEFRAMES, default="1d")
    symbols = models.CharField(max_length=500, blank=True, help_text="SPY, QQQ@ARCA; or a watchlist instead")
    watchlist = models.ForeignKey(Watchlist, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    risk_profile = models.ForeignKey(RiskProfile, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    start = models.CharField(max_length=40, blank=True, help_text="first day of a backtest; empty: all that is held")
    end = models.CharField(max_length=40, blank=True, help_text="last day; empty: to the newest bar")
    cash = models.DecimalField(max_digits=18, decimal_places=2, default=100_000, help_text="money, at the start")
    data = models.JSONField(default=dict, blank=True)
    execution = models.JSONField(default=dict, blank=True)
    sizing = models.JSONField(null=True, blank=True, help_text="empty: an equal part for each instrument")
    notes = models.TextField(blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "strategy configuration"
        constraints = [
            models.CheckConstraint(condition=Q(cash__gt=0), name="strategyconfig_cash_positive"),
            models.CheckConstraint(
                condition=Q(symbols="", watchlist__isnull=False) | (~Q(symbols="") & Q(watchlist__isnull=True)),
                name="strategyconfig_symbols_or_watchlist",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ScheduledBacktest(models.Model):
    """A backtest that runs again and again, by the sessions of a trading calendar. `next_run_at` null: not planned."""

    class Every(models.TextChoices):
        SESSION = "session", "every session"
        WEEK = "week", "last session of the week"
        MONTH = "month", "last session of the month"

    class At(models.TextChoices):
        OPEN = "open", "open"
        CLOSE = "close", "close"

    name = models.CharField(max_length=64, unique=True)
    strategy_config = models.ForeignKey(
        StrategyConfig, on_delete=models.PROTECT, related_name="schedules", verbose_name="strategy configuration"
    )
    enabled = models.BooleanField(default=True)
    calendar = models.CharField(max_length=32, default="XNYS", help_text="trading calendar, such as XNYS or CME_Equity")
    every = models.CharField(max_length=8, choices=Every.choices, default=Every.SESSION)
    at = models.CharField(max_length=5, choices=At.choices, default=At.CLOSE)
    offset_minutes = models.SmallIntegerField(default=30, help_text="minutes after that moment; negative: before")
    next_run_at = models.DateTimeField(null=True, blank=True, db_index=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(offset_minutes__gte=-720, offset_minutes__lte=720), name="scheduledbacktest_offset_in_a_day"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Backtest(Run):
    """One backtest. The ledgers in its directory are the result; what stands here is a copy of their summary.

    `config` is what was asked until the run begins, and from then on everything that decides the result.
    """

    queue = "backtest"
    task = "strategies.tasks.run_backtest"

    directory = models.CharField(max_length=64, unique=True, help_text="its folder below RUNS_DIR: the run id")
    strategy_config = models.ForeignKey(
        StrategyConfig, null=True, blank=True, on_delete=models.SET_NULL, related_name="backtests"
    )
    schedule = models.ForeignKey(
        ScheduledBacktest, null=True, blank=True, on_delete=models.SET_NULL, related_name="backtests"
    )
    tag = models.CharField(max_length=64, blank=True)
    notes = models.TextField(blank=True)
    archived = models.BooleanField(default=False)
    strategy = models.CharField(max_length=64)
    timeframe = models.CharField(max_length=3)
    instruments = models.TextField(help_text="symbols in the order of the run")
    config_hash = models.CharField(max_length=64, blank=True)
    data_hash = models.CharField(max_length=64, blank=True)
    result_hash = models.CharField(max_length=64, blank=True)
    final_equity = models.DecimalField(max_digits=24, decimal_places=4, null=True, blank=True)
    total_return = models.FloatField(null=True, blank=True)
    max_drawdown = models.FloatField(null=True, blank=True)
    sharpe = models.FloatField(null=True, blank=True)
    trades = models.PositiveIntegerField(null=True, blank=True)
    restated = models.DateTimeField(
        null=True, blank=True, help_text="when the bars it was made on were replaced; run it again to see what changed"
    )

    objects = querysets.BacktestQuerySet.as_manager()

    class Meta(Run.Meta):
        indexes = [
            *Run.Meta.indexes,
            models.Index(fields=["strategy", "-created"], name="backtest_by_strategy"),
            models.Index(fields=["archived", "-created"], name="backtest_listed"),
        ]

    @property
    def run_id(self) -> str:
        return self.directory

    @property
    def log_tags(self) -> dict[str, str]:
        return super().log_tags | {"symbols": self.instruments, "timeframe": self.timeframe}
