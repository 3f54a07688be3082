"""The two kinds of admin pages: configuration, which people edit, and facts, which the machine writes.

Together with UNFOLD in the settings and templates/admin this is all that knows the skin of the admin (django-unfold).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db.models import Model, QuerySet, TextField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, strip_tags
from django.utils.text import capfirst
from unfold import widgets
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from domain.errors import BadInput
from tradingsite.configfile import to_yaml
from tradingsite.exports import write_csv

UNCOUNTED = InfinitePaginator
"""For tables that grow without end: pages without a COUNT of all rows."""

_WIDGETS: dict[type[forms.Widget], Callable[..., forms.Widget]] = {
    forms.TextInput: widgets.UnfoldAdminTextInputWidget,
    forms.NumberInput: widgets.UnfoldAdminIntegerFieldWidget,
    forms.Textarea: widgets.UnfoldAdminTextareaWidget,
    forms.CheckboxInput: widgets.UnfoldBooleanSwitchWidget,
    forms.Select: widgets.UnfoldAdminSelectWidget,
    forms.RadioSelect: lambda attrs: widgets.UnfoldAdminRadioSelectWidget(attrs=attrs),
    forms.CheckboxSelectMultiple: widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    forms.FileInput: widgets.UnfoldAdminFileFieldWidget,
}


def widget_for(plain: forms.Widget) -> forms.Widget:
    """The widget as the admin shows it."""
    return _WIDGETS[type(plain)](attrs=plain.attrs)


class _Page(ModelAdmin):
    """What both kinds share. An action in `actions` is a button on the row's own page too, and the same code runs: a
    POST to the list, with the same check of permissions."""

    list_per_page = 30
    show_full_result_count = False
    formfield_overrides: Any = {TextField: {"widget": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})}}
    change_form_outer_before_template = "admin/buttons.html"

    def fits(self, action: str, obj: Any) -> bool:
        """Whether the action is worth a button on this row's page."""
        return True

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj")
        own = {action if isinstance(action, str) else action.__name__ for action in self.actions or ()}
        context["buttons"] = [
            (name, text)
            for _function, name, text in self.get_actions(request).values()
            if obj is not None and name in own and self.fits(name, obj)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def response_action(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        response = super().response_action(request, queryset)
        came_from = request.POST.get("_page")
        if came_from and isinstance(response, HttpResponseRedirect) and response.url == request.get_full_path():
            return redirect(change_url(self.model, came_from))
        return response


class ConfigAdmin(_Page):
    """Rows that people edit, each as their role's permissions say. Those that have a document put `RecordedChanges`
    before it."""

    warn_unsaved_form = True


class FactAdmin(_Page):
    """Rows that the machine writes and people look at. `removable`: those with the permission may delete them."""

    removable = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.removable and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.view_{self.opts.model_name}")


def change_url(model: type[Model], pk: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def link_to(row: Model | None, text: str = "") -> str:
    """A link to the row's page, or a dash."""
    return format_html('<a href="{}">{}</a>', change_url(type(row), row.pk), text or str(row)) if row else "-"


def text_block(text: str) -> str:
    return format_html('<pre class="desk-text">{}</pre>', text) if text else "-"


def yaml_block(value: Any) -> str:
    """A JSON document as people read it."""
    if value is None:
        return "-"
    try:
        return text_block(to_yaml(value))
    except BadInput:  # what YAML cannot say, such as control characters
        return text_block(repr(value))


def badge(text: str, mood: str) -> str:
    """`mood`: good, bad, busy, warn or calm."""
    return format_html('<span class="desk-badge desk-{}">{}</span>', mood, text)


def number(field: str, pattern: str = "", *, description: str = "") -> Any:
    """A column of a number: without zeros that say nothing, or by `pattern`, at the right. In CSV it stays a number."""

    @admin.display(description=description or field.replace("_", " "), ordering=field)
    def column(row: Any) -> str:
        value = getattr(row, field)
        if value is None:
            return "-"
        shown = format(value, pattern) if pattern else f"{value.normalize():f}"
        return format_html('<span class="desk-number">{}</span>', shown)

    column.csv_field = field  # type: ignore[attr-defined]
    return staticmethod(column)


def tell_fault(model_admin: admin.ModelAdmin, request: HttpRequest, row: Any, error: BadInput) -> None:
    model_admin.message_user(request, f"{row}: {error}", messages.ERROR)


# ---- the list as a file ------------------------------------------------------------------------------------------


@admin.action(description="Export as CSV", permissions=["view"])
def export_csv(model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet) -> StreamingHttpResponse:
    """The chosen rows with the columns that the list shows."""
    columns: list[Any] = [name for name in model_admin.get_list_display(request) if name != "action_checkbox"]
    header = [_label(model_admin, name) for name in columns]
    related = [each for each in columns if _is_relation(model_admin.model, each)]
    rows = queryset.select_related(*related) if related else queryset
    lines = write_csv(chain([header], _cells(model_admin, rows, columns)))
    name = str(model_admin.opts.verbose_name_plural).replace(" ", "-")
    return StreamingHttpResponse(
        lines,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _label(model_admin: admin.ModelAdmin, name: Any) -> str:
    return capfirst(strip_tags(str(label_for_field(name, model_admin.model, model_admin))))


def _is_relation(model: type[Model], name: Any) -> bool:
    try:
        return bool(model._meta.get_field(name).many_to_one)
    except FieldDoesNotExist:
        return False


def _cells(model_admin: admin.ModelAdmin, rows: QuerySet, columns: Iterable[Any]) -> Iterator[list[Any]]:
    for row in rows.iterator(chunk_size=500):
        yield [_cell(model_admin, row, name) for name in columns]


def _cell(model_admin: admin.ModelAdmin, row: Model, name: Any) -> Any:
    name = getattr(getattr(model_admin, str(name), None), "csv_field", name)
    try:
        field, _function, value = lookup_field(name, row, model_admin)
    except ObjectDoesNotExist:
        return None
    if field is not None and field.choices:
        return dict(field.flatchoices).get(value, value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return strip_tags(value) if hasattr(value, "__html__") else value
