"""Watchlists: all of them, one with its last prices, and the form that takes pasted symbols."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from domain.errors import BadInput
from marketdata.models import Instrument, Watchlist
from marketdata.services import set_watchlist
from marketdata.symbols import MAX_SYMBOLS, read_symbols, show_symbols
from reports.pages.holdings import held_of, last_closes
from reports.pages.sketch import spark
from tradingsite.history import address_of, recording
from tradingsite.models import ConfigChange

_SIZE = 100


@require_safe
@permission_required("marketdata.view_watchlist", raise_exception=True)
def watchlist_list(request: HttpRequest) -> HttpResponse:
    rows = Watchlist.objects.annotate(size=Count("members")).order_by("name")
    context = {"watchlists": rows, "may_add": request.user.has_perm("marketdata.add_watchlist")}
    return render(request, "pages/watchlists.html", context)


@require_safe
@permission_required("marketdata.view_watchlist", raise_exception=True)
def watchlist_detail(request: HttpRequest, pk: int) -> HttpResponse:
    watchlist = get_object_or_404(Watchlist, pk=pk)
    start = int(start) if (start := request.GET.get("start", "0")).isdecimal() and len(start) < 7 else 0
    members = list(watchlist.members.select_related("instrument")[start : start + _SIZE + 1])
    more, members = len(members) > _SIZE, members[:_SIZE]
    pks = [each.instrument_id for each in members]
    held, last = held_of(pks), last_closes(pks)
    context = {
        "watchlist": watchlist,
        "members": [_member(each.instrument, held, last) for each in members],
        "next": start + _SIZE if more else None,
        "start": start,
        "may_change": request.user.has_perm("marketdata.change_watchlist"),
        "may_test": request.user.has_perm("strategies.add_backtest"),
    }
    return render(request, "pages/watchlist.html", context)


def _member(instrument: Instrument, held: dict[int, Any], last: dict[int, Any]) -> dict[str, Any]:
    prices = last.get(instrument.pk)
    label = f"Last {len(prices.closes)} closes of {instrument.symbol}" if prices else ""
    return {
        "instrument": instrument,
        "held": held.get(instrument.pk, []),
        "last": prices,
        "spark": spark(prices.closes, label) if prices else "",
    }


class WatchlistForm(forms.Form):
    """Pasted symbols become instruments; each that is none is named in the error, with what may have been meant."""

    name = forms.CharField(max_length=64)
    tags = forms.CharField(max_length=200, required=False, help_text="words to find it by, with commas between them")
    symbols = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        max_length=MAX_SYMBOLS * 50,
        required=False,
        help_text="Paste them with commas, spaces, tabs or lines between; in their order. SPY@ARCA names the exchange.",
    )

    def __init__(self, *args: Any, watchlist: Watchlist | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watchlist = watchlist
        self.instruments: list[Instrument] = []

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        same = Watchlist.objects.filter(name=name)
        if (same.exclude(pk=self.watchlist.pk) if self.watchlist else same).exists():
            raise forms.ValidationError(f"There is a watchlist {name!r} already; choose another name or edit that one.")
        return name

    def clean_symbols(self) -> str:
        text: str = self.cleaned_data["symbols"]
        try:
            self.instruments = read_symbols(text)
        except BadInput as error:
            raise forms.ValidationError(str(error)) from error
        return text


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("marketdata.add_watchlist", raise_exception=True)
def watchlist_new(request: HttpRequest) -> HttpResponse:
    form = WatchlistForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _save(request, form, Watchlist())
    return render(request, "pages/watchlist_form.html", {"form": form, "watchlist": None})


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("marketdata.change_watchlist", raise_exception=True)
def watchlist_edit(request: HttpRequest, pk: int) -> HttpResponse:
    watchlist = get_object_or_404(Watchlist, pk=pk)
    if request.method == "POST":
        form = WatchlistForm(request.POST, watchlist=watchlist)
        if form.is_valid():
            return _save(request, form, watchlist)
    else:
        members = [each.instrument for each in watchlist.members.select_related("instrument")]
        shown = {"name": watchlist.name, "tags": watchlist.tags, "symbols": show_symbols(members)}
        form = WatchlistForm(initial=shown, watchlist=watchlist)
    return render(request, "pages/watchlist_form.html", {"form": form, "watchlist": watchlist})


def _save(request: HttpRequest, form: WatchlistForm, watchlist: Watchlist) -> HttpResponse:
    watchlist.name, watchlist.tags = form.cleaned_data["name"], form.cleaned_data["tags"]
    about = {"actor": request.user, "source": ConfigChange.Source.WEB, "address": address_of(request)}
    with recording(watchlist, **about) as touched:
        watchlist.save()
        set_watchlist(name=watchlist.name, instruments=form.instruments)
        touched.append(watchlist)
    messages.success(request, f"{watchlist.name}: {len(form.instruments)} instruments.")
    return redirect("watchlist", watchlist.pk)
