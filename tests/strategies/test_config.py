import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.costs import IB_FIXED, IB_TIERED
from domain.engine import MarketAt, RunSettings
from domain.errors import BadInput
from domain.orders import OrderType, TimeInForce
from domain.risk import RiskLimits
from domain.sizing import Sizing, SizingKind
from domain.timeframe import Timeframe
from strategies.config import BacktestConfig, config_hash, override, parse_config
from tradingsite.configfile import parse_yaml

S1 = """
run_id: 1b4e28ba-2fa1-41d2-883f-0016d3cca427
timeframe: 1D
symbols: [SPY, QQQ]
data:
  source: ib
  cache_dir: ./data/cache
  ib:
    host: 127.0.0.1
    port: 7497
    client_id: 42
broker:
  paper: true
risk:
  max_gross_exposure: 100000
  per_symbol_notional_cap: 25000
execution:
  default_order_type: limit
  slippage_bps: 1
strategy:
  name: ma_crossover
params:
  fast: 20
  slow: 50
"""
SMALL = {"strategy": "momentum", "symbols": ["SPY"]}


def test_the_layout_of_the_specification_works_as_it_stands():
    config = parse_config(parse_yaml(S1))
    assert (config.timeframe, config.symbols) == (Timeframe.D1, ("SPY", "QQQ"))
    assert (config.strategy.name, config.strategy.params) == ("ma_crossover", {"fast": 20, "slow": 50})
    assert (config.data.source, config.data.ib.port, config.data.ib.client_id) == ("ib", 7497, 42)
    assert config.broker.paper
    assert config.settings(2) == RunSettings(
        cash=100_000,
        slippage_bps=1,
        default_order_type=OrderType.LIMIT,
        sizing=Sizing(SizingKind.NOTIONAL, 25_000),
        limits=RiskLimits(gross_exposure=100_000, symbol_notional=25_000),
    )


def test_params_may_stand_under_the_strategy():
    nested = parse_yaml(S1.replace("params:\n  fast: 20\n  slow: 50\n", "  params: {fast: 20, slow: 50}\n"))
    assert "params" not in nested
    assert parse_config(nested) == parse_config(parse_yaml(S1))


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [("1D", Timeframe.D1), ("1m", Timeframe.M1), ("60m", Timeframe.H1), ("day", Timeframe.D1)],
)
def test_timeframes_are_read_as_people_write_them(timeframe, expected):
    assert parse_config({**SMALL, "timeframe": timeframe}).timeframe is expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rsk": {}}, "unknown setting 'rsk'; did you mean 'risk'?"),
        (
            {"risk": {"gross_exposure": 1}},
            "unknown setting in risk: 'gross_exposure'; did you mean 'max_gross_exposure'?",
        ),
        ({"data": {"ib": {"prt": 1}}}, "unknown setting in data.ib: 'prt'; did you mean 'port'?"),
        (
            {"execution": {"commission": {"per_ordr": 1}}},
            "in execution.commission: 'per_ordr'; did you mean 'per_order'?",
        ),
        ({"execution": {"commission": "ib_fix"}}, "unknown commission schedule 'ib_fix'; did you mean 'ib_fixed'?"),
        (
            {"execution": {"default_order_type": "stop"}},
            "execution.default_order_type: Input should be 'market' or 'limit'",
        ),
        ({"timeframe": "1M"}, "unknown timeframe '1M'"),
        ({"start": "2020-13-01"}, "start: '2020-13-01' is no date"),
        ({"start": "2020-01-02T10:00"}, "has no time zone"),
        ({"symbols": [True]}, "put a symbol such as TRUE in quotes"),
        ({"symbols": ["A", "B", "A"]}, "A listed twice"),
        ({"symbols": []}, "give symbols or a watchlist"),
        ({"watchlist": "demo"}, "give symbols or a watchlist, not both"),
        ({"strategy": None}, "strategy: Field required"),
        ({"strategy": {"name": "x", "params": {"a": 1}}, "params": {"a": 2}}, "params: given twice"),
        ({"run_id": "../x"}, "run_id: '../x' must be"),
        ({"run_id": "x" * 65}, "run_id:"),
        ({"cash": 0}, "cash: Input should be greater than 0"),
        ({"cash": math.inf}, "cash: Input should be a finite number"),
        ({"risk": {"daily_loss_fraction": 1.5}}, "risk.daily_loss_fraction"),
        ({"sizing": {"kind": "fraction"}}, "sizing.value: Field required"),
        ({"sizing": 100}, "sizing: Input should be"),
    ],
)
def test_a_fault_says_where_it_is_and_what_was_meant(changes, message):
    with pytest.raises(BadInput) as error:
        parse_config({**SMALL, **changes})
    assert message in str(error.value)
    assert str(error.value).startswith("config: ")


def test_all_faults_are_said_at_once():
    with pytest.raises(BadInput, match=r"cash.*; .*execution\.slippage_bps"):
        parse_config({**SMALL, "cash": -1, "execution": {"slippage_bps": -1}})


def test_every_field_of_run_settings_can_be_set():
    text = """
    strategy: momentum
    symbols: SPY
    cash: 5000
    sizing: {kind: atr, value: 0.01, window: 14, atr_multiple: 3, max_fraction: 0.5}
    execution: {commission: ib_tiered, slippage_bps: 2, market_at: close, volume_cap: 0.1, default_order_type: limit,
      limit_offset_bps: 5, time_in_force: gtc, margin_rate: 0.5, borrow_rate: 0.02}
    risk: {long_only: false, market_hours: false, flat_at_close: true, max_order_quantity: 1, max_order_value: 2,
      per_symbol_notional_cap: 3, max_gross_exposure: 4, price_collar: 0.1, max_open_orders: 5,
      instrument_daily_loss: 6, daily_loss: 7, daily_loss_fraction: 0.5}
    """
    found = parse_config(parse_yaml(text)).settings(1)
    assert found == RunSettings(
        cash=5000,
        commission=IB_TIERED,
        slippage_bps=2,
        market_at=MarketAt.CLOSE,
        volume_cap=0.1,
        default_order_type=OrderType.LIMIT,
        limit_offset_bps=5,
        time_in_force=TimeInForce.GTC,
        sizing=Sizing(SizingKind.ATR, 0.01, 14, 3, 0.5),
        limits=RiskLimits(False, False, True, 1, 2, 3, 4, 0.1, 5, 6, 7, 0.5),
        margin_rate=0.5,
        borrow_rate=0.02,
    )
    defaults = RunSettings()
    assert {name for name in RunSettings.__slots__ if getattr(found, name) == getattr(defaults, name)} == {
        "trade_from_ns"
    }
    assert all(a != b for a, b in zip(found.limits, defaults.limits, strict=True))


def test_a_commission_is_a_schedule_or_its_fields():
    fields = {"per_unit": 0.005, "minimum": 1, "maximum_fraction": 0.01}
    for value in ("ib_fixed", fields):
        assert parse_config({**SMALL, "execution": {"commission": value}}).settings(1).commission == IB_FIXED


@pytest.mark.parametrize(
    ("cap", "instruments", "expected"),
    [
        (None, 1, Sizing(SizingKind.FRACTION, 0.95)),
        (None, 5, Sizing(SizingKind.FRACTION, 0.19)),
        (25_000, 2, Sizing(SizingKind.NOTIONAL, 25_000)),
        (25_000, 5, Sizing(SizingKind.FRACTION, 0.19)),
    ],
)
def test_without_sizing_the_account_is_split_evenly_below_the_cap(cap, instruments, expected):
    config = parse_config({**SMALL, "risk": {"per_symbol_notional_cap": cap}})
    assert config.settings(instruments).sizing == expected


def test_a_resolved_config_is_a_config_of_the_same_run():
    config = parse_config(parse_yaml(S1))
    resolved = config.resolved(["SPY", "QQQ"], {"fast": 20, "slow": 50, "allow_short": False})
    again = parse_config(json.loads(json.dumps(resolved)))
    assert again.settings(2) == config.settings(2)
    assert config_hash(again.resolved(["SPY", "QQQ"], again.strategy.params)) == config_hash(resolved)


def test_the_hash_knows_what_decides_the_result_and_nothing_else():
    def hashed(**changes):
        config = parse_config({**SMALL, **changes})
        return config_hash(config.resolved(config.symbols, config.strategy.params))

    same = [
        {},
        {"run_id": "other"},
        {"data": {"source": "ib", "cache_dir": "/elsewhere", "ib": {"port": 1}}},
        {"broker": {"paper": False}},
        {"timeframe": "1D"},
        {"execution": {"commission": "free"}},
        {"strategy": {"name": "momentum"}},
    ]
    other = [{"cash": 1}, {"start": "2020-01-02"}, {"params": {"window": 9}}, {"risk": {"daily_loss": 1}}]
    assert len({hashed(**changes) for changes in same}) == 1
    assert len({hashed(**changes) for changes in [{}, *other]}) == len(other) + 1


def test_assignments_reach_parameters_and_places():
    values = {"strategy": "momentum", "symbols": ["A"]}
    found = override(values, ["window=9", "risk.long_only=false", "sizing.kind=fraction", "sizing.value=1e-1"])
    assert found == {
        "strategy": {"name": "momentum", "params": {"window": 9}},
        "symbols": ["A"],
        "risk": {"long_only": False},
        "sizing": {"kind": "fraction", "value": 0.1},
    }
    assert values == {"strategy": "momentum", "symbols": ["A"]}
    assert override({"params": {"a": 1, "b": 2}}, ["a=3"]) == {"params": {"a": 3, "b": 2}}
    for bad in ("fast", "=3", " =3"):
        with pytest.raises(BadInput, match="expected name=value"):
            override(values, [bad])


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(BacktestConfig.model_fields)) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*BacktestConfig.model_fields, "params", "x"]), PLAIN, max_size=6))
def test_any_values_are_a_config_or_one_clear_error(values):
    try:
        parse_config(values)
    except BadInput as error:
        assert str(error).startswith("config: ")
