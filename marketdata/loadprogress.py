"""How far some loads are, as a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count, Sum

from marketdata.models import Fetch, LoadRun

_WIDTH = 24
# So many requests show what the pace is.
_ENOUGH = 3


class Progress(NamedTuple):
    """Requests `done` of `total`, those of loads that have not planned yet as they were previewed; bars stored."""

    done: int
    total: int
    bars: int
    waits_for: str

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0


def measure(runs: Sequence[LoadRun], previewed: Mapping[UUID, int]) -> Progress:
    """In one query, however many loads. `previewed`: the requests of each load before it planned."""
    counts = Fetch.objects.filter(load_run__in=[run.pk for run in runs]).exclude(state=Fetch.State.SPLIT)
    done = total = bars = 0
    for state, number, stored in counts.values_list("state").annotate(Count("pk"), Sum("bars")):
        total += number
        bars += stored
        done += 0 if state == Fetch.State.PENDING else number
    total += sum(previewed.get(run.pk, 0) for run in runs if run.planned is None and not run.ended)
    waiting = [run.waits_for for run in runs if run.waits_for and not run.ended]
    is_working = any(run.state == LoadRun.State.RUNNING for run in runs)
    return Progress(done, total, bars, "" if is_working or not waiting else waiting[0])


def seconds_left(now: Progress, begun: Progress, elapsed_seconds: float, paced_seconds: float) -> float:
    """As long as the budget makes what is left wait (`paced_seconds`), and no shorter than at the pace so far."""
    left, did = now.total - now.done, now.done - begun.done
    if left <= 0:
        return 0.0
    return max(paced_seconds, elapsed_seconds / did * left if did >= _ENOUGH else 0.0)


def line(now: Progress, left_seconds: float) -> str:
    """`[######------]  50 %   6 of 12 requests   1,234 bars   about 3 min left`"""
    filled = int(now.share * _WIDTH)
    parts = [
        f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {now.share:>4.0%}",
        f"{now.done:,} of {now.total:,} requests",
        f"{now.bars:,} bars",
    ]
    if now.done < now.total:
        parts.append(f"about {duration(left_seconds)} left")
    if now.waits_for:
        parts.append(f"waits: {now.waits_for}")
    return "   ".join(parts)


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
