"""Bars and expected figures from the reference files, and the comparisons that several parity tests share."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from domain.bars import PRICE_COLUMNS, BarSeries
from domain.timeframe import Timeframe
from tests.domain.shared_files import SHARED, columns, ns, shared_path

NEW_YORK = ZoneInfo("America/New_York")


def names(folder, pattern="*.json"):
    """File names to parametrize a test with; one name that is not there when the folder is not, so that it skips."""
    found = sorted(path.name for path in (SHARED / "golden" / folder).glob(pattern))
    return found or [f"no {pattern}"]


def load(folder, name):
    return json.loads(shared_path(f"golden/{folder}/{name}").read_text())


def bars_of(relative, timeframe, start=None, end=None, *, prices=None, regular_hours=False):
    """A data file as bars; `start` and `end` are dates, both included.

    `prices` changes the columns ({name: array}) before they are checked. Rounding at the source left a few closes
    outside [low, high]; high and low are widened to hold them, which no rule tested here looks at.
    """
    data = columns(relative.removeprefix("shared/"))
    stamps = data["timestamp"].astype("datetime64[ns]").astype(np.int64)
    keep = np.ones(len(stamps), bool)
    if start is not None:
        keep &= stamps >= ns(start)
    if end is not None:
        keep &= stamps < ns(end) + 86_400_000_000_000
    if regular_hours:
        keep &= np.array([_is_regular(stamp) for stamp in stamps.tolist()])
    data = {name: column[keep] for name, column in data.items()}
    if prices is not None:
        data.update(prices(data))
    data["high"] = np.maximum.reduce([data[name] for name in PRICE_COLUMNS])
    data["low"] = np.minimum.reduce([data[name] for name in PRICE_COLUMNS])
    return BarSeries.from_columns(
        timeframe, start=stamps[keep], volume=data["volume"], **{name: data[name] for name in PRICE_COLUMNS}
    )


def _is_regular(stamp_ns):
    local = datetime.fromtimestamp(stamp_ns // 10**9, UTC).astimezone(NEW_YORK)
    return 570 <= local.hour * 60 + local.minute < 960


def times(texts):
    return [ns(text.replace(" ", "T").removesuffix("Z")) for text in texts]


def signed(result):
    return [
        quantity if side == "buy" else -quantity
        for side, quantity in zip(result.fills["side"], result.fills["quantity"].tolist(), strict=True)
    ]


def scaled(bars, factors):
    return replace(bars, **{name: getattr(bars, name) * factors for name in PRICE_COLUMNS})


def longest_drawdown(equity):
    """Most bars in a row below the highest equity so far."""
    below = equity < np.maximum.accumulate(equity)
    longest = run = 0
    for is_below in below.tolist():
        run = run + 1 if is_below else 0
        longest = max(longest, run)
    return longest


def year_returns(starts, equity, initial):
    """{year: simple return} from the last equity of each year of bar starts."""
    years = starts.astype("datetime64[ns]").astype("datetime64[Y]").astype(int) + 1970
    returns, before = {}, initial
    for year in sorted(set(years.tolist())):
        last = float(equity[years == year][-1])
        returns[str(year)], before = last / before - 1, last
    return returns


DAILY, MINUTE, HOURLY = Timeframe.D1, Timeframe.M1, Timeframe.H1
