"""Corporate actions from Yahoo, through the package yfinance, which is optional. Best effort: nobody promises them."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.utils import timezone

from domain.adjustments import Action, Dividend, Split, split_factors
from domain.errors import BadInput
from domain.instrument import InstrumentKind
from marketdata.errors import ActionsUnavailable
from marketdata.models import Instrument

log = logging.getLogger(__name__)

_EPOCH = dt.date(1970, 1, 1)
# Yahoo prints six decimals of an amount in today's shares.
_HALF_UNIT = 0.5e-6
_PLACES = 4
# What Yahoo appends to a ticker, by IB's exchange; nothing in the US.
_SUFFIXES = {
    "": "SMART NYSE NASDAQ ISLAND ARCA AMEX BATS IEX PINK",
    ".TO": "TSE",
    ".V": "VENTURE",
    ".L": "LSE LSEETF",
    ".DE": "IBIS IBIS2 XETRA",
    ".F": "FWB FWB2",
    ".PA": "SBF",
    ".AS": "AEB",
    ".BR": "ENEXT.BE",
    ".MC": "BM",
    ".MI": "BVME BVME.ETF",
    ".SW": "EBS VIRTX SWX",
    ".ST": "SFB",
    ".T": "TSEJ",
    ".HK": "SEHK",
    ".AX": "ASX",
}
_SUFFIX_OF = {exchange: suffix for suffix, names in _SUFFIXES.items() for exchange in names.split()}


class YahooActions:
    """`module` is yfinance, or an object of its shape; each symbol is asked for once a day."""

    def __init__(self, module: Any = None, now: dt.datetime | None = None) -> None:
        self._module = module
        self._now = now or timezone.now()

    def actions(self, instrument: Instrument) -> list[Action]:
        ticker = yahoo_ticker(instrument)
        path = self._cache_path(ticker)
        rows = _cached(path)
        if rows is None:
            rows = self._ask(ticker)
            try:
                _keep(path, rows)
            except OSError as error:
                # It is only asked for again.
                log.warning("actions of %s: cannot write the cache file %s: %s", ticker, path, error)
        return in_shares_of_their_day(rows)

    def _cache_path(self, ticker: str) -> Path:
        digest = hashlib.sha256(ticker.encode()).hexdigest()[:24]
        return Path(settings.CACHE_DIR) / "yahoo" / f"{digest}-{self._now:%Y-%m-%d}.json"

    def _ask(self, ticker: str) -> list[list[Any]]:
        module = _yfinance() if self._module is None else self._module
        # Of its own errors, and those of whatever it reaches the internet with (all of them are OSErrors).
        own = getattr(getattr(module, "exceptions", None), "YFException", OSError)
        try:
            table = module.Ticker(ticker).actions
            return _rows(table)
        except (own, OSError) as error:
            raise ActionsUnavailable(f"Yahoo does not tell the actions of {ticker} now: {error}; try later") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ActionsUnavailable(
                f"Yahoo's answer about {ticker} cannot be read ({error!r}); is there a newer yfinance?"
            ) from error


def yahoo_ticker(instrument: Instrument) -> str:
    """Yahoo's name of a stock or fund: BRK-B, BMW.DE. BadInput for anything else, and for exchanges unknown here."""
    if InstrumentKind(instrument.kind) not in (InstrumentKind.STOCK, InstrumentKind.ETF):
        raise BadInput(f"{instrument.symbol} is a {instrument.kind}; only stocks and funds have corporate actions")
    exchange = instrument.primary or instrument.exchange
    if exchange not in _SUFFIX_OF or (exchange == "SMART" and instrument.currency != "USD"):
        raise BadInput(
            f"{instrument.symbol}: Yahoo's name of exchange {exchange} ({instrument.currency}) is not known; say its "
            "primary exchange in the admin, or take csv"
        )
    return instrument.symbol.replace(" ", "-").replace(".", "-") + _SUFFIX_OF[exchange]


def in_shares_of_their_day(rows: list[list[Any]]) -> list[Action]:
    """Yahoo states dividends in today's shares: 0.47 before a split 7:1 reads 0.067143."""
    splits = [Split(day, value) for day, kind, value in rows if kind == "split"]
    latest = max((split.ex_day for split in splits), default=0)
    found: list[Action] = list(splits)
    for day, kind, value in rows:
        if kind == "dividend":
            share = float(split_factors(np.array([day]), splits, max(latest, day))[0])
            found.append(Dividend(day, _tidy(value / share, _HALF_UNIT / share)))
    return sorted(found, key=lambda action: action.ex_day)


def _tidy(value: float, noise: float) -> float:
    rounded = round(value, _PLACES)
    return rounded if rounded > 0 and abs(rounded - value) <= noise * 1.01 else value


def _rows(table: Any) -> list[list[Any]]:
    """[[day since 1970, "split" or "dividend", value], …] of its table: a row per date, 0 where there is none."""
    columns = set(getattr(table, "columns", ()))
    found: list[list[Any]] = []
    for name, kind in (("Stock Splits", "split"), ("Dividends", "dividend")):
        if name not in columns:
            continue
        for moment, value in zip(table.index, table[name], strict=True):
            if value > 0:
                found.append([(moment.date() - _EPOCH).days, kind, float(value)])
    return sorted(found)


def _yfinance() -> Any:
    try:
        return importlib.import_module("yfinance")
    except ImportError as error:
        raise BadInput(
            "actions from Yahoo need the package yfinance, which is not installed: pip install 'ibdesk[yahoo]', or "
            "pip install yfinance"
        ) from error


def _cached(path: Path) -> list[list[Any]] | None:
    """None where nothing is kept, or something that cannot be read: it is then asked for again."""
    try:
        rows = json.loads(path.read_text())
        return [[int(day), str(kind), float(value)] for day, kind, value in rows]
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, rows: list[list[Any]]) -> None:
    """Write atomically, and drop what earlier days left of this symbol."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(rows, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for old in path.parent.glob(f"{path.stem[:24]}-*.json"):
        if old != path:
            with suppress(FileNotFoundError):
                old.unlink()
