"""What happens around every request: its log line, the headers of its answer, and the second factor."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from tradingsite import logs
from tradingsite.account.codes import has_second_factor
from tradingsite.roles import needs_second_factor, role_of

Answer = Callable[[HttpRequest], HttpResponse]

log = logging.getLogger("tradingsite.requests")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestLog:
    """Binds the request's id (the proxy's, where it sends one) and its user to every line, and writes one at its end.

    The path stands in that line, the query does not: people put secrets there.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.headers.get("X-Request-ID", "")
        request_id = sent if settings.BEHIND_PROXY and _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        began = time.perf_counter()
        with logs.bound(request_id=request_id):
            response = self.get_response(request)
            level = logging.DEBUG if request.path.startswith(("/healthz/", "/metrics")) else logging.INFO
            milliseconds = round((time.perf_counter() - began) * 1000)
            log.log(level, "%s %s %s in %s ms", request.method, request.path, response.status_code, milliseconds)
        response["X-Request-ID"] = request_id
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        # A view for strangers must not wait for the database to learn who asks.
        if getattr(view, "login_required", True) and hasattr(request, "user") and request.user.is_authenticated:
            logs.bind(user=request.user.get_username())


class LoginRequired(LoginRequiredMiddleware):
    """Django's, which learns who asks even where a view is for strangers; so a probe waited for the database."""

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *args: Any) -> HttpResponseBase | None:
        return super().process_view(request, view, *args) if getattr(view, "login_required", True) else None


class Storable:
    """Refuses a request to a page whose address, query or form holds what no text in the database may: NUL.

    PostgreSQL refuses it with an error of the server, SQLite keeps it. The API says the same in its own way.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        if request.path.startswith("/api/"):
            return
        fields = [*request.GET.lists(), *request.POST.lists()]
        texts = [request.path, *(text for name, values in fields for text in (name, *values))]
        if any("\0" in text for text in texts):
            raise BadRequest("the request holds a NUL character")


class Headers:
    """What Django's own middleware does not set."""

    FIXED = {
        "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Resource-Policy": "same-origin",
    }

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in self.FIXED.items():
            response.headers.setdefault(name, value)
        # Nothing that a person saw stays on the machine they saw it on; what has an ETag is asked for again anyway.
        if "Cache-Control" not in response and "ETag" not in response:
            response["Cache-Control"] = "no-store"
        return response


class SecondFactor:
    """With REQUIRE_OTP, who may trade or administer comes no further than the pages where a second factor is set up."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> HttpResponse | None:
        if not settings.REQUIRE_OTP or not getattr(view, "login_required", True):
            return None
        user: Any = request.user
        if not user.is_authenticated or user.is_verified() or not needs_second_factor(role_of(user)):
            return None
        enrolment = reverse("account:second-factor")
        if request.path in (reverse("admin:logout"), reverse("account:confirm")):
            return None
        if has_second_factor(user):  # set up elsewhere since this session began: it must be shown here too
            logout(request)
            return redirect("admin:login")
        return None if request.path == enrolment else _go(request, enrolment)


def _go(request: HttpRequest, url: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
