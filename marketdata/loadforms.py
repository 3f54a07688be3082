"""Asking for loads from the admin's lists: the action, and the page on which one says what to load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin

from domain.errors import BadInput
from domain.timeframe import Timeframe
from marketdata.asking import Wish, ask_for
from marketdata.models import LoadRun
from marketdata.models.loads import TIMEFRAMES
from tradingsite import runs
from tradingsite.adminsite import change_url, widget_for
from tradingsite.runadmin import may
from tradingsite.runs import Run

MODES = (
    ("tail", "the tail: from the last bar held to now"),
    ("backfill", "backfill: holes, and one request's length before the first bar held"),
    ("full", "everything that is missing"),
)
_SHOWN = 20


class LoadForm(forms.Form):
    """What to load of the rows that were chosen."""

    mode = forms.ChoiceField(
        choices=MODES,
        initial="tail",
        widget=widget_for(forms.RadioSelect()),
        help_text="A series of which nothing is held is loaded whole in any mode.",
    )
    timeframe = forms.ChoiceField(choices=TIMEFRAMES, initial=Timeframe.D1.value, widget=widget_for(forms.Select()))


class SeriesForm(LoadForm):
    """Where the rows say the timeframe themselves."""

    timeframe: Any = None


class LoadsBars(ModelAdmin):
    """Adds the action to a list whose rows lead to series."""

    load_form: type[forms.Form] = LoadForm

    def wishes(self, rows: QuerySet[Any], timeframe: str) -> Iterable[Wish]:
        raise NotImplementedError

    def has_load_permission(self, request: HttpRequest) -> bool:
        return may(request, LoadRun, "add")

    @admin.action(description="Load from IB …", permissions=["load"])
    def load_bars(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Shows a form first, which comes back with the same rows."""
        form = self.load_form(request.POST if "load" in request.POST else None)
        if form.is_valid():
            try:
                return self._queue(request, queryset, form.cleaned_data)
            except BadInput as error:
                form.add_error(None, str(error))
        context = {
            **self.admin_site.each_context(request),
            "title": "Load from IB",
            "opts": self.opts,
            "form": form,
            "rows": list(queryset[:_SHOWN]),
            "more": max(0, queryset.count() - _SHOWN),
            "checkbox": ACTION_CHECKBOX_NAME,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", ""),
            "came_from": request.POST.get("_page", ""),
        }
        return TemplateResponse(request, "admin/load.html", context, status=400 if form.errors else 200)

    def _queue(self, request: HttpRequest, rows: QuerySet[Any], given: dict[str, Any]) -> HttpResponse | None:
        # In no transaction: looking at many series takes seconds, in which nobody else could write.
        wishes = self.wishes(rows, given.get("timeframe", ""))
        asked = ask_for(wishes, mode=given["mode"], person=request.user, now=timezone.now())
        for run in asked.loads:
            if run.state == Run.State.QUEUED:
                runs.enqueue(run)
            self.log_change(request, run.instrument, f"asked for load {run.run_id}")
        for level, text in asked.tell():
            self.message_user(request, text, level)
        if not any(asked):
            self.message_user(request, "There is no series that is loaded from IB among these.", messages.WARNING)
        return redirect(change_url(LoadRun, asked.loads[0].pk)) if len(asked.loads) == 1 else None
