"""A desk on which something of everything lies."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.utils import timezone

from execution.models import Account, AccountValue, KillSwitch, Position
from marketdata.models import BarImport, Instrument, Watchlist
from marketdata.services import set_watchlist
from reports.models import Alert, Report
from strategies.models import Backtest, ScheduledBacktest, StrategyConfig
from strategies.services import plan_schedule
from tests.strategies import make
from tradingsite.models import GatewayLink, Heartbeat

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def backtest(**fields: Any) -> Backtest:
    """A finished backtest's row, without a directory."""
    now = timezone.now()
    given = {
        "state": "succeeded",
        "started": now - dt.timedelta(seconds=3),
        "finished": now,
        "attempts": 1,
        "progress": 1.0,
        "strategy": "momentum",
        "timeframe": "1d",
        "instruments": "ABC, XYZ",
        "total_return": 0.1234,
        "max_drawdown": 0.081,
        "sharpe": 1.42,
        "trades": 37,
        "config": {"strategy": {"name": "momentum", "params": {"window": 20}}, "symbols": ["ABC", "XYZ"]},
    } | fields
    if given["state"] == "queued":
        given |= {"started": None, "finished": None, "attempts": 0, "progress": 0.0}
    elif given["state"] == "running":
        given["finished"] = None
    row = Backtest(**given)
    row.directory = given.get("directory") or str(row.pk)
    row.save(force_insert=True)
    return row


def bar_import(**fields: Any) -> BarImport:
    """A finished import's row with its report."""
    now = timezone.now()
    report = {
        "file": "prices.csv",
        "rows": 506,
        "kept": 503,
        "dropped": {
            "close is not a number": {"rows": 2, "lines": [17, 41]},
            "bar not ended yet": {"rows": 1, "lines": [507]},
        },
        "noted": {"high below close, raised": {"rows": 1, "lines": [9]}},
        "remarks": ["2019-07-04 to 2019-07-05: no bars"],
        "ignored_columns": ["Comment"],
        "series": [
            {
                "symbol": "ABC",
                "timeframe": "1d",
                "what": "TRADES",
                "adjustment": "raw",
                "kept": 503,
                "first": "2019-01-02Z",
                "last": "2020-12-31Z",
                "write": {"added": 500, "changed": 1, "unchanged": 2, "files": 1, "lost": 0},
                "actions": 0,
                "recorded": None,
            }
        ],
    }
    given = {
        "name": "prices.csv",
        "bytes": 31_337,
        "state": "succeeded",
        "started": now - dt.timedelta(seconds=2),
        "finished": now,
        "attempts": 1,
        "progress": 1.0,
        "origin": "web",
        "report": report,
        "log_tail": "ABC 1d: 503 bars kept\n",
        "config": {"timeframe": "1d", "adjustment": "raw"},
    } | fields
    return BarImport.objects.create(**given)


def values(account: Account, *, days: int = 30, start: float = 100_000.0, seed: int = 3) -> None:
    """Hourly values, up to now."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    count = days * 24
    equity = start + np.cumsum(np.random.default_rng(seed).normal(6, 160, count))
    AccountValue.objects.bulk_create(
        AccountValue(
            account=account,
            time=now - dt.timedelta(hours=count - 1 - row),
            equity=Decimal(f"{worth:.2f}"),
            cash=Decimal("41250.10"),
            day_pnl=Decimal("-312.40"),
        )
        for row, worth in enumerate(equity)
    )


def gateway_link(now: dt.datetime, **fields: Any) -> GatewayLink:
    """One that was cut off from IB a while ago, and said so."""
    said = [
        (2105, "wait", "the history farm is down", "", "HMDS data farm connection is broken:ushmds"),
        (1100, "wait", "the gateway is cut off from IB", "wait; look at IB's status page where it lasts",
         "Connectivity between IB and Trader Workstation has been lost."),
        (321, "reject", "the request is not valid", "correct the request", "Error validating request.-'bH' : cause"),
        (2104, "note", "the market data farm is connected", "", "Market data farm connection is OK:usfarm"),
    ]  # fmt: skip
    notices = [
        {"at": (now - dt.timedelta(minutes=age)).isoformat(), "code": code, "family": family, "words": words,
         "remedy": remedy, "text": text}
        for age, (code, family, words, remedy, text) in enumerate(said, 1)
    ]  # fmt: skip
    about: dict[str, Any] = {
        "state": "degraded",
        "since": now - dt.timedelta(minutes=2),
        "cause": "the gateway is cut off from IB",
        "remedy": "wait; look at IB's status page where it lasts",
        "host": "127.0.0.1",
        "port": 4002,
        "client_id": 11,
        "library": "ib_insync 0.9.86",
        "server_version": 176,
        "account_kind": "simulated",
        "accounts": ["DU1000001"],
        "heartbeat": now - dt.timedelta(seconds=4),
        "latency_ms": 1.4,
        "clock_skew_s": -0.2,
        "messages_in": 123_456,
        "messages_out": 4_321,
        "reconnects": 2,
        "farms": {"usfarm": "ok", "ushmds": "broken", "secdefil": "ok", "cashfarm": "asleep"},
        "notices": notices,
        "notice_counts": {"wait": 2, "reject": 1, "note": 1},
        "holder": "desk:4711:1a2b3c4d",
        "epoch": 3,
        "seen": now,
    }
    return GatewayLink.objects.create(role="data", **{**about, **fields})


def full_desk(user: User) -> dict[str, Any]:
    """Something of everything; `places` of the test must be set, since bars are written."""
    now = timezone.now()
    abc = make.instrument("ABC", make.bars(seed=1), name="Alphabet Soup Company", primary="NYSE")
    xyz = make.instrument("XYZ", make.bars(seed=2), name="Xylophone and Zither Works with a rather long name")
    empty = Instrument.objects.create(symbol="NEW", name="Nothing held yet")
    set_watchlist(name="Large caps", instruments=[abc, xyz, empty])
    Watchlist.objects.filter(name="Large caps").update(tags="demo, us")
    account = Account.objects.create(number="DU1234567", name="Paper one", kind="paper")
    values(account)
    Account.objects.create(number="DU7654321", kind="paper", currency="EUR")
    Position.objects.create(account=account, instrument=abc, quantity=120, average_price="98.20", last_price="104.75")
    Position.objects.create(account=account, instrument=xyz, quantity=-40, average_price="101.5", last_price="103.11")
    config = StrategyConfig.objects.create(name="Momentum daily", strategy="momentum", symbols="ABC, XYZ")
    schedule = ScheduledBacktest.objects.create(name="Each evening", strategy_config=config)
    plan_schedule(schedule=schedule, now=now)
    done = backtest(tag="first try", started_by=user, origin="web")
    backtest(total_return=-0.034, max_drawdown=0.122, sharpe=-0.31, strategy="mean_reversion", instruments="XYZ")
    failed = backtest(
        state="failed",
        total_return=None,
        max_drawdown=None,
        sharpe=None,
        trades=None,
        progress=0.4,
        error="XYZ 1d: no bars from 2031-01-01 to now",
    )
    running = backtest(
        state="running",
        progress=0.62,
        heartbeat=now,
        worker="desk:4711",
        tag="long sweep",
        total_return=None,
        max_drawdown=None,
        sharpe=None,
        trades=None,
        log_tail="started\n2019-06-28: 120 of 500 bars\n",
    )
    queued = backtest(state="queued", total_return=None, max_drawdown=None, sharpe=None, trades=None)
    imported = bar_import(started_by=user)
    Report.objects.create(backtest=done, origin="run", state="succeeded", started=now, finished=now, progress=1.0)
    Alert.objects.create(
        level="critical",
        subject="Position of XYZ differs from the broker's",
        text="Ours: 40 short, theirs: 30 short. No orders until a person accepts.",
    )
    Alert.objects.create(level="warning", subject="Bars of ABC are 2 days old")
    for name in ("beat", "worker:backtest+report@desk", "worker:data@desk", "queue:data", "queue:backtest", "sweeper"):
        Heartbeat.objects.create(name=name, started=now - dt.timedelta(hours=5), seen=now, host="desk", pid=4711)
    gateway_link(now)
    Heartbeat.objects.create(
        name="worker:scan@attic",
        started=now - dt.timedelta(days=1),
        seen=now - dt.timedelta(minutes=9),
        host="attic",
        pid=99,
    )
    switch = KillSwitch.objects.create(
        account=account,
        level="pause",
        engaged=now - dt.timedelta(minutes=4),
        engaged_by=user,
        reason="prices look wrong",
    )
    return {
        "abc": abc,
        "watchlist": Watchlist.objects.get(),
        "done": done,
        "failed": failed,
        "running": running,
        "queued": queued,
        "imported": imported,
        "switch": switch,
        "account": account,
    }
