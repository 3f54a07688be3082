from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from domain.errors import BadInput
from execution import models, services
from tradingsite.adminsite import UNCOUNTED, FactAdmin, badge, number, tell_fault

_MOODS = {"filled": "good", "denied": "bad", "rejected": "bad", "unknown": "warn", "cancelled": "warn"}


def environment_badge(request: HttpRequest) -> list[str]:
    """What the admin's header says of the money at stake."""
    return list(services.environment())


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # nosec B101: the admin lets nobody else in
    return request.user


@admin.register(models.Account)
class AccountAdmin(FactAdmin):
    list_display = ("number", "name", "kind", "currency", "active")
    list_filter = ("kind", "active")
    search_fields = ("number", "name")


@admin.register(models.AccountValue)
class AccountValueAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = ("account", "time", "worth", "money", "gain")
    worth, money, gain = number("equity", ",.2f"), number("cash", ",.2f"), number("day_pnl", "+,.2f")
    list_filter = ("account",)
    list_select_related = ("account",)


@admin.register(models.Order)
class OrderAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = (
        "ref", "created", "account", "instrument", "side", "size", "order_type", "how", "done", "price", "strategy",
    )  # fmt: skip
    list_filter = ("state", "side", "account")
    search_fields = ("=ref", "=instrument__symbol", "=perm_id")
    list_select_related = ("account", "instrument")

    size, done, price = number("quantity"), number("filled"), number("average_price")

    @admin.display(description="state", ordering="state")
    def how(self, obj: models.Order) -> str:
        return badge(obj.get_state_display(), _MOODS.get(obj.state, "busy" if obj.state in obj.OPEN else "calm"))


@admin.register(models.Fill)
class FillAdmin(FactAdmin):
    paginator = UNCOUNTED
    list_display = ("time", "account", "instrument", "side", "size", "paid", "fee", "exec_id")
    size, paid, fee = number("quantity"), number("price"), number("commission")
    list_filter = ("side", "account")
    search_fields = ("=exec_id", "=instrument__symbol", "=order__ref")
    list_select_related = ("account", "instrument")


@admin.register(models.Position)
class PositionAdmin(FactAdmin):
    list_display = ("account", "instrument", "size", "cost", "last", "halted", "updated")
    size, cost, last = number("quantity"), number("average_price"), number("last_price")
    list_filter = ("account", "halted")
    search_fields = ("=instrument__symbol",)
    list_select_related = ("account", "instrument")


@admin.register(models.KillSwitch)
class KillSwitchAdmin(FactAdmin):
    """Adding a row engages it, the action releases it; nothing else changes one, and none is deleted."""

    list_display = ("engaged", "halts", "level", "how", "engaged_by", "reason", "released", "released_by")
    list_filter = ("level", ("released", admin.EmptyFieldListFilter))
    list_select_related = ("account", "engaged_by", "released_by")
    actions: Any = ("release_switches",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            warning = "Saving engages it at once. Another person than you must release it. No account: all of them."
            return [(None, {"fields": ("account", "level", "reason"), "description": warning})]
        times = ("engaged", "engaged_by", "released", "released_by")
        return [(None, {"fields": ("halts", "level", "reason", *times)})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("execution.halt")

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("execution.resume")

    def fits(self, action: str, obj: models.KillSwitch) -> bool:
        return obj.released is None

    def save_model(self, request: HttpRequest, obj: models.KillSwitch, form: Any, change: bool) -> None:
        row = services.engage(person=_person(request), account=obj.account, level=obj.level, reason=obj.reason)
        obj.pk = row.pk
        obj.refresh_from_db()

    @admin.action(description="Release", permissions=["release"])
    def release_switches(self, request: HttpRequest, queryset: QuerySet) -> None:
        for switch in queryset:
            try:
                services.release(switch=switch, person=_person(request))
            except BadInput as error:
                tell_fault(self, request, switch, error)
            else:
                self.log_change(request, switch, "released")
                self.message_user(request, f"{switch}: released.", messages.SUCCESS)

    @admin.display(description="halts", ordering="account")
    def halts(self, obj: models.KillSwitch) -> str:
        return str(obj.account) if obj.account else "all accounts"

    @admin.display(description="state", ordering="released")
    def how(self, obj: models.KillSwitch) -> str:
        return badge("engaged", "bad") if obj.released is None else badge("released", "calm")
