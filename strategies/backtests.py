"""Backtests: from a config to a plan, and from a plan to a row and a directory of ledgers."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone

from domain.bars import BarSeries
from domain.engine import Feed, Result, RunSettings, backtest
from domain.engine.setup import prepare as place_feeds
from domain.errors import BadInput, UnknownName
from domain.gaps import find_session_gaps
from domain.sessions import SessionTable
from domain.sizing import SizingKind
from domain.strategy import Strategy
from domain.timeframe import DAY_NS, Timeframe
from marketdata import calendars, services, store
from marketdata.errors import NoBarsInRange
from marketdata.models import Instrument, Watchlist
from strategies import registry
from strategies.config import BacktestConfig, config_hash, parse_config
from strategies.evidence import RunLog, describe_run
from strategies.ledgers import encode_json, encode_ledgers, first_denials, publish, summarise
from strategies.models import Backtest
from tradingsite.attempts import Attempt, RunLost, WorkerEnding, attempting
from tradingsite.runs import process_name

_EPOCH = dt.date(1970, 1, 1)

Progress = Callable[[float], None]


class Holding(NamedTuple):
    """What a plan found of one instrument: `warmup` of the `bars` come before the period."""

    symbol: str
    bars: int
    warmup: int
    start: int
    end: int
    missing: int
    actions: int
    adjustment: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A backtest that can start: everything resolved, read and checked."""

    config: BacktestConfig
    strategy: Strategy
    settings: RunSettings
    feeds: list[Feed]
    holdings: list[Holding]
    warmup: int
    """Bars that strategy, sizing and config want before the first decision."""
    notes: list[str]

    @property
    def symbols(self) -> list[str]:
        return [feed.instrument.symbol for feed in self.feeds]

    @cached_property
    def resolved(self) -> dict[str, Any]:
        return self.config.resolved(self.symbols, self.strategy.params.model_dump(mode="json"))

    @cached_property
    def config_hash(self) -> str:
        return config_hash(self.resolved)

    @cached_property
    def data_hash(self) -> str:
        """SHA-256 over every feed: the instrument's terms, its bars, and the corporate actions."""
        facts = [
            [repr(feed.instrument), feed.bars.content_hash(), [repr(action) for action in feed.actions]]
            for feed in self.feeds
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def plan_backtest(config: BacktestConfig) -> Plan:
    """Resolve names, read the bars and check that a run can start; writes nothing.

    Raises BadInput (UnknownName with a suggestion) for what cannot be, and the store's errors for damaged files.
    """
    if config.run_id is not None:
        _refuse_used(config.run_id)
    strategy = registry.get(config.strategy.name)(config.strategy.params)
    instruments = _instruments(config)
    run_settings = config.settings(len(instruments))
    warmup = max(strategy.warmup(), config.warmup_bars or 0)
    if run_settings.sizing.kind in (SizingKind.ATR, SizingKind.VOLATILITY):
        warmup = max(warmup, run_settings.sizing.window + 1)
    feeds, holdings = [], []
    starts: list[int] = []
    for instrument in instruments:
        sessions = calendars.sessions(instrument.calendar)
        start_ns, end_ns = _period(config, sessions)
        bars = _read(instrument, config, sessions, start_ns, end_ns, warmup)
        actions, anchor = services.actions_of(instrument), store.anchor_day(instrument, bars, sessions)
        feed = Feed(instrument.as_domain(), bars, actions, sessions, anchor_day=anchor)
        feeds.append(feed)
        holdings.append(_holding(feed, sessions, start_ns))
        starts += [] if start_ns is None else [start_ns]
    if starts:
        run_settings = replace(run_settings, trade_from_ns=min(starts))
    place_feeds(feeds, run_settings, strategy.warmup())
    return Plan(config, strategy, run_settings, feeds, holdings, warmup, _notes(config, run_settings, holdings, warmup))


def queue_backtest(config: BacktestConfig, **about: Any) -> Backtest:
    """A row that a worker will run; `about` are fields of it (origin, started_by, tag, effect_key, …).

    Checked here is what needs no bars: names, parameters, instruments. BadInput says what is wrong, and nothing is
    written. The caller tells a worker: `tradingsite.runs.enqueue`.
    """
    if config.run_id is not None:
        _refuse_used(config.run_id)
    strategy = registry.get(config.strategy.name)(config.strategy.params)
    instruments = _instruments(config)
    row = Backtest(
        config=config.model_dump(mode="json"),
        strategy=strategy.label(),
        timeframe=str(config.timeframe),
        instruments=", ".join(instrument.symbol for instrument in instruments),
        **about,
    )
    row.directory = config.run_id or str(row.pk)
    _insert(row)
    return row


def run_queued_backtest(attempt: Attempt) -> None:
    """Plan and run what a claimed row asks for."""
    row = attempt.run
    assert isinstance(row, Backtest)
    asked = dict(row.config)
    asked.pop("run_id", None)
    plan = plan_backtest(parse_config(asked))
    resolved = {"config": plan.resolved, "config_hash": plan.config_hash, "data_hash": plan.data_hash}
    Backtest.objects.filter(pk=row.pk).update(**resolved)
    _run(plan, attempt, row, command="", progress=None)


def run_backtest(plan: Plan, *, command: str = "", progress: Progress | None = None) -> Backtest:
    """Run a plan in this process; returns its row, succeeded, with the ledgers in its directory.

    An exception (the engine's BadInput, whatever a strategy raises, KeyboardInterrupt) leaves the row failed or
    cancelled, a directory of run.json and log.jsonl alone, and goes on to the caller.
    """
    now = timezone.now()
    row = Backtest(
        state=Backtest.State.RUNNING,
        started=now,
        heartbeat=now,
        attempts=1,
        worker=process_name(),
        config=plan.resolved,
        strategy=plan.strategy.label(),
        timeframe=str(plan.config.timeframe),
        instruments=", ".join(plan.symbols),
        config_hash=plan.config_hash,
        data_hash=plan.data_hash,
    )
    row.directory = plan.config.run_id or str(row.pk)
    _refuse_used(row.directory)
    _insert(row)
    with attempting(row) as attempt:
        _run(plan, attempt, row, command, progress)
    return row


def _run(plan: Plan, attempt: Attempt, row: Backtest, command: str, progress: Progress | None) -> None:
    """Write the run's directory; what its row says of the result goes into `attempt.fields`.

    A directory that is there already is of an attempt that died before its row could say so, and makes way.
    """
    folder = run_directory(row)
    log = RunLog(attempt.write, run_id=row.directory, symbols=plan.symbols, timeframe=str(plan.config.timeframe))
    log.write("started", strategy=plan.strategy.label(), config_hash=plan.config_hash, data_hash=plan.data_hash)

    def report(share: float) -> None:
        attempt.report(share)
        if progress is not None:
            progress(share)

    try:
        result = backtest(plan.feeds, plan.strategy, plan.settings, progress=report)
        notes = [*plan.notes, *_result_notes(result)]
        summary = summarise(
            result, config=plan.resolved, config_hash=plan.config_hash, data_hash=plan.data_hash, notes=notes
        )
        _log_result(log, result, summary)
        files = encode_ledgers(result)
        files["summary.json"] = encode_json(summary)
        files["run.json"] = _evidence(plan, row, command, Backtest.State.SUCCEEDED)
        files["log.jsonl"] = log.encode()
        publish(folder, files)
        attempt.fields |= _figures(summary)
    except (RunLost, WorkerEnding, OperationalError, InterfaceError):  # another attempt has it, or will
        raise
    except KeyboardInterrupt:
        _leave_evidence(plan, row, command, log, Backtest.State.CANCELLED, "cancelled by the user")
        raise
    except (Exception, SystemExit) as error:
        _leave_evidence(plan, row, command, log, Backtest.State.FAILED, f"{type(error).__name__}: {error}")
        raise


def run_directory(row: Backtest) -> Path:
    return Path(settings.RUNS_DIR) / row.directory


# ---- planning ----------------------------------------------------------------------------------------------------


def _instruments(config: BacktestConfig) -> list[Instrument]:
    if config.watchlist:
        members = Watchlist.objects.named(config.watchlist).members.select_related("instrument")
        found = [member.instrument for member in members]
        if not found:
            raise BadInput(f"watchlist {config.watchlist!r} is empty; add instruments in the admin")
        return found
    found = []
    for text in config.symbols:
        symbol, _, exchange = text.partition("@")
        try:
            found.append(Instrument.objects.named(symbol, exchange=exchange))
        except UnknownName as error:
            raise BadInput(f"{error}; `manage.py import_bars` brings in bars and instruments") from error
    return found


def _period(config: BacktestConfig, sessions: SessionTable) -> tuple[int | None, int | None]:
    """First moment of the period and the first one after it; a date is the exchange's session of that day."""
    start_ns = _moment(config.start, sessions)
    end_ns = _moment(config.end, sessions, after=True)
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise BadInput(f"the period is empty: start {config.start}, end {config.end}")
    return start_ns, end_ns


def _moment(text: str | None, sessions: SessionTable, after: bool = False) -> int | None:
    """A date's session open, or the open of the session after it; None where the calendar has no such session."""
    if text is None:
        return None
    if len(text) > len("2013-10-07"):
        return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    day = (dt.date.fromisoformat(text) - _EPOCH).days
    row = int(np.searchsorted(sessions.label, day, side="right" if after else "left"))
    if row < len(sessions):
        return int(sessions.open[row])
    return None if after else int(sessions.close[-1])


def _read(
    instrument: Instrument,
    config: BacktestConfig,
    sessions: SessionTable,
    start_ns: int | None,
    end_ns: int | None,
    warmup: int,
) -> BarSeries:
    """The period's bars with at most `warmup` before them."""

    def bars_from(from_ns: int | None) -> BarSeries:
        try:
            return store.read_bars(
                instrument,
                config.timeframe,
                start_ns=from_ns,
                end_ns=end_ns,
                what=config.data.what,
                adjustment=config.data.adjustment,
            )
        except NoBarsInRange as error:  # in the words of the config, not of the warm-up or the calendar's end
            asked = f"from {config.start or 'the beginning'} to {config.end or 'now'}"
            raise BadInput(f"{instrument.symbol} {config.timeframe}: no bars {asked}; held: {error.held}") from error

    if start_ns is None or warmup == 0:
        return bars_from(start_ns)
    early = _reach_back(sessions, config.timeframe, start_ns, warmup)
    bars = bars_from(early)
    before = int(np.searchsorted(bars.start, start_ns))
    if before < warmup:  # a thin instrument, or the beginning of what is held
        bars = bars_from(None)
        before = int(np.searchsorted(bars.start, start_ns))
    if before == len(bars):
        return bars_from(start_ns)  # says what is held
    return bars[max(before - warmup, 0) :]


def _reach_back(sessions: SessionTable, timeframe: Timeframe, start_ns: int, bars: int) -> int:
    """A moment before which `bars` bars have probably come: a fifth more sessions than they need, and a week."""
    row = int(np.searchsorted(sessions.open, start_ns))
    hours = float(np.median(sessions.close - sessions.open))
    each = {Timeframe.D1: 1.0, Timeframe.W1: 0.2}.get(timeframe) or max(hours / timeframe.nanoseconds, 1.0)
    return int(sessions.open[max(row - math.ceil(1.2 * bars / each) - 5, 0)])


def _holding(feed: Feed, sessions: SessionTable, start_ns: int | None) -> Holding:
    bars = feed.bars
    first, last = int(bars.start[0]), int(bars.end[-1])
    return Holding(
        symbol=feed.instrument.symbol,
        bars=len(bars),
        warmup=0 if start_ns is None else int(np.searchsorted(bars.start, start_ns)),
        start=first,
        end=last,
        missing=int(find_session_gaps(bars.start, sessions, bars.timeframe, first, last).missing.sum()),
        actions=sum(first // DAY_NS <= action.ex_day <= last // DAY_NS for action in feed.actions),
        adjustment=str(bars.adjustment),
    )


def _notes(config: BacktestConfig, run_settings: RunSettings, holdings: Sequence[Holding], warmup: int) -> list[str]:
    """What was decided for the user, and what a reader of the result should know."""
    notes = []
    if config.sizing is None:
        sizing = run_settings.sizing
        amount = (
            f"{sizing.value:,.2f} of money" if sizing.kind is SizingKind.NOTIONAL else f"{sizing.value:.2%} of equity"
        )
        notes.append(f"no sizing given: a full position is {amount}")
    if config.start is not None:
        notes += [
            f"{each.symbol}: {each.warmup} of {warmup} warm-up bars are held before {config.start}"
            for each in holdings
            if each.warmup < warmup
        ]
    notes += [f"{each.symbol}: {each.missing:,} expected bars are missing" for each in holdings if each.missing]
    return notes


# ---- running -----------------------------------------------------------------------------------------------------


def _insert(row: Backtest) -> None:
    """Its directory's name is taken by the database, so two runs never share one."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:  # another process was faster
        if not Backtest.objects.filter(directory=row.directory).exists():
            raise
        raise _used(row.directory) from None


def _refuse_used(run_id: str) -> None:
    if Backtest.objects.filter(directory=run_id).exists() or (Path(settings.RUNS_DIR) / run_id).exists():
        raise _used(run_id)


def _used(run_id: str) -> BadInput:
    return BadInput(f"run_id {run_id!r} has been used; runs are never overwritten, choose another or leave it out")


def _leave_evidence(plan: Plan, row: Backtest, command: str, log: RunLog, state: Backtest.State, error: str) -> None:
    """A run without a result leaves a directory of its evidence and log alone."""
    log.write(state.value, level="error" if state == Backtest.State.FAILED else "warning", error=error)
    evidence = _evidence(plan, row, command, state, error)
    try:
        publish(run_directory(row), {"run.json": evidence, "log.jsonl": log.encode()})
    except OSError as fault:
        log.write("unpublished", level="error", error=str(fault))


def _log_result(log: RunLog, result: Result, summary: dict[str, Any]) -> None:
    for note in summary["notes"]:
        log.write("note", text=note)
    for denial in first_denials(result):
        log.write("denied", level="warning", **denial)
    details = {"path": result.path, "result_hash": summary["result_hash"], **summary["orders"]}
    if result.halted_at is None:
        log.write("finished", **details)
    else:
        log.write("halted", level="warning", halted_at=summary["halted_at"], **details)


def _result_notes(result: Result) -> list[str]:
    notes = []
    orders = result.orders
    long_only = int(np.count_nonzero((orders["denied_by"] == "long_only") & (orders["status"] == "denied")))
    if long_only:
        notes.append(f"{long_only:,} orders to sell short were denied by risk.long_only; set it to false to allow them")
    if not len(orders["ref"]):
        notes.append("no order was given: the strategy never stated a new target")
    return notes


def _figures(summary: dict[str, Any]) -> dict[str, Any]:
    metrics = summary["metrics"]

    def finite(name: str) -> float | None:
        return metrics[name] if math.isfinite(metrics[name]) else None

    return {
        "result_hash": summary["result_hash"],
        "final_equity": Decimal(f"{summary['final_equity']:.4f}"),
        "total_return": finite("total_return"),
        "max_drawdown": finite("max_drawdown"),
        "sharpe": finite("sharpe"),
        "trades": int(metrics["trades"]),
    }


def _evidence(plan: Plan, row: Backtest, command: str, state: Backtest.State, error: str = "") -> bytes:
    facts = {"run_id": row.directory, "state": state.value, "error": error, "command": command}
    return encode_json(facts | describe_run(Path(settings.BASE_DIR), type(plan.strategy), row.started))
