"""Pages that keep themselves up to date: one small request every few seconds, answered with what has changed.

A page is made of parts. Each carries a digest of its own text, which the page sends back when it asks; only parts that
read differently now are sent, and where none does the answer is an empty 204, which leaves the page as it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_STOP_POLLING = 286  # htmx's own status


class Part(NamedTuple):
    """`context` is called when the part is rendered; None leaves the part empty."""

    template: str
    context: Callable[[], dict[str, Any] | None]


def live_page(
    request: HttpRequest,
    template: str,
    parts: Mapping[str, Part],
    context: Mapping[str, Any] | None = None,
    *,
    every_seconds: int = 5,
) -> HttpResponse:
    """The whole page with its `parts` as HTML by name, or, where the page itself asks, those that have changed.

    The page polls by `{% include "pages/poll.html" %}`; `every_seconds` 0 means that nothing will change any more, and
    ends the polling of a page that was loaded before.
    """
    htmx = getattr(request, "htmx", None)
    asks = bool(htmx) and "part" in request.GET
    known = set(request.GET.getlist("part")) if asks else set()
    rendered = {name: _render(request, name, part) for name, part in parts.items()}
    if not asks:
        shown = {name: _wrap(name, text, digest) for name, (text, digest) in rendered.items()}
        return render(request, template, {**(context or {}), "parts": shown, "every_seconds": every_seconds})
    changed = [
        _wrap(name, text, digest, oob=True)
        for name, (text, digest) in rendered.items()
        if f"{name}:{digest}" not in known
    ]
    if every_seconds == 0:
        return HttpResponse("\n".join(changed), status=_STOP_POLLING)
    return HttpResponse("\n".join(changed), status=200 if changed else 204)


def _render(request: HttpRequest, name: str, part: Part) -> tuple[SafeString, str]:
    context = part.context()
    if context is None:
        return mark_safe(""), "0"  # nosec B308 B703
    token = get_token(request)  # masked anew by each call, so it must not count
    text = render_to_string(part.template, {**context, "csrf_token": token}, request)
    digest = hashlib.sha256(text.replace(token, "").encode()).hexdigest()[:16]
    return text, digest


def _wrap(name: str, text: SafeString, digest: str, *, oob: bool = False) -> SafeString:
    return format_html(
        '<div id="part-{name}"{oob}>{text}<input type="hidden" name="part" value="{name}:{digest}"></div>',
        name=name,
        oob=mark_safe(' hx-swap-oob="true"' if oob else ""),  # nosec B308 B703
        text=text,
        digest=digest,
    )
