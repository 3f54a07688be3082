"""The list of instruments, with what is held of each."""

from __future__ import annotations

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from domain.instrument import InstrumentKind
from marketdata.models import BarFile, Instrument
from reports.pages.holdings import held_of

_SIZE = 50
BARS = {"held": "with bars", "none": "without bars", "bad": "with damaged files"}


@require_safe
@permission_required("marketdata.view_instrument", raise_exception=True)
def instrument_list(request: HttpRequest) -> HttpResponse:
    given = {name: request.GET.get(name, "").strip()[:64] for name in ("q", "kind", "bars")}
    rows = Instrument.objects.order_by("symbol", "id")
    if given["q"]:
        rows = rows.filter(Q(symbol__istartswith=given["q"]) | Q(name__icontains=given["q"]))
    if given["kind"]:
        rows = rows.filter(kind=given["kind"])
    files = BarFile.objects.filter(instrument=OuterRef("pk"))
    if given["bars"] == "bad":
        rows = rows.filter(Exists(files.filter(quarantined__isnull=False)))
    elif given["bars"] in BARS:
        rows = rows.filter(Exists(files) if given["bars"] == "held" else ~Exists(files))
    after = request.GET.get("after", "")
    if after:
        pk, _, symbol = after.partition("~")
        if not pk.isdecimal() or len(pk) > 18:
            raise BadRequest("`after` names no place in the list")
        rows = rows.filter(symbol__gte=symbol).exclude(symbol=symbol, pk__lte=int(pk))
    found = list(rows[: _SIZE + 1])
    filters = {name: value for name, value in given.items() if value}
    last = found[_SIZE - 1] if len(found) > _SIZE else None
    found = found[:_SIZE]
    held = held_of([each.pk for each in found])
    context = {
        "rows": [{"row": each, "held": held.get(each.pk, [])} for each in found],
        "next": urlencode(filters | {"after": f"{last.pk}~{last.symbol}"}) if last else "",
        "first": urlencode(filters),
        "paged": bool(after),
        "given": given,
        "kinds": [str(kind) for kind in InstrumentKind],
        "bars": BARS,
        "may_import": request.user.has_perm("marketdata.add_barimport"),
    }
    return render(request, "pages/instruments.html", context)
