"""Some rows of every model that the admin shows."""

import datetime as dt
from decimal import Decimal

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from execution.models import Account, AccountValue, Fill, KillSwitch, Order, Position
from marketdata.models import (
    Bar,
    BarFile,
    BarImport,
    CorporateAction,
    Fetch,
    GatewayQuestion,
    Halt,
    HeadTime,
    Instrument,
    InstrumentDetails,
    LoadPlan,
    LoadRun,
    PacingBudget,
    PacingSlot,
    ProvenRange,
    QualityNote,
    Restatement,
    TapeCheck,
    Watchlist,
    WatchlistMember,
)
from reports.models import Alert, Report
from strategies.models import Backtest, RiskProfile, ScheduledBacktest, StrategyConfig
from tradingsite.models import AnsweredRequest, ApiToken, ConfigChange, GatewayLink, Heartbeat, Lease

NOON = dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)


def backtest(state: str = "succeeded", **fields) -> Backtest:
    """One that ended as said, or waits, or runs."""
    times = {
        "queued": {},
        "running": {"started": NOON, "heartbeat": timezone.now(), "attempts": 1},
    }.get(state, {"started": NOON, "finished": NOON, "attempts": 1})
    asked = {"symbols": ["ABC"], "timeframe": "1d", "strategy": {"name": "ma_crossover", "params": {"fast": 5}}}
    given = {"strategy": "ma_crossover", "timeframe": "1d", "instruments": "ABC", "config": asked, **times, **fields}
    row = Backtest(state=state, **given)
    row.directory = str(row.pk)
    row.save()
    return row


def market(number: int) -> Instrument:
    row = Instrument.objects.create(symbol=f"S{number}")
    CorporateAction.objects.create(instrument=row, ex_date=NOON.date(), kind="dividend", value=Decimal("0.5"))
    BarFile.objects.create(
        instrument=row, timeframe="1d", partition=0, start=NOON, end=NOON + dt.timedelta(hours=7), rows=1, bytes=1,
        sha256="0" * 64, path=f"{number}.parquet",
    )  # fmt: skip
    Bar.objects.create(
        instrument=row, timeframe="1m", start=NOON, end=NOON + dt.timedelta(minutes=1), open=1, high=1, low=1, close=1,
        received_at=NOON, origin="trader",
    )  # fmt: skip
    WatchlistMember.objects.create(watchlist=Watchlist.objects.create(name=f"list {number}"), instrument=row)
    BarImport.objects.create(name=f"{number}.csv", report={"kept": 1})
    return row


def loads(number: int, instrument: Instrument, owner: User) -> LoadRun:
    """What the loader writes; the request lengths come with `migrate`."""
    later = NOON + dt.timedelta(hours=1)
    series = {"instrument": instrument, "timeframe": "1d"}
    plan = LoadPlan.objects.create(name=f"plan {number}", watchlist=Watchlist.objects.get(name=f"list {number}"))
    run = LoadRun.objects.create(**series, plan=plan, started_by=owner)
    times = {"start": NOON, "end": later}
    Fetch.objects.create(**series, **times, load_run=run, gap=0, duration="1 D")
    ProvenRange.objects.create(**series, **times, proven=NOON)
    Halt.objects.create(instrument=instrument, **times)
    HeadTime.objects.create(instrument=instrument, start=NOON, asked=NOON)
    InstrumentDetails.objects.create(instrument=instrument, local_symbol=f"S{number}", refreshed=NOON)
    Restatement.objects.create(**series, adjustment="split", found=NOON, bar=NOON, ratio=0.5, rebuild=run)
    QualityNote.objects.create(**series, **times, kind="jump", found=NOON)
    TapeCheck.objects.create(
        **series, day=NOON.date(), compared=10, different=1, only_live=0, only_history=0, largest_bps=2.5, checked=NOON
    )
    GatewayQuestion.objects.create(kind="discover", symbol=f"S{number}", instrument=instrument, started_by=owner)
    budget = PacingBudget.objects.create(login=f"127.0.0.1:{4000 + number}")
    PacingSlot.objects.create(
        budget=budget, priority=2, contract="1@SMART TRADES", identity="0" * 64, bar_seconds=60, asked=NOON, seen=NOON
    )
    return run


def research(number: int, owner: User) -> StrategyConfig:
    profile = RiskProfile.objects.create(name=f"profile {number}", limits={"daily_loss": 5.0})
    row = StrategyConfig.objects.create(
        name=f"config {number}", strategy="ma_crossover", symbols="ABC", risk_profile=profile
    )
    ScheduledBacktest.objects.create(name=f"schedule {number}", strategy_config=row)
    done = backtest(strategy_config=row, started_by=owner, total_return=-0.1, sharpe=1.0)
    Report.objects.create(backtest=done, started_by=owner)
    return row


def books(number: int, instrument: Instrument, owner: User) -> None:
    account = Account.objects.create(number=f"DU{number}", kind="paper")
    AccountValue.objects.create(account=account, time=NOON, equity=10, cash=-5)
    order = Order.objects.create(
        ref=f"r{number}", account=account, instrument=instrument, side="buy", quantity=1, order_type="market",
        time_in_force="DAY",
    )  # fmt: skip
    Fill.objects.create(
        exec_id=f"e{number}", order=order, account=account, instrument=instrument, side="buy", quantity=1, price=2,
        time=NOON,
    )  # fmt: skip
    Position.objects.create(account=account, instrument=instrument, quantity=-1)
    KillSwitch.objects.create(account=account, engaged=NOON, engaged_by=owner, released=NOON)


def platform(number: int, owner: User) -> None:
    Alert.objects.create(level="info", subject=f"alert {number}", seen=NOON, seen_by=owner)
    Lease.objects.create(role=f"trader:{number}")
    GatewayLink.objects.create(role=f"trader:{number}", state="down", since=NOON, seen=NOON, disconnect_by=owner)
    Heartbeat.objects.create(name=f"worker:{number}", started=NOON, seen=NOON)
    ApiToken.objects.create(user=owner, name=f"token {number}")
    AnsweredRequest.objects.create(user=owner, key=f"key {number}", fingerprint="0" * 64)
    ConfigChange.objects.create(kind="watchlist", name=f"list {number}", after={"name": "x"}, actor=owner, source="api")
    TOTPDevice.objects.create(user=owner, name=f"phone {number}")
    device = StaticDevice.objects.create(user=owner, name=f"recovery codes {number}")
    StaticToken.objects.create(device=device, token=f"digest {number}")
    for model in (AccessAttempt, AccessFailureLog, AccessLog):
        model.objects.create(
            username=owner.username, ip_address="10.0.0.1", user_agent=str(number), path_info="/", http_accept="*",
            **({"failures_since_start": 1} if model is AccessAttempt else {}),
        )  # fmt: skip


def everything(count: int) -> None:
    """So many rows of every model, each with rows of its own to refer to."""
    first = User.objects.count()
    for number in range(first, first + count):
        owner = User.objects.create_user(f"person {number}")
        instrument = market(number)
        books(number, instrument, owner)
        loads(number, instrument, owner)
        research(number, owner)
        platform(number, owner)
