"""The config files that the project comes with."""

import re
from pathlib import Path

import pytest

from domain.costs import IB_FIXED
from strategies import registry
from strategies.config import BacktestConfig, parse_config
from tradingsite.configfile import parse_yaml, read_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["config.example.yaml", "examples/demo.yaml"])
def test_the_examples_are_configs_of_known_strategies(known, name):
    config = parse_config(read_config(ROOT / name, {"RUN_ID": ""}))
    registry.get(config.strategy.name)(config.strategy.params)
    assert config.settings(2).commission == IB_FIXED


def test_the_example_config_names_every_setting(known):
    """Each of its commented lines too is a setting: uncommented, the file is still a config."""
    text = (ROOT / "config.example.yaml").read_text()
    body = text[text.index("run_id:") :].replace("${RUN_ID}", "r1")
    found = parse_yaml(re.sub(r"^(\s*)# (?=[a-z_]+: )(?!sizing)", r"\1", body, flags=re.MULTILINE))
    parse_config(found)
    names = set(BacktestConfig.model_fields) - {"watchlist", "sizing"}
    assert names | {"params"} == set(found)
    for section in ("data", "risk", "execution"):
        inner = BacktestConfig.model_fields[section].annotation
        assert set(inner.model_fields) == set(found[section])


@pytest.mark.parametrize("line", re.findall(r"^# (sizing: \{.*\})", (ROOT / "config.example.yaml").read_text(), re.M))
def test_every_sizing_of_the_example_is_one(line):
    parse_config({"strategy": "momentum", "symbols": ["A"], **parse_yaml(line)})
