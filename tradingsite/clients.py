"""Who is at the other end of a request."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def address(request: HttpRequest) -> str | None:
    """The client's IP address: the peer's, or behind a proxy the one that the proxy added last."""
    text = str(request.META.get("REMOTE_ADDR", ""))
    if settings.BEHIND_PROXY:
        text = request.headers.get("X-Forwarded-For", text).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:  # a unix socket's peer has none
        return None


def is_this_machine(request: HttpRequest) -> bool:
    """Whether the request was made on this machine, and by no proxy here for somebody elsewhere."""
    forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"))
    if settings.BEHIND_PROXY or forwarded:
        return False
    found = address(request)
    return found is not None and ipaddress.ip_address(found).is_loopback
