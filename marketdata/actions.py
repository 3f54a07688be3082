"""Where corporate actions come from: providers by name, each with its limits (`docs/data.md`).

Every provider gives actions as `domain.adjustments` takes them: splits as new shares for an old one, dividends in
shares of their ex-day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from domain.adjustments import Action, Dividend, Split, derive_actions, snap_ratio, split_factors
from domain.bars import Adjustment, BarSeries
from domain.errors import BadInput, UnknownName
from domain.quality import ratio_text
from domain.sessions import SessionTable
from domain.timeframe import Timeframe
from gateway.contract import Contract
from gateway.history import HistoryRequest, ProvenEmpty
from marketdata import calendars, store
from marketdata.action_files import read_actions
from marketdata.contracts import basis_of
from marketdata.models import BarFile, Instrument, Restatement, What
from marketdata.moments import as_ns
from marketdata.services import actions_of
from marketdata.yahoo import YahooActions

# IB sends adjusted prices with four decimals.
_HALF_UNIT = 0.5e-4
_RELATIVE_NOISE = 2e-6
_MOST_PLACES = 6
# A restatement's ratio is a median of prices with four decimals.
_SPLIT_TOLERANCE = 2e-3

History = Callable[[HistoryRequest, SessionTable | None], BarSeries | ProvenEmpty]


class ActionProvider(Protocol):
    def actions(self, instrument: Instrument) -> list[Action]:
        """What the provider knows of an instrument. BadInput says what is missing; `ActionsUnavailable` (of a source
        on the internet) that it may work later."""
        ...


class StoredSeriesActions:
    """Interactive Brokers: dividends are where the daily ADJUSTED_LAST and TRADES held part, splits where IB's past
    was restated."""

    def actions(self, instrument: Instrument) -> list[Action]:
        table = calendars.sessions(instrument.calendar)
        splits = restated_splits(instrument, table)
        if splits.undated:
            raise BadInput(
                f"{instrument.symbol}: IB's past tells of {'; of '.join(splits.undated)}. Dividends before it are in "
                "other shares: enter the split with its day (manage.py import_actions, or the admin) and repeat"
            )
        trades, adjusted = (_daily(instrument, what) for what in (What.TRADES, What.ADJUSTED_LAST))
        known = [*actions_of(instrument), *splits.dated]
        return [*splits.dated, *derive_dividends(trades, adjusted, table, known)]


class FileActions:
    def __init__(self, path: Path) -> None:
        self._path = path

    def actions(self, instrument: Instrument) -> list[Action]:
        found = read_actions(self._path, instrument.symbol)
        if instrument.symbol not in found:
            raise BadInput(f"{self._path}: no action of {instrument.symbol} in it")
        return found[instrument.symbol]


PROVIDERS: dict[str, Callable[[Path | None], ActionProvider]] = {
    "ib": lambda file: StoredSeriesActions(),
    "csv": lambda file: FileActions(_given(file)),
    "yahoo": lambda file: YahooActions(),
}


def provider(name: str, file: Path | None = None) -> ActionProvider:
    """The provider of that name; `file` is for `csv`."""
    if name not in PROVIDERS:
        raise UnknownName("provider of corporate actions", name, PROVIDERS)
    if file is not None and name != "csv":
        raise BadInput(f"{name} reads no file; {file} is one: take csv")
    return PROVIDERS[name](file)


def _given(file: Path | None) -> Path:
    if file is None:
        raise BadInput("csv needs a file; give its path")
    return file


# Interactive Brokers


def derive_dividends(
    trades: BarSeries, adjusted: BarSeries, sessions: SessionTable, known: Iterable[Action] = ()
) -> list[Dividend]:
    """The dividends that IB's daily ADJUSTED_LAST contains and its TRADES do not, in shares of their ex-days.

    `known` splits say how many of today's shares those were; IB's prices are all in today's, and do not tell. Of days
    that only one of the two has nothing is known; a dividend shows on the next day that both have.
    """
    for bars, basis in ((trades, Adjustment.SPLIT), (adjusted, Adjustment.TOTAL)):
        if bars.timeframe is not Timeframe.D1 or bars.adjustment is not basis:
            raise BadInput(f"dividends are derived from 1d {basis} bars, not from {bars.timeframe} {bars.adjustment}")
    _, mine, theirs = np.intersect1d(trades.start, adjusted.start, assume_unique=True, return_indices=True)
    if len(mine) < 2:
        raise BadInput("TRADES and ADJUSTED_LAST have no two days in common; load both")
    days = sessions.trading_dates(trades.start[mine])
    close, adj_close = trades.close[mine], adjusted.close[theirs]
    last = int(sessions.trading_dates(trades.start[-1:])[0])
    splits = [action for action in known if isinstance(action, Split)]
    found = []
    for action in derive_actions(days, close, adj_close, contains_splits=True):
        if isinstance(action, Split):  # there are none in prices that contain them; the checker of types cannot know
            continue
        row = int(np.searchsorted(days, action.ex_day)) - 1
        share = float(split_factors(np.array([action.ex_day]), splits, last)[0])
        around = slice(row, row + 2)
        relative = float((_HALF_UNIT / close[around] + _HALF_UNIT / adj_close[around]).sum()) + _RELATIVE_NOISE
        noise = relative * float(close[row]) / share
        found.append(Dividend(action.ex_day, shortest(action.amount / share, noise)))
    return found


def ask_dividends(
    history: History,
    contract: Contract,
    sessions: SessionTable,
    known: Iterable[Action] = (),
    duration: str = "20 Y",
) -> list[Dividend]:
    """`derive_dividends` from two requests now: `history` is a connection's method of that name."""
    trades, adjusted = (
        history(HistoryRequest(contract, Timeframe.D1, duration, what), sessions)
        for what in (What.TRADES.value, What.ADJUSTED_LAST.value)
    )
    if isinstance(trades, ProvenEmpty) or isinstance(adjusted, ProvenEmpty):
        return []
    return derive_dividends(trades, adjusted, sessions, known)


class RestatedSplits(NamedTuple):
    """Splits with their day, and one line for each that may have come into force on several days."""

    dated: list[Split]
    undated: list[str]


def restated_splits(instrument: Instrument, sessions: SessionTable) -> RestatedSplits:
    """The splits that IB's restated TRADES tell of.

    IB restates its past between the close before the ex-day and the open of it, or a little later. So the ex-day is
    the session after the last bar compared where the next load came before that session closed; where it came later,
    it may be any session until then, and no day is guessed: a split that is known on one of them is the one.
    """
    known = [action for action in actions_of(instrument) if isinstance(action, Split)]
    dated: dict[int, Split] = {}
    undated: dict[str, None] = {}
    rows = Restatement.objects.filter(instrument=instrument, what=What.TRADES, adjustment=Adjustment.SPLIT)
    told = [(row, snap_ratio(1 / row.ratio, _SPLIT_TOLERANCE)) for row in rows]
    spans = [(*_possible_days(sessions, as_ns(row.bar), as_ns(row.found)), ratio) for row, ratio in told if ratio]
    # Each timeframe restates itself; the narrowest span says most.
    for first, last, ratio in sorted(spans, key=lambda span: span[1] - span[0]):
        settled = [*known, *dated.values()]
        if any(first <= each.ex_day <= last and abs(each.new_per_old / ratio - 1) < 1e-3 for each in settled):
            continue
        if first == last:
            dated[first] = Split(first, ratio)
        else:
            days = " to ".join(str(np.datetime64(day, "D")) for day in (first, last))
            undated[f"a split {ratio_text(ratio)} on one of the sessions from {days}"] = None
    return RestatedSplits(list(dated.values()), list(undated))


def _possible_days(sessions: SessionTable, bar_ns: int, found_ns: int) -> tuple[int, int]:
    """The first and the last date on which a split may have come into force that IB's past did not contain when the
    bar was fetched, and did when it was found."""
    first = int(np.searchsorted(sessions.open, bar_ns, side="right"))
    last = max(first, int(np.searchsorted(sessions.close, found_ns, side="right")))
    return int(sessions.label[first]), int(sessions.label[min(last, len(sessions) - 1)])


def _daily(instrument: Instrument, what: What) -> BarSeries:
    basis = basis_of(instrument, what)
    if not BarFile.objects.of_series(instrument, Timeframe.D1, what).filter(adjustment=basis).exists():
        raise BadInput(
            f"{instrument.symbol}: its daily {what.value} bars from Interactive Brokers are not held, and dividends "
            f"are where TRADES and ADJUSTED_LAST part; load them: manage.py ib_load {instrument.symbol} 1d"
            + (f" --what {what.value}" if what is not What.TRADES else "")
        )
    return store.read_bars(instrument, Timeframe.D1, what=what, adjustment=basis)


def shortest(value: float, noise: float) -> float:
    """The number with the fewest decimals within the noise: dividends are declared in such."""
    candidates: Sequence[float] = [round(value, places) for places in range(_MOST_PLACES + 1)]
    return next((each for each in candidates if each > 0 and abs(each - value) <= noise), value)
