"""The page of one instrument: chart, what is held of it and what is missing, files, corporate actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from domain.errors import BadInput
from execution.models import Fill
from marketdata import calendars, store
from marketdata.errors import StoreError
from marketdata.models import BarFile, CorporateAction, Instrument
from marketdata.moments import as_ns
from reports import figures
from reports.labels import count, number, percent, signed
from reports.ledgers import read_ledger
from reports.pages import barpages, charts, loads
from reports.pages.barpages import RANGES, BarPage, Wanted, as_datetime, iso
from reports.pages.indicators import INDICATORS, Chosen, read_indicators
from strategies.backtests import run_directory
from strategies.models import Backtest

ROWS_SHOWN = 200
RUNS_OFFERED = 20
ZONES = {"utc": "UTC", "exchange": "Exchange time"}


@require_safe
@permission_required("marketdata.view_instrument", raise_exception=True)
def instrument(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Instrument, pk=pk)
    held = store.coverage(row)
    context: dict[str, Any] = {
        "instrument": row,
        "series": [_series_row(each) for each in held],
        "files": BarFile.objects.filter(instrument=row).order_by("timeframe", "what", "adjustment", "-partition")[
            :ROWS_SHOWN
        ],
        "actions": list(CorporateAction.objects.of(row).reverse()[:ROWS_SHOWN]),
        "rows_shown": ROWS_SHOWN,
    }
    status = 200
    try:
        context |= _chart_part(request, row, held)
    except BadInput as error:
        context["fault"], status = str(error), 400
    except StoreError as error:
        context["fault"] = str(error)
    context["facts"] = _facts(row, held)
    context |= loads.of_instrument(request, row)
    return render(request, "pages/instrument.html", context, status=status)


def _facts(row: Instrument, held: list[store.Coverage]) -> dict[str, Any]:
    """What stands in the head of the page: the last two closes, of days where they are held."""
    wanted = barpages.choose(row, held, {})
    if wanted is None:
        return {}
    facts: dict[str, Any] = {"last_bar": max(each.end for each in held if each.rows)}
    try:
        page = barpages.read_page(row, wanted)
    except (BadInput, StoreError):  # what is wrong with it the chart has said
        return facts
    close = page.bars.close[-2:]
    facts |= {
        "close": number(float(close[-1])),
        "timeframe": wanted.timeframe,
        "day": figures.dates(page.bars.end[-1:])[0],
    }
    if len(close) == 2:
        share = float(close[1] / close[0] - 1.0)
        facts |= {
            "change": signed(float(close[1] - close[0]), 2),
            "change_share": percent(share),
            "tone": "gain" if share > 0 else "loss" if share < 0 else "",
        }
    return facts


def _series_row(held: store.Coverage) -> dict[str, Any]:
    return held._asdict() | {"rows": count(held.rows), "megabytes": number(held.bytes / 1e6, 2)}


# ---- the chart ---------------------------------------------------------------------------------------------------


def _chart_part(request: HttpRequest, row: Instrument, held: list[store.Coverage]) -> dict[str, Any]:
    wanted = barpages.choose(row, held, request.GET)
    if wanted is None:
        return {}
    chosen = read_indicators(request.GET)
    zone = request.GET.get("zone", "utc")
    if zone not in ZONES:
        raise BadInput(f"zone {zone[:20]!r}: expected one of {', '.join(ZONES)}")
    page = barpages.read_page(row, wanted)
    shown = page.shown
    clock = wanted.timeframe.is_intraday and not page.merged.endswith(("day", "week", "month", "year"))
    labels = barpages.labels(shown, calendars.sessions(row.calendar) if zone == "exchange" else None, clock=clock)
    run = _chosen_run(request)
    marks, notes = _marks(request, row, wanted, page, run)
    figure = charts.price_chart(
        page.bars, page.first, labels, indicators=chosen, marks=marks, actions=_actions_in(row, page)
    )
    panes = {INDICATORS[each.name].pane for each in chosen} - {""}
    notes = [*_notes(page, chosen), *notes]
    return {
        "figure": figure,
        "panes": min(len(panes), 6),
        "wanted": wanted,
        "first": labels[0],
        "last": labels[-1],
        "shown": count(len(shown)),
        "zone_name": "UTC" if zone == "utc" else f"time of the exchange ({row.calendar})",
        "notes": notes,
        "run": run,
        "controls": _controls(request, wanted, held, page, zone),
        "indicators": [
            {
                "name": name,
                "label": each.label,
                "usual": each.usual,
                "value": request.GET.get(name, ""),
                "pane": each.pane,
            }
            for name, each in INDICATORS.items()
        ],
        "kept": [(name, value) for name, value in request.GET.items() if name not in INDICATORS],
        "kept_for_run": [(name, value) for name, value in request.GET.items() if name != "run"],
        "runs": _runs_of(request, row),
        "query": request.GET.urlencode(),
    }


def _notes(page: BarPage, chosen: list[Chosen]) -> list[str]:
    if not page.merged:
        return []
    notes = [f"There are too many bars for one picture: each candle is {page.merged} of them (UTC)."]
    if chosen:
        notes.append("Indicators are computed on these candles.")
    return notes


def _controls(
    request: HttpRequest, wanted: Wanted, held: list[store.Coverage], page: BarPage, zone: str
) -> list[dict[str, Any]]:
    """The switches above the chart: each with its links, the one that counts marked."""

    def links(name: str, choices: dict[str, str], current: str, *drops: str) -> list[dict[str, Any]]:
        return [
            {"url": _url(request, *drops, **{name: value}), "label": label, "current": value == current}
            for value, label in choices.items()
        ]

    frames = {str(each.timeframe): str(each.timeframe) for each in held if each.rows}
    same = [each for each in held if each.rows and each.timeframe is wanted.timeframe]
    whats = {str(each.what): str(each.what) for each in same}
    bases = {str(each.adjustment): str(each.adjustment) for each in same if each.what == wanted.what}
    found = [{"label": "Timeframe", "links": links("timeframe", frames, str(wanted.timeframe), "what", "adjustment")}]
    if len(whats) > 1:
        found.append({"label": "Prices", "links": links("what", whats, str(wanted.what), "adjustment")})
    if len(bases) > 1:
        found.append({"label": "Adjusted", "links": links("adjustment", bases, str(wanted.adjustment))})
    ranges = {"": f"{barpages.USUAL_BARS} bars"} | {name: name for name in RANGES}
    found.append({"label": "Range", "links": links("range", ranges, wanted.range, "after")})
    if wanted.timeframe.is_intraday:
        found.append({"label": "Times", "links": links("zone", ZONES, zone)})
    shown = page.shown
    moves = [
        ("Older", page.older, {"before": iso(int(shown.start[0]))}, "after"),
        ("Newer", page.newer, {"after": iso(int(shown.start[-1]))}, "before"),
        ("Newest", page.newer, {}, "before"),
    ]
    found.append(
        {
            "label": "Move",
            "links": [
                {"url": _url(request, drop, "after", **change) if possible else "", "label": label, "current": False}
                for label, possible, change, drop in moves
            ],
        }
    )
    return found


def _url(request: HttpRequest, *drops: str, **changes: str) -> str:
    query = request.GET.copy()
    for name in drops:
        query.pop(name, None)
    for name, value in changes.items():
        query[name] = value
    if "after" in changes:
        query.pop("range", None)
    return f"?{query.urlencode()}"


# ---- what is marked on it ----------------------------------------------------------------------------------------


def _chosen_run(request: HttpRequest) -> Backtest | None:
    run_id = request.GET.get("run", "").strip()
    if not run_id or not request.user.has_perm("strategies.view_backtest"):
        return None
    return Backtest.objects.named(run_id)


def _runs_of(request: HttpRequest, row: Instrument) -> list[Backtest]:
    """The newest backtests whose instruments name this one."""
    if not request.user.has_perm("strategies.view_backtest"):
        return []
    found = Backtest.objects.listed().filter(state=Backtest.State.SUCCEEDED, instruments__contains=row.symbol)
    mine = [each for each in found[: 5 * RUNS_OFFERED] if row.symbol in each.instruments.split(", ")]
    return mine[:RUNS_OFFERED]


def _marks(
    request: HttpRequest, row: Instrument, wanted: Wanted, page: BarPage, run: Backtest | None
) -> tuple[charts.Marks | None, list[str]]:
    """Fills among the bars shown: those of a backtest where one is chosen, else what was really traded."""
    lo, hi = int(page.shown.start[0]), int(page.shown.end[-1])
    if run is None:
        return (_traded(row, lo, hi), []) if request.user.has_perm("execution.view_fill") else (None, [])
    try:
        fills = read_ledger(run_directory(run), "fills")
    except BadInput as error:
        return None, [f"The fills of run {run.run_id} cannot be read: {error}"]
    mine = np.array(fills["instrument"], dtype=object) == row.symbol
    rows = np.flatnonzero(mine & (fills["time"] >= lo) & (fills["time"] < hi))
    shown = rows[-figures.MARKERS :]
    marks = {name: np.asarray(fills[name])[shown] for name in ("time", "quantity", "price")}
    marks["sign"] = np.array([1 if fills["side"][each] == "buy" else -1 for each in shown.tolist()], np.int64)
    notes = [f"{count(len(shown))} of {count(int(mine.sum()))} fills of run {run.run_id} are marked."]
    basis = (run.config.get("data") or {}).get("adjustment") or "raw"
    if basis != wanted.adjustment and len(shown):
        marks["price"] = page.shown.close[figures.bar_rows(page.shown, marks["time"])]
        notes.append(f"The run traded {basis} prices: its marks stand at the closes of the bars shown.")
    return marks, notes


def _traded(row: Instrument, lo: int, hi: int) -> charts.Marks:
    found = Fill.objects.filter(instrument=row, time__gte=as_datetime(lo), time__lt=as_datetime(hi))
    rows = list(found.order_by("-time").values_list("time", "quantity", "price", "side")[: figures.MARKERS])[::-1]
    return {
        "time": np.array([as_ns(time) for time, *_ in rows], np.int64),
        "quantity": np.array([float(quantity) for _, quantity, _, _ in rows]),
        "price": np.array([float(price) for _, _, price, _ in rows]),
        "sign": np.array([1 if side == "buy" else -1 for *_, side in rows], np.int64),
    }


def _actions_in(row: Instrument, page: BarPage) -> list[CorporateAction]:
    first, last = figures.dates(np.array([page.shown.start[0] + 1, page.shown.end[-1]]))
    found = CorporateAction.objects.of(row).filter(ex_date__gte=first, ex_date__lte=last)
    return list(found.order_by("-ex_date")[:ROWS_SHOWN])[::-1]
