"""Loads in the admin: what was fetched and proven, plans, and the buttons that start loads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from domain.errors import BadInput
from domain.pacing import PacingProfile
from domain.segments import duration_ns
from marketdata import loadplans, models, previews
from marketdata.loadruns import queue_load, result_of
from marketdata.moments import as_ns
from marketdata.planning import check_ask
from tradingsite.adminsite import ConfigAdmin, FactAdmin, badge, link_to, number, tell_fault, yaml_block
from tradingsite.history_admin import RecordedChanges
from tradingsite.runadmin import RunAdmin, may, sections
from tradingsite.runs import Run, enqueue

# What an action offers, and what each is called.
OFFERED = (("tail", "1d"), ("full", "1d"), ("tail", "1m"), ("full", "1m"))
_WORDS = {"tail": "Load the latest", "full": "Load all missing"}
OUTCOMES = {"complete": "good", "up_to_date": "good", "partial": "warn", "nothing": "bad", "restated": "warn"}

Series = tuple[models.Instrument, str, str]


# ---- starting loads --------------------------------------------------------------------------------------------------


def start_loads(model_admin: admin.ModelAdmin, request: HttpRequest, wanted: Iterable[Series], mode: str) -> None:
    """Queue what is missing of each (instrument, timeframe, kind of bars); messages say what came of it."""
    queued, complete, refused = 0, 0, 0
    now = previews.gateway_now(timezone.now())
    for instrument, timeframe, kind in wanted:
        try:
            ask = check_ask(instrument=instrument, timeframe=timeframe, mode=mode, what=kind, now_ns=as_ns(now))
            if previews.preview(ask, now).is_needless:
                complete += 1
                continue
        except BadInput as error:
            refused += 1
            tell_fault(model_admin, request, instrument, error)
            continue
        run = queue_load(ask=ask, origin=Run.Origin.WEB, started_by=request.user)
        enqueue(run)
        queued += 1
    said = [f"{queued} {'load is' if queued == 1 else 'loads are'} queued"]
    if complete:
        said.append(f"{complete} had nothing missing")
    if refused:
        said.append(f"{refused} cannot be loaded")
    model_admin.message_user(request, "; ".join(said) + ".", messages.SUCCESS if queued else messages.INFO)


class LoadActions:
    """Actions that load bars of what is chosen; a class says which series a row stands for."""

    def series_of(self, queryset: QuerySet[Any], timeframe: str) -> Iterable[Series]:
        raise NotImplementedError

    def has_load_permission(self, request: HttpRequest) -> bool:
        return may(request, models.LoadRun, "add")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        if self.has_load_permission(request):
            for mode, timeframe in OFFERED:
                name = f"load_{mode}_{timeframe}"
                actions[name] = (_action(mode, timeframe), name, f"{_WORDS[mode]} {timeframe} bars")
        return actions


def _action(mode: str, timeframe: str) -> Any:
    def load(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        start_loads(model_admin, request, model_admin.series_of(queryset, timeframe), mode)

    return load


# ---- runs ------------------------------------------------------------------------------------------------------------


@admin.register(models.LoadRun)
class LoadRunAdmin(RunAdmin):
    list_display = (
        "instrument",
        "timeframe",
        "what",
        "mode",
        "how",
        "ended_as",
        "bar",
        "fetched_bars",
        "created",
        "who",
    )
    list_filter = ("state", "outcome", "mode", "timeframe", "what", "origin")
    search_fields = ("=instrument__symbol", "=id")
    list_select_related = ("instrument", "started_by")
    fieldsets = sections(
        "instrument", "timeframe", "what", "mode", "ended_as", "waits_for", "plan",
        extra=[("Result", {"fields": ("result", "segments")})],
    )  # fmt: skip

    @admin.display(description="outcome", ordering="outcome")
    def ended_as(self, obj: models.LoadRun) -> str:
        return badge(obj.get_outcome_display(), OUTCOMES[obj.outcome]) if obj.outcome else "-"

    @admin.display(description="result")
    def result(self, obj: models.LoadRun) -> str:
        return yaml_block(result_of(obj))

    @admin.display(description="segments")
    def segments(self, obj: models.LoadRun) -> str:
        of_run = f"{reverse('admin:marketdata_fetch_changelist')}?load_run__id__exact={obj.pk}"
        counts = obj.fetches.aggregate(all=Count("pk"), pending=Count("pk", filter=Q(state="pending")))
        all_of = f"{counts['all']} segment{'' if counts['all'] == 1 else 's'}"
        return format_html('<a href="{}">{}</a>, {} to be asked', of_run, all_of, counts["pending"])


@admin.register(models.GatewayQuestion)
class GatewayQuestionAdmin(RunAdmin):
    list_display = ("symbol", "kind", "how", "instrument", "created", "who")
    list_filter = ("state", "kind", "origin")
    search_fields = ("=symbol", "=id")
    list_select_related = ("instrument", "started_by")
    fieldsets = sections("kind", "symbol", "instrument", "waits_for", extra=[("Answer", {"fields": ("answered",)})])

    @admin.display(description="answer")
    def answered(self, obj: models.GatewayQuestion) -> str:
        return yaml_block(obj.answer)


# ---- what decides loads ----------------------------------------------------------------------------------------------


class LoadPlanForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            plan = models.LoadPlan(**{name: cleaned.get(name) for name in ("timeframe", "what", "mode", "start")})
            try:
                loadplans.check_plan(plan)
            except BadInput as error:
                raise ValidationError(str(error)) from error
        return cleaned


@admin.register(models.LoadPlan)
class LoadPlanAdmin(RecordedChanges, ConfigAdmin):
    form = LoadPlanForm
    list_display = ("name", "watchlist", "timeframe", "mode", "every_minutes", "enabled", "next_run_at", "last_run_at")
    list_filter = ("enabled", "timeframe", "mode")
    search_fields = ("name", "watchlist__name")
    autocomplete_fields = ("watchlist",)
    list_select_related = ("watchlist",)
    fieldsets = (
        (None, {"fields": ("name", "watchlist", "enabled")}),
        ("Bars", {"fields": ("timeframe", "what", "mode", "start")}),
        ("When", {"fields": ("every_minutes", "next_run_at", "last_run_at")}),
    )
    readonly_fields = ("next_run_at", "last_run_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        loadplans.set_due(plan=obj, now=timezone.now())


class RequestLengthForm(forms.ModelForm):
    def clean_duration(self) -> str:
        text: str = self.cleaned_data["duration"]
        try:
            duration_ns(text)
        except BadInput as error:
            raise ValidationError(str(error)) from error
        return text


@admin.register(models.RequestLength)
class RequestLengthAdmin(RecordedChanges, ConfigAdmin):
    form = RequestLengthForm
    list_display = ("timeframe", "duration")


@admin.register(models.Halt)
class HaltAdmin(RecordedChanges, ConfigAdmin):
    list_display = ("instrument", "start", "end", "note")
    search_fields = ("=instrument__symbol", "note")
    autocomplete_fields = ("instrument",)
    list_select_related = ("instrument",)


class PacingBudgetForm(forms.ModelForm):
    def clean_profile(self) -> str:
        profile: str = self.cleaned_data["profile"]
        if profile == PacingProfile.OFF and settings.TRADING_MODE != "simulated":
            raise ValidationError("Off is for a simulated gateway alone: IB ends what asks without limits.")
        return profile


@admin.register(models.PacingBudget)
class PacingBudgetAdmin(RecordedChanges, ConfigAdmin):
    form = PacingBudgetForm
    list_display = ("login", "profile", "paused_until", "breaches", "breached")
    fields = ("login", "profile", "paused_until", "breaches", "breached")
    readonly_fields = ("paused_until", "breaches", "breached")


# ---- facts -----------------------------------------------------------------------------------------------------------


@admin.register(models.Fetch)
class FetchAdmin(FactAdmin):
    list_display = ("instrument", "timeframe", "start", "end", "state", "tries", "bars", "code", "error", "run")
    list_filter = ("state", "timeframe", "what")
    search_fields = ("=instrument__symbol", "=load_run__id")
    list_select_related = ("instrument", "load_run")

    @admin.display(description="load")
    def run(self, obj: models.Fetch) -> str:
        return link_to(obj.load_run, str(obj.load_run_id)[:8])


@admin.register(models.ProvenRange)
class ProvenRangeAdmin(FactAdmin):
    list_display = ("instrument", "timeframe", "what", "start", "end", "proven")
    list_filter = ("timeframe", "what")
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.HeadTime)
class HeadTimeAdmin(FactAdmin):
    list_display = ("instrument", "what", "start", "asked")
    list_filter = ("what",)
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.InstrumentDetails)
class InstrumentDetailsAdmin(FactAdmin):
    list_display = ("instrument", "local_symbol", "stock_type", "expiry", "isin", "zone", "market_rule", "refreshed")
    search_fields = ("=instrument__symbol", "=isin")
    list_select_related = ("instrument",)


@admin.register(models.Restatement)
class RestatementAdmin(FactAdmin):
    list_display = ("instrument", "timeframe", "what", "found", "factor", "explanation", "rebuilt")
    factor = number("ratio", ".6g")
    list_filter = ("timeframe", "what", ("rebuilt", admin.EmptyFieldListFilter))
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.QualityNote)
class QualityNoteAdmin(FactAdmin):
    list_display = ("instrument", "timeframe", "what", "kind", "start", "end", "bars", "note")
    list_filter = ("kind", "timeframe", "what")
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.TapeCheck)
class TapeCheckAdmin(FactAdmin):
    list_display = ("instrument", "timeframe", "day", "compared", "different", "only_live", "only_history", "largest")
    largest = number("largest_bps", ".1f")
    list_filter = ("timeframe",)
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.PacingSlot)
class PacingSlotAdmin(FactAdmin):
    list_display = ("contract", "priority", "weight", "bar_seconds", "asked", "granted", "closed")
    list_filter = ("priority",)
    search_fields = ("contract",)
