"""The list of backtests, and what is done with several of them at once."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import F, OrderBy, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from reports.labels import NOTHING, metric, number
from reports.tearsheet import tone
from strategies.models import Backtest

ROWS_ON_PAGE = 50
LAST_PAGE = 400
MOST_AT_ONCE = 100
TAGS_FROM_NEWEST = 500
SYMBOLS_SHOWN = 4
MOST_COMPARED = 8


def _most(field: str) -> OrderBy:
    return F(field).desc(nulls_last=True)


SORTS: dict[str, tuple[str, tuple[str | OrderBy, ...]]] = {
    "newest": ("newest first", ("-created", "pk")),
    "oldest": ("oldest first", ("created", "pk")),
    "return": ("best return", (_most("total_return"), "-created", "pk")),
    "drawdown": ("smallest drawdown", (_most("max_drawdown"), "-created", "pk")),
    "sharpe": ("best Sharpe", (_most("sharpe"), "-created", "pk")),
    "trades": ("most trades", (_most("trades"), "-created", "pk")),
}


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def backtests(request: HttpRequest) -> HttpResponse:
    found, asked = _filtered(request)
    page = _whole(request.GET.get("page", ""), LAST_PAGE)
    # One more than is shown says whether there is another page; a COUNT would read every row.
    rows = list(found[(page - 1) * ROWS_ON_PAGE : page * ROWS_ON_PAGE + 1])
    shown = [cells(row) for row in rows[:ROWS_ON_PAGE]]
    return render(
        request,
        "pages/backtests.html",
        {
            "rows": shown,
            "open_runs": [each["run_id"] for each in shown if each["open"]],
            "asked": asked,
            "is_filtered": any(value for name, value in asked.items() if name != "sort"),
            "states": Backtest.State.choices,
            "strategies": Backtest.objects.values_list("strategy", flat=True).distinct().order_by("strategy"),
            "tags": _tags(asked["tag"]),
            "sorts": [(name, label) for name, (label, _) in SORTS.items()],
            "page": page,
            "earlier": _url(request, page=str(page - 1)) if page > 1 else "",
            "later": _url(request, page=str(page + 1)) if len(rows) > ROWS_ON_PAGE and page < LAST_PAGE else "",
            "columns": [{"label": label, "sort": sort, "url": _url(request, sort=sort)} for _, label, sort in COLUMNS],
        },
    )


@require_safe
@permission_required("strategies.view_backtest", raise_exception=True)
def open_rows(request: HttpRequest) -> HttpResponse:
    """Rows of the list that had not ended when the page last heard of them."""
    wanted = request.GET.getlist("run")[:MOST_AT_ONCE]
    rows = [cells(row) for row in _listed(Backtest.objects.filter(directory__in=wanted))]
    still_open = [each["run_id"] for each in rows if each["open"]]
    return render(request, "pages/backtests_open.html", {"rows": rows, "open_runs": still_open})


@require_POST
@permission_required("strategies.view_backtest", raise_exception=True)
def selected(request: HttpRequest) -> HttpResponse:
    """Compare, archive, restore or tag the rows that are ticked."""
    action = request.POST.get("action", "")
    run_ids = request.POST.getlist("run")[:MOST_AT_ONCE]
    back = request.POST.get("back", "")
    # A path, since anything else is taken for the name of a view.
    if not back.startswith("/") or not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = reverse("backtests")
    if not run_ids:
        messages.error(request, "No backtest is ticked.")
        return redirect(back)
    if action == "compare":
        return redirect(f"{reverse('backtest_compare')}?{urlencode([('run', each) for each in run_ids])}")
    if not request.user.has_perm("strategies.change_backtest"):
        raise PermissionDenied
    rows = Backtest.objects.filter(directory__in=run_ids)
    if action in ("archive", "restore"):
        changed = rows.update(archived=action == "archive")
        messages.success(request, f"{changed} {'archived' if action == 'archive' else 'restored'}.")
    elif action == "tag":
        tag = request.POST.get("tag", "").strip()[:64]
        changed = rows.update(tag=tag)
        messages.success(request, f"{changed} tagged {tag!r}." if tag else f"{changed} without a tag now.")
    else:
        messages.error(request, f"Unknown action {action[:20]!r}.")
    return redirect(back)


# ---- rows --------------------------------------------------------------------------------------------------------

COLUMNS = (
    ("total_return", "Return", "return"),
    ("max_drawdown", "Drawdown", "drawdown"),
    ("sharpe", "Sharpe", "sharpe"),
    ("trades", "Trades", "trades"),
)


def cells(row: Backtest) -> dict[str, Any]:
    """A row as the list shows it; `row` comes from `_listed`."""
    symbols = row.instruments.split(", ")
    more = len(symbols) - SYMBOLS_SHOWN
    parameters: Any = getattr(row, "parameters", None)
    return {
        "row": row,
        "run_id": row.run_id,
        "open": not row.ended,
        "symbols": ", ".join(symbols[:SYMBOLS_SHOWN]) + (f" and {more} more" if more > 0 else ""),
        "parameters": short_parameters(parameters),
        "percent": f"{100 * row.progress:.0f}",
        "who": who(row),
        "figures": [
            {
                "label": label,
                "text": NOTHING if getattr(row, name) is None else metric(name, getattr(row, name)),
                "tone": tone(row.total_return) if name == "total_return" else "",
            }
            for name, label, _ in COLUMNS
        ],
    }


def short_parameters(parameters: Any) -> str:
    if not isinstance(parameters, dict):
        return ""
    texts = [
        f"{name} {number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _brief(value)}"
        for name, value in parameters.items()
    ]
    return ", ".join(texts)[:200]


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else text[:23] + "…"


def who(row: Backtest) -> str:
    return row.started_by.get_username() if row.started_by else row.get_origin_display()


def _listed(rows: QuerySet[Backtest]) -> QuerySet[Backtest]:
    """With the one part of `config` that the list shows; the whole of it is a page of text a row."""
    return (
        rows.select_related("started_by")
        .defer("config", "log_tail", "notes", "error")
        .annotate(parameters=F("config__strategy__params"))
    )


def _tags(asked: str) -> list[str]:
    """Those of the newest rows: to find all of them would read every row."""
    newest = Backtest.objects.order_by("-created").values_list("tag", flat=True)[:TAGS_FROM_NEWEST]
    return sorted({*newest, asked} - {""})


# ---- what is asked -----------------------------------------------------------------------------------------------


def _filtered(request: HttpRequest) -> tuple[QuerySet[Backtest], dict[str, str]]:
    asked = {name: request.GET.get(name, "").strip()[:80] for name in ("q", "strategy", "state", "tag", "archived")}
    asked["sort"] = request.GET.get("sort", "newest")
    if asked["sort"] not in SORTS:
        asked["sort"] = "newest"
    rows = Backtest.objects.filter(archived=bool(asked["archived"]))
    for name in ("strategy", "state", "tag"):
        if asked[name]:
            rows = rows.filter(**{name: asked[name]})
    if asked["q"]:
        text = asked["q"]
        rows = rows.filter(
            Q(directory__istartswith=text)
            | Q(strategy__icontains=text)
            | Q(instruments__icontains=text)
            | Q(tag__icontains=text)
            | Q(notes__icontains=text)
        )
    return _listed(rows).order_by(*SORTS[asked["sort"]][1]), asked


def _url(request: HttpRequest, **changes: str) -> str:
    query = request.GET.copy()
    query.pop("page", None)
    for name, value in changes.items():
        query[name] = value
    return f"?{query.urlencode()}"


def _whole(text: str, most: int) -> int:
    return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 9 else 1
