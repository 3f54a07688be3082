"""Runs in the admin: how far each is, what it said, and the buttons that start, cancel and repeat it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html

from domain.errors import BadInput
from tradingsite import runs
from tradingsite.adminsite import FactAdmin, badge, change_url, tell_fault, text_block, yaml_block
from tradingsite.runs import Run

MOODS = {"queued": "calm", "running": "busy", "succeeded": "good", "failed": "bad", "cancelled": "warn"}


class RunAdmin(FactAdmin):
    """Kinds of runs name their own columns in `list_display` and `fieldsets`."""

    actions: Any = ("cancel_runs", "retry_runs")
    list_filter: Any = ("state", "origin")
    list_select_related: Any = ("started_by",)
    change_form_outer_before_template = "admin/run.html"

    class Media:
        js = ("ibdesk/run-page.js",)

    def has_start_permission(self, request: HttpRequest) -> bool:
        """Starting one is adding its row."""
        return may(request, self.model, "add")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return may(request, self.model, "change")

    def fits(self, action: str, obj: Run) -> bool:
        if action == "cancel_runs":
            return not obj.ended and obj.cancel_requested is None
        if action == "retry_runs":
            return obj.state in (Run.State.FAILED, Run.State.CANCELLED)
        return True

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Lists leave out what only the row's page shows, and may be long."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and (match.url_name or "").endswith("_changelist")
        return rows.defer("config", "log_tail") if is_list else rows

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet) -> None:
        for run in queryset:
            if runs.cancel(run):
                self.log_change(request, run, "asked to cancel")
                self.message_user(request, f"{run.run_id}: asked to end.", messages.SUCCESS)
            else:
                self.message_user(request, f"{run.run_id} has ended already.", messages.WARNING)

    @admin.action(description="Retry", permissions=["steer"])
    def retry_runs(self, request: HttpRequest, queryset: QuerySet) -> None:
        for run in queryset:
            if runs.retry(run):
                runs.enqueue(run)
                self.log_change(request, run, "queued again")
                self.message_user(request, f"{run.run_id}: queued again.", messages.SUCCESS)
            else:
                self.message_user(
                    request,
                    f"{run.run_id} is {run.state}: only failed and cancelled runs are retried.",
                    messages.WARNING,
                )

    # ---- columns -------------------------------------------------------------------------------------------------

    @admin.display(description="run", ordering="pk")
    def run(self, obj: Run) -> str:
        return obj.run_id if len(obj.run_id) < 20 else obj.run_id[:8]

    @admin.display(description="state", ordering="state")
    def how(self, obj: Run) -> str:
        if obj.state == Run.State.RUNNING and obj.cancel_requested:
            return badge("cancelling", "warn")
        return badge(obj.get_state_display(), MOODS[obj.state])

    @admin.display(description="progress", ordering="progress")
    def bar(self, obj: Run) -> str:
        percent = f"{obj.progress:.0%}"
        return format_html(
            '<progress class="desk-bar" value="{}" max="1">{}</progress> <span>{}</span>',
            f"{obj.progress:.3f}",
            "",
            percent,
        )

    @admin.display(description="tries", ordering="attempts")
    def tries(self, obj: Run) -> int:
        return obj.attempts

    @admin.display(description="elapsed")
    def elapsed(self, obj: Run) -> str:
        if obj.started is None:
            return "-"
        return show_span((obj.finished or timezone.now()) - obj.started)

    @admin.display(description="started by", ordering="origin")
    def who(self, obj: Run) -> str:
        by = obj.started_by
        return f"{obj.get_origin_display()}: {by.get_username()}" if by else obj.get_origin_display()

    @admin.display(description="error")
    def fault(self, obj: Run) -> str:
        return text_block(obj.error)

    @admin.display(description="log, its last lines")
    def log(self, obj: Run) -> str:
        return text_block(obj.log_tail)

    @admin.display(description="configuration")
    def asked(self, obj: Run) -> str:
        return yaml_block(obj.config)


def sections(*what: str, extra: Iterable[tuple[str, dict[str, Any]]] = ()) -> Any:
    """The fieldsets of a run's page: what it is of, how it goes, what it said, what was asked."""
    return (
        (None, {"fields": (*what, "how", "bar", "elapsed", "who")}),
        ("Outcome", {"fields": ("fault", "log")}),
        *extra,
        ("Configuration", {"fields": ("asked",)}),
        (
            "Times",
            {
                "fields": (
                    "created",
                    "enqueued",
                    "started",
                    "heartbeat",
                    "finished",
                    "cancel_requested",
                    "attempts",
                    "worker",
                    "effect_key",
                    "id",
                ),
                "classes": ("collapse",),
            },
        ),
    )


def may(request: HttpRequest, model: type[Model], action: str) -> bool:
    """Whether the person has Django's add, change or delete permission of the model."""
    return request.user.has_perm(f"{model._meta.app_label}.{action}_{model._meta.model_name}")


def start_runs(
    model_admin: admin.ModelAdmin, request: HttpRequest, rows: Iterable[Any], queue: Callable[[Any], Run]
) -> HttpResponse | None:
    """Queue one run for each row and tell the workers; where it is one, go to its page. Faults become messages."""
    started = []
    for row in rows:
        try:
            run = queue(row)
        except BadInput as error:
            tell_fault(model_admin, request, row, error)
            continue
        runs.enqueue(run)
        started.append(run)
        model_admin.log_change(request, row, f"started {run._meta.verbose_name} {run.run_id}")
        model_admin.message_user(request, f"{row}: {run._meta.verbose_name} {run.run_id} is queued.", messages.SUCCESS)
    return redirect(change_url(type(started[0]), started[0].pk)) if len(started) == 1 else None


def show_span(span: dt.timedelta) -> str:
    """As 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
