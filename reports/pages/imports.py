"""Handing in a file of bars."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from domain.adjustments import DividendConvention
from domain.bars import Adjustment
from domain.errors import BadInput
from domain.instrument import InstrumentKind
from domain.timeframe import Timeframe
from marketdata.import_options import SESSIONS, STAMPS
from marketdata.models import BarImport, What
from marketdata.uploads import MAX_UPLOAD_BYTES, queue_import
from reports.pages import kinds
from tradingsite.runs import Run, enqueue

_LATEST = 12


def _among(names: Any, empty: str = "") -> list[tuple[str, str]]:
    return [*([("", empty)] if empty else []), *[(str(name), str(name)) for name in names]]


class ImportForm(forms.Form):
    """The options of `marketdata.import_options`, and the file. What is left open is read from the file."""

    file = forms.FileField(
        label="File",
        help_text=f"CSV or Parquet, up to {MAX_UPLOAD_BYTES >> 20} MiB",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,.tsv,.gz,.zip,.parquet,.pq"}),
    )
    symbol = forms.CharField(max_length=32, required=False, help_text="empty: from the file or its name")
    timeframe = forms.ChoiceField(choices=_among(Timeframe, "from the file"), required=False)
    adjustment = forms.ChoiceField(
        choices=_among(Adjustment), required=False, initial="raw", help_text="what was done to the prices"
    )
    tz = forms.CharField(
        label="Time zone", max_length=40, required=False, help_text="of times without one, such as America/New_York"
    )
    kind = forms.ChoiceField(choices=_among(InstrumentKind, "stock, if it is new"), required=False)
    exchange = forms.CharField(max_length=16, required=False, help_text="empty: SMART")
    currency = forms.CharField(max_length=3, required=False, help_text="empty: USD")
    calendar = forms.CharField(max_length=32, required=False, help_text="empty: that of the exchange; such as XNYS")
    stamp = forms.ChoiceField(
        label="Times are", choices=_among(STAMPS), required=False, help_text="of which end of the bar"
    )
    session = forms.ChoiceField(
        label="Sessions", choices=_among(SESSIONS), required=False, help_text="all keeps bars outside regular hours"
    )
    what = forms.ChoiceField(label="Prices are", choices=What.choices, required=False)
    columns = forms.CharField(
        max_length=400, required=False, help_text="field=column, with commas: close=Last Price, volume=Vol"
    )
    adj_close = forms.CharField(label="Adjusted close", max_length=64, required=False, help_text="its column")
    derive_actions = forms.ChoiceField(
        label="Derive splits and dividends",
        choices=_among(DividendConvention, "no"),
        required=False,
        help_text="from the adjusted close, by this convention",
    )
    since = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text="first day kept")
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}), help_text="last day kept")
    strict = forms.BooleanField(required=False, label="Strict", help_text="one bad row refuses the whole file")

    FIRST = ("symbol", "timeframe", "adjustment", "tz")

    def options(self) -> dict[str, Any]:
        given = {name: value for name, value in self.cleaned_data.items() if name != "file"}
        return given | {name: given[name] and given[name].isoformat() for name in ("since", "until")}

    def first_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FIRST]

    def other_fields(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in (*self.FIRST, "file")]

    def opens_others(self) -> bool:
        """Whether something stands in the part that is folded at first."""
        return any(field.errors or (self.is_bound and field.data) for field in self.other_fields())


@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("marketdata.view_barimport", raise_exception=True)
def import_new(request: HttpRequest) -> HttpResponse:
    """The form, and the latest imports beside it."""
    may_add = request.user.has_perm("marketdata.add_barimport")
    if request.method == "POST":
        if not may_add:
            raise PermissionDenied("You may not import bars; a researcher, trader or admin may.")
        form = ImportForm(request.POST, request.FILES)
        if form.is_valid():
            run = _queue(request, form)
            if run is not None:
                return redirect("run", kinds.name_of(BarImport), run.pk)
    else:
        form = ImportForm(initial={"symbol": request.GET.get("symbol", "")[:32]})
    latest = kinds.listed(BarImport).order_by("-created")[:_LATEST]
    context = {
        "form": form,
        "may_add": may_add,
        "latest": [kinds.summary(run, request.user) for run in latest],
    }
    return render(request, "pages/import.html", context, status=400 if form.errors else 200)


def _queue(request: HttpRequest, form: ImportForm) -> BarImport | None:
    """The queued import; None where an option cannot be, and then the form says which."""
    file: UploadedFile[Any] = form.cleaned_data["file"]
    try:
        run = queue_import(
            name=file.name or "upload",
            chunks=file.chunks(),
            options=form.options(),
            origin=Run.Origin.WEB,
            started_by=request.user,
        )
    except BadInput as error:
        form.add_error(_field_of(error, form), str(error))
        return None
    enqueue(run)
    return run


def _field_of(error: BadInput, form: ImportForm) -> str | None:
    """The field that an error is about, where its text names one first."""
    text = str(error)
    words = text.removeprefix("unknown ").split()
    if "time zone" in text:
        return "tz"
    return words[0].rstrip(":") if words and words[0].rstrip(":") in form.fields else None
