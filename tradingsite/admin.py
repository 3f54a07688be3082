"""People and their keys, beat's ticks and signs of life. The record of changes is in `history_admin`,
connections to the gateway are in `linkadmin`."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tradingsite import history_admin, linkadmin  # noqa: F401 - register what is theirs
from tradingsite.adminsite import ConfigAdmin, FactAdmin, export_csv, widget_for, yaml_block
from tradingsite.models import AnsweredRequest, ApiToken, Heartbeat
from tradingsite.ticks import TICKS

admin.site.add_action(export_csv)

# Registered by their packages; ours below show less and allow less.
admin.site.unregister(
    [
        User,
        Group,
        TOTPDevice,
        StaticDevice,
        PeriodicTask,
        IntervalSchedule,
        CrontabSchedule,
        SolarSchedule,
        ClockedSchedule,
    ]
)

_RIGHTS = ("is_active", "is_staff", "is_superuser", "groups")


@admin.register(User)
class UserAdmin(StockUserAdmin, ConfigAdmin):
    """Nobody changes their own rights, and what a superuser is only a superuser touches: else whoever may edit users
    could make themselves anything."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "roles", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("groups", "is_active", "is_superuser")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": _RIGHTS}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        ("Rights", {"fields": ("is_staff", "groups")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        if obj is not None and obj.pk == request.user.pk:
            return (*fixed, *_RIGHTS)
        return fixed if request.user.is_superuser else (*fixed, "is_superuser")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            field.label, field.help_text = (
                "Roles",
                "Each may do what the one before it may: viewer, researcher, trader, admin.",
            )
            boxes: Any = widget_for(forms.CheckboxSelectMultiple())
            boxes.choices = field.choices
            field.widget = boxes
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        is_self = obj is not None and obj.pk == request.user.pk
        return super().has_delete_permission(request, obj) and _may_touch(request, obj) and not is_self

    @admin.display(description="roles")
    def roles(self, obj: User) -> str:
        return ", ".join(group.name for group in obj.groups.all()) or "-"


def _may_touch(request: HttpRequest, obj: User | None) -> bool:
    return obj is None or request.user.is_superuser or not obj.is_superuser


@admin.register(Group)
class GroupAdmin(FactAdmin):
    """The roles. What each may do is the table in tradingsite/roles.py, written anew after each migrate."""

    list_display = ("name",)
    fields = ("name", "permissions")


@admin.register(ApiToken)
class ApiTokenAdmin(FactAdmin):
    """Made by their owners; an admin may revoke them. The token itself is kept nowhere; its hash is the row's key."""

    removable = True
    list_display = ("name", "user", "scope", "created", "expiry", "last_used")
    list_filter = ("scope",)
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    fields = ("name", "user", "scope", "token_key", "created", "expiry", "last_used")


@admin.register(TOTPDevice, StaticDevice)
class SecondFactorAdmin(FactAdmin):
    """Phones and sets of recovery codes. Never the key: who sees it has the second factor. What is lost is deleted and
    enrolled anew."""

    removable = True
    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    fields = ("user", "name", "confirmed", "created_at", "last_used_at", "throttling_failure_count")


@admin.register(AccessAttempt, AccessFailureLog, AccessLog)
class AccessAdmin(FactAdmin):
    """Logins as axes saw them, without what was typed."""

    list_display = ("attempt_time", "username", "ip_address", "path_info")
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"
    fields = ("attempt_time", "username", "ip_address", "user_agent", "path_info")


@admin.register(Heartbeat)
class HeartbeatAdmin(FactAdmin):
    list_display = ("name", "seen", "started", "host", "pid")
    search_fields = ("name", "host")
    fields = ("name", "seen", "started", "host", "pid", "facts")

    @admin.display(description="details")
    def facts(self, obj: Heartbeat) -> str:
        return yaml_block(obj.details)


@admin.register(AnsweredRequest)
class AnsweredRequestAdmin(FactAdmin):
    list_display = ("key", "user", "status", "created")
    list_select_related = ("user",)
    fields = ("key", "user", "fingerprint", "status", "created")


class TickForm(forms.ModelForm):
    seconds = forms.IntegerField(
        min_value=1,
        max_value=7 * 86_400,
        label="Every",
        help_text="Seconds, 1 to 604800.",
        widget=widget_for(forms.NumberInput()),
    )

    class Meta:
        model = PeriodicTask
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        interval = self.instance.interval
        if interval is not None:
            self.initial["seconds"] = int(interval.schedule.run_every.total_seconds())


@admin.register(PeriodicTask)
class TickAdmin(ConfigAdmin):
    """Beat's rows, but only our ticks, and of them only how often and whether: the full form runs any task with any
    arguments."""

    form = TickForm
    list_display = ("name", "enabled", "interval", "last_run_at", "description")
    list_select_related = ("interval",)
    fields = ("name", "description", "enabled", "seconds", "task", "args", "kwargs", "last_run_at", "total_run_count")
    readonly_fields = ("name", "description", "task", "args", "kwargs", "last_run_at", "total_run_count")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return super().get_queryset(request).filter(name__in=TICKS)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: Any, change: bool) -> None:
        seconds = form.cleaned_data["seconds"]
        obj.interval, _made = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        obj.expire_seconds = 2 * seconds
        super().save_model(request, obj, form, change)
