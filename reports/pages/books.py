"""What the accounts are worth, and what they hold: reads for the dashboard."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from execution.models import Account, AccountValue, Position
from reports.pages.sketch import draw

SPANS = {"day": dt.timedelta(days=1), "month": dt.timedelta(days=30), "year": dt.timedelta(days=365)}
_CURVE_POINTS = 160
_POSITIONS_SHOWN = 200


# The latest value of an account in a stretch of time: one look into an index, however many values there are.
_LATEST = """SELECT * FROM (SELECT id FROM execution_accountvalue
    WHERE account_id = %s AND time >= %s AND time <= %s ORDER BY time DESC LIMIT 1) AS latest"""


def accounts() -> list[Any]:
    """Active accounts, each with its latest value as `equity`, `cash`, `day_pnl`, `time` (None: none reported yet)."""
    latest = AccountValue.objects.filter(account=OuterRef("pk")).order_by("-time")
    fields = {name: Subquery(latest.values(name)[:1]) for name in ("time", "equity", "cash", "day_pnl")}
    return list(Account.objects.filter(active=True).annotate(**fields))


def active_accounts() -> QuerySet[Account]:
    return Account.objects.filter(active=True)


def equity_curve(account: Any, span: str) -> dict[str, Any] | None:
    """The span before the latest value, drawn through what the account was worth at 160 moments; None: too few."""
    if account is None or account.time is None:
        return None
    began, step = account.time - SPANS[span], SPANS[span] / _CURVE_POINTS
    moments = [began + step * place for place in range(1, _CURVE_POINTS)] + [account.time]
    with connection.cursor() as cursor:
        adapt = connection.ops.adapt_datetimefield_value
        asked = [value for moment in moments for value in (account.pk, adapt(began), adapt(moment))]
        cursor.execute(" UNION ALL ".join([_LATEST] * len(moments)), asked)
        chosen = {pk for (pk,) in cursor.fetchall()}
    rows = list(AccountValue.objects.filter(pk__in=chosen).order_by("time").values_list("time", "equity"))
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
