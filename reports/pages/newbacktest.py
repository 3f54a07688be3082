"""Asking for a backtest: from nothing, from a strategy configuration, or again with edits."""

from __future__ import annotations

import re
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from domain.errors import BadInput
from marketdata.models import Watchlist
from reports.pages.backtestform import BacktestForm
from strategies import registry
from strategies.backtests import queue_backtest
from strategies.models import Backtest, StrategyConfig
from strategies.services import config_of
from tradingsite import runs

_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}")


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required(("strategies.view_backtest", "strategies.add_backtest"), raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    faults = registry.load(settings.PLUGINS_DIR)
    known = list(registry.entries())
    values, origin, fault = _source(request)
    held = str((values.get("strategy") or {}).get("name") or "")
    name = request.POST.get("strategy") or request.GET.get("strategy") or held or known[0]
    try:
        strategy = registry.get(name)
    except BadInput as error:
        strategy, fault = registry.get(known[0]), str(error)
    if strategy.label() != held:
        values = {**values, "strategy": {"name": strategy.label(), "params": {}}}
    if request.method == "POST" and "reload" in request.POST:
        query = request.GET.copy()
        query["strategy"] = strategy.label()
        return redirect(f"{request.path}?{query.urlencode()}")
    if request.method == "POST" and not fault:
        form = BacktestForm(strategy, values, known, data=request.POST)
        row = _started(request, form)
        if row is not None:
            return redirect("backtest", row.directory)
        status = 422
    else:
        form = BacktestForm(strategy, values, known, initial={"token": secrets.token_urlsafe(24)})
        status = 400 if fault else 200
    context = {
        "form": form,
        "strategy": strategy,
        "about": (strategy.__doc__ or "").strip(),
        "origin": origin,
        "fault": fault,
        "faults": faults,
        "query": request.GET.urlencode(),
    }
    return render(request, "pages/backtest_new.html", context, status=status)


def _source(request: HttpRequest) -> tuple[dict[str, Any], str, str]:
    """The values to begin with, what they were taken from, and why that could not be."""
    run_id, config = request.GET.get("from", ""), request.GET.get("config", "")
    if run_id:
        row = get_object_or_404(Backtest, directory=run_id)
        return dict(row.config), f"run {row.run_id}", ""
    if config:
        if not config.isdecimal() or len(config) > 18:
            raise Http404("no such strategy configuration")
        held = get_object_or_404(StrategyConfig.objects.select_related("watchlist", "risk_profile"), pk=int(config))
        try:
            return config_of(held).model_dump(mode="json"), f"strategy configuration {held.name}", ""
        except BadInput as error:
            return {}, "", str(error)
    chosen = {"symbols": request.GET.get("symbols", "")[:2_000], "watchlist": request.GET.get("watchlist", "")}
    if chosen["watchlist"] and not Watchlist.objects.filter(name=chosen["watchlist"]).exists():
        raise Http404("no such watchlist")
    return chosen, "", ""


def _started(request: HttpRequest, form: BacktestForm) -> Backtest | None:
    """The run that this form stands for: sent twice, it is the same one. None where the form is not right."""
    token = request.POST.get("token", "")
    is_valid = form.is_valid()
    if not _TOKEN.fullmatch(token):
        form.add_error(None, "This page is too old or was changed: load it again.")
        return None
    key = f"page {request.user.pk} {token}"
    held = Backtest.objects.filter(effect_key=key).first()
    if held is not None or not is_valid or form.config is None:
        return held
    try:
        row = queue_backtest(
            form.config,
            origin=Backtest.Origin.WEB,
            started_by=request.user,
            tag=form.cleaned_data["tag"],
            notes=form.cleaned_data["notes"],
            effect_key=key,
        )
    except BadInput as error:
        form.add_error(None, str(error))
        return None
    except IntegrityError:
        held = Backtest.objects.filter(effect_key=key).first()
        if held is None:
            raise
        return held
    runs.enqueue(row)
    return row
