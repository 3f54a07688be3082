"""Every route and method, asked by every role and every scope of a token, against a table that is written by hand."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import URLResolver, get_resolver, resolve
from django.urls.exceptions import Resolver404
from rest_framework.test import APIClient

from tests.tradingsite import rolepage
from tests.tradingsite.people import by_token, person, session
from tradingsite.models import Role

pytestmark = pytest.mark.django_db

API = "api/v1/"
# Beside the roles: "logged in" is any person but no token, "anybody" any person or token.
LOGGED_IN, ANYBODY = "logged in", "anybody"
VIEWER, RESEARCHER, TRADER, ADMIN = Role.VIEWER.value, Role.RESEARCHER.value, Role.TRADER.value, Role.ADMIN.value


def rows(prefix: str, key: str, read: str = VIEWER, write: str | None = None) -> dict[str, str]:
    """The calls of rows that are read by one role, and written by another where one is named."""
    calls = {f"GET {prefix}": read, f"GET {prefix}/<{key}>": read}
    if write is not None:
        calls |= {f"POST {prefix}": write}
        calls |= {f"{method} {prefix}/<{key}>": write for method in ("PUT", "PATCH", "DELETE")}
    return calls


def run(prefix: str, key: str = "pk") -> dict[str, str]:
    calls = rows(prefix, key) | {f"POST {prefix}": RESEARCHER}
    return calls | {f"POST {prefix}/<{key}>/{wish}": RESEARCHER for wish in ("cancel", "retry")}


BACKTEST = "backtests/<run_id>"
EXPECTED = {
    **rows("instruments", "pk", write=RESEARCHER),
    "GET instruments/<pk>/bars": VIEWER,
    "GET instruments/<pk>/coverage": VIEWER,
    **rows("watchlists", "pk", write=RESEARCHER),
    **rows("corporate-actions", "pk", write=RESEARCHER),
    **run("bar-imports"),
    **rows("strategies", "name"),
    **rows("risk-profiles", "pk", write=ADMIN),
    **rows("strategy-configs", "pk", write=RESEARCHER),
    **rows("scheduled-backtests", "pk", write=RESEARCHER),
    **run("backtests", "run_id"),
    f"PATCH {BACKTEST}": RESEARCHER,
    f"GET {BACKTEST}/result": VIEWER,
    f"GET {BACKTEST}/ledgers/<ledger>": VIEWER,
    f"GET {BACKTEST}/report": VIEWER,
    **run("reports"),
    **rows("alerts", "pk"),
    "POST alerts/<pk>/seen": TRADER,
    **rows("accounts", "pk"),
    **rows("orders", "pk"),
    **rows("fills", "pk"),
    **rows("positions", "pk"),
    **rows("kill-switch", "pk"),
    "POST kill-switch/engage": TRADER,
    "POST kill-switch/<pk>/release": ADMIN,
    **rows("runs", "pk"),
    "POST runs/<pk>/cancel": RESEARCHER,
    "POST runs/<pk>/retry": RESEARCHER,
    "GET tokens": LOGGED_IN,
    "POST tokens": LOGGED_IN,
    "DELETE tokens/<key>": LOGGED_IN,
    "GET health": VIEWER,
    "GET schema/": ANYBODY,
    "GET schema.json": ANYBODY,
    "GET docs/": LOGGED_IN,
}
# What a stranger may see beside the API: to log in, and files without secrets.
PUBLIC = ("admin/login/", "admin/logout/", "admin/jsi18n/", "healthz/", "static/")
VALUES = ("1", "0" * 8 + "-0000-4000-8000-" + "0" * 12, "a" * 15, "fills", "x", "marketdata")


class Route(NamedTuple):
    """A route as people read it, an address of it with something in each place, and its view."""

    name: str
    path: str
    view: Any


def routes() -> list[Route]:
    return [Route(name, _filled(name, view), view) for name, view in _walk(get_resolver().url_patterns)]


def _walk(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in patterns:
        text = prefix + _readable(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, text)
        else:
            yield text, each.callback


def _readable(pattern: Any) -> str:
    if hasattr(pattern, "_route"):
        first, *parts = str(pattern).split("<")
        return "".join([first, *("<" + part.rpartition(":")[2] for part in parts)])
    return str(simplify_regex(str(pattern))).lstrip("/")


def _filled(name: str, view: Any) -> str:
    for value in VALUES:
        pieces = name.split("<")
        path = (
            "/"
            + pieces[0]
            + "".join(
                ("fills" if piece.startswith("ledger>") else value) + piece.partition(">")[2] for piece in pieces[1:]
            )
        )
        try:
            if resolve(path).func is view:
                return path
        except Resolver404:
            continue
    raise AssertionError(f"no value in VALUES makes an address of {name}; add one")


def api_calls() -> dict[str, str]:
    """The path of every call of the API, by `METHOD route`."""
    calls = {}
    for route in routes():
        if route.name.startswith(API) and route.name != API:
            methods = getattr(route.view, "actions", None) or [
                name for name in route.view.cls.http_method_names if hasattr(route.view.cls, name)
            ]
            for method in methods:
                if method not in ("head", "options"):
                    calls[f"{method.upper()} {route.name.removeprefix(API)}"] = route.path
    return calls


def answer(client: APIClient, call: str, path: str) -> str:
    """ "yes" or "no"; what the call does is undone."""
    with transaction.atomic():
        response = getattr(client, call.split(maxsplit=1)[0].lower())(path)
        transaction.set_rollback(True)
    assert response.status_code < 500, (call, response.content)
    return "no" if response.status_code in (401, 403, 302) else "yes"


def lowest(role: str) -> int:
    """How far down the list of roles a call goes."""
    return 0 if role in (LOGGED_IN, ANYBODY) else 1 + Role.values.index(role)


def test_the_table_names_every_call_of_the_api_and_no_other():
    assert set(api_calls()) == set(EXPECTED)
    assert len(EXPECTED) > 80


def test_every_role_may_call_what_the_table_says():
    calls = api_calls()
    clients = [(session(person(None)), 0)] + [
        (session(person(role)), rank) for rank, role in enumerate(Role.values, start=1)
    ]
    for client, rank in clients:
        for call, role in EXPECTED.items():
            wanted = "yes" if rank >= lowest(role) else "no"
            assert answer(client, call, calls[call]) == wanted, (call, rank)


def test_a_stranger_may_call_nothing():
    for call, path in api_calls().items():
        assert answer(APIClient(), call, path) == "no", call


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("scope", Role.values)
def test_a_token_may_call_what_both_its_person_and_its_scope_may(role, scope):
    calls = api_calls()
    client = by_token(person(role), scope)
    rank = 1 + min(Role.values.index(role), Role.values.index(scope))
    for call, needed in EXPECTED.items():
        wanted = "yes" if needed != LOGGED_IN and rank >= lowest(needed) else "no"
        assert answer(client, call, calls[call]) == wanted, (call, role, scope)


def test_a_token_of_a_superuser_keeps_to_its_scope():
    root = User.objects.create_superuser("root")
    client, calls = by_token(root, "viewer"), api_calls()
    for call, needed in EXPECTED.items():
        assert answer(client, call, calls[call]) == ("yes" if needed in (VIEWER, ANYBODY) else "no"), call


def test_strangers_are_sent_to_the_login_from_every_page():
    pages = [route for route in routes() if not route.name.startswith((API, *PUBLIC))]
    assert len(pages) > 20
    for route in pages:
        for method in ("get", "post"):
            response = getattr(APIClient(), method)(route.path)
            assert response.status_code in (302, 401, 403, 405), (method, route.name, response.status_code)
            if response.status_code == 302:
                assert "login" in response["Location"], (method, route.name, response["Location"])


def test_the_committed_page_says_what_is_so():
    text = rolepage.page(EXPECTED)
    if os.environ.get("UPDATE_DOCS"):
        rolepage.PAGE.write_text(text, encoding="utf-8")
    assert rolepage.PAGE.read_text(encoding="utf-8") == text, "run this test with UPDATE_DOCS=1 and commit the page"
