"""Runs of every kind: the list, one run live, cancel and retry."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import yaml
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from marketdata.models import BarImport, GatewayQuestion, Instrument, LoadRun
from reports.models import Report
from reports.pages import kinds, loads
from reports.pages.parts import Part, live_page
from strategies.models import Backtest
from tradingsite import runs
from tradingsite.runs import Run


@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    visible = kinds.visible_kinds(request.user)
    if not visible:
        raise PermissionDenied("You may not see any run; an admin gives the role viewer.")
    kind, state = request.GET.get("kind", ""), request.GET.get("state", "")
    state = state if state in Run.State.values else ""
    chosen = [kinds.kind_named(request.user, kind)] if kind else visible
    before = _place(request.GET.get("before", ""))

    def rows() -> dict[str, Any]:
        found, more = kinds.page_of_runs(chosen, state=state, before=before)
        filters = urlencode({name: value for name, value in (("kind", kind), ("state", state)) if value})
        steps = loads.steps_of(found)
        return {
            "runs": [kinds.summary(run, request.user, steps) for run in found],
            "older": "&".join(each for each in (filters, more) if each) if more else "",
            "newest": filters,
            "paged": before is not None,
            "filtered": bool(kind or state),
        }

    context = {
        "kinds": [(kinds.name_of(model), kinds.label_of(model)) for model in visible],
        "states": Run.State.choices,
        "kind": kind,
        "state": state,
    }
    parts = {"rows": Part("pages/runs/rows.html", rows)}
    if request.user.has_perm("marketdata.view_pacingbudget"):
        parts["budget"] = Part("pages/runs/budget.html", loads.budget)
    return live_page(request, "pages/runs.html", parts, context, every_seconds=0 if before else 5)


@require_safe
def run_detail(request: HttpRequest, kind: str, pk: uuid.UUID) -> HttpResponse:
    run = _find(request, kind, pk)
    model = type(run)
    shared = kinds.summary(run, request.user) | {
        "retryable": run.state in (Run.State.FAILED, Run.State.CANCELLED),
        "max_attempts": run.max_attempts,
        "config": yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True) if run.config else "",
        "leads_to": _result(run),
    }
    parts = {
        "status": Part("pages/runs/status.html", lambda: shared),
        "outcome": Part("pages/runs/import_report.html", lambda: _import_report(run)),
        "load": Part("pages/runs/load.html", lambda: loads.outcome(run)),
        "fetches": Part("pages/runs/fetches.html", lambda: loads.fetches(request, run)),
        "answer": Part("pages/runs/answer.html", lambda: _answer(run)),
        "log": Part("pages/runs/log.html", lambda: {"run": run}),
    }
    context = {"run": run, "kind": kinds.label_of(model), "what": kinds.describe(run), "config": shared["config"]}
    return live_page(request, "pages/run.html", parts, context, every_seconds=0 if run.ended else 2)


@require_POST
def run_cancel(request: HttpRequest, kind: str, pk: uuid.UUID) -> HttpResponse:
    run = _steered(request, kind, pk)
    if runs.cancel(run):
        messages.info(request, "Cancelling: a queued run ends at once, a running one within seconds.")
    else:
        messages.error(request, "This run had ended before; there was nothing to cancel.")
    return redirect("run", kind, pk)


@require_POST
def run_retry(request: HttpRequest, kind: str, pk: uuid.UUID) -> HttpResponse:
    run = _steered(request, kind, pk)
    if runs.retry(run):
        runs.enqueue(run)
        messages.info(request, "Queued again, with its attempts counted anew.")
    else:
        messages.error(request, "Only a failed or cancelled run can be tried again.")
    return redirect("run", kind, pk)


def _find(request: HttpRequest, kind: str, pk: uuid.UUID) -> Run:
    model = kinds.kind_named(request.user, kind)
    return get_object_or_404(model._default_manager.select_related(*kinds.related(model)), pk=pk)


def _steered(request: HttpRequest, kind: str, pk: uuid.UUID) -> Run:
    run = _find(request, kind, pk)
    if not kinds.may_steer(request.user, type(run)):
        raise PermissionDenied("You may not cancel or retry runs; a researcher, trader or admin may.")
    return run


def _place(text: str) -> tuple[dt.datetime, uuid.UUID] | None:
    """A place in the list as `kinds.place_of` wrote it."""
    if not text:
        return None
    created, _, pk = text.partition("~")
    try:
        moment, key = dt.datetime.fromisoformat(created), uuid.UUID(pk)
        if moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError as error:
        raise BadRequest(f"`before` names no place in the list ({error})") from error
    return moment, key


def _result(run: Run) -> tuple[str, str] | None:
    """(address, words) of what the run made, once it is there."""
    if isinstance(run, LoadRun) and run.ended and run.fetched_bars + run.cached_before:
        return f"/instruments/{run.instrument_id}/?timeframe={run.timeframe}&what={run.what}", "See the bars"
    if run.state != Run.State.SUCCEEDED:
        return None
    if isinstance(run, Backtest):
        return f"/backtests/{run.directory}/", "See the result"
    if isinstance(run, Report):
        return f"/backtests/{run.backtest.directory}/", "See the backtest"
    if isinstance(run, GatewayQuestion) and run.instrument_id is not None:
        return f"/instruments/{run.instrument_id}/", "See the instrument"
    return None


def _answer(run: Run) -> dict[str, Any] | None:
    """What IB said, where the run is a question."""
    if not isinstance(run, GatewayQuestion):
        return None
    said = run.answer
    return {"run": run, "answer": "" if said is None else yaml.safe_dump(said, sort_keys=False, allow_unicode=True)}


def _import_report(run: Run) -> dict[str, Any] | None:
    """What a file's rows became; each series with its instrument, where it is still called so."""
    if not isinstance(run, BarImport) or run.report is None:
        return None
    symbols = {series["symbol"] for series in run.report["series"]}
    held = {each.symbol: each for each in Instrument.objects.active().filter(symbol__in=symbols)}
    series = [each | {"instrument": held.get(each["symbol"])} for each in run.report["series"]]
    return {"report": run.report, "series": series}
