"""What the accounts are worth, and what they hold: reads for the dashboard."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db.models import Func, IntegerField, Max, OuterRef, QuerySet, Subquery

from execution.models import Account, AccountValue, Position
from reports.pages.sketch import draw

SPANS = {"day": dt.timedelta(days=1), "month": dt.timedelta(days=30), "year": dt.timedelta(days=365)}
_CURVE_POINTS = 160
_POSITIONS_SHOWN = 200


class _Bucket(Func):
    """Which of many equal stretches of time a moment falls into."""

    output_field = IntegerField()

    def __init__(self, moment: str, *, seconds: int) -> None:
        super().__init__(moment, seconds=seconds)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / %(seconds)s"
        return super().as_sql(compiler, connection, template=template, **extra)

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        template = "FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / %(seconds)s)::bigint"
        return super().as_sql(compiler, connection, template=template, **extra)


def accounts() -> list[Any]:
    """Active accounts, each with its latest value as `equity`, `cash`, `day_pnl`, `time` (None: none reported yet)."""
    latest = AccountValue.objects.filter(account=OuterRef("pk")).order_by("-time")
    fields = {name: Subquery(latest.values(name)[:1]) for name in ("time", "equity", "cash", "day_pnl")}
    return list(Account.objects.filter(active=True).annotate(**fields))


def active_accounts() -> QuerySet[Account]:
    return Account.objects.filter(active=True)


def equity_curve(account: Any, span: str) -> dict[str, Any] | None:
    """The last value in each of at most 160 stretches of the span before the latest value, drawn; None: too few."""
    if account is None or account.time is None:
        return None
    seconds = max(int(SPANS[span].total_seconds()) // _CURVE_POINTS, 1)
    held = AccountValue.objects.filter(account=account, time__gte=account.time - SPANS[span])
    # Ids grow with time: the trader alone writes values, as they come.
    newest = held.order_by().values(bucket=_Bucket("time", seconds=seconds)).annotate(newest=Max("id")).values("newest")
    rows = list(AccountValue.objects.filter(pk__in=newest).order_by("time").values_list("time", "equity"))
    line = draw([(time.timestamp(), float(equity)) for time, equity in rows])
    if line is None:
        return None
    first, last = float(rows[0][1]), float(rows[-1][1])
    return {
        "line": line,
        "first": rows[0][0],
        "last": rows[-1][0],
        "change": last / first - 1 if first > 0 else None,
    }


def positions() -> QuerySet[Position]:
    return (
        Position.objects.exclude(quantity=0)
        .select_related("account", "instrument")
        .order_by("account__number", "instrument__symbol")[:_POSITIONS_SHOWN]
    )


def priced(position: Position) -> dict[str, Any]:
    """A position with its market value and unrealised P&L; None where a price is missing."""
    last, average = position.last_price, position.average_price
    units: Decimal = position.quantity * position.instrument.multiplier
    return {
        "row": position,
        "value": None if last is None else units * last,
        "pnl": None if last is None or average is None else units * (last - average),
        "side": "long" if position.quantity > 0 else "short",
    }
