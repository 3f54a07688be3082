"""What is held and missing of one series, and how good it is; the instrument's page loads this after the chart."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from domain.errors import BadInput
from domain.gaps import AbsenceKind, Gaps
from domain.quality import Oddity
from marketdata import calendars, quality, store
from marketdata.contracts import basis_of
from marketdata.holdings import Holding, holdings
from marketdata.models import Instrument, QualityNote, Restatement
from marketdata.previews import gateway_now
from reports import figures
from reports.labels import count, percent
from reports.pages import barpages, coverage
from reports.pages.barpages import Wanted

GAPS_SHOWN = 25
NOTES_SHOWN = 10


@require_safe
@permission_required("marketdata.view_instrument", raise_exception=True)
def coverage_map(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Instrument, pk=pk)
    context: dict[str, Any] = {"instrument": row}
    status = 200
    try:
        wanted = barpages.choose(row, store.coverage(row), request.GET)
        if wanted is not None:
            found = _holding(row, wanted)
            context |= {"wanted": wanted, "held": found.held, "fault": found.fault, "year": ""}
            if found.gaps is not None and found.whole is not None:
                context |= _coverage(found, found.gaps, found.whole, wanted, request.GET.get("year", ""))
                context |= _quality(request, found)
            context["loadable"] = found.held.adjustment == basis_of(row, found.held.what) and row.active
    except BadInput as error:
        context["fault"], status = str(error), 400
    return render(request, "pages/instrument_coverage.html", context, status=status)


def _holding(row: Instrument, wanted: Wanted) -> Holding:
    return next(
        each
        for each in holdings(row, wanted.timeframe, now=gateway_now(timezone.now()))
        if each.held.what == wanted.what and each.held.adjustment == wanted.adjustment
    )


def _coverage(found: Holding, gaps: Gaps, whole: Gaps, wanted: Wanted, year: str) -> dict[str, Any]:
    """`gaps` from the first bar to the last, `whole` also before and after."""
    sessions, absences = calendars.sessions(found.instrument.calendar), found.absences()
    first = coverage.Span(found.since_ns, found.until_ns, found.since_ns if found.before else None)
    context: dict[str, Any] = {}
    if year:
        if not year.isdecimal() or not 1900 <= int(year) < 2200:
            raise BadInput(f"year {year[:20]!r} is none")
        days = coverage.days(whole, sessions, wanted.timeframe, first, int(year), absences)
        context |= {"year": year, "days": days}
    else:
        context["months"] = coverage.months(whole, sessions, wanted.timeframe, first)
    return context | {
        "month_names": coverage.MONTHS,
        "day_numbers": range(1, 32),
        "legend": coverage.legend(whole),
        "expected": count(gaps.expected),
        "held_bars": count(gaps.held),
        "missing": count(int(whole.missing.sum())),
        "share": percent(gaps.coverage, plus=False),
        "since": _stamp(found.since_ns, wanted),
        "until": _stamp(found.until_ns, wanted),
        "before": found.before,
        "after": found.after,
        "closed_days": sum(each.kind is AbsenceKind.CLOSED for each in absences),
        "half_days": sum(each.kind is AbsenceKind.HALF_DAY for each in absences),
        "unexpected": count(found.unexpected),
        "quarantined": found.held.quarantined,
        "gaps": [
            each | {"start": _stamp(each["start"] + 1, wanted), "end": _stamp(each["end"], wanted)}
            for each in coverage.largest(whole, GAPS_SHOWN)
        ],
        "gap_total": count(len(whole)),
    }


def _quality(request: HttpRequest, found: Holding) -> dict[str, Any]:
    """Figures of the series, what looks wrong in it, and when its past was restated."""
    if not request.user.has_perm("marketdata.view_qualitynote"):
        return {}
    (figure,) = quality.figures(found.instrument, [found])
    series = {
        "instrument": found.instrument,
        "timeframe": str(found.held.timeframe),
        "what": str(found.held.what),
    }
    labels = {each.value: each.label for each in Oddity}
    return {
        "quality": figure,
        "kinds": [(labels[kind], number) for kind, number in figure.notes.items()],
        "odd": sum(figure.notes.values()),
        "notes": list(QualityNote.objects.filter(**series)[:NOTES_SHOWN]),
        "restatements": list(Restatement.objects.filter(**series, adjustment=str(found.held.adjustment))[:NOTES_SHOWN]),
    }


def _stamp(moment_ns: int, wanted: Wanted) -> str:
    times = np.array([moment_ns])
    return figures.minutes(times)[0] + " UTC" if wanted.timeframe.is_intraday else figures.dates(times)[0]
