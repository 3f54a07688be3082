"""The page of one backtest: its progress while it is open, then what came out of it; its files; what steers it."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from domain.errors import BadInput
from reports import figures, tearsheet
from reports.csvcells import csv_of
from reports.labels import count, label, metric, moment, money
from reports.ledgers import LEDGERS, Ledgers, read_ledgers, without_splits
from reports.models import Report
from reports.pages.backtests import short_parameters, who
from reports.pages.parts import Part, live_page
from reports.performance import buy_and_hold, by_instrument
from reports.services import queue_report
from strategies.backtests import run_directory
from strategies.models import Backtest
from tradingsite import runs

# The report brings its own scripts, which may do nothing here: no cookie, no request, no other page.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = (*sorted(LEDGERS), "bars")
TEXTS = {"summary.json": "application/json", "run.json": "application/json", "log.jsonl": "text/plain; charset=utf-8"}
ACTIONS = ("cancel", "retry", "archive", "restore", "describe", "make-report")
MOST_NOTES = 2_000


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def backtest(request: HttpRequest, run_id: str) -> HttpResponse:
    row = _find(run_id)
    if not row.ended:
        parts = {"progress": Part("pages/backtest_progress.html", lambda: _progress(row))}
        return live_page(request, "pages/backtest.html", parts, _about(row), every_seconds=2)
    if any(part.startswith("progress:") for part in request.GET.getlist("part")):
        # The page was loaded while the run was open, and looks different now.
        return HttpResponse(headers={"HX-Refresh": "true"})
    report = row.reports.order_by("-created").first()
    parts = {"report": Part("pages/backtest_report.html", lambda: _report(row, report))}
    context = _about(row)
    if row.state == Backtest.State.SUCCEEDED:
        try:
            context |= _outcome(str(run_directory(row)), row.result_hash)
        except BadInput as error:
            context["fault"] = str(error)
    waits = report is not None and not report.ended
    return live_page(request, "pages/backtest.html", parts, context, every_seconds=2 if waits else 0)


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def report(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """The report as it lies in the run's directory, shut off from the site that serves it."""
    response = _serve(_find(run_id), "report.html", "text/html; charset=utf-8")
    response["Content-Security-Policy"] = REPORT_POLICY
    return response


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def download(request: HttpRequest, run_id: str, name: str) -> HttpResponseBase:
    """A ledger as .csv or .parquet, or one of TEXTS."""
    row = _find(run_id)
    stem, _, kind = name.rpartition(".")
    if name in TEXTS:
        return _serve(row, name, TEXTS[name], save_as=f"{row.directory}-{name}")
    if stem not in FILES or kind not in ("csv", "parquet"):
        raise Http404(f"no file {name[:40]!r}")
    if kind == "parquet":
        return _serve(row, name, "application/vnd.apache.parquet", save_as=f"{row.directory}-{name}")
    # The first piece is read now: a damaged file is an error page and not half a download.
    pieces = csv_of(_path(row, f"{stem}.parquet"))
    try:
        first = next(pieces)
    except BadInput as error:
        raise Http404(str(error)) from error
    encoded = (piece.encode() for piece in chain([first], pieces))
    response = StreamingHttpResponse(encoded, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{row.directory}-{name}"'
    return response


@require_POST
def steer(request: HttpRequest, run_id: str, action: str) -> HttpResponse:
    """Cancel, retry, archive, restore or describe a run, or ask for its report."""
    wanted = "reports.add_report" if action == "make-report" else "strategies.change_backtest"
    if not request.user.has_perms(("strategies.view_backtest", wanted)):
        raise PermissionDenied
    row = _find(run_id)
    rows = Backtest.objects.filter(pk=row.pk)
    if action == "cancel":
        done, text = runs.cancel(row), "It will be cancelled."
    elif action == "retry":
        done, text = runs.retry(row), "Queued again."
        if done:
            runs.enqueue(row)
    elif action in ("archive", "restore"):
        done = bool(rows.update(archived=action == "archive"))
        text = "Archived: lists leave it out." if action == "archive" else "Lists show it again."
    elif action == "describe":
        tag, notes = request.POST.get("tag", "").strip(), request.POST.get("notes", "").strip()
        done, text = bool(rows.update(tag=tag[:64], notes=notes[:MOST_NOTES])), "Saved."
    else:
        done, text = _ask_for_report(request, row), "The report is being made."
    if done:
        messages.success(request, text)
    else:
        messages.error(request, f"Nothing was done: the run is {row.get_state_display()}.")
    return redirect("backtest", row.directory)


def _ask_for_report(request: HttpRequest, row: Backtest) -> bool:
    if row.state != Backtest.State.SUCCEEDED:
        return False
    open_states = (Report.State.QUEUED, Report.State.RUNNING)
    if not row.reports.filter(state__in=open_states).exists():
        runs.enqueue(queue_report(row, origin=Report.Origin.WEB, started_by=request.user))
    return True


# ---- files -------------------------------------------------------------------------------------------------------


def _find(run_id: str) -> Backtest:
    return get_object_or_404(Backtest.objects.select_related("started_by", "strategy_config"), directory=run_id)


def _path(row: Backtest, name: str) -> Path:
    """A file of the run's directory; 404 where there is none, or where the row names a place outside RUNS_DIR."""
    path = run_directory(row) / name
    if Path(settings.RUNS_DIR).resolve() not in path.resolve().parents or not path.is_file():
        raise Http404(f"run {row.directory} has no {name}")
    return path


def _serve(row: Backtest, name: str, content_type: str, save_as: str = "") -> FileResponse:
    path = _path(row, name)
    return FileResponse(path.open("rb"), content_type=content_type, as_attachment=bool(save_as), filename=save_as)


# ---- what the page shows -----------------------------------------------------------------------------------------


def _about(row: Backtest) -> dict[str, Any]:
    strategy = row.config.get("strategy") if isinstance(row.config, dict) else None
    parameters = strategy.get("params") if isinstance(strategy, dict) else None
    return {
        "row": row,
        "run_id": row.run_id,
        "who": who(row),
        "symbols": row.instruments,
        "short_parameters": short_parameters(parameters),
        "files": [] if not run_directory(row).is_dir() else FILES,
        "has_ended": row.ended,
        "can_retry": row.state in (Backtest.State.FAILED, Backtest.State.CANCELLED),
    }


def _progress(row: Backtest) -> dict[str, Any]:
    return {"row": row, "percent": f"{100 * row.progress:.0f}"}


def _report(row: Backtest, latest: Report | None) -> dict[str, Any]:
    """Whether there is a report, one is being made, or the last attempt failed."""
    return {
        "row": row,
        "run_id": row.run_id,
        "has_report": (run_directory(row) / "report.html").is_file(),
        "report": latest,
        "is_waiting": latest is not None and not latest.ended,
        "succeeded": row.state == Backtest.State.SUCCEEDED,
    }


@lru_cache(maxsize=16)
def _outcome(folder: str, result_hash: str) -> dict[str, Any]:
    """What the ledgers say. They never change under one result hash, and reading the bars is most of the work."""
    ledgers = read_ledgers(Path(folder))
    summary, equity = ledgers.summary, ledgers.equity
    cash = float(summary["cash"])
    traded = _traded_bars(ledgers)
    benchmark = buy_and_hold(traded, equity["time"], cash)
    rows = by_instrument(traded, ledgers.fills, ledgers.trades)
    halted = summary.get("halted_at") or ""
    chart = None
    if equity.rows > 1:
        chart = figures.equity_figure(
            equity,
            benchmark,
            cash,
            intraday=ledgers.timeframe.is_intraday,
            halted=halted[:16].replace("T", " ") or None,
        )
    return {
        "summary": summary,
        "cards": tearsheet.cards(summary, benchmark, cash),
        "metrics": [(label(name), metric(name, value)) for name, value in summary["metrics"].items()],
        "chart": chart,
        "halted_at": moment(halted),
        "instruments": [tearsheet.instrument_cells(each) for each in rows],
        "denied": tearsheet.denials(ledgers.orders),
        "costs": tearsheet.cost_rows(summary, cash),
        "parameters": [(name, tearsheet.plain(value)) for name, value in summary["strategy"]["params"].items()],
        "config": tearsheet.pretty(summary["config"]),
        "cash": money(cash),
        "first": moment(summary["period"]["start"]),
        "last": moment(summary["period"]["end"]),
        "bars": count(summary["period"]["bars"]),
        "git_sha": ledgers.run.get("git_sha") or "",
        "versions": sorted(ledgers.run.get("versions", {}).items()),
    }


def _traded_bars(ledgers: Ledgers) -> dict[str, Any]:
    """The bars from the run's first moment on, in shares of the last bar."""
    begin = int(ledgers.equity["time"][0]) if ledgers.equity.rows else 0
    bars = {name: without_splits(each, ledgers.units[name]) for name, each in ledgers.bars.items() if len(each)}
    return {name: each[int(np.searchsorted(each.end, begin)) :] for name, each in bars.items()}
