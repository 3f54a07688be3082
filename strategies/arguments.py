"""The command-line arguments that say which backtest is meant: `backtest` and `plan` take the same."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, OutputWrapper

from domain.errors import BadInput
from marketdata.errors import StoreError
from strategies import registry
from strategies.backtests import Plan, plan_backtest
from strategies.config import BacktestConfig, override, parse_config
from tradingsite.configfile import read_config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML; the arguments below go over it")
    parser.add_argument("--strategy", metavar="NAME", help="see `manage.py strategies`")
    parser.add_argument("--symbols", metavar="A,B", help="instruments; SPY@ARCA names the exchange")
    parser.add_argument("--watchlist", metavar="NAME", help="instead of symbols")
    parser.add_argument("--timeframe", help="1m 5m 15m 30m 1h 1d 1w")
    parser.add_argument("--start", metavar="DATE", help="first day, or a time with its zone; default: all that is held")
    parser.add_argument("--end", metavar="DATE", help="last day, or the first moment that is left out")
    parser.add_argument("--cash", help="starting cash")
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the strategy (fast=20) or a place in the config (risk.long_only=false); repeatable",
    )
    parser.add_argument("--json", action="store_true", help="nothing but JSON on standard output")


def read_arguments(options: Mapping[str, Any]) -> BacktestConfig:
    """The config that the arguments mean; BadInput says what is wrong with it."""
    values: dict[str, Any] = {}
    if options["config"] is not None:
        # Without RUN_ID in the environment a run gets an id of its own.
        values = read_config(options["config"], {"RUN_ID": "", **os.environ})
    if options["symbols"] and options["watchlist"]:
        raise BadInput("give --symbols or --watchlist, not both")
    if options["symbols"] or options["watchlist"]:
        values.pop("symbols", None)
        values.pop("watchlist", None)
    for name in ("symbols", "watchlist", "timeframe", "start", "end", "cash"):
        if options[name] is not None:
            values[name] = options[name]
    if options["strategy"] is not None:
        # Parameters belong to the strategy that they were written for.
        values.pop("params", None)
        values["strategy"] = {"name": options["strategy"]}
    if not values.get("strategy"):
        raise BadInput("say which strategy: --strategy NAME or --config FILE; `manage.py strategies` lists them")
    return parse_config(override(values, options["assignments"]))


def plan_arguments(options: Mapping[str, Any], stderr: OutputWrapper) -> Plan:
    """The plan of what the arguments mean. CommandError ends the command: with 2 where what is asked cannot be, with 1
    where held bars cannot be read."""
    try:
        for fault in load_strategies():
            stderr.write(fault)
        return plan_backtest(read_arguments(options))
    except BadInput as error:
        raise CommandError(str(error), returncode=2) from error
    except StoreError as error:
        raise CommandError(str(error)) from error


def load_strategies() -> list[str]:
    """Load the registry; returns a sentence about each source that failed."""
    return [f"{fault.source} could not be loaded: {fault.error}" for fault in registry.load(settings.PLUGINS_DIR)]
