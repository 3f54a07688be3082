"""Risk profiles, strategy configurations and schedules as documents."""

import pytest
from django.utils import timezone

from domain.errors import BadInput
from strategies.models import RiskProfile, ScheduledBacktest, StrategyConfig
from strategies.services import config_of, next_run
from tradingsite.documents import export_all, get_kind
from tradingsite.imports import import_documents

pytestmark = pytest.mark.django_db
ABOUT = {"actor": None, "source": "file"}
CONFIG = """
strategy_config:
- name: cross
  strategy: ma_crossover
  params: {fast: 20, slow: 100}
  symbols: SPY, QQQ@ARCA
  start: 2019-01-02
  cash: 2500.5
  execution: {slippage_bps: 2}
  sizing: {kind: fraction, value: 0.1}
"""
SCHEDULE = "scheduled_backtest: [{name: nightly, strategy_config: cross, at: open, offset_minutes: -15}]"


def test_a_configuration_from_a_document_means_what_the_document_says():
    import_documents(CONFIG, **ABOUT)
    config = config_of(StrategyConfig.objects.get())
    assert (config.strategy.name, config.strategy.params) == ("ma_crossover", {"fast": 20, "slow": 100})
    assert (config.symbols, config.start, config.cash) == (("SPY", "QQQ@ARCA"), "2019-01-02", 2500.5)
    assert (config.execution.slippage_bps, config.sizing.value) == (2, 0.1)


def test_a_profile_may_have_no_rule_and_keeps_no_rule_that_is_unknown():
    import_documents("risk_profile: [{name: open}]", **ABOUT)
    assert RiskProfile.objects.get().limits == {}
    with pytest.raises(BadInput, match="daily_loss_fraction"):
        import_documents("risk_profile: [{name: open, limits: {daily_loss_fraction: 2}}]", **ABOUT)


def test_a_schedule_is_planned_when_it_is_imported_and_left_alone_when_it_stays():
    import_documents(CONFIG, **ABOUT)
    import_documents(SCHEDULE, **ABOUT)
    row = ScheduledBacktest.objects.get()
    assert row.next_run_at == next_run(row, timezone.now())
    ScheduledBacktest.objects.update(next_run_at=None)
    import_documents(SCHEDULE, **ABOUT)
    assert ScheduledBacktest.objects.get().next_run_at is None
    import_documents(SCHEDULE.replace("-15", "-20"), **ABOUT)
    row = ScheduledBacktest.objects.get()
    assert row.next_run_at == next_run(row, timezone.now())
    import_documents(SCHEDULE.replace("at: open", "enabled: false"), **ABOUT)
    assert ScheduledBacktest.objects.get().next_run_at is None


def test_a_row_that_its_strategy_left_behind_can_still_be_exported_and_read_back():
    import_documents(CONFIG, **ABOUT)
    StrategyConfig.objects.update(strategy="removed_plugin", sizing={})
    text = export_all()
    assert import_documents(text, prune=True, **ABOUT).changes == []
    with pytest.raises(BadInput, match="strategy_config 'cross': "):
        import_documents(text.replace("QQQ@ARCA", "QQQ"), **ABOUT)
    assert get_kind("strategy_config").dump(StrategyConfig.objects.get())["sizing"] == {}


def test_faults_of_sections_are_named_where_they_stand():
    for good, bad, says in (
        ("slippage_bps: 2", "slippage_bps: -2", "execution.slippage_bps"),
        ("value: 0.1", "value: 0", "sizing.value"),
        ("2019-01-02", "soon", "start: 'soon' is no date"),
        ("cash: 2500.5", "cash: 0", "cash"),
        ("cash: 2500.5", "cash: 1.001", "cash: Ensure that there are no more than 2 decimal places"),
        ("fast: 20", "fast: 200", "fast must be below slow"),
        ("fast: 20", "quick: 20", "unknown parameter of strategy ma_crossover"),
        ("name: cross", "name: cross\n  timeframe: 2d", "timeframe: Value '2d' is not a valid choice"),
    ):
        with pytest.raises(BadInput) as refusal:
            import_documents(CONFIG.replace(good, bad), **ABOUT)
        assert str(refusal.value).startswith("strategy_config 'cross': ")
        assert says in str(refusal.value)
        assert str(refusal.value).count("'cross'") == 1
    assert not StrategyConfig.objects.exists()
