"""How a file of bars is to be read, from the texts of a command line, a form or a request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from domain.adjustments import DividendConvention
from domain.bars import Adjustment
from domain.errors import BadInput, UnknownName
from domain.instrument import InstrumentKind
from domain.timeframe import Timeframe
from marketdata.importing import ImportOptions
from marketdata.models import What

STAMPS = ("start", "end")
SESSIONS = ("regular", "all")
TEXTS = ("symbol", "exchange", "currency", "calendar", "tz")
OPTIONS = frozenset(
    {*TEXTS, "timeframe", "kind", "columns", "stamp", "adjustment", "adj_close", "derive_actions", "session", "what"}
    | {"since", "until", "strict"}
)


def read_options(given: Mapping[str, Any]) -> ImportOptions:
    """Options by their names on the command line; what is absent, None or empty is left to the file.

    BadInput where one is unknown or cannot be. Whether an instrument fits them is `check_options`' question.
    """
    for name in given:
        if name not in OPTIONS:
            raise UnknownName("option", str(name), OPTIONS)
    texts = {name: "" if value is None else str(value).strip() for name, value in given.items()}
    columns = _mapping(texts.get("columns", ""))
    if texts.get("adj_close"):
        columns["adj_close"] = texts["adj_close"]
    timeframe, derive = texts.get("timeframe"), texts.get("derive_actions")
    strict = given.get("strict", False)
    if not isinstance(strict, bool):
        raise BadInput(f"strict is {strict!r}; it must be true or false")
    return ImportOptions(
        **{name: texts.get(name, "") for name in TEXTS},
        timeframe=Timeframe.parse(timeframe) if timeframe else None,
        kind=_one_of("kind", texts.get("kind", ""), ["", *InstrumentKind]),
        columns=columns,
        stamp=_one_of("stamp", texts.get("stamp") or "start", STAMPS),
        adjustment=Adjustment(_one_of("adjustment", texts.get("adjustment") or "raw", Adjustment)),
        derive=DividendConvention(_one_of("derive_actions", derive, DividendConvention)) if derive else None,
        session=_one_of("session", texts.get("session") or "regular", SESSIONS),
        what=_one_of("what", texts.get("what") or What.TRADES, What.values),
        since=_date(texts.get("since")),
        until=_date(texts.get("until")),
        strict=strict,
    )


def _one_of(name: str, value: str, known: Iterable[str]) -> str:
    names = [str(each) for each in known]
    if value not in names:
        raise UnknownName(name, value, [each for each in names if each])
    return value


def _mapping(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for field, equals, column in pairs:
        if not (field.strip() and equals and column.strip()):
            raise BadInput(f"columns wants field=column pairs, not {text!r}")
    return {field.strip(): column.strip() for field, _, column in pairs}


def _date(text: str | None) -> np.datetime64 | None:
    try:
        return np.datetime64(dt.date.fromisoformat(text), "D") if text else None
    except ValueError:
        raise BadInput(f"{text!r} is no date; write 2013-10-07") from None
