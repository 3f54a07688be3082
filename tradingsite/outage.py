"""What a person sees where a page failed: 503 and when to come back where the database is away, else a plain 500."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

RETRY_SECONDS = 10


def server_error(request: HttpRequest) -> HttpResponse:
    """For `handler500`. It is called while the fault is being handled, whichever middleware or view it came from, and
    asks the database nothing."""
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    page = render_to_string("outage.html", {"away": away, "seconds": RETRY_SECONDS})
    if not away:
        return HttpResponse(page, status=500)
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_SECONDS)})
