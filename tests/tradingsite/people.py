"""People of every role, and clients that speak for them."""

from functools import cache
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from rest_framework.test import APIClient

from tradingsite.models import ApiToken, Role
from tradingsite.roles import write_roles

ROOT = "/api/v1"
PASSWORD = "correct horse battery"


def person(role: Role | str | None, name: str = "", **fields: Any) -> User:
    """A user in the group of a role, None: in none, whose password is PASSWORD. The groups are as after `migrate`."""
    if not Group.objects.filter(name=Role.ADMIN, permissions__isnull=False).exists():
        write_roles()
    name = name or str(role or "nobody")
    if User.objects.filter(username=name).exists():
        name = f"{name}-{User.objects.count()}"
    user = User.objects.create(username=name, password=_hashed(), **fields)
    if role is not None:
        user.groups.add(Group.objects.get(name=str(role)))
    return user


@cache
def _hashed() -> str:
    """Made once: it is slow by design."""
    return make_password(PASSWORD)


def staff(role: Role | str | None, name: str = "", **fields: Any) -> User:
    """Somebody of that role who may enter the admin."""
    return person(role, name, is_staff=True, **fields)


def session(user: User | None) -> APIClient:
    """A browser that is logged in; None: a stranger's."""
    client = APIClient()
    if user is not None:
        client.force_login(user)
    return client


def by_token(user: User, scope: Role | str) -> APIClient:
    _, secret = ApiToken.objects.create(user, name="test", scope=scope)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    return client


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem details of an answer, which must have this status."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"] == "application/problem+json"
    found = response.json()
    assert found["status"] == status
    assert found["title"] and found["detail"]
    return found
