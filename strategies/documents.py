"""Risk profiles, strategy configurations and scheduled backtests as documents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from domain.errors import BadInput, UnknownName
from marketdata import calendars
from marketdata.models import Watchlist
from strategies import registry
from strategies.config import RiskConfig
from strategies.models import RiskProfile, ScheduledBacktest, StrategyConfig
from strategies.services import config_of, plan_schedule
from tradingsite.documents import Document, Kind, Number, checked, from_number, register, without_empty


class ProfileDocument(Document):
    name: str
    limits: dict[str, Any] = {}
    notes: str = ""


class ProfileKind(Kind[ProfileDocument, RiskProfile]):
    name = "risk_profile"
    model = RiskProfile
    schema = ProfileDocument

    def dump(self, unit: RiskProfile) -> dict[str, Any]:
        return without_empty({"name": unit.name, "limits": unit.limits, "notes": unit.notes})

    def apply(self, document: ProfileDocument, unit: RiskProfile | None) -> RiskProfile:
        try:
            checked(RiskConfig, document.limits)
        except BadInput as error:
            raise BadInput(f"limits: {error}") from error
        row = unit or RiskProfile()
        row.name, row.limits, row.notes = document.name, document.limits, document.notes
        row.full_clean(exclude=["limits"])  # checked above; none at all is a profile too
        row.save()
        return row


class ConfigDocument(Document):
    name: str
    strategy: str
    params: dict[str, Any] = {}
    timeframe: str = "1d"
    symbols: str = ""
    watchlist: str | None = None
    risk_profile: str | None = None
    start: str = ""
    end: str = ""
    cash: Number = Decimal(100_000)
    data: dict[str, Any] = {}
    execution: dict[str, Any] = {}
    sizing: dict[str, Any] | None = None
    notes: str = ""


class ConfigKind(Kind[ConfigDocument, StrategyConfig]):
    name = "strategy_config"
    model = StrategyConfig
    schema = ConfigDocument
    after = ("watchlist", "risk_profile")

    def rows(self) -> models.QuerySet[StrategyConfig]:
        return StrategyConfig.objects.select_related("watchlist", "risk_profile")

    def dump(self, unit: StrategyConfig) -> dict[str, Any]:
        values = {name: getattr(unit, name) for name in ConfigDocument.model_fields}
        values["watchlist"] = unit.watchlist and unit.watchlist.name
        values["risk_profile"] = unit.risk_profile and unit.risk_profile.name
        values["cash"] = from_number(unit.cash)
        # None means an equal part for each instrument; an empty sizing would be a fault, and is kept as one.
        return without_empty(values) | ({"sizing": {}} if unit.sizing == {} else {})

    def apply(self, document: ConfigDocument, unit: StrategyConfig | None) -> StrategyConfig:
        row = unit or StrategyConfig()
        for name, value in document:
            if name not in ("watchlist", "risk_profile"):
                setattr(row, name, value)
        row.watchlist = _named(Watchlist, "watchlist", document.watchlist)
        row.risk_profile = _named(RiskProfile, "risk_profile", document.risk_profile)
        row.full_clean()
        check_config(row)
        row.save()
        return row


class ScheduleDocument(Document):
    name: str
    strategy_config: str
    enabled: bool = True
    calendar: str = "XNYS"
    every: str = ScheduledBacktest.Every.SESSION.value
    at: str = ScheduledBacktest.At.CLOSE.value
    offset_minutes: int = 30


class ScheduleKind(Kind[ScheduleDocument, ScheduledBacktest]):
    """When it is due and when it ran are facts and not in the document."""

    name = "scheduled_backtest"
    model = ScheduledBacktest
    schema = ScheduleDocument
    after = ("strategy_config",)

    def rows(self) -> models.QuerySet[ScheduledBacktest]:
        return ScheduledBacktest.objects.select_related("strategy_config")

    def dump(self, unit: ScheduledBacktest) -> dict[str, Any]:
        values = {name: getattr(unit, name) for name in ScheduleDocument.model_fields}
        return values | {"strategy_config": unit.strategy_config.name}

    def apply(self, document: ScheduleDocument, unit: ScheduledBacktest | None) -> ScheduledBacktest:
        row = unit or ScheduledBacktest()
        for name, value in document:
            if name != "strategy_config":
                setattr(row, name, value)
        found = _named(StrategyConfig, "strategy_config", document.strategy_config)
        if found is None:
            raise BadInput("strategy_config: must be given")
        row.strategy_config = found
        calendars.sessions(row.calendar)
        row.full_clean()
        row.save()
        plan_schedule(schedule=row, now=timezone.now())
        return row


def check_config(row: StrategyConfig) -> None:
    """BadInput where the configuration cannot run: its sections, its strategy, the strategy's parameters."""
    try:
        config = config_of(row)
    except BadInput as error:
        raise BadInput(str(error.__cause__ or error)) from error
    registry.load(settings.PLUGINS_DIR)
    registry.get(config.strategy.name)(config.strategy.params)


def _named(model: type[models.Model], field: str, name: str | None) -> Any:
    if not name:
        return None
    row = model._default_manager.filter(name=name).first()
    if row is None:
        known = model._default_manager.values_list("name", flat=True)
        raise BadInput(f"{field}: {UnknownName(field, name, known)}")
    return row


register(ProfileKind())
register(ConfigKind())
register(ScheduleKind())
