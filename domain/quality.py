"""What looks wrong in bars, as real vendors got them wrong: found and told, never mended.

Thresholds come from the series itself, so that a quiet bond and a wild share are judged by their own measure. Doubled
bars are not looked for: a BarSeries cannot hold them (`BarSeries.check`), and an answer that does is refused where it
is read (`gateway.history.series_of`). Missing bars are gaps: `domain.gaps`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.adjustments import Action, Dividend, Split, snap_ratio
from domain.bars import Adjustment, BarSeries, Floats
from domain.gaps import Place, unexpected_bars
from domain.sessions import SessionTable
from domain.timeframe import HOUR_NS

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Medians are taken over blocks of so many bars, and the largest of three neighbours counts: markets are calm for weeks
# and wild for weeks, and one measure for both would find the whole of October 2008 wrong.
_BLOCK = 64
# Times the median move. On 24 years of 15 US symbols 10 finds earnings days, 15 misses splits in wild times.
_JUMP, _SPLIT_JUMP, _SPIKE = 12.0, 6.0, 20.0
# And never less than this: in one intraday bar, over a pause of the market or in a session bar.
_JUMP_FLOOR, _PAUSE_FLOOR = 0.02, 0.15
_SPIKE_FLOOR, _SESSION_SPIKE_FLOOR = 0.005, 0.05
# Nor than so many of the smallest steps that its closes take: of a share of 50 cents a cent is 2 %.
_LEAST_STEPS = 5
# Closer to 1 plain ratios lie so dense that any bad day is near one, and nobody merges three shares into two.
_LEAST_SPLIT, _LEAST_REVERSE = 1.45, 1.9
# A share opens up to so far from where the split puts it; above 4:1 plain ratios lie far enough apart for twice that.
_RATIO_TOLERANCE = 0.03
# A price that opens an eighth off where an action puts it still shows the action.
_ACTION_TOLERANCE = 0.125
_PAUSE_NS = HOUR_NS // 2
_LONG_HOLE_DAYS = 45
_CHANCE = 1e-3
_LEAST_CLOSES, _LEAST_BARS = 10, 2
# Quiet hours make runs of closes longer than chance does: so many times the length that 19 in 20 stay below.
_USUAL_SHARE, _TIMES_USUAL = 0.95, 4


class Oddity(StrEnum):
    """Kinds of findings; the values are stored."""

    REPEATED_CLOSE = "repeated_close"
    REPEATED_BAR = "repeated_bar"
    ZERO_VOLUME = "zero_volume"
    UNKNOWN_VOLUME = "unknown_volume"
    JUMP = "jump"
    ACTION_JUMP = "action_jump"
    SPLIT_JUMP = "split_jump"
    SPLIT_ABSENT = "split_absent"
    SPIKE = "spike"
    OUTSIDE_SESSION = "outside_session"
    OFF_GRID = "off_grid"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Oddity.REPEATED_CLOSE: "the same close for longer than chance gives",
    Oddity.REPEATED_BAR: "the same bar again, volume too",
    Oddity.ZERO_VOLUME: "prices move without volume",
    Oddity.UNKNOWN_VOLUME: "volume unknown among known ones",
    Oddity.JUMP: "a jump that nothing explains",
    Oddity.ACTION_JUMP: "a jump that a known split or dividend explains",
    Oddity.SPLIT_JUMP: "a jump as a split makes it",
    Oddity.SPLIT_ABSENT: "a known split that the prices do not show",
    Oddity.SPIKE: "a high or low far from everything around it",
    Oddity.OUTSIDE_SESSION: "outside the sessions",
    Oddity.OFF_GRID: "not where a bar of this timeframe starts",
}


class Finding(NamedTuple):
    """`bars` rows from `first` to `last` (both included), which stand in [start_ns, end_ns)."""

    kind: Oddity
    first: int
    last: int
    start_ns: int
    end_ns: int
    bars: int
    note: str


def findings(bars: BarSeries, sessions: SessionTable, actions: Sequence[Action] = ()) -> list[Finding]:
    """All that looks wrong, in time order.

    `actions` are those known of the instrument; without them a split in raw prices is a SPLIT_JUMP. BadInput where
    the session table does not cover the bars. 100,000 bars take 13 ms.
    """
    if len(bars) == 0:
        return []
    found = [
        *_repetitions(bars),
        *_volumes(bars, sessions),
        *_jumps(bars, sessions, actions),
        *_spikes(bars),
        *_misplaced(bars, sessions),
    ]
    return sorted(found, key=lambda finding: (finding.start_ns, finding.kind))


# Repetition


def _repetitions(bars: BarSeries) -> Iterator[Finding]:
    closes = bars.close[1:] == bars.close[:-1]
    for first, last in _longer_than_chance(closes, _LEAST_CLOSES, _TIMES_USUAL):
        count = last - first + 1
        yield _finding(bars, Oddity.REPEATED_CLOSE, first, last, f"{count} closes of {bars.close[first]:.6g}")
    whole = closes & (bars.high[1:] > bars.low[1:])
    for column in (bars.open, bars.high, bars.low):
        whole &= column[1:] == column[:-1]
    volume = bars.volume
    whole &= (volume[1:] == volume[:-1]) | (np.isnan(volume[1:]) & np.isnan(volume[:-1]))
    for first, last in _longer_than_chance(whole, _LEAST_BARS, 0):
        yield _finding(bars, Oddity.REPEATED_BAR, first, last, f"{last - first + 1} times the same bar")


def _longer_than_chance(same: Flags, least: int, times_usual: int) -> Iterator[tuple[int, int]]:
    """Rows (first, last) of the runs of bars that equal the one before and are too long for this series.

    A share of 2 dollars repeats its close every other minute: the length that such a series reaches once in a thousand
    tries is the limit. How often it repeats is what its other runs say, each counted for `least` bars at most, so that
    a long one excuses neither itself nor the next. And it must be `times_usual` times what is usual among them.
    """
    if not same.any():
        return
    starts, ends = _runs(same)
    lengths = ends - starts
    counted = np.minimum(lengths, least)
    share = np.clip((counted.sum() - counted) / len(same), 0.5 / len(same), 1 - 1e-9)
    limit = np.log(len(same) / _CHANCE) / -np.log(share)
    others = np.sort(lengths)[:-1]
    usual = int(others[int(_USUAL_SHARE * (len(others) - 1))]) if len(others) else 0
    for run in np.flatnonzero(lengths >= np.maximum(limit, max(least, times_usual * usual))):
        yield int(starts[run]), int(ends[run])


# Volume


def _volumes(bars: BarSeries, sessions: SessionTable) -> Iterator[Finding]:
    unknown = np.isnan(bars.volume)
    if unknown.any() and 2 * np.count_nonzero(unknown) < len(bars):
        for start, end in zip(*_runs(unknown), strict=True):
            yield _finding(bars, Oddity.UNKNOWN_VOLUME, int(start), int(end) - 1, "")
    zero = bars.volume == 0
    # An index has none at all.
    if not zero.any() or 2 * np.count_nonzero(zero) > np.count_nonzero(~unknown):
        return
    moved = bars.high > bars.low
    moved[1:] |= bars.close[1:] != bars.close[:-1]
    odd = np.flatnonzero(zero & moved)
    odd = odd[sessions.session_index(bars.start[odd]) >= 0]
    flags = np.zeros(len(bars), np.bool_)
    flags[odd] = True
    for start, end in zip(*_runs(flags), strict=True):
        yield _finding(bars, Oddity.ZERO_VOLUME, int(start), int(end) - 1, "")


# Jumps


def _jumps(bars: BarSeries, sessions: SessionTable, actions: Sequence[Action]) -> Iterator[Finding]:
    if len(bars) < 2:
        return
    move = np.abs(np.log(bars.close[1:] / bars.close[:-1]))
    over_night = np.abs(np.log(bars.open[1:] / bars.close[:-1]))
    paused = bars.start[1:] - bars.end[:-1] > _PAUSE_NS
    scale = np.empty(len(move))
    scale[~paused], scale[paused] = _local_medians(move[~paused]), _local_medians(move[paused])
    floor = np.maximum(np.where(paused, _PAUSE_FLOOR, _JUMP_FLOOR), _LEAST_STEPS * _step(bars) / bars.close[:-1])
    is_jump = move > np.maximum(floor, _JUMP * scale)
    is_jump |= (over_night > np.maximum(np.log(_LEAST_SPLIT), _SPLIT_JUMP * scale)) & paused
    expected = _expected(bars, sessions, actions)
    for before in np.flatnonzero(is_jump).tolist():
        row = before + 1
        if row in expected:
            continue
        ratio = float(bars.close[before] / bars.open[row])
        split = _plain_split(ratio) if paused[before] else None
        days = (int(bars.start[row]) - int(bars.end[before])) / (24 * HOUR_NS)
        hole = f" after {days:.0f} days without a bar: another company's?" if days > _LONG_HOLE_DAYS else ""
        if split is not None:
            note = f"by {1 / ratio:.4g}, as a split {ratio_text(split)} makes it, and none is known{hole}"
            yield _finding(bars, Oddity.SPLIT_JUMP, row, row, note)
        else:
            change = 100 * (bars.close[row] / bars.close[before] - 1)
            yield _finding(bars, Oddity.JUMP, row, row, f"{change:+.1f} %{hole}")
    for row, (kind, note) in expected.items():
        yield _finding(bars, kind, row, row, note)


def _expected(bars: BarSeries, sessions: SessionTable, actions: Sequence[Action]) -> dict[int, tuple[Oddity, str]]:
    """What known splits (and dividends of at least a tenth) make of the rows where they come into force."""
    steps: dict[int, list[tuple[str, float, bool]]] = {}
    dated = [action for action in actions if isinstance(action, Split | Dividend)]
    if not dated:
        return {}
    days = sessions.trading_dates(bars.start)
    for action in dated:
        row = int(np.searchsorted(days, action.ex_day))
        if not 0 < row < len(days):
            continue
        date = np.datetime64(action.ex_day, "D")
        if isinstance(action, Split):
            text = f"split {ratio_text(action.new_per_old)} of {date}"
            steps.setdefault(row, []).append((text, 1 / action.new_per_old, True))
        else:
            left = 1 - action.amount / float(bars.close[row - 1])
            if 0 < left < 0.9:
                steps.setdefault(row, []).append((f"dividend {action.amount:.6g} of {date}", left, False))
    found = {}
    for row, parts in steps.items():
        verdict = _told(bars, row, parts)
        if verdict is not None:
            found[row] = verdict
    return found


def _told(bars: BarSeries, row: int, parts: list[tuple[str, float, bool]]) -> tuple[Oddity, str] | None:
    texts = ", ".join(text for text, _, _ in parts)
    factor = float(np.prod([step for _, step, _ in parts]))
    opened = float(bars.open[row] / bars.close[row - 1])
    if abs(np.log(factor)) < 2 * _ACTION_TOLERANCE:
        return None  # Too small to be told from a bad night.
    is_split = any(split for _, _, split in parts)
    # Cash is taken off the price before, whose eighth is more than that of the little that a large payment leaves.
    off = np.log(opened / factor) if is_split else opened - factor
    shows = abs(off) < _ACTION_TOLERANCE
    if bars.adjustment is Adjustment.RAW:
        if shows:
            return Oddity.ACTION_JUMP, texts
        if is_split and abs(np.log(opened)) < _ACTION_TOLERANCE:
            return Oddity.SPLIT_ABSENT, f"{texts}: are these prices adjusted already, or is its day wrong?"
    elif shows and is_split:
        return Oddity.SPLIT_JUMP, f"{texts} shows in prices that should contain it"
    elif shows and bars.adjustment is Adjustment.SPLIT:
        return Oddity.ACTION_JUMP, texts
    return None


def _plain_split(ratio: float) -> float | None:
    if not (ratio >= _LEAST_SPLIT or ratio <= 1 / _LEAST_REVERSE):
        return None
    split = snap_ratio(ratio, _RATIO_TOLERANCE if 0.25 < ratio < 4 else 2 * _RATIO_TOLERANCE)
    # 5:3 and 8:5 happen, but of ten bad nights that look like them hardly one is.
    return split if split is not None and (split < 1 or (2 * split).is_integer()) else None


def ratio_text(new_per_old: float) -> str:
    """`7:1`, `3:2`, `1:10`: new shares for old ones."""
    for old in (1, 2, 3, 4, 5):
        if abs(new_per_old * old - round(new_per_old * old)) < 1e-6 * old and round(new_per_old * old) > 0:
            return f"{round(new_per_old * old)}:{old}"
    return f"1:{1 / new_per_old:.6g}" if new_per_old < 1 else f"{new_per_old:.6g}:1"


# Bad prints


def _spikes(bars: BarSeries) -> Iterator[Finding]:
    """A high (or low) beyond the bar's own open and close and beyond the whole of both neighbours."""
    above = bars.high - np.maximum(np.maximum(bars.open, bars.close), _neighbours(bars.high, np.maximum))
    below = np.minimum(np.minimum(bars.open, bars.close), _neighbours(bars.low, np.minimum)) - bars.low
    size = np.maximum(above, below) / bars.close
    wick = bars.high - bars.low - np.abs(bars.close - bars.open)
    floor = _SPIKE_FLOOR if bars.timeframe.is_intraday else _SESSION_SPIKE_FLOOR
    least = np.maximum(floor, _LEAST_STEPS * _step(bars) / bars.close)
    odd = size > np.maximum(least, _SPIKE * _local_medians(wick / bars.close))
    for row in np.flatnonzero(odd).tolist():
        side, price = ("high", bars.high[row]) if above[row] >= below[row] else ("low", bars.low[row])
        note = f"{side} {price:.6g}, {100 * size[row]:.1f} % of the close beyond the bars around it"
        yield _finding(bars, Oddity.SPIKE, row, row, note)


def _neighbours(values: Floats, choose: np.ufunc) -> Floats:
    beside: Floats = np.concatenate([values[:1], values[:-1]])
    after = np.concatenate([values[1:], values[-1:]])
    # At an end the only neighbour counts.
    if len(values) > 1:
        beside[0], after[-1] = values[1], values[-2]
    out: Floats = choose(beside, after)
    return out


# Place


def _misplaced(bars: BarSeries, sessions: SessionTable) -> Iterator[Finding]:
    odd = unexpected_bars(bars.start, sessions, bars.timeframe)
    if len(odd.row) == 0:
        return
    cut = (odd.row[1:] != odd.row[:-1] + 1) | (odd.place[1:] != odd.place[:-1]) | (odd.day[1:] != odd.day[:-1])
    first = np.concatenate([[0], np.flatnonzero(cut) + 1])
    last = np.append(first[1:], len(odd.row)) - 1
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        place = Place(int(odd.place[begin]))
        kind = Oddity.OFF_GRID if place is Place.OFF_GRID else Oddity.OUTSIDE_SESSION
        yield _finding(bars, kind, int(odd.row[begin]), int(odd.row[end]), place.label.replace("_", " "))


# Pieces


def _finding(bars: BarSeries, kind: Oddity, first: int, last: int, note: str) -> Finding:
    return Finding(kind, first, last, int(bars.start[first]), int(bars.end[last]), last - first + 1, note)


def _step(bars: BarSeries) -> float:
    """The smallest step between two closes; 0 where they never move."""
    steps = np.abs(np.diff(bars.close))
    steps = steps[steps > 1e-9]
    return float(steps.min()) if len(steps) else 0.0


def _runs(flags: Flags) -> tuple[Rows, Rows]:
    """[start, end) of the runs of true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges[0::2], edges[1::2]


def _local_medians(values: Floats) -> Floats:
    """Of each value the largest median of its block of 64 and of the blocks beside it."""
    count = len(values)
    if count == 0:
        return values
    blocks = max(count // _BLOCK, 1)
    size = min(_BLOCK, count)
    medians = np.median(values[: blocks * size].reshape(blocks, size), axis=1)
    around = np.maximum.reduce([medians, np.append(medians[:1], medians[:-1]), np.append(medians[1:], medians[-1:])])
    lengths = np.full(blocks, size)
    lengths[-1] += count - blocks * size
    return np.repeat(around, lengths)
