from django.contrib import admin

from marketdata.admin import ReadOnlyAdmin
from strategies import models


@admin.register(models.Backtest)
class BacktestAdmin(ReadOnlyAdmin):
    list_display = (
        "directory", "strategy", "instruments", "timeframe", "state", "created", "final_equity",
        "total_return", "sharpe",
    )  # fmt: skip
    list_filter = ("state", "strategy", "timeframe")
    search_fields = ("directory", "instruments", "config_hash", "result_hash")
    date_hierarchy = "created"
