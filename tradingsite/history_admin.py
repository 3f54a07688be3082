"""The history of the configuration in the admin, and its import and export."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, path, reverse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from domain.errors import BadInput
from tradingsite.documents import export_all, get_kind, kind_of, kinds
from tradingsite.history import (
    address_of,
    changes_of,
    diff,
    lock,
    record_differences,
    recording,
    revert,
    snapshot_of,
)
from tradingsite.imports import ImportReport, decode, import_documents
from tradingsite.models import ConfigChange

SHOWN_LINES = 2_000
# Parsed in about 2 s, in which the web process does little else; the command line takes ten times as much.
MAX_UPLOAD_BYTES = 512 * 1024
_TOO_LARGE = (
    f"is larger than the {MAX_UPLOAD_BYTES // 1024} KiB that a page takes; "
    "import it on the command line: `manage.py config import FILE`"
)
_MARKS = {"+": "added", "-": "removed", "@": "place"}


class RecordedChanges(ModelAdmin):
    """Records what the admin changes of configuration rows, and shows their history with the way back."""

    object_history_template = "admin/configuration/history.html"

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        lock()
        held = type(obj)._base_manager.filter(pk=obj.pk).first() if change else None
        request.documents_before = snapshot_of(*([held] if held else []), obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        before = request.documents_before  # type: ignore[attr-defined]
        record_differences(before, form.instance, **_about(request))

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        with recording(obj, **_about(request)):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with recording(*queryset, **_about(request)):
            super().delete_queryset(request, queryset)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        kind, row = kind_of(self.model), self.get_object(request, object_id)
        changes: list[ConfigChange] = []
        if kind is not None and row is not None:
            unit = kind.unit_of(row)
            values = kind.dump(unit)
            changes = changes_of(kind.name, kind.name_in(values))
        shown = [_shown(request, change) for change in changes]
        answer: HttpResponse = super().history_view(request, object_id, {"changes": shown, **(extra_context or {})})
        return answer


class ImportForm(forms.Form):
    """A file to look at first, or (hidden) the text that was looked at."""

    file = forms.FileField(required=False, widget=UnfoldAdminFileFieldWidget, label="YAML file")
    reason = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget, help_text="kept in the history"
    )
    prune = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        label="Delete what the file does not have",
        help_text="of the kinds that the file has",
    )
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    fingerprint = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_file(self) -> str:
        file: Any = self.cleaned_data["file"]
        if file is None:
            return ""
        try:
            if (file.size or 0) > MAX_UPLOAD_BYTES:
                raise BadInput(_TOO_LARGE)
            return decode(file.read())
        except BadInput as error:
            raise forms.ValidationError(f"{file.name}: {error}") from error

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")  # browsers write line ends of their own
        if len(text.encode(errors="replace")) > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(f"The text {_TOO_LARGE}")
        return text

    def clean(self) -> dict[str, Any]:
        values = self.cleaned_data
        values["text"] = values.get("file") or values.get("text", "")
        if not values["text"] and not self.errors:
            self.add_error("file", "Choose a YAML file.")
        return values


@admin.register(ConfigChange)
class ConfigChangeAdmin(ModelAdmin):
    """Changes are read, and reverted by a change of their own; nobody edits or deletes them."""

    list_display = ("at", "kind", "name", "what", "source", "actor", "reason")
    list_filter = ("kind", "source")
    search_fields = ("name", "reason")
    date_hierarchy = "at"
    list_select_related = ("actor",)
    list_before_template = "admin/configuration/links.html"
    fields = ("at", "kind", "name", "what", "source", "actor", "address", "reason", "difference")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[Any]:
        pages = {
            "revert": ("<int:pk>/revert/", self.revert_view),
            "import": ("configuration/", self.import_view),
            "export": ("configuration/export/", self.export_view),
        }
        own = [
            path(route, self.admin_site.admin_view(view), name=f"tradingsite_configchange_{name}")
            for name, (route, view) in pages.items()
        ]
        return [*own, *super().get_urls()]

    @admin.display(description="change")
    def what(self, row: ConfigChange) -> str:
        return "created" if row.before is None else "deleted" if row.after is None else "changed"

    @admin.display(description="difference")
    def difference(self, row: ConfigChange) -> str:
        context = {"lines": diff_lines(diff(row)), "change": row, "reverts": True}
        return render_to_string("admin/configuration/diff.html", context)

    def revert_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks on GET, reverts on POST; `force` overrides that the row was changed again."""
        change = ConfigChange.objects.select_related("actor").filter(pk=pk).first()
        if change is None:
            raise Http404
        back = ConfigChange(kind=change.kind, name=change.name, before=change.after, after=change.before)
        if _refused(request, [back]):
            raise PermissionDenied
        error = ""
        if request.method == "POST":
            try:
                row = revert(
                    change, actor=_actor(request), address=address_of(request), force=bool(request.POST.get("force"))
                )
            except BadInput as refusal:
                error = str(refusal)
            else:
                self.message_user(request, f"{change.kind} {change.name}: reverted.", messages.SUCCESS)
                return HttpResponseRedirect(_page_of(change, row))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Revert {change.kind} {change.name}",
            "opts": self.opts,
            "change": change,
            "lines": diff_lines(diff(back)),
            "error": error,
        }
        return TemplateResponse(request, "admin/configuration/revert.html", context, status=400 if error else 200)

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """The YAML of every kind that the user may see."""
        names = [kind.name for kind in kinds() if _may(request, "view", kind.name)]
        if not names:
            raise PermissionDenied
        try:
            text = export_all(names)
        except BadInput as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:tradingsite_configchange_import"))
        answer = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="configuration.yaml"'
        return answer

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """A file is shown as a difference first; its text comes again, with the fingerprint of that, to be applied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        report = None
        if request.method == "POST" and form.is_valid():
            values = form.cleaned_data
            seen = "" if values["file"] else values["fingerprint"]
            try:
                report = import_documents(
                    values["text"],
                    actor=_actor(request),
                    source=ConfigChange.Source.FILE,
                    address=address_of(request),
                    reason=values["reason"],
                    prune=values["prune"],
                    dry_run=not seen,
                    approve=partial(_approve, request, seen),
                )
            except BadInput as error:
                form.add_error(None, str(error))
            if report is not None and seen:
                self.message_user(request, f"Imported: {report.summary()}.", messages.SUCCESS)
                return HttpResponseRedirect(reverse("admin:tradingsite_configchange_changelist"))
        return self._import_page(request, form, report)

    def _import_page(self, request: HttpRequest, form: ImportForm, report: ImportReport | None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Configuration: import / export",
            "opts": self.opts,
            "form": form,
            "limit": MAX_UPLOAD_BYTES // 1024,
            "report": report,
        }
        if report is not None:
            held = {"prune": form.cleaned_data["prune"], "reason": form.cleaned_data["reason"]}
            seen = {"text": form.cleaned_data["text"], "fingerprint": report.fingerprint()}
            context |= {"seen": seen | held, "lines": diff_lines(report.diff())}
        return TemplateResponse(
            request, "admin/configuration/import.html", context, status=400 if form.is_bound and form.errors else 200
        )


def diff_lines(text: str) -> tuple[list[tuple[str, str]], int]:
    """The lines of a diff with what they are (added, removed, place, or nothing), and how many more there are."""
    lines = text.splitlines()
    marked = [("" if line.startswith(("---", "+++")) else _MARKS.get(line[:1], ""), line) for line in lines]
    return marked[:SHOWN_LINES], max(0, len(lines) - SHOWN_LINES)


def _about(request: HttpRequest) -> dict[str, Any]:
    return {"actor": _actor(request), "address": address_of(request), "source": ConfigChange.Source.ADMIN}


def _actor(request: HttpRequest) -> Any:
    return request.user


def _may(request: HttpRequest, action: str, kind: str) -> bool:
    options = get_kind(kind).model._meta
    allowed: bool = request.user.has_perm(f"{options.app_label}.{get_permission_codename(action, options)}")
    return allowed


def _refused(request: HttpRequest, changes: list[ConfigChange]) -> list[str]:
    """What the user may not do of these changes, as `change risk_profile`."""
    wanted = {
        ("add" if change.before is None else "delete" if change.after is None else "change", change.kind)
        for change in changes
    }
    return sorted(f"{action} {kind}" for action, kind in wanted if not _may(request, action, kind))


def _approve(request: HttpRequest, seen: str, report: ImportReport) -> None:
    refused = _refused(request, report.changes)
    if refused:
        raise BadInput(f"you may not {', '.join(refused)}; nothing was changed")
    if seen and seen != report.fingerprint():
        raise BadInput("the configuration was changed since the difference was shown; look at the file again")


def _shown(request: HttpRequest, change: ConfigChange) -> dict[str, Any]:
    back = ConfigChange(kind=change.kind, before=change.after, after=change.before)
    return {"change": change, "lines": diff_lines(diff(change)), "reverts": not _refused(request, [back])}


def _page_of(change: ConfigChange, row: models.Model | None) -> str:
    """Where to look after a revert: the row, where the admin shows it."""
    model = get_kind(change.kind).model
    if isinstance(row, model):
        with suppress(NoReverseMatch):
            return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
    return reverse("admin:tradingsite_configchange_changelist")
