"""Strategies in the REST API: what there is, configurations, risk profiles and schedules. Backtests: backtests_api."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from pydantic import ValidationError as PydanticError
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response

from marketdata import calendars
from marketdata.models import Watchlist
from strategies import registry
from strategies.backtests_api import Backtests
from strategies.config import RiskConfig
from strategies.models import RiskProfile, ScheduledBacktest, StrategyConfig
from strategies.services import config_of, plan_schedule
from tradingsite.endpoints import Configuration, Endpoint, Ordering, StrictRow

A_NUMBER = "[0-9]{1,18}"
LIBRARY = Path(registry.__file__).parent / "library"


# ---- what there is -----------------------------------------------------------------------------------------------


class StrategyFields(serializers.Serializer):
    name = serializers.CharField()
    summary = serializers.CharField()
    source: Any = serializers.ChoiceField(choices=["library", "plugin", "package"])
    vector = serializers.BooleanField(help_text="speaks in arrays, not bar by bar")
    warmup = serializers.IntegerField(allow_null=True, help_text="bars, with the default parameters")
    parameters = serializers.DictField(help_text="JSON schema of the parameters")


class StrategyFault(serializers.Serializer):
    source: Any = serializers.CharField()
    error = serializers.CharField()


class StrategyList(serializers.Serializer):
    results = StrategyFields(many=True)
    faults = StrategyFault(many=True)


class Strategies(Endpoint, viewsets.ViewSet):
    """What the registry knows: the library, installed packages, and the files in the plugins folder."""

    needs = ("strategies.view_strategyconfig",)
    lookup_value_regex = "[a-z][a-z0-9_]{0,63}"
    lookup_field = "name"

    @extend_schema(operation_id="strategies_list", responses=StrategyList)
    def list(self, request: Request) -> Response:
        faults = [{"source": _short(fault.source), "error": fault.error} for fault in _load()]
        found = []
        for name, entry in registry.entries().items():
            try:
                found.append(describe(entry))
            except Exception as error:  # noqa: BLE001 - somebody else's code
                faults.append({"source": name, "error": f"{type(error).__name__}: {error}"})
        return Response({"results": found, "faults": faults})

    @extend_schema(operation_id="strategies_retrieve", responses=StrategyFields)
    def retrieve(self, request: Request, name: str) -> Response:
        _load()
        entry = registry.entries().get(name)
        if entry is None:
            raise NotFound(f"There is no strategy {name!r}.")
        return Response(describe(entry))


def _load() -> list[registry.Fault]:
    return registry.load(settings.PLUGINS_DIR)


def describe(entry: registry.Entry) -> dict[str, Any]:
    strategy = entry.strategy
    schema = strategy.Params.model_json_schema()
    return {
        "name": strategy.name,
        "summary": strategy.summary,
        "source": _kind(Path(entry.source)),
        "vector": strategy.is_vector(),
        "warmup": None if schema.get("required") else strategy().warmup(),
        "parameters": schema,
    }


def _kind(source: Path) -> str:
    if source.is_relative_to(LIBRARY):
        return "library"
    return "plugin" if source.is_relative_to(Path(settings.PLUGINS_DIR).resolve()) else "package"


def _short(source: str) -> str:
    """A plugin's file name; where the folder is on this machine is nobody's business."""
    return Path(source).name if source.startswith("/") else source


# ---- risk profiles -----------------------------------------------------------------------------------------------


class RiskFields(StrictRow):
    class Meta:
        model = RiskProfile
        fields = ("id", "name", "limits", "notes", "updated")
        read_only_fields = ("updated",)

    def check(self, row: RiskProfile) -> None:
        try:
            RiskConfig.model_validate(row.limits)
        except PydanticError as error:
            faults = {".".join(map(str, fault["loc"])) or "limits": [fault["msg"]] for fault in error.errors()}
            raise ValidationError({"limits": faults}) from error


@extend_schema_view(
    create=extend_schema(
        examples=[
            OpenApiExample(
                "two rules",
                {"name": "careful", "limits": {"max_order_value": 10_000, "daily_loss_fraction": 0.02}},
                request_only=True,
            )
        ]
    )
)
class RiskProfiles(Configuration, viewsets.ModelViewSet):
    """Limits under a name. A rule that is left out is off."""

    queryset = RiskProfile.objects.all()
    serializer_class = RiskFields
    filter_backends = (filters.DjangoFilterBackend, SearchFilter, Ordering)
    filterset_fields = ("name",)
    search_fields = ("name", "notes")
    ordering_fields = ("name", "updated", "id")
    lookup_value_regex = A_NUMBER


# ---- configurations ----------------------------------------------------------------------------------------------


class ConfigFields(StrictRow):
    watchlist = serializers.SlugRelatedField(
        slug_field="name", queryset=Watchlist.objects.all(), required=False, allow_null=True
    )
    risk_profile = serializers.SlugRelatedField(
        slug_field="name", queryset=RiskProfile.objects.all(), required=False, allow_null=True
    )

    class Meta:
        model = StrategyConfig
        fields = (
            "id", "name", "strategy", "params", "timeframe", "symbols", "watchlist", "risk_profile", "start", "end",
            "cash", "data", "execution", "sizing", "notes", "updated",
        )  # fmt: skip
        read_only_fields = ("updated",)

    def check(self, row: StrategyConfig) -> None:
        _load()
        config = config_of(row)
        registry.get(config.strategy.name)(config.strategy.params)


@extend_schema_view(
    create=extend_schema(
        examples=[
            OpenApiExample(
                "crossover of SPY",
                {
                    "name": "spy-crossover",
                    "strategy": "ma_crossover",
                    "params": {"fast": 20, "slow": 100},
                    "symbols": "SPY",
                    "cash": "50000.00",
                    "execution": {"commission": "ib_fixed", "slippage_bps": 1},
                },
                request_only=True,
            )
        ]
    )
)
class StrategyConfigs(Configuration, viewsets.ModelViewSet):
    """A strategy with everything that decides what it does."""

    queryset = StrategyConfig.objects.select_related("watchlist", "risk_profile")
    serializer_class = ConfigFields
    filter_backends = (filters.DjangoFilterBackend, SearchFilter, Ordering)
    filterset_fields = ("name", "strategy", "timeframe")
    search_fields = ("name", "notes", "symbols")
    ordering_fields = ("name", "strategy", "updated", "id")
    lookup_value_regex = A_NUMBER


# ---- schedules ---------------------------------------------------------------------------------------------------


class ScheduleFields(StrictRow):
    strategy_config = serializers.SlugRelatedField(slug_field="name", queryset=StrategyConfig.objects.all())
    offset_minutes = serializers.IntegerField(
        min_value=-720, max_value=720, default=30, help_text="minutes after that moment; negative: before"
    )

    class Meta:
        model = ScheduledBacktest
        fields = (
            "id", "name", "strategy_config", "enabled", "calendar", "every", "at", "offset_minutes", "next_run_at",
            "last_run_at", "updated",
        )  # fmt: skip
        read_only_fields = ("next_run_at", "last_run_at", "updated")

    def check(self, row: ScheduledBacktest) -> None:
        calendars.sessions(row.calendar)

    def create(self, validated_data: dict[str, Any]) -> ScheduledBacktest:
        return _planned(super().create(validated_data))

    def update(self, instance: ScheduledBacktest, validated_data: dict[str, Any]) -> ScheduledBacktest:
        return _planned(super().update(instance, validated_data))


def _planned(schedule: ScheduledBacktest) -> ScheduledBacktest:
    plan_schedule(schedule=schedule, now=timezone.now())
    return schedule


class ScheduledBacktests(Configuration, viewsets.ModelViewSet):
    """Backtests that run again and again, by the sessions of a trading calendar."""

    queryset = ScheduledBacktest.objects.select_related("strategy_config")
    serializer_class = ScheduleFields
    filter_backends = (filters.DjangoFilterBackend, Ordering)
    filterset_fields = ("name", "enabled", "calendar", "every")
    ordering_fields = ("name", "next_run_at", "id")
    lookup_value_regex = A_NUMBER


VIEWSETS: dict[str, Any] = {
    "strategies": Strategies,
    "risk-profiles": RiskProfiles,
    "strategy-configs": StrategyConfigs,
    "scheduled-backtests": ScheduledBacktests,
    "backtests": Backtests,
}
