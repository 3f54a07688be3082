from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from marketdata import models


class ReadOnlyAdmin(admin.ModelAdmin):
    """Facts: written by the machine, looked at by people."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(models.Instrument)
class InstrumentAdmin(admin.ModelAdmin):
    list_display = ("symbol", "name", "kind", "exchange", "currency", "calendar", "active")
    list_filter = ("kind", "active", "exchange", "currency")
    search_fields = ("symbol", "name", "=con_id")


class WatchlistMemberInline(admin.TabularInline):
    model = models.WatchlistMember
    autocomplete_fields = ("instrument",)
    extra = 0


@admin.register(models.Watchlist)
class WatchlistAdmin(admin.ModelAdmin):
    search_fields = ("name",)
    inlines = (WatchlistMemberInline,)


@admin.register(models.CorporateAction)
class CorporateActionAdmin(admin.ModelAdmin):
    list_display = ("instrument", "ex_date", "kind", "value", "source")
    list_filter = ("kind", "source")
    search_fields = ("=instrument__symbol",)
    date_hierarchy = "ex_date"
    autocomplete_fields = ("instrument",)
    list_select_related = ("instrument",)


@admin.register(models.BarFile)
class BarFileAdmin(ReadOnlyAdmin):
    list_display = (
        "instrument", "timeframe", "what", "adjustment", "partition", "start", "end", "rows", "version", "quarantined",
    )  # fmt: skip
    list_filter = ("timeframe", "what", "adjustment", ("quarantined", admin.EmptyFieldListFilter))
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)


@admin.register(models.Bar)
class BarAdmin(ReadOnlyAdmin):
    list_display = ("instrument", "timeframe", "start", "open", "high", "low", "close", "volume", "origin")
    list_filter = ("timeframe", "origin")
    search_fields = ("=instrument__symbol",)
    list_select_related = ("instrument",)
