"""Does a data source still tell the past as it is held? Bars held against the same bars fetched again.

Interactive Brokers adjusts its past for a split from one day to the next. Bars held from before then stand in other
units than those fetched after; nobody announces it, so a few bars are fetched again with every load and compared.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import snap_ratio
from domain.bars import PRICE_COLUMNS, BarSeries, Floats, Times
from domain.errors import BadInput

RESTATED_SHIFT = 0.005
"""A price that moved by more than this share of itself was not corrected but stated anew."""
# IB sends adjusted prices with four decimals: half a unit on either side, and what doubles lose.
_ROUNDING = 1.01e-4
_RELATIVE_NOISE = 1e-9
# Ratios count as one where they lie this close together, beyond what rounding explains.
_SPREAD = 1e-3
# Below a shift of 0.5 % one ratio for all must at least move prices by more than the cent that sources disagree about.
_MORE_THAN_A_CENT = 0.015
_SPLIT_TOLERANCE = 2e-3
# Smaller than any plain ratio: trades that were busted or came late change a day's volume, a split turns it over.
_VOLUME_TOLERANCE = 0.15
# One bar alone says less than it seems: with a bad print corrected it has any ratio.
_LEAST_FOR_RATIO = 2


class Verdict(StrEnum):
    SAME = "same"
    REVISED = "revised"
    RESTATED = "restated"


class Comparison(NamedTuple):
    """`overlap` counts the bars in both, `different` those whose prices differ by more than IB's rounding or whose
    volume is another, `prices_differ` those of them whose prices do, `scaled` those whose four prices all moved by
    `ratio`.

    `ratio` is the median of fresh to held prices, of the scaled bars where there are any; `volume_ratio` the same of
    volumes, NaN where none are known in both. `largest_shift` is the largest relative change of a price.

    REVISED: single bars were corrected: let the fresh ones overwrite the held. RESTATED: the held series is in other
    units and must be fetched anew. `split` is new shares for an old one where the ratio is that of a plain split and
    the volumes do not deny it.
    """

    verdict: Verdict
    overlap: int
    different: int
    prices_differ: int
    scaled: int
    ratio: float
    volume_ratio: float
    largest_shift: float
    split: float | None


def compare(held: BarSeries, fresh: BarSeries) -> Comparison:
    """Compare the bars that both have. BadInput for series of different timeframe or basis.

    RESTATED is what the median price says that moved by more than 0.5 %; two bars or more that did by one ratio, the
    others being as they were (the split lies inside the overlap); or all bars by one smaller ratio (a dividend, in
    prices that contain it).
    """
    if (held.timeframe, held.adjustment) != (fresh.timeframe, fresh.adjustment):
        raise BadInput(
            f"cannot compare {held.timeframe} {held.adjustment} bars with {fresh.timeframe} {fresh.adjustment} ones"
        )
    mine, theirs = _common(held.start, fresh.start)
    if len(mine) == 0:
        return Comparison(Verdict.SAME, 0, 0, 0, 0, 1.0, np.nan, 0.0, None)
    old = np.stack([getattr(held, name)[mine] for name in PRICE_COLUMNS])
    new = np.stack([getattr(fresh, name)[theirs] for name in PRICE_COLUMNS])
    old_volume, new_volume = held.volume[mine], fresh.volume[theirs]
    moved = (np.abs(new - old) > _ROUNDING + _RELATIVE_NOISE * old).any(axis=0)
    revalued = np.abs(new_volume - old_volume) > 0.5
    revalued |= np.isnan(new_volume) != np.isnan(old_volume)
    ratios = new / old
    overall = float(np.median(ratios))
    scaled, ratio = _scaled(old, new)
    if not len(scaled):
        ratio = overall
    verdict = Verdict.REVISED if (moved | revalued).any() else Verdict.SAME
    is_restated = abs(overall - 1) > RESTATED_SHIFT
    if len(scaled) >= _LEAST_FOR_RATIO:
        is_restated |= abs(ratio - 1) > RESTATED_SHIFT or len(scaled) == len(mine)
    rows = scaled if len(scaled) else np.arange(len(mine))
    volume_ratio = _volume_ratio(old_volume[rows], new_volume[rows])
    return Comparison(
        Verdict.RESTATED if is_restated else verdict,
        overlap=len(mine),
        different=int(np.count_nonzero(moved | revalued)),
        prices_differ=int(np.count_nonzero(moved)),
        scaled=len(scaled),
        ratio=ratio,
        volume_ratio=volume_ratio,
        largest_shift=float(np.abs(ratios - 1).max()),
        split=_split(ratio, volume_ratio, old[:, rows]) if is_restated and len(scaled) else None,
    )


def _common(held: Times, fresh: Times) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the starts that stand in both; both increase."""
    row = np.searchsorted(held, fresh)
    theirs = np.flatnonzero(row < len(held))
    theirs = theirs[held[row[theirs]] == fresh[theirs]]
    return row[theirs], theirs


def _scaled(old: Floats, new: Floats) -> tuple[NDArray[np.int64], float]:
    """(bars whose four prices moved by one ratio that most such bars share, that ratio)."""
    ratios = new / old
    own = np.median(ratios, axis=0)
    # A price of a cent or less can be rounded to any ratio at all.
    noise = _SPREAD + _ROUNDING / np.minimum(old, new).min(axis=0)
    is_one = (np.abs(ratios / own - 1) <= noise).all(axis=0)
    is_one &= (np.abs(own - 1) > RESTATED_SHIFT) | (np.abs(own - 1) * old.mean(axis=0) > _MORE_THAN_A_CENT)
    is_one &= np.abs(own - 1) > noise
    rows = np.flatnonzero(is_one)
    if not len(rows):
        return rows, 1.0
    ratio = float(np.median(own[rows]))
    return rows[np.abs(own[rows] / ratio - 1) <= noise[rows]], ratio


def _volume_ratio(old: Floats, new: Floats) -> float:
    both = (old > 0) & (new > 0)
    return float(np.median(new[both] / old[both])) if both.any() else np.nan


def _split(ratio: float, volume_ratio: float, old: Floats) -> float | None:
    if abs(ratio - 1) <= RESTATED_SHIFT:
        return None
    split = snap_ratio(1 / ratio, _SPLIT_TOLERANCE + _ROUNDING / float(np.median(old) * min(ratio, 1)))
    # Without volumes (the midpoint) there is nothing that could deny it.
    if split is None or (np.isfinite(volume_ratio) and abs(volume_ratio / split - 1) > _VOLUME_TOLERANCE):
        return None
    return split


__all__ = ["RESTATED_SHIFT", "Comparison", "Verdict", "compare"]
