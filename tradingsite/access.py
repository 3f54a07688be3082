"""Who may do what through the API: sessions and tokens, permissions, throttles. Deny by default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

from tradingsite.models import ApiToken
from tradingsite.roles import permissions_of

_TOKEN = re.compile(rb"[0-9a-f]{64}")
_USE_NOTED_EVERY = timedelta(minutes=1)
_ACTIONS = {"GET": "view", "HEAD": "view", "POST": "add", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


class TokenAuthentication(KnoxAuthentication):
    """`Authorization: Token …`. The token notes when it was used, to the minute."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, ApiToken]:
        if not _TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        user, held = super().authenticate_credentials(token)
        now = timezone.now()
        if held.last_used is None or held.last_used < now - _USE_NOTED_EVERY:
            ApiToken.objects.filter(pk=held.pk).update(last_used=now)
        return user, held


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "tradingsite.access.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <secret>`, with a token made at /api/v1/tokens",
        }


def may(request: Request, permission: str) -> bool:
    """Whether the user has a permission (`app.codename`), and the token, where one is used, has it in its scope."""
    if not request.user.has_perm(permission):
        return False
    token = request.auth
    label, _, codename = permission.partition(".")
    return not isinstance(token, ApiToken) or (label, codename) in permissions_of(token.scope)


def may_act(request: Request, action: str, model: type[models.Model]) -> bool:
    """Whether the request may view, add, change or delete rows of a model."""
    return may(request, f"{model._meta.app_label}.{action}_{model._meta.model_name}")


class Permitted(BasePermission):
    """Asks for what the view `needs`: actions on its model (`change`), or permissions in full (`execution.halt`).

    A view that says nothing needs `view` of its model to read, and `add`, `change` or `delete` to write.
    """

    message = "Your role, or the scope of your token, does not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        if request.method not in view.allowed_methods or request.method == "OPTIONS":
            return True  # not offered: answered with 405
        needs: Iterable[str] = (_ACTIONS[str(request.method)],) if view.needs is None else view.needs
        return all(may(request, need) if "." in need else may_act(request, need, view.queryset.model) for need in needs)


class BySession(BasePermission):
    """People who are logged in, and no token: one that leaked cannot make others."""

    message = "This takes a person who is logged in; a token cannot do it."

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user.is_authenticated) and request.auth is None


class _Rated:
    """The rate is read when it is asked for, so that settings and tests can change it."""

    scope: str

    def get_rate(self) -> str:
        rates: Any = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
        return str(rates[self.scope])


class StrangerThrottle(_Rated, AnonRateThrottle):
    """Requests without a valid login, by address."""

    scope = "stranger"


class PersonThrottle(_Rated, UserRateThrottle):
    scope = "person"


class HeavyThrottle(_Rated, UserRateThrottle):
    """What a view calls `heavy`: bars, uploads, backtests."""

    scope = "heavy"

    def allow_request(self, request: Request, view: Any) -> bool:
        wanted = getattr(view, "action", None) or str(request.method).lower()
        return wanted not in view.heavy or super().allow_request(request, view)
