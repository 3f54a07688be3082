"""Connections to the gateway in the admin: how each is, what the gateway said, what to do, and the button that has it
made anew. The rows are facts; the button writes a wish, which the connection's holder follows."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join

from tradingsite import linkrows
from tradingsite.adminsite import FactAdmin, badge, number
from tradingsite.linkrows import Standing
from tradingsite.models import GatewayLink, Lease
from tradingsite.runadmin import show_span

MOODS = {
    "off": "calm", "down": "bad", "connecting": "busy", "syncing": "busy", "ready": "good", "degraded": "warn",
    "stale": "bad",
}  # fmt: skip
FAMILY_MOODS = {"fatal": "bad", "reject": "bad", "wait": "warn", "retry": "warn"}
FARM_MOODS = {"ok": "good", "broken": "bad", "asleep": "calm"}


def _standing(row: GatewayLink) -> Standing:
    return linkrows.standing_of(row.role, row, timezone.now())


def _since(moment: dt.datetime | None) -> str:
    """When, and how long ago that is."""
    if moment is None:
        return "-"
    ago = show_span(timezone.now() - moment)
    return format_html('{} <span class="desk-quiet">({} ago)</span>', f"{moment:%Y-%m-%d %H:%M:%S}Z", ago)


@admin.register(GatewayLink)
class GatewayLinkAdmin(FactAdmin):
    actions: Any = ("reconnect",)
    list_display = ("role", "how", "long", "address", "beat", "received", "sent", "anew")
    list_select_related = ("disconnect_by",)
    change_form_outer_before_template = "admin/link.html"
    fieldsets = (
        (None, {"fields": ("role", "how", "long", "why", "advice")}),
        ("Gateway", {"fields": ("address", "account", "speaks")}),
        ("Traffic", {"fields": ("beat", "pace", "counts", "farm_states")}),
        ("What the gateway said, the newest first", {"fields": ("said",)}),
        ("Who holds it", {"fields": ("holder", "lease", "told", "wish"), "classes": ("collapse",)}),
    )
    received, sent = (
        number("messages_in", ",d", description="messages in"),
        number("messages_out", ",d", description="out"),
    )
    anew = number("reconnects", ",d", description="made anew")

    class Media:
        js = ("ibdesk/run-page.js",)

    def has_reconnect_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tradingsite.reconnect_gateway")

    def fits(self, action: str, obj: GatewayLink) -> bool:
        return obj.disconnect_asked is None

    @admin.action(description="Disconnect and reconnect", permissions=["reconnect"])
    def reconnect(self, request: HttpRequest, queryset: QuerySet) -> None:
        for row in linkrows.ask_to_reconnect(person=request.user, roles=queryset.values_list("role", flat=True)):
            holds = _standing(row).state not in (GatewayLink.State.OFF,)
            then = "its holder does so within two seconds" if holds else "nobody holds it now; who takes it begins anew"
            self.message_user(request, f"{row.role}: asked to disconnect and reconnect; {then}.", messages.SUCCESS)

    # ---- how it is -----------------------------------------------------------------------------------------------

    @admin.display(description="state", ordering="state")
    def how(self, obj: GatewayLink) -> str:
        state = _standing(obj).state
        return badge(state, MOODS[state])

    @admin.display(description="since", ordering="since")
    def long(self, obj: GatewayLink) -> str:
        return _since(_standing(obj).since)

    @admin.display(description="why")
    def why(self, obj: GatewayLink) -> str:
        return _standing(obj).cause or "-"

    @admin.display(description="what to do")
    def advice(self, obj: GatewayLink) -> str:
        standing = _standing(obj)
        return standing.remedy or ("nothing" if standing.ok else "wait: it works on it by itself")

    # ---- the gateway ---------------------------------------------------------------------------------------------

    @admin.display(description="address")
    def address(self, obj: GatewayLink) -> str:
        return f"{obj.host}:{obj.port}, client {obj.client_id}" if obj.host else "-"

    @admin.display(description="account")
    def account(self, obj: GatewayLink) -> str:
        return f"{', '.join(obj.accounts)} ({obj.account_kind})" if obj.accounts else "-"

    @admin.display(description="speaks")
    def speaks(self, obj: GatewayLink) -> str:
        version = f"protocol version {obj.server_version}" if obj.server_version else ""
        return ", ".join(each for each in (obj.library, version) if each) or "-"

    # ---- the traffic ---------------------------------------------------------------------------------------------

    @admin.display(description="heartbeat", ordering="heartbeat")
    def beat(self, obj: GatewayLink) -> str:
        return _since(obj.heartbeat)

    @admin.display(description="pace")
    def pace(self, obj: GatewayLink) -> str:
        parts = []
        if obj.latency_ms is not None:
            parts.append(f"answers in {obj.latency_ms:.1f} ms")
        if obj.clock_skew_s is not None:
            parts.append(f"its clock is {obj.clock_skew_s:+.1f} s from ours")
        return "; ".join(parts) or "-"

    @admin.display(description="messages")
    def counts(self, obj: GatewayLink) -> str:
        return f"{obj.messages_in:,} in, {obj.messages_out:,} out; connected anew {obj.reconnects:,} times"

    @admin.display(description="IB's farms")
    def farm_states(self, obj: GatewayLink) -> str:
        shown = ((name, badge(state, FARM_MOODS.get(state, "calm"))) for name, state in sorted(obj.farms.items()))
        return format_html_join(" ", '<span class="desk-pair">{} {}</span>', shown) or "-"

    @admin.display(description="notices")
    def said(self, obj: GatewayLink) -> str:
        if not obj.notices:
            return "nothing yet"
        return format_html('<ol class="desk-notices">{}</ol>', format_html_join("", "{}", map(_notice, obj.notices)))

    # ---- the holder ----------------------------------------------------------------------------------------------

    @admin.display(description="lease")
    def lease(self, obj: GatewayLink) -> str:
        held = Lease.objects.filter(role=obj.role).first()
        if held is None or not held.holder:
            return f"nobody's; epoch {obj.epoch}"
        return f"epoch {held.epoch}, until {held.expires:%H:%M:%S}Z"

    @admin.display(description="told", ordering="seen")
    def told(self, obj: GatewayLink) -> str:
        return _since(obj.seen)

    @admin.display(description="asked to reconnect")
    def wish(self, obj: GatewayLink) -> str:
        by = f" by {obj.disconnect_by.get_username()}" if obj.disconnect_by else ""
        if obj.disconnect_asked:
            return format_html("{}{}; not done yet", _since(obj.disconnect_asked), by)
        return format_html("{}{}; done", _since(obj.disconnect_done), by) if obj.disconnect_done else "never"


def _notice(notice: dict[str, Any]) -> tuple[str]:
    at = parse_datetime(notice["at"])
    remedy = format_html("<div>What to do: {}.</div>", notice["remedy"]) if notice["remedy"] else ""
    text = format_html('<div class="desk-quiet">{}</div>', notice["text"]) if notice["text"] else ""
    return (
        format_html(
            "<li><div>{} <time>{}</time> <strong>{}</strong> {}</div>{}{}</li>",
            badge(notice["family"], FAMILY_MOODS.get(notice["family"], "calm")),
            f"{at:%Y-%m-%d %H:%M:%S}Z",
            notice["code"],
            notice["words"],
            remedy,
            text,
        ),
    )


@admin.register(Lease)
class LeaseAdmin(FactAdmin):
    """Which process has a role that is for one alone."""

    list_display = ("role", "holder", "epoch", "taken", "expires")
    fields = ("role", "holder", "epoch", "taken", "expires")
