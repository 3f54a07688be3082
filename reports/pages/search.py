"""The search box: instruments, backtests and pages by what their names begin with or hold."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from marketdata.models import Instrument, Watchlist
from reports.pages.layout import Desk
from strategies.models import Backtest

_SHOWN = 8


class Hit(NamedTuple):
    url: str
    label: str
    note: str = ""


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """A page of its own, or what htmx puts below the box."""
    text = request.GET.get("q", "").strip()[:80]
    groups = {name: found for name, found in _find(request, text).items() if found} if text else {}
    template = "pages/search_hits.html" if getattr(request, "htmx", None) else "pages/search.html"
    return render(request, template, {"q": text, "groups": groups})


def _find(request: HttpRequest, text: str) -> dict[str, list[Hit]]:
    allowed = request.user.has_perm
    found = {
        "Pages": [Hit(tab["url"], tab["label"]) for tab in Desk(request).nav if text.lower() in tab["label"].lower()]
    }
    if allowed("marketdata.view_instrument"):
        rows = Instrument.objects.filter(Q(symbol__istartswith=text) | Q(name__icontains=text)).order_by("symbol", "id")
        found["Instruments"] = [
            Hit(f"/instruments/{each.pk}/", each.symbol, each.name or each.exchange) for each in rows[:_SHOWN]
        ]
    if allowed("marketdata.view_watchlist"):
        lists = Watchlist.objects.filter(Q(name__icontains=text) | Q(tags__icontains=text))
        found["Watchlists"] = [
            Hit(reverse("watchlist", args=[each.pk]), each.name, each.tags) for each in lists[:_SHOWN]
        ]
    if allowed("strategies.view_backtest"):
        matches = Q(directory__istartswith=text) | Q(tag__icontains=text) | Q(strategy__icontains=text)
        tests = Backtest.objects.listed().filter(matches).order_by("-created")
        found["Backtests"] = [
            Hit(
                f"/backtests/{each.directory}/",
                each.tag or each.strategy,
                f"{each.instruments} · {each.created:%Y-%m-%d}",
            )
            for each in tests[:_SHOWN]
        ]
    return found
