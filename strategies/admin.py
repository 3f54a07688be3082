from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic import ValidationError as Unfit

from domain.errors import BadInput
from marketdata.admin import check_calendar
from strategies import models, registry
from strategies.backtests import queue_backtest
from strategies.config import DataConfig, ExecutionConfig, Moment, RiskConfig, SizingConfig
from strategies.services import config_of, plan_schedule
from tradingsite.adminsite import ConfigAdmin, widget_for, yaml_block
from tradingsite.history_admin import RecordedChanges
from tradingsite.paramforms import ParameterForm, field_names, parameter_form
from tradingsite.paramslots import plain
from tradingsite.runadmin import may, start_runs
from tradingsite.runs import Run

Models = Mapping[str, type[BaseModel]]


class Sizes(BaseModel):
    """Sizing as a section that may be left out."""

    model_config = ConfigDict(extra="forbid")

    sizing: SizingConfig | None = None


class Unknown(BaseModel):
    """Parameters of a strategy that is not there any more: shown, and kept as they are."""

    model_config = ConfigDict(extra="allow")


TITLES = {"params": "Parameters", "sizes": "Sizing"}


def tabs(parameters: Models) -> list[tuple[str, dict[str, Any]]]:
    """A tab of fields for each model, and one with all of them as YAML."""
    found = [
        (TITLES.get(name, plain(name)), {"fields": field_names(model, f"{name}__"), "classes": ("tab",)})
        for name, model in parameters.items()
    ]
    raw = [each for name in parameters for each in (f"{name}_edit_as", f"{name}_yaml")]
    return [*found, ("YAML", {"fields": raw, "classes": ("tab",)})]


def texts(**sections: str) -> list[tuple[str, dict[str, Any]]]:
    """The same for those who may only look: read-only columns of the admin class, by title."""
    return [(title, {"fields": (column,), "classes": ("tab",)}) for title, column in sections.items()]


# ---- risk profiles -----------------------------------------------------------------------------------------------


class RiskProfileForm(ParameterForm):
    class Meta:
        model = models.RiskProfile
        fields = ("name", "notes")


LIMITS: Models = {"limits": RiskConfig}


@admin.register(models.RiskProfile)
class RiskProfileAdmin(RecordedChanges, ConfigAdmin):
    form = parameter_form(RiskProfileForm, LIMITS, widget_for)
    list_display = ("name", "rules", "updated")
    search_fields = ("name", "notes")
    readonly_fields = ("limits_text",)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        plain_fields = (None, {"fields": ("name", "notes")})
        return [plain_fields, *(tabs(LIMITS) if _may_edit(self, request, obj) else texts(Limits="limits_text"))]

    @admin.display(description="limits that are on")
    def rules(self, obj: models.RiskProfile) -> str:
        held = obj.limits if isinstance(obj.limits, dict) else {}
        return ", ".join(plain(name).lower() for name, value in held.items() if value not in (None, False)) or "-"

    @admin.display(description="limits")
    def limits_text(self, obj: models.RiskProfile) -> str:
        return yaml_block(obj.limits)


def _may_edit(model_admin: ConfigAdmin, request: HttpRequest, obj: Model | None) -> bool:
    if obj is None:
        return model_admin.has_add_permission(request)
    return model_admin.has_change_permission(request, obj)


# ---- strategy configurations -------------------------------------------------------------------------------------


class StrategyConfigForm(ParameterForm):
    """`chosen` is the strategy whose parameters the form has."""

    chosen: ClassVar[str] = ""

    strategy = forms.ChoiceField(widget=widget_for(forms.Select()))
    params_of = forms.CharField(required=False, widget=forms.HiddenInput())

    class Meta:
        model = models.StrategyConfig
        fields = ("name", "timeframe", "symbols", "watchlist", "risk_profile", "start", "end", "cash", "notes")

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        row: Any = kwargs.get("instance") or models.StrategyConfig()
        kwargs["instance"] = row
        self.switched = bool(data and data.get("params_of") and data["params_of"] != self.chosen)
        if row.strategy != self.chosen:
            row.params = {}
        row.sizes = {"sizing": row.sizing}
        super().__init__(data, *args, **kwargs)
        for name, title in TITLES.items():
            self.fields[f"{name}_edit_as"].label = f"{title}: what counts"
            self.fields[f"{name}_yaml"].label = f"{title} as YAML"
        choices = [
            (name, ": ".join(filter(None, (name, entry.strategy.summary))))
            for name, entry in registry.entries().items()
        ]
        if self.chosen not in registry.entries():
            choices.insert(0, (self.chosen, f"{self.chosen} (not known any more)" if self.chosen else "---------"))
        self.fields["strategy"].choices = choices  # type: ignore[attr-defined]
        self.initial.update(strategy=self.chosen, params_of=self.chosen)
        if self.switched:
            self.data = self._with_its_defaults(data)

    def _with_its_defaults(self, data: Any) -> Any:
        """What was sent, but of the parameters, which were another strategy's, what the one now chosen begins with."""
        changed = data.copy()
        for name in [each for each in changed if each.startswith("params_")]:
            del changed[name]
        names = [*field_names(self.parameters["params"], "params__"), "params_yaml", "params_of"]
        changed.update({name: self.initial[name] for name in names if self.initial.get(name) not in (None, False)})
        return changed

    def clean_strategy(self) -> str:
        name = self.cleaned_data["strategy"]
        try:
            registry.get(name)
        except BadInput as error:
            raise ValidationError(str(error)) from error
        if self.switched:
            raise ValidationError("Another strategy was chosen: check its parameters, and save again.")
        return str(name)

    def clean_cash(self) -> Any:
        if self.cleaned_data["cash"] <= 0:
            raise ValidationError("Must be more than 0.")
        return self.cleaned_data["cash"]

    def clean_start(self) -> str:
        return _check_moment(self.cleaned_data["start"])

    def clean_end(self) -> str:
        return _check_moment(self.cleaned_data["end"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not {"symbols", "watchlist"} & self.errors.keys() and bool(cleaned["symbols"]) == bool(cleaned["watchlist"]):
            self.add_error("symbols", "Give symbols or a watchlist" + (", not both." if cleaned["symbols"] else "."))
        return cleaned

    def _post_clean(self) -> None:
        if "sizes" in self.cleaned_data:
            self.instance.sizing = self.cleaned_data["sizes"]["sizing"]
        self.instance.strategy = self.cleaned_data.get("strategy", self.instance.strategy)
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                config_of(self.instance)
            except BadInput as error:
                self.add_error(None, str(error))


def _check_moment(text: str) -> str:
    try:
        return TypeAdapter(Moment).validate_python(text) or ""
    except Unfit as error:
        raise ValidationError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _strategy_of(request: HttpRequest, obj: models.StrategyConfig | None) -> str:
    """The strategy that the page is about: the one just chosen, else the row's, else the first."""
    registry.load(settings.PLUGINS_DIR)
    asked = request.POST.get("strategy") or request.GET.get("strategy") or (obj.strategy if obj else "")
    return asked if asked in registry.entries() or obj else next(iter(registry.entries()), "")


def _parameters(name: str) -> Models:
    entry = registry.entries().get(name)
    params = entry.strategy.Params if entry else Unknown
    return {"params": params, "execution": ExecutionConfig, "sizes": Sizes, "data": DataConfig}


@admin.register(models.StrategyConfig)
class StrategyConfigAdmin(RecordedChanges, ConfigAdmin):
    list_display = ("name", "strategy", "timeframe", "traded", "risk_profile", "updated")
    list_filter = ("strategy", "timeframe", "risk_profile")
    search_fields = ("name", "strategy", "symbols", "notes")
    list_select_related = ("watchlist", "risk_profile")
    readonly_fields = ("params_text", "execution_text", "sizing_text", "data_text")
    actions: Any = ("run_backtest",)

    class Media:
        js = ("ibdesk/strategy-form.js",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        chosen = _strategy_of(request, obj)
        form: Any = parameter_form(StrategyConfigForm, _parameters(chosen), widget_for)
        form.chosen = chosen
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may_edit = _may_edit(self, request, obj)
        head = (None, {"fields": ("name", "strategy", *(("params_of",) if may_edit else ()), "notes")})
        what = (
            "What it trades",
            {"fields": ("timeframe", ("symbols", "watchlist"), ("start", "end"), "cash", "risk_profile")},
        )
        if may_edit:
            return [head, what, *tabs(_parameters(_strategy_of(request, obj)))]
        return [
            head,
            what,
            *texts(Parameters="params_text", Execution="execution_text", Sizing="sizing_text", Data="data_text"),
        ]

    def has_run_permission(self, request: HttpRequest) -> bool:
        return may(request, models.Backtest, "add")

    @admin.action(description="Run a backtest", permissions=["run"])
    def run_backtest(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return start_runs(self, request, queryset, lambda row: queue_config(row, request))

    @admin.display(description="trades", ordering="symbols")
    def traded(self, obj: models.StrategyConfig) -> str:
        return obj.symbols or str(obj.watchlist)

    @admin.display(description="parameters")
    def params_text(self, obj: models.StrategyConfig) -> str:
        return yaml_block(obj.params)

    @admin.display(description="execution")
    def execution_text(self, obj: models.StrategyConfig) -> str:
        return yaml_block(obj.execution)

    @admin.display(description="sizing")
    def sizing_text(self, obj: models.StrategyConfig) -> str:
        return yaml_block(obj.sizing)

    @admin.display(description="data")
    def data_text(self, obj: models.StrategyConfig) -> str:
        return yaml_block(obj.data)


def queue_config(row: models.StrategyConfig, request: HttpRequest, **about: Any) -> models.Backtest:
    registry.load(settings.PLUGINS_DIR)
    return queue_backtest(config_of(row), origin=Run.Origin.WEB, started_by=request.user, strategy_config=row, **about)


# ---- schedules ---------------------------------------------------------------------------------------------------


class ScheduledBacktestForm(forms.ModelForm):
    def clean_calendar(self) -> str:
        return check_calendar(self.cleaned_data["calendar"])

    def clean_offset_minutes(self) -> int:
        minutes = self.cleaned_data["offset_minutes"]
        if not -720 <= minutes <= 720:
            raise ValidationError("Must be -720 to 720.")
        return int(minutes)


@admin.register(models.ScheduledBacktest)
class ScheduledBacktestAdmin(RecordedChanges, ConfigAdmin):
    form = ScheduledBacktestForm
    list_display = ("name", "strategy_config", "enabled", "every", "when", "calendar", "next_run_at", "last_run_at")
    list_filter = ("enabled", "every", "calendar")
    search_fields = ("name", "strategy_config__name")
    list_select_related = ("strategy_config",)
    autocomplete_fields = ("strategy_config",)
    fields = (
        "name", "strategy_config", "enabled", "calendar", "every", ("at", "offset_minutes"),
        "next_run_at", "last_run_at",
    )  # fmt: skip
    readonly_fields = ("next_run_at", "last_run_at")
    actions: Any = ("run_now",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        plan_schedule(schedule=obj, now=timezone.now())

    def has_run_permission(self, request: HttpRequest) -> bool:
        return may(request, models.Backtest, "add")

    @admin.action(description="Run now", permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        rows = queryset.select_related("strategy_config__watchlist", "strategy_config__risk_profile")
        return start_runs(
            self, request, rows, lambda row: queue_config(row.strategy_config, request, schedule=row, tag=row.name)
        )

    @admin.display(description="at", ordering="at")
    def when(self, obj: models.ScheduledBacktest) -> str:
        if not obj.offset_minutes:
            return obj.at
        side = "after" if obj.offset_minutes > 0 else "before"
        return f"{abs(obj.offset_minutes)} min {side} the {obj.at}"
