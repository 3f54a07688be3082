"""Use cases of configurations and schedules."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from domain.errors import BadInput
from domain.schedule import Every, Moment, next_slot
from marketdata import calendars
from strategies.backtests import queue_backtest
from strategies.config import BacktestConfig, parse_config
from strategies.models import Backtest, ScheduledBacktest, StrategyConfig


def config_of(row: StrategyConfig) -> BacktestConfig:
    """The configuration that a row means; BadInput where it no longer fits its strategy or the rules."""
    values: dict[str, Any] = {
        "timeframe": row.timeframe,
        "strategy": {"name": row.strategy, "params": row.params},
        "cash": float(row.cash),
        "start": row.start or None,
        "end": row.end or None,
        "data": row.data,
        "execution": row.execution,
        "risk": row.risk_profile.limits if row.risk_profile else {},
        "sizing": row.sizing,
        "symbols": row.symbols or None,
        "watchlist": row.watchlist.name if row.watchlist else None,
    }
    try:
        return parse_config(values)
    except BadInput as error:
        raise BadInput(f"strategy configuration {row.name!r}: {error}") from error


def next_run(schedule: ScheduledBacktest, after: dt.datetime) -> dt.datetime | None:
    """When it is due next; None where it is switched off, or its calendar ends before."""
    if not schedule.enabled:
        return None
    slot = next_slot(
        calendars.sessions(schedule.calendar),
        Every(schedule.every),
        Moment(schedule.at),
        schedule.offset_minutes,
        int(after.timestamp() * 1e9),
    )
    return None if slot is None else dt.datetime.fromtimestamp(slot / 1e9, dt.UTC)


def plan_schedule(*, schedule: ScheduledBacktest, now: dt.datetime) -> None:
    """Say anew when it is due, after it was made or changed."""
    schedule.next_run_at = next_run(schedule, now)
    ScheduledBacktest.objects.filter(pk=schedule.pk).update(next_run_at=schedule.next_run_at)


def start_due(*, now: dt.datetime) -> list[Backtest]:
    """Queue a backtest for each schedule that is due; the caller tells the workers.

    A slot is taken by moving `next_run_at` on, where it still stands as it was read: of two beats one wins, and the
    effect key (schedule, slot) is unique besides. Slots that passed while nothing ran become one run, of the latest.
    """
    started = []
    for schedule in ScheduledBacktest.objects.filter(enabled=True, next_run_at__lte=now).select_related(
        "strategy_config__watchlist", "strategy_config__risk_profile"
    ):
        slot = schedule.next_run_at
        assert slot is not None  # nosec B101
        with transaction.atomic():
            mine = ScheduledBacktest.objects.filter(pk=schedule.pk, enabled=True, next_run_at=slot)
            taken = mine.update(next_run_at=next_run(schedule, now), last_run_at=now)
            if taken and not Backtest.objects.filter(effect_key=_effect_of(schedule, slot)).exists():
                started.append(_start(schedule, slot))
    return started


def _effect_of(schedule: ScheduledBacktest, slot: dt.datetime) -> str:
    return f"schedule {schedule.pk} {slot:%Y-%m-%dT%H:%MZ}"


def _start(schedule: ScheduledBacktest, slot: dt.datetime) -> Backtest:
    """The slot's run. One that cannot be asked for is a failed row, so that somebody sees it."""
    about: dict[str, Any] = {
        "origin": Backtest.Origin.SCHEDULE,
        "effect_key": _effect_of(schedule, slot),
        "schedule": schedule,
        "strategy_config": schedule.strategy_config,
        "tag": schedule.name,
    }
    try:
        with transaction.atomic():
            return queue_backtest(config_of(schedule.strategy_config), **about)
    except BadInput as error:
        row = Backtest(
            state=Backtest.State.FAILED,
            finished=slot,
            error=str(error),
            strategy=schedule.strategy_config.strategy,
            timeframe=schedule.strategy_config.timeframe,
            instruments=schedule.strategy_config.symbols,
            **about,
        )
        row.directory = str(row.pk)
        row.save(force_insert=True)
        return row
