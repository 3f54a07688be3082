"""What a browser may do on the admin's pages, beside CONTENT_SECURITY_POLICY."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


def allow_alpine(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Let the admin's own script library build functions from its attributes: there, and on no other page.

    Scripts still come from this site's files alone; nothing inline runs.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.resolver_match is not None and request.resolver_match.app_name == "admin":
            response._csp_update = {"script-src": ["'unsafe-eval'"]}  # type: ignore[attr-defined]
        return response

    return answer
