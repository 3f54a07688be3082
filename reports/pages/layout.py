"""What every page has: the badge of the environment and the navigation of the signed-in user."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property

from execution.services import Environment, environment


class Tab(NamedTuple):
    label: str
    url: str
    permission: str = ""


TABS = [
    Tab("Dashboard", "/"),
    Tab("Instruments", "/instruments/", "marketdata.view_instrument"),
    Tab("Watchlists", "/watchlists/", "marketdata.view_watchlist"),
    Tab("Backtests", "/backtests/", "strategies.view_backtest"),
    Tab("Runs", "/runs/", "strategies.view_backtest"),
    Tab("Imports", "/imports/new/", "marketdata.view_barimport"),
    Tab("Health", "/health/", "tradingsite.view_heartbeat"),
]


class Desk:
    """Asked by templates only where they show it, so that the admin's pages cost nothing."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def environment(self) -> Environment:
        return environment()

    @cached_property
    def nav(self) -> list[dict[str, Any]]:
        path, user = self._request.path, self._request.user
        shown = [tab for tab in TABS if not tab.permission or user.has_perm(tab.permission)]
        if getattr(user, "is_staff", False):
            shown.append(Tab("Admin", "/admin/"))
        shown.append(Tab("Account", reverse("account:overview")))
        return [
            {
                "label": tab.label,
                "url": tab.url,
                "current": path == tab.url or (tab.url not in ("/", "/admin/") and path.startswith(tab.url)),
            }
            for tab in shown
        ]


def layout(request: HttpRequest) -> dict[str, Any]:
    """The context processor."""
    return {"desk": Desk(request)}
