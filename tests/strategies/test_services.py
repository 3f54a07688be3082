"""Configurations as rows, and schedules that start each slot once."""

import datetime as dt

import pytest
from django.utils import timezone

from domain.errors import BadInput
from strategies import services
from strategies.models import Backtest, RiskProfile, ScheduledBacktest, StrategyConfig
from tests.strategies.conftest import known, market, places  # noqa: F401


@pytest.fixture(autouse=True)
def _library(known):  # noqa: F811
    pass


def strategy_config(**fields) -> StrategyConfig:
    values = {"name": "crossing", "strategy": "ma_crossover", "params": {"fast": 5, "slow": 12}, "symbols": "ABC, XYZ"}
    return StrategyConfig.objects.create(**(values | fields))


def schedule(**fields) -> ScheduledBacktest:
    fields.setdefault("strategy_config", StrategyConfig.objects.first() or strategy_config())
    row = ScheduledBacktest.objects.create(**({"name": "daily"} | fields))
    services.plan_schedule(schedule=row, now=dt.datetime(2024, 11, 27, 12, tzinfo=dt.UTC))
    return row


def test_a_row_means_the_configuration_that_a_file_would(market):  # noqa: F811
    profile = RiskProfile.objects.create(name="careful", limits={"max_order_value": 5000, "long_only": False})
    row = strategy_config(
        risk_profile=profile, execution={"slippage_bps": 2}, sizing={"kind": "fraction", "value": 0.3}, cash=50_000
    )
    config = services.config_of(row)
    assert config.symbols == ("ABC", "XYZ")
    assert (config.strategy.name, config.strategy.params) == ("ma_crossover", {"fast": 5, "slow": 12})
    assert (config.risk.max_order_value, config.risk.long_only) == (5000, False)
    assert (config.execution.slippage_bps, config.sizing.value, config.cash) == (2, 0.3, 50_000)


def test_a_row_that_no_longer_fits_says_which_and_why(market):  # noqa: F811
    row = strategy_config(execution={"slippage_bps": -1})
    with pytest.raises(BadInput, match=r"strategy configuration 'crossing': config: execution.slippage_bps"):
        services.config_of(row)


def test_a_schedule_is_due_after_the_close_of_its_calendar(market):  # noqa: F811
    assert schedule().next_run_at == dt.datetime(2024, 11, 27, 21, 30, tzinfo=dt.UTC)
    assert schedule(name="off", enabled=False).next_run_at is None


def test_a_slot_starts_one_run_however_often_it_is_asked_for(market):  # noqa: F811
    row = schedule()
    before, after = row.next_run_at - dt.timedelta(seconds=1), row.next_run_at + dt.timedelta(seconds=5)
    assert services.start_due(now=before) == []
    (run,) = services.start_due(now=after)
    assert services.start_due(now=after) == []
    assert (run.state, run.origin, run.tag) == ("queued", "schedule", "daily")
    assert run.effect_key == f"schedule {row.pk} 2024-11-27T21:30Z"
    row.refresh_from_db()
    assert row.next_run_at == dt.datetime(2024, 11, 29, 18, 30, tzinfo=dt.UTC), "Friday is a half day"


def test_a_beat_that_read_the_row_before_the_other_moved_it_on_starts_nothing(market, monkeypatch):  # noqa: F811
    row = schedule()
    now = row.next_run_at + dt.timedelta(seconds=5)
    held = services.next_run

    def other_beat_first(*args):
        monkeypatch.setattr(services, "next_run", held)
        assert len(services.start_due(now=now)) == 1
        return held(*args)

    monkeypatch.setattr(services, "next_run", other_beat_first)
    assert services.start_due(now=now) == []
    assert Backtest.objects.count() == 1


def test_a_slot_that_was_run_already_is_passed_over_and_the_schedule_goes_on(market):  # noqa: F811
    row = schedule()
    slot = row.next_run_at
    services.start_due(now=slot)
    ScheduledBacktest.objects.filter(pk=row.pk).update(next_run_at=slot)  # a clock or a person set it back
    assert services.start_due(now=slot) == []
    assert Backtest.objects.count() == 1
    row.refresh_from_db()
    assert row.next_run_at > slot


def test_slots_that_passed_while_nothing_ran_become_one_run(market):  # noqa: F811
    row = schedule()
    assert len(services.start_due(now=row.next_run_at + dt.timedelta(days=30))) == 1
    assert Backtest.objects.count() == 1


def test_a_schedule_that_cannot_run_leaves_a_failed_run_that_says_why_and_goes_on(market):  # noqa: F811
    row = schedule(strategy_config=strategy_config(symbols="GONE"))
    (run,) = services.start_due(now=row.next_run_at)
    assert run.state == "failed"
    assert "GONE" in run.error
    row.refresh_from_db()
    assert row.next_run_at > dt.datetime(2024, 11, 28, tzinfo=dt.UTC)
    assert row.last_run_at <= timezone.now()
