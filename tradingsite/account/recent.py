"""For what must not be done from a screen that somebody left: the password again, unless it was typed just now."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

_WHEN = "authenticated_at"
View = Callable[..., HttpResponse]


def remember(request: HttpRequest) -> None:
    """The person at this session has just shown who they are."""
    request.session[_WHEN] = time.time()


def authenticated_within(request: HttpRequest, minutes: float) -> bool:
    age = time.time() - float(request.session.get(_WHEN, 0))
    return 0 <= age <= minutes * 60


def recently_authenticated(minutes: float = 15) -> Callable[[View], View]:
    """Decorator of a view: who has not shown their password for so long does it first, then comes back.

    A POST is not repeated by itself: the person comes back to the page that it was sent from.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if authenticated_within(request, minutes):
                return view(request, *args, **kwargs)
            url = f"{reverse('account:confirm')}?{urlencode({'next': _page_of(request)})}"
            if request.headers.get("HX-Request"):
                return HttpResponse(headers={"HX-Redirect": url})
            return HttpResponseRedirect(url)

        return checked

    return decorate


def safe_next(request: HttpRequest, url: str, otherwise: str) -> str:
    """The address if it is one of this site, so that no link can send a person elsewhere after the password."""
    if url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()):
        return url
    return otherwise


def _page_of(request: HttpRequest) -> str:
    if request.method == "GET" and not request.headers.get("HX-Request"):
        return request.get_full_path()
    came_from = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    parts = urlsplit(safe_next(request, came_from, "/"))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path or "/"
