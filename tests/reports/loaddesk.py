"""Loads in every state on a desk, and what is known of their series."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.utils import timezone

from domain.bars import Adjustment, merge
from marketdata import pacing, store
from marketdata.models import (
    Fetch,
    Halt,
    HeadTime,
    Instrument,
    LoadRun,
    PacingBudget,
    PacingSlot,
    ProvenRange,
    QualityNote,
    Restatement,
    TapeCheck,
)
from marketdata.rebuilding import SIMULATED
from tests.strategies import make

DAY = dt.timedelta(days=1)


def load(instrument: Instrument, state: str = "queued", **fields: Any) -> LoadRun:
    now = timezone.now()
    times: dict[str, Any] = {
        "queued": {},
        "running": {"started": now - dt.timedelta(minutes=2), "heartbeat": now, "planned": now, "attempts": 1},
    }.get(state, {"started": now - dt.timedelta(minutes=9), "finished": now, "attempts": 1, "progress": 1.0})
    return LoadRun.objects.create(
        **{"instrument": instrument, "timeframe": "1h", "state": state, "origin": "web", **times, **fields}
    )


def fetches(run: LoadRun, *states: str, **fields: Any) -> list[Fetch]:
    """One a week, the newest first."""
    newest = dt.datetime(2020, 12, 28, tzinfo=dt.UTC)
    now, found = timezone.now(), []
    for number, state in enumerate(states):
        start = newest - 7 * DAY * number
        ended = None if state == "pending" else now - dt.timedelta(seconds=90 - number)
        told: dict[str, Any] = {
            "done": {"bars": 35, "tries": 1},
            "failed": {"tries": 3, "code": 162, "error": "HMDS query returned no answer: timed out", "due": now + DAY},
            "empty": {"tries": 1, "code": 162, "error": ""},
        }.get(state, {})
        found.append(
            Fetch.objects.create(
                load_run=run, instrument=run.instrument, timeframe=run.timeframe, what=run.what, gap=0, start=start,
                end=start + 5 * DAY, duration="1 W", state=state, ended=ended, **{**told, **fields},
            )
        )  # fmt: skip
    return found


def budget(used: int = 37, waiting: int = 5, **fields: Any) -> PacingBudget:
    row = PacingBudget.objects.create(login=pacing.login_name(), **{"profile": "strict", **fields})
    now = timezone.now()
    about: dict[str, Any] = {"budget": row, "bar_seconds": 3600, "seen": now, "identity": "0" * 64}
    for number in range(used):
        granted = now - dt.timedelta(seconds=15 * number + 1)
        closed = None if number < 3 else granted + dt.timedelta(seconds=1)
        PacingSlot.objects.create(
            **about, priority=3, contract=f"{number}@SMART TRADES", asked=granted, granted=granted, closed=closed
        )
    for number in range(waiting):
        PacingSlot.objects.create(**about, priority=2 + number % 2, contract=f"{number}@SMART TRADES", asked=now)
    return row


def loaded(symbol: str = "ABC") -> Instrument:
    """An instrument whose daily bars came from IB, with a hole of every class in them."""
    bars = replace(make.bars(seed=1), adjustment=Adjustment.SPLIT)
    row: Instrument = Instrument.objects.create(symbol=symbol, name="Alphabet Soup Company", primary="NYSE")
    holes = {"halt": 60, "proven": 110, "failed": 160, "permission": 210, "unexpected": 300}
    gone = np.concatenate([np.arange(first, first + 6) for first in holes.values()])
    kept = np.setdiff1d(np.arange(len(bars)), gone)
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1)
    store.write_bars(
        instrument=row, series=merge([bars[int(run[0]) : int(run[-1]) + 1] for run in runs]), source=SIMULATED
    )

    def span(name: str) -> dict[str, dt.datetime]:
        first = holes[name]
        return {
            "start": dt.datetime.fromtimestamp(int(bars.start[first]) / 1e9, dt.UTC),
            "end": dt.datetime.fromtimestamp(int(bars.end[first + 5]) / 1e9, dt.UTC),
        }

    now, series = timezone.now(), {"instrument": row, "timeframe": "1d", "what": "TRADES"}
    Halt.objects.create(instrument=row, **span("halt"), note="news pending")
    ProvenRange.objects.create(**series, **span("proven"), proven=now)
    failed = load(row, "failed", timeframe="1d", mode="full", outcome="partial", error="2 of 5 segments failed")
    fetches(failed, "failed", "failed", "done", "done", "empty")
    for fetch, name, text in zip(
        failed.fetches.order_by("pk")[:2], ("failed", "permission"),
        ("IB did not answer within 60 s", "No market data permissions for NYSE STK"), strict=True,
    ):  # fmt: skip
        Fetch.objects.filter(pk=fetch.pk).update(**span(name), error=text)
    HeadTime.objects.create(instrument=row, start=dt.datetime(2017, 5, 15, 13, 30, tzinfo=dt.UTC), asked=now)
    QualityNote.objects.create(
        **series, **span("unexpected"), kind="jump", note="close 41 % above the bar before", found=now
    )
    Restatement.objects.create(
        **series, adjustment="split", found=now - DAY, bar=now - 2 * DAY, ratio=0.25, explanation="a split of 4 for 1",
        rebuilt=now,
    )  # fmt: skip
    TapeCheck.objects.create(
        instrument=row, timeframe="1d", day=now.date(), compared=200, different=3, only_live=1, only_history=0,
        largest_bps=2.4, checked=now,
    )  # fmt: skip
    return row


def full(user: User) -> dict[str, Any]:
    """A busy data worker: one load runs, some wait, some ended."""
    abc = loaded()
    xyz = Instrument.objects.create(symbol="XYZ")
    running = load(abc, "running", mode="full", started_by=user, progress=0.4, cached_before=1_234, fetched_bars=140,
                   gaps_analyzed=3, segments_fetched=4, segments_failed=1, ib_requests_made=6,
                   log_tail="ABC 1h: 12 segments\n")  # fmt: skip
    fetches(running, *["done"] * 4, "failed", *["pending"] * 7)
    queued = load(xyz, "queued", started_by=user)
    waiting = load(xyz, "queued", timeframe="1m", mode="full", waits_for="the gateway is cut off from IB")
    complete = load(abc, "succeeded", mode="tail", outcome="up_to_date", cached_before=1_234)
    return {
        "abc": abc,
        "xyz": xyz,
        "running": running,
        "queued": queued,
        "waiting": waiting,
        "complete": complete,
        "partial": LoadRun.objects.get(outcome="partial"),
        "budget": budget(),
    }
