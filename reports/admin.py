"""Reports and alerts; and backtests, whose page starts reports and so cannot be in the app on the left of this one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from domain.errors import BadInput
from reports.models import Alert, Report
from reports.services import queue_report
from strategies import registry
from strategies.backtests import queue_backtest
from strategies.config import parse_config
from strategies.models import Backtest
from tradingsite.adminsite import FactAdmin, badge, link_to, number
from tradingsite.runadmin import RunAdmin, may, sections, start_runs
from tradingsite.runs import Run


@admin.register(Backtest)
class BacktestAdmin(RunAdmin):
    list_display = (
        "run", "strategy", "on", "how", "bar", "created", "elapsed", "tries", "who", "gain", "ratio", "tag",
    )  # fmt: skip
    list_filter: Any = ("state", "origin", "strategy", "timeframe", "archived")
    search_fields = ("directory", "instruments", "tag", "config_hash", "result_hash")
    actions: Any = (*RunAdmin.actions, "run_again", "make_report")
    fieldsets = sections(
        "directory", "strategy", "instruments", "timeframe", "made_from", "tag", "notes",
        extra=[
            (
                "Result",
                {
                    "fields": (
                        "final_equity", "total_return", "max_drawdown", "sharpe", "trades",
                        "config_hash", "data_hash", "result_hash",
                    )
                },
            )
        ],
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without figures where there is no result."""
        has_result = obj is not None and obj.state == Run.State.SUCCEEDED
        return [each for each in self.fieldsets if has_result or each[0] != "Result"]

    def view_on_site(self, obj: Backtest) -> str:
        return f"/backtests/{obj.directory}/"

    def has_report_permission(self, request: HttpRequest) -> bool:
        return may(request, Report, "add")

    def fits(self, action: str, obj: Run) -> bool:
        if action == "make_report":
            return obj.state == Run.State.SUCCEEDED
        return super().fits(action, obj)

    @admin.action(description="Run again", permissions=["start"])
    def run_again(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return start_runs(self, request, queryset, lambda row: queue_again(row, request))

    @admin.action(description="Make report", permissions=["report"])
    def make_report(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return start_runs(self, request, queryset, lambda row: _queue_report(row, request))

    gain, ratio = number("total_return", "+.2%", description="return"), number("sharpe", ".2f")

    @admin.display(description="on", ordering="instruments")
    def on(self, obj: Backtest) -> str:
        shown = obj.instruments if len(obj.instruments) <= 40 else f"{obj.instruments[:38]} …"
        return f"{shown} {obj.timeframe}"

    @admin.display(description="configuration of")
    def made_from(self, obj: Backtest) -> str:
        return link_to(obj.schedule or obj.strategy_config)


def queue_again(row: Backtest, request: HttpRequest) -> Backtest:
    """The same once more, under an id of its own."""
    registry.load(settings.PLUGINS_DIR)
    asked = {name: value for name, value in row.config.items() if name != "run_id"}
    return queue_backtest(
        parse_config(asked),
        origin=Run.Origin.WEB,
        started_by=request.user,
        strategy_config=row.strategy_config,
        tag=row.tag,
    )


def _queue_report(row: Backtest, request: HttpRequest) -> Report:
    if row.state != Run.State.SUCCEEDED:
        raise BadInput(f"is {row.state}; only a backtest that succeeded has a result to report")
    return queue_report(row, origin=Run.Origin.WEB, started_by=request.user)


@admin.register(Report)
class ReportAdmin(RunAdmin):
    list_display = ("run", "of", "how", "bar", "created", "elapsed", "tries", "who")
    search_fields = ("=backtest__directory",)
    list_select_related: Any = ("backtest", "started_by")
    fieldsets = sections("of")

    @admin.display(description="backtest")
    def of(self, obj: Report) -> str:
        return link_to(obj.backtest, obj.backtest.run_id)


_LEVELS = {"info": "calm", "warning": "warn", "critical": "bad"}


@admin.register(Alert)
class AlertAdmin(FactAdmin):
    """Whoever may change alerts marks them as seen."""

    list_display = ("created", "how", "subject", "seen", "seen_by")
    list_filter = ("level", ("seen", admin.EmptyFieldListFilter))
    search_fields = ("subject", "text")
    date_hierarchy = "created"
    list_select_related = ("seen_by",)
    actions: Any = ("mark_seen",)

    def has_see_permission(self, request: HttpRequest) -> bool:
        return may(request, Alert, "change")

    def fits(self, action: str, obj: Alert) -> bool:
        return obj.seen is None

    @admin.action(description="Mark as seen", permissions=["see"])
    def mark_seen(self, request: HttpRequest, queryset: QuerySet) -> None:
        open_ones = queryset.filter(seen__isnull=True)
        seen = open_ones.order_by().update(seen=timezone.now(), seen_by=request.user)
        self.message_user(request, f"{seen} marked as seen.", messages.SUCCESS)

    @admin.display(description="level", ordering="level")
    def how(self, obj: Alert) -> str:
        return badge(obj.get_level_display(), _LEVELS[obj.level])
