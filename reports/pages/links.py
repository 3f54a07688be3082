"""Connections to the gateway, as pages show them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from tradingsite.linkrows import standings

_TONES = {"ready": "alive", "connecting": "running", "syncing": "running", "degraded": "warning"}
_NOTICES_SHOWN = 5


def links() -> list[dict[str, Any]]:
    """Those that should be: each with its standing and the tone of its state."""
    return [{"at": each, "tone": tone_of(each.state)} for each in standings() if each.wanted]


def tone_of(state: str) -> str:
    return _TONES.get(state, "bad")


def gateway(request: HttpRequest) -> dict[str, Any]:
    found = links()
    for each in found:
        each["notices"] = each["at"].row.notices[:_NOTICES_SHOWN] if each["at"].row else []
    user: Any = request.user
    return {"links": found, "may_open": user.is_staff}
