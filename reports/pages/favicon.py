"""For browsers that ask for it by its old name: pages of the admin, and files shown as they are."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.http import require_safe


@require_safe
@login_not_required
def favicon(request: HttpRequest) -> HttpResponse:
    return redirect(static("ibdesk/favicon.svg"))
