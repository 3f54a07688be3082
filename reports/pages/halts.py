"""What a person does on the dashboard: halts and resumes trading, marks alerts as seen."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from domain.errors import BadInput
from execution.models import Account, KillSwitch
from execution.services import engage, release
from reports.models import Alert


@require_POST
@permission_required("execution.halt", raise_exception=True)
def engage_switch(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    number = request.POST.get("account", "")
    account = get_object_or_404(Account, number=number) if number else None
    try:
        switch = engage(
            person=person,
            level=request.POST.get("level", KillSwitch.Level.PAUSE),
            reason=request.POST.get("reason", "").strip(),
            account=account,
        )
    except BadInput as error:
        messages.error(request, str(error))
    else:
        messages.warning(request, f"Halted: {switch.get_level_display()}, {account or 'all accounts'}.")
    return redirect("dashboard")


@require_POST
@permission_required("execution.resume", raise_exception=True)
def release_switch(request: HttpRequest, pk: int) -> HttpResponse:
    person: Any = request.user
    switch = get_object_or_404(KillSwitch, pk=pk)
    try:
        release(switch=switch, person=person)
    except BadInput as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Released: trading may go on.")
    return redirect("dashboard")


@require_POST
@permission_required("reports.change_alert", raise_exception=True)
def mark_seen(request: HttpRequest) -> HttpResponse:
    """Mark the alert named in the form, or all that are open now."""
    open_alerts = Alert.objects.filter(seen__isnull=True)
    chosen = request.POST.get("alert", "")
    if chosen:
        open_alerts = open_alerts.filter(pk=chosen) if chosen.isdecimal() and len(chosen) <= 18 else open_alerts.none()
    open_alerts.update(seen=timezone.now(), seen_by=request.user)
    return redirect("dashboard")
