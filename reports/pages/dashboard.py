"""The first page: what the desk is worth, what runs, and what needs a person."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from execution.models import KillSwitch
from execution.services import may_release
from marketdata.models import BarFile
from reports.models import Alert
from reports.pages import books, kinds, loads
from reports.pages.links import links
from reports.pages.parts import Part, live_page
from reports.pages.processes import signs_of_life
from reports.pages.schedules import next_schedules
from strategies.models import Backtest

_ALERTS_SHOWN = 6
_BACKTESTS_SHOWN = 8


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    allowed = request.user.has_perm
    every: dict[str, tuple[str, Callable[[HttpRequest], dict[str, Any] | None]]] = {
        "start": ("strategies.view_backtest", _start),
        "equity": ("execution.view_accountvalue", _equity),
        "positions": ("execution.view_position", _positions),
        "work": ("strategies.view_backtest", _work),
        "backtests": ("strategies.view_backtest", _backtests),
        "alerts": ("reports.view_alert", _alerts),
        "halt": ("execution.view_killswitch", _halt),
        "links": ("tradingsite.view_heartbeat", _links),
        "schedules": ("strategies.view_scheduledbacktest", _schedules),
    }
    parts = {
        name: Part(f"pages/dashboard/{name}.html", partial(read, request))
        for name, (permission, read) in every.items()
        if allowed(permission)
    }
    return live_page(request, "pages/dashboard.html", parts)


def _start(request: HttpRequest) -> dict[str, Any] | None:
    """The first steps, until a backtest is there."""
    if Backtest.objects.exists():
        return None
    return {
        "has_bars": BarFile.objects.exists(),
        "may_load": request.user.has_perm("marketdata.add_loadrun"),
        "may_import": request.user.has_perm("marketdata.add_barimport"),
        "may_test": request.user.has_perm("strategies.add_backtest"),
    }


def _equity(request: HttpRequest) -> dict[str, Any]:
    accounts = books.accounts()
    span = request.GET.get("span", "month")
    span = span if span in books.SPANS else "month"
    wanted = request.GET.get("account", "")
    chosen = next((each for each in accounts if str(each.pk) == wanted), accounts[0] if accounts else None)
    return {
        "accounts": accounts,
        "chosen": chosen,
        "span": span,
        "spans": list(books.SPANS),
        "curve": books.equity_curve(chosen, span),
    }


def _positions(request: HttpRequest) -> dict[str, Any]:
    return {"positions": [books.priced(each) for each in books.positions()]}


def _work(request: HttpRequest) -> dict[str, Any]:
    found = kinds.open_runs(request.user)
    steps = loads.steps_of(found)
    return {"runs": [kinds.summary(run, request.user, steps) for run in found]}


def _backtests(request: HttpRequest) -> dict[str, Any] | None:
    rows = list(Backtest.objects.listed().defer("error")[:_BACKTESTS_SHOWN])
    return {"backtests": rows, "may_test": request.user.has_perm("strategies.add_backtest")}


def _alerts(request: HttpRequest) -> dict[str, Any]:
    unseen = list(Alert.objects.filter(seen__isnull=True).order_by("-created")[: _ALERTS_SHOWN + 1])
    return {
        "alerts": unseen[:_ALERTS_SHOWN],
        "more": len(unseen) > _ALERTS_SHOWN,
        "may_mark": request.user.has_perm("reports.change_alert"),
    }


def _halt(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    engaged = KillSwitch.objects.filter(released__isnull=True).select_related("account", "engaged_by")
    may_resume = user.has_perm("execution.resume")
    may_halt = user.has_perm("execution.halt")
    return {
        "engaged": [{"row": each, "releases": may_release(switch=each, person=user)} for each in engaged],
        "may_halt": may_halt,
        "may_resume": may_resume,
        "levels": KillSwitch.Level.choices,
        "accounts": books.active_accounts() if may_halt else [],
    }


def _links(request: HttpRequest) -> dict[str, Any]:
    return signs_of_life() | {"last_bar": _last_bar(), "links": links()}


def _last_bar() -> BarFile | None:
    return BarFile.objects.filter(quarantined__isnull=True).select_related("instrument").order_by("-end").first()


def _schedules(request: HttpRequest) -> dict[str, Any]:
    return {"schedules": next_schedules()}
