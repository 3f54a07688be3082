"""Loads in the admin: what decides them (plans, request lengths, halts, the budget) and what came of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from domain.errors import BadInput
from domain.pacing import PacingProfile
from marketdata import models
from marketdata.loadplans import check_plan, set_due
from marketdata.loadruns import result_of
from tradingsite.adminsite import UNCOUNTED, ConfigAdmin, FactAdmin, badge, number, yaml_block
from tradingsite.history_admin import RecordedChanges
from tradingsite.runadmin import MOODS, RunAdmin, sections

OUTCOME_MOODS = {"up_to_date": "good", "complete": "good", "partial": "warn", "nothing": "bad", "restated": "warn"}
FETCH_MOODS = {"pending": "calm", "done": "good", "empty": "calm", "split": "calm", "failed": "bad"}
SERIES = ("instrument", "timeframe", "what")
SERIES_FILTERS = ("timeframe", "what")


# ---- what people decide ------------------------------------------------------------------------------------------


class LoadPlanForm(forms.ModelForm):
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                check_plan(self.instance)
            except BadInput as error:
                self.add_error(None, str(error))


@admin.register(models.LoadPlan)
class LoadPlanAdmin(RecordedChanges, ConfigAdmin):
    form = LoadPlanForm
    list_display = ("name", "watchlist", "timeframe", "way", "enabled", "every_minutes", "next_run_at", "last_run_at")
    list_filter = ("enabled", "timeframe", "mode")
    search_fields = ("name", "watchlist__name")
    list_select_related = ("watchlist",)
    autocomplete_fields = ("watchlist",)
    fields = (
        "name", "watchlist", ("timeframe", "what"), "mode", "start", "every_minutes", "enabled", "next_run_at",
        "last_run_at", "loads",
    )  # fmt: skip
    readonly_fields = ("next_run_at", "last_run_at", "loads")
    actions: Any = ("look_now",)

    @admin.display(description="mode", ordering="mode")
    def way(self, obj: models.LoadPlan) -> str:
        return obj.mode

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        set_due(plan=obj, now=timezone.now())

    def fits(self, action: str, obj: models.LoadPlan) -> bool:
        return obj.enabled

    @admin.action(description="Look now for what is missing", permissions=["change"])
    def look_now(self, request: HttpRequest, queryset: QuerySet[models.LoadPlan]) -> None:
        for plan in queryset:
            if not plan.enabled:
                self.message_user(request, f"{plan} is switched off; enable it first.", messages.WARNING)
                continue
            set_due(plan=plan, now=timezone.now())
            self.message_user(request, f"{plan}: its turn comes with the next tick of load plans.", messages.SUCCESS)

    @admin.display(description="its loads")
    def loads(self, obj: models.LoadPlan) -> str:
        return _listed(models.LoadRun, f"plan__id__exact={obj.pk}") if obj.pk else "-"


@admin.register(models.RequestLength)
class RequestLengthAdmin(RecordedChanges, ConfigAdmin):
    list_display = ("timeframe", "duration")
    fields = ("timeframe", "duration")


class HaltForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and end <= start:
            self.add_error("end", "Must be after the start.")
        return cleaned


@admin.register(models.Halt)
class HaltAdmin(RecordedChanges, ConfigAdmin):
    form = HaltForm
    list_display = ("instrument", "start", "end", "note")
    search_fields = ("=instrument__symbol", "note")
    date_hierarchy = "start"
    autocomplete_fields = ("instrument",)
    list_select_related = ("instrument",)


class PacingBudgetForm(forms.ModelForm):
    def clean_profile(self) -> str:
        profile: str = self.cleaned_data["profile"]
        if profile == PacingProfile.OFF and settings.TRADING_MODE != "simulated":
            raise ValidationError(
                f"A gateway of Interactive Brokers is never asked without limits (TRADING_MODE is "
                f"{settings.TRADING_MODE}); off is for simulated gateways."
            )
        return profile


@admin.register(models.PacingBudget)
class PacingBudgetAdmin(RecordedChanges, ConfigAdmin):
    """The profile is a person's to choose. Nobody deletes a budget: the requests of the last ten minutes go with it."""

    form = PacingBudgetForm
    list_display = ("login", "profile", "paused_until", "breaches", "breached")
    fields = ("login", "profile", "paused_until", "breaches", "breached", "requests")
    readonly_fields = ("paused_until", "breaches", "breached", "requests")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "login") if obj else self.readonly_fields

    @admin.display(description="its requests")
    def requests(self, obj: models.PacingBudget) -> str:
        return _listed(models.PacingSlot, f"budget__id__exact={obj.pk}") if obj.pk else "-"


# ---- loads and questions -----------------------------------------------------------------------------------------


@admin.register(models.LoadRun)
class LoadRunAdmin(RunAdmin):
    list_display = (
        "run", "instrument", "timeframe", "what", "way", "how", "came_to", "bar", "requests", "created", "elapsed",
        "who",
    )  # fmt: skip
    list_filter = ("state", "outcome", "origin", "mode", *SERIES_FILTERS)
    list_select_related = ("started_by", "instrument", "plan")
    search_fields = ("=instrument__symbol", "=id")
    fieldsets = sections(
        *SERIES, "mode", "start", "end", "priority", "plan", "came_to", "waits_for",
        extra=[("What it did", {"fields": ("did", "fetches")})],
    )  # fmt: skip
    requests = number("ib_requests_made", ",d", description="requests")

    @admin.display(description="mode", ordering="mode")
    def way(self, obj: models.LoadRun) -> str:
        return obj.mode

    def view_on_site(self, obj: models.LoadRun) -> str:
        return reverse("run", args=["loadrun", obj.pk])

    @admin.display(description="outcome", ordering="outcome")
    def came_to(self, obj: models.LoadRun) -> str:
        return badge(obj.get_outcome_display(), OUTCOME_MOODS[obj.outcome]) if obj.outcome else "-"

    @admin.display(description="result")
    def did(self, obj: models.LoadRun) -> str:
        return yaml_block(result_of(obj))

    @admin.display(description="fetches")
    def fetches(self, obj: models.LoadRun) -> str:
        return _listed(models.Fetch, f"load_run__id__exact={obj.pk}")


@admin.register(models.Fetch)
class FetchAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = ("instrument", "timeframe", "what", "start", "end", "how", "tries", "count", "code", "error", "run")
    list_filter = ("state", *SERIES_FILTERS)
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument", "load_run")
    count = number("bars", ",d")

    @admin.display(description="state", ordering="state")
    def how(self, obj: models.Fetch) -> str:
        return badge(obj.get_state_display(), FETCH_MOODS[obj.state])

    @admin.display(description="load")
    def run(self, obj: models.Fetch) -> str:
        return badge(obj.load_run.get_state_display(), MOODS[obj.load_run.state])


@admin.register(models.GatewayQuestion)
class GatewayQuestionAdmin(RunAdmin):
    list_display = ("run", "kind", "symbol", "instrument", "how", "created", "elapsed", "who")
    list_filter = ("state", "kind", "origin")
    list_select_related = ("started_by", "instrument")
    search_fields = ("=symbol", "=id")
    fieldsets = sections("kind", "symbol", "instrument", "waits_for", extra=[("Answer", {"fields": ("said",)})])

    @admin.display(description="answer")
    def said(self, obj: models.GatewayQuestion) -> str:
        return yaml_block(obj.answer)


# ---- what is known -----------------------------------------------------------------------------------------------


class SeriesFacts(FactAdmin):
    list_filter: Any = SERIES_FILTERS
    search_fields: Any = ("=instrument__symbol",)
    list_select_related: Any = ("instrument",)


@admin.register(models.ProvenRange)
class ProvenRangeAdmin(SeriesFacts):
    list_display = (*SERIES, "start", "end", "proven")


@admin.register(models.HeadTime)
class HeadTimeAdmin(SeriesFacts):
    list_display = ("instrument", "what", "start", "asked")
    list_filter = ("what",)


@admin.register(models.InstrumentDetails)
class InstrumentDetailsAdmin(SeriesFacts):
    list_display = ("instrument", "local_symbol", "trading_class", "stock_type", "expiry", "zone", "refreshed")
    list_filter = ("stock_type", "zone")
    search_fields = ("=instrument__symbol", "local_symbol", "=isin")


@admin.register(models.Restatement)
class RestatementAdmin(SeriesFacts):
    list_display = (*SERIES, "adjustment", "found", "bar", "change", "explanation", "rebuilt")
    change = number("ratio", ".6g")
    list_select_related = ("instrument", "rebuild__instrument")


@admin.register(models.QualityNote)
class QualityNoteAdmin(SeriesFacts):
    paginator = UNCOUNTED
    list_display = (*SERIES, "kind", "start", "end", "count", "note", "found")
    list_filter = ("kind", *SERIES_FILTERS)
    count = number("bars", ",d")


@admin.register(models.TapeCheck)
class TapeCheckAdmin(SeriesFacts):
    list_display = (
        "instrument", "timeframe", "day", "compared", "different", "only_live", "only_history", "largest", "checked",
    )  # fmt: skip
    list_filter = ("timeframe",)
    largest = number("largest_bps", ".2f", description="largest, bps")


@admin.register(models.PacingSlot)
class PacingSlotAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = ("budget", "priority", "contract", "weight", "bar_seconds", "asked", "granted", "closed")
    list_filter = ("priority",)
    list_select_related = ("budget",)


def _listed(model: Any, query: str) -> str:
    address = reverse(f"admin:marketdata_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, query, f"Show the {model._meta.verbose_name_plural}")
