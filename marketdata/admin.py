from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Model, Prefetch, QuerySet
from django.http import HttpRequest

from domain.errors import BadInput
from marketdata import calendars, loadadmin, models, services  # noqa: F401 - loadadmin registers what is its
from marketdata.asking import Wish, wishes_of
from marketdata.loadforms import LoadsBars, SeriesForm
from marketdata.symbols import MAX_BYTES, read_file, read_symbols, show_symbols
from tradingsite.adminsite import UNCOUNTED, ConfigAdmin, FactAdmin, badge, number, widget_for, yaml_block
from tradingsite.history_admin import RecordedChanges
from tradingsite.runadmin import RunAdmin, sections


class InstrumentForm(forms.ModelForm):
    def clean_symbol(self) -> str:
        try:
            return services.check_symbol(self.cleaned_data["symbol"])
        except BadInput as error:
            raise ValidationError(str(error)) from error

    def clean_calendar(self) -> str:
        return check_calendar(self.cleaned_data["calendar"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("tick", "lot", "multiplier", "margin"):
            value = cleaned.get(name)
            if value is not None and value <= 0:
                self.add_error(name, "Must be more than 0.")
        return cleaned


def check_calendar(name: str) -> str:
    try:
        calendars.sessions(name)
    except BadInput as error:
        raise ValidationError(str(error)) from error
    return name


@admin.register(models.Instrument)
class InstrumentAdmin(LoadsBars, RecordedChanges, ConfigAdmin):
    form = InstrumentForm
    actions: Any = ("load_bars",)
    list_display = ("symbol", "name", "kind", "exchange", "currency", "calendar", "active", "held")
    list_filter = ("kind", "active", "exchange", "currency")
    search_fields = ("symbol", "name", "=con_id")
    fieldsets = (
        (None, {"fields": ("symbol", "name", "kind", "active")}),
        ("Listing", {"fields": ("exchange", "primary", "currency", "calendar", "con_id")}),
        ("Steps", {"fields": ("tick", "lot", "multiplier", "margin")}),
        ("Held", {"fields": ("held", "created")}),
    )
    readonly_fields = ("held", "created")

    def wishes(self, rows: QuerySet[models.Instrument], timeframe: str) -> list[Wish]:
        return [Wish(row, timeframe) for row in rows.filter(active=True)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Instrument]:
        files = models.BarFile.objects.filter(quarantined__isnull=True).only(
            "instrument_id", "timeframe", "start", "end"
        )
        return super().get_queryset(request).prefetch_related(Prefetch("bar_files", queryset=files))

    def view_on_site(self, obj: models.Instrument) -> str:
        return f"/instruments/{obj.pk}/"

    @admin.display(description="bars held")
    def held(self, obj: models.Instrument) -> str:
        spans: dict[str, tuple[Any, Any]] = {}
        for file in obj.bar_files.all() if obj.pk else ():
            first, last = spans.get(file.timeframe, (file.start, file.end))
            spans[file.timeframe] = (min(first, file.start), max(last, file.end))
        return ", ".join(f"{name} {first:%Y-%m} to {last:%Y-%m}" for name, (first, last) in spans.items()) or "-"


class WatchlistForm(forms.ModelForm):
    symbols = forms.CharField(
        required=False,
        strip=False,
        widget=widget_for(forms.Textarea({"rows": 12, "spellcheck": "false"})),
        help_text="Paste them with commas, spaces, tabs or lines between; the order is kept. "
        "SPY@ARCA names the exchange.",
    )
    file = forms.FileField(
        required=False,
        widget=widget_for(forms.FileInput()),
        help_text="CSV with a column symbol, or YAML with a list. It replaces the symbols above.",
    )

    class Meta:
        model = models.Watchlist
        fields = ("name", "tags")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.members: list[models.Instrument] = []
        if self.instance.pk:
            rows = self.instance.members.select_related("instrument")
            self.initial["symbols"] = show_symbols([row.instrument for row in rows])

    def clean_tags(self) -> str:
        tags = (part.strip() for part in self.cleaned_data["tags"].split(","))
        return ", ".join(dict.fromkeys(tag for tag in tags if tag))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        upload = cleaned.get("file")
        field = "file" if upload else "symbols"
        try:
            if upload:
                self.members = read_file(upload.name, upload.read(MAX_BYTES + 1))
            else:
                self.members = read_symbols(cleaned.get("symbols") or "")
        except BadInput as error:
            self.add_error(field, str(error))
        return cleaned


@admin.register(models.Watchlist)
class WatchlistAdmin(LoadsBars, RecordedChanges, ConfigAdmin):
    form = WatchlistForm
    actions: Any = ("load_bars",)
    list_display = ("name", "tags", "count")
    search_fields = ("name", "tags")
    fields = ("name", "tags", "symbols", "file")

    def wishes(self, rows: QuerySet[models.Watchlist], timeframe: str) -> list[Wish]:
        members = models.Instrument.objects.active().filter(memberships__watchlist__in=rows.values("pk"))
        return [Wish(row, timeframe) for row in members.distinct()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Watchlist]:
        return super().get_queryset(request).annotate(count=Count("members"))

    def view_on_site(self, obj: models.Watchlist) -> str:
        return f"/watchlists/{obj.pk}/"

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        may_edit = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return self.fields if may_edit else ("name", "tags", "listed")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("listed",)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        services.set_watchlist(name=form.instance.name, instruments=form.members)
        super().save_related(request, form, formsets, change)  # records what has changed

    @admin.display(description="instruments", ordering="count")
    def count(self, obj: Any) -> int:
        return int(obj.count)

    @admin.display(description="symbols")
    def listed(self, obj: models.Watchlist) -> str:
        return ", ".join(row.instrument.symbol for row in obj.members.select_related("instrument")) or "-"


@admin.register(models.WatchlistMember)
class WatchlistMemberAdmin(FactAdmin):
    """Edited as the symbols of a watchlist."""

    list_display = ("watchlist", "position", "instrument")
    list_filter = ("watchlist",)
    search_fields = ("=instrument__symbol",)
    list_select_related = ("watchlist", "instrument")


class CorporateActionForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        kind, value = cleaned.get("kind"), cleaned.get("value")
        needs = kind in (models.CorporateAction.Kind.SPLIT, models.CorporateAction.Kind.DIVIDEND)
        if "value" in cleaned and needs and (value is None or value <= 0):
            self.add_error("value", f"A {kind} needs a value above 0.")
        elif value is not None and value < 0:
            self.add_error("value", "What a share is still worth cannot be negative.")
        return cleaned


@admin.register(models.CorporateAction)
class CorporateActionAdmin(RecordedChanges, ConfigAdmin):
    form = CorporateActionForm
    list_display = ("instrument", "ex_date", "kind", "amount", "source")
    amount = number("value")
    list_filter = ("kind", "source")
    search_fields = ("=instrument__symbol",)
    date_hierarchy = "ex_date"
    autocomplete_fields = ("instrument",)
    list_select_related = ("instrument",)


@admin.register(models.BarFile)
class BarFileAdmin(LoadsBars, FactAdmin):
    load_form = SeriesForm
    actions: Any = ("load_bars",)
    list_display = ("instrument", "timeframe", "what", "adjustment", "part", "start", "end", "rows", "version", "fit")
    list_filter = ("timeframe", "what", "adjustment", ("quarantined", admin.EmptyFieldListFilter))
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)

    def wishes(self, rows: QuerySet[models.BarFile], timeframe: str) -> list[Wish]:
        return wishes_of(rows.select_related("instrument"))

    @admin.display(description="part", ordering="partition")
    def part(self, obj: models.BarFile) -> str:
        return str(obj.partition or "all")

    @admin.display(description="state", ordering="quarantined")
    def fit(self, obj: models.BarFile) -> str:
        return badge("quarantined", "bad") if obj.quarantined else badge("held", "good")


@admin.register(models.Bar)
class BarAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = ("instrument", "timeframe", "start", "first", "top", "bottom", "last", "traded", "origin")
    first, top, bottom = number("open"), number("high"), number("low")
    last, traded = number("close"), number("volume")
    list_filter = ("timeframe", "origin")
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.BarImport)
class BarImportAdmin(RunAdmin):
    list_display = ("name", "how", "bar", "created", "elapsed", "tries", "who")
    search_fields = ("name", "=id")
    fieldsets = sections("name", "bytes", extra=[("Report", {"fields": ("kept",)})])

    @admin.display(description="report")
    def kept(self, obj: models.BarImport) -> str:
        return yaml_block(obj.report)
