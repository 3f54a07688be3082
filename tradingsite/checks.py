"""What `manage.py check` says about this installation's settings. Ids: ibdesk.W001 and on."""

from __future__ import annotations

import ipaddress
import stat
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

Apps = Sequence[AppConfig] | None


def is_loopback(bind: str) -> bool:
    """Whether only this machine can reach what listens there (host:port, or unix:path)."""
    if bind.startswith("unix:"):
        return True
    host = bind.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@register("security")
def check_reach(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    """What must hold where others than this machine can reach the pages."""
    found: list[CheckMessage] = []
    if not is_loopback(settings.WEB_BIND):
        if not settings.HTTPS:
            found.append(
                Warning(
                    f"WEB_BIND is {settings.WEB_BIND}, which others can reach, and HTTPS is off: passwords and "
                    "sessions travel in the clear.",
                    hint="Bind to 127.0.0.1 behind a proxy that speaks TLS, and set HTTPS=true and BEHIND_PROXY=true.",
                    id="ibdesk.W001",
                )
            )
        if settings.DEBUG:
            found.append(
                Warning(
                    f"DEBUG is on and WEB_BIND is {settings.WEB_BIND}: strangers see code and settings on error pages.",
                    hint="Set DEBUG=false.",
                    id="ibdesk.W002",
                )
            )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Warning(
                "ALLOWED_HOSTS holds *: any site can pass for this one (DNS rebinding).",
                hint="Name the hosts that people type.",
                id="ibdesk.W003",
            )
        )
    return found


@register("security")
def check_key_file(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    path = settings.VAR_DIR / "secret_key"
    if not path.exists() or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    return [
        Warning(
            f"{path} can be read by others than its owner: who has it can forge sessions.",
            hint=f"chmod 600 {path}",
            id="ibdesk.W004",
        )
    ]


@register("security", deploy=True)
def check_second_factor(app_configs: Apps, **_: Any) -> list[CheckMessage]:
    if settings.REQUIRE_OTP or settings.TRADING_MODE != "live":
        return []
    return [
        Warning(
            "TRADING_MODE is live and REQUIRE_OTP is off: a stolen password can trade.",
            hint="Let traders and admins set up a second factor under Account, then set REQUIRE_OTP=true.",
            id="ibdesk.W005",
        )
    ]
