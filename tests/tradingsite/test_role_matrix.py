"""Every route and method, asked by every role and every scope of a token, against a table that is written by hand."""

import copy
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib.admindocs.views import simplify_regex
from django.contrib.auth.models import User
from django.db import transaction
from django.template.response import SimpleTemplateResponse
from django.urls import URLResolver, get_resolver, resolve
from django.urls.exceptions import Resolver404
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from strategies.models import Backtest
from tests.tradingsite import rolepage
from tests.tradingsite.people import by_token, person, session
from tests.tradingsite.rows import everything
from tradingsite import health
from tradingsite.models import ConfigChange, Role

pytestmark = pytest.mark.django_db

VIEWER, RESEARCHER, TRADER, ADMIN = Role.VIEWER.value, Role.RESEARCHER.value, Role.TRADER.value, Role.ADMIN.value
# Beside the roles: strangers too; any person or token; any person but no token; nobody.
EVERYBODY, ANYBODY, LOGGED_IN, NOBODY = "everybody", "anybody", "logged in", "nobody"


# ---- the pages ---------------------------------------------------------------------------------------------------


def form(path: str, role: str, shown_to: str = "") -> dict[str, str]:
    """A page that is sent as well."""
    return {f"GET {path}": shown_to or role, f"POST {path}": role}


PAGES = {
    "GET ": LOGGED_IN,
    "GET favicon.ico": EVERYBODY,
    "GET search/": LOGGED_IN,
    "POST halts/": TRADER,
    "POST halts/<pk>/release/": ADMIN,
    "POST alerts/seen/": TRADER,
    "GET instruments/": VIEWER,
    "GET instruments/<pk>/": VIEWER,
    "GET instruments/<pk>/coverage/": VIEWER,
    "POST instruments/<pk>/load/": RESEARCHER,
    "GET watchlists/": VIEWER,
    **form("watchlists/new/", RESEARCHER),
    "GET watchlists/<pk>/": VIEWER,
    **form("watchlists/<pk>/edit/", RESEARCHER),
    **form("imports/new/", RESEARCHER, shown_to=VIEWER),
    "GET backtests/": VIEWER,
    "GET backtests/open/": VIEWER,
    "POST backtests/selected/": VIEWER,  # to compare; to archive takes a researcher
    "GET backtests/compare/": VIEWER,
    **form("backtests/new/", RESEARCHER),
    "GET backtests/<run_id>/": VIEWER,
    "GET backtests/<run_id>/report/": VIEWER,
    "GET backtests/<run_id>/files/<name>": VIEWER,
    **{
        f"POST backtests/<run_id>/{wish}/": RESEARCHER
        for wish in ("cancel", "retry", "archive", "restore", "describe", "make-report")
    },
    "GET runs/": VIEWER,
    "GET runs/<kind>/<pk>/": VIEWER,
    "POST runs/<kind>/<pk>/cancel/": RESEARCHER,
    "POST runs/<kind>/<pk>/retry/": RESEARCHER,
    "GET health/": VIEWER,
    "GET account/": LOGGED_IN,
    **form("account/password/", LOGGED_IN),
    **form("account/confirm/", LOGGED_IN),
    **form("account/second-factor/", LOGGED_IN),
    "POST account/second-factor/remove/": LOGGED_IN,
    "POST account/recovery-codes/": LOGGED_IN,
    "POST account/tokens/": LOGGED_IN,
    "POST account/tokens/<pk>/delete/": LOGGED_IN,
    "GET healthz/live": EVERYBODY,
    "GET healthz/ready": EVERYBODY,
    "GET metrics": VIEWER,
}


# ---- the admin, for those who have the staff status --------------------------------------------------------------

ADMIN_SITE = "admin/"
CONFIGURED = (VIEWER, RESEARCHER, RESEARCHER, RESEARCHER)
FACTS = (VIEWER, NOBODY, NOBODY, NOBODY)
KEPT_BY_ADMINS = (ADMIN, NOBODY, NOBODY, NOBODY)
# Of each list: who may open, add, change and delete its rows.
ADMIN_ROWS = {
    "auth/user": (ADMIN, ADMIN, ADMIN, ADMIN),
    "auth/group": KEPT_BY_ADMINS,
    **{
        f"tradingsite/{name}": rights
        for name, rights in (
            ("heartbeat", FACTS),
            ("gatewaylink", FACTS),
            ("lease", FACTS),
            ("configchange", FACTS),
            ("answeredrequest", KEPT_BY_ADMINS),
            ("apitoken", (ADMIN, NOBODY, NOBODY, ADMIN)),
        )
    },
    "otp_totp/totpdevice": (ADMIN, NOBODY, NOBODY, ADMIN),
    "otp_static/staticdevice": (ADMIN, NOBODY, NOBODY, ADMIN),
    **{f"axes/{name}": KEPT_BY_ADMINS for name in ("accessattempt", "accessfailurelog", "accesslog")},
    "django_celery_beat/periodictask": (ADMIN, NOBODY, ADMIN, NOBODY),
    **{f"marketdata/{name}": CONFIGURED for name in ("instrument", "watchlist", "corporateaction", "loadplan", "halt")},
    "marketdata/requestlength": (VIEWER, ADMIN, ADMIN, ADMIN),
    "marketdata/pacingbudget": (VIEWER, ADMIN, ADMIN, NOBODY),
    **{
        f"marketdata/{name}": FACTS
        for name in (
            "watchlistmember",
            "barfile",
            "bar",
            "barimport",
            "loadrun",
            "fetch",
            "gatewayquestion",
            "provenrange",
            "headtime",
            "instrumentdetails",
            "restatement",
            "qualitynote",
            "tapecheck",
            "pacingslot",
        )
    },
    **{f"strategies/{name}": CONFIGURED for name in ("strategyconfig", "scheduledbacktest")},
    "strategies/riskprofile": (VIEWER, ADMIN, ADMIN, ADMIN),
    "strategies/backtest": FACTS,
    **{f"execution/{name}": FACTS for name in ("account", "accountvalue", "order", "fill", "position")},
    "execution/killswitch": (VIEWER, TRADER, NOBODY, NOBODY),
    **{f"reports/{name}": FACTS for name in ("report", "alert")},
}
ADMIN_PAGES = {
    "POST login/": EVERYBODY,
    "GET login/": EVERYBODY,
    "POST logout/": LOGGED_IN,
    **form("", LOGGED_IN),
    **form("search/", LOGGED_IN),
    **form("password_change/", LOGGED_IN),
    "GET password_change/done/": LOGGED_IN,
    "GET autocomplete/": VIEWER,
    "GET jsi18n/": LOGGED_IN,
    **form("r/<content_type_id>/<object_id>/", LOGGED_IN),
    **form("<app_label>/", VIEWER),
    **form("<url>", LOGGED_IN),
    **form("auth/user/<id>/password/", ADMIN),
    **form("tradingsite/configchange/<pk>/revert/", RESEARCHER),  # of a watchlist; of a risk profile it takes an admin
    **form("tradingsite/configchange/configuration/", VIEWER),  # applied as far as the role may write each kind
    **form("tradingsite/configchange/configuration/export/", VIEWER),
}


def admin_rows(name: str, view: str, add: str, change: str, delete: str) -> dict[str, str]:
    row = f"{name}/<object_id>"
    return {
        **form(f"{name}/", view),
        **form(f"{name}/add/", add),
        **form(f"{row}/change/", change, shown_to=view),
        **form(f"{row}/history/", view),
        **form(f"{row}/delete/", delete),
        **form(f"{row}/", LOGGED_IN),  # leads to the row's page
    }


# ---- the API -----------------------------------------------------------------------------------------------------

API = "api/v1/"


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
API_CALLS = {
    **rows("instruments", "pk", write=RESEARCHER),
    "GET instruments/<pk>/bars": VIEWER,
    "GET instruments/<pk>/coverage": VIEWER,
    **rows("watchlists", "pk", write=RESEARCHER),
    **rows("corporate-actions", "pk", write=RESEARCHER),
    **run("bar-imports"),
    **{call: role for call, role in run("gateway-questions").items() if call != "POST gateway-questions"},
    **{call: role for call, role in run("data/loads").items() if call != "POST data/loads"},
    "GET data/loads/<pk>/fetches": VIEWER,
    "POST data/load": RESEARCHER,
    "POST data/preview": VIEWER,
    "GET data/pacing": VIEWER,
    **rows("data/plans", "pk", write=RESEARCHER),
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
    "GET ib/status": VIEWER,
    "GET ib/health": VIEWER,
    "GET ib/config": VIEWER,
    "POST ib/cleanup": TRADER,
    "GET ib/ranges": VIEWER,
    "POST ib/symbols/discover": RESEARCHER,
    "GET ib/symbols/discovered": VIEWER,
    "GET schema/": ANYBODY,
    "GET schema.json": ANYBODY,
    "GET docs/": LOGGED_IN,
}


# ---- all of it ---------------------------------------------------------------------------------------------------


def below(prefix: str, calls: dict[str, str]) -> dict[str, str]:
    return {call.replace(" ", f" {prefix}", 1): role for call, role in calls.items()}


ADMIN_CALLS = ADMIN_PAGES | {
    call: role for name, rights in ADMIN_ROWS.items() for call, role in admin_rows(name, *rights).items()
}
EXPECTED = PAGES | below(ADMIN_SITE, ADMIN_CALLS) | below(API, API_CALLS)
# An address without a view of its own: whatever else stands below the API.
NO_CALLS = {API}
VALUES = ("1", "0" * 8 + "-0000-4000-8000-" + "0" * 12, "a" * 15, "fills", "x", "backtest", "marketdata")
# What such an address needs beside its path to be asked something.
QUERIES = {"admin/autocomplete/": "?app_label=marketdata&model_name=watchlistmember&field_name=instrument"}
# Where a row that somebody may not see is not there for them.
HIDING = ("runs/<", "admin/<app_label>/")


class Route(NamedTuple):
    """A route as people read it, an address of it with something in each place, and its view."""

    name: str
    path: str
    view: Any

    def methods(self) -> list[str]:
        """Those that may be offered: of the API all that there are, elsewhere what a browser sends."""
        if not self.name.startswith(API):
            return ["GET", "POST"]
        view = self.view.cls
        actions = getattr(self.view, "actions", None) or [
            each for each in view.http_method_names if hasattr(view, each)
        ]
        return [method.upper() for method in actions if method not in ("head", "options")]


def routes() -> list[Route]:
    found: dict[str, Route] = {}
    for name, view in _walk(get_resolver().url_patterns):
        if name not in found:  # else the first one answers
            found[name] = Route(name, _filled(name, view) + QUERIES.get(name, ""), view)
    return list(found.values())


def _walk(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in patterns:
        text = prefix + _readable(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, text)
        else:
            yield text, each.callback


def _readable(pattern: Any) -> str:
    if hasattr(pattern, "_route"):
        return re.sub(r"<\w+:", "<", str(pattern))
    return str(simplify_regex(str(pattern))).lstrip("/")


def _filled(name: str, view: Any) -> str:
    given = _row_of(name)
    for value in (given,) if given else VALUES:
        first, *pieces = name.split("<")
        path = "/" + first
        for piece in pieces:
            place, _, rest = piece.partition(">")
            path += {"ledger": "fills", "kind": "backtest", "app_label": "marketdata"}.get(place, value) + rest
        try:
            if resolve(path).func is view:
                return path
        except Resolver404:
            continue
    raise AssertionError(f"no value in VALUES makes an address of {name}; add one")


def _row_of(name: str) -> str:
    """The key of a row, where who may do something is asked of the row itself."""
    parts = name.split("/")
    if name.startswith("admin/tradingsite/configchange/<pk>"):
        model: Any = ConfigChange
    elif name.startswith("runs/<"):
        model = Backtest
    elif name.startswith(ADMIN_SITE) and name.removeprefix(ADMIN_SITE).partition("/<")[0] in ADMIN_ROWS:
        model = apps.get_model(parts[1], parts[2])
    else:
        return ""
    row = model._default_manager.order_by("pk").last()
    assert row is not None, f"tests/tradingsite/rows.py makes no row of {model.__name__}"
    return str(row.pk)


@pytest.fixture
def calls(monkeypatch) -> dict[str, str]:
    """The path of every call, by `METHOD route`, with a row of every model. What is not asked here is left out: how the
    admin's pages look, what the schema says, and whether the processes live."""
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", "")
    monkeypatch.setattr(SchemaGenerator, "get_schema", lambda *args, **kwargs: {})
    monkeypatch.setattr(health, "checks", list)
    monkeypatch.setattr("reports.pages.health.checks", list)
    monkeypatch.setattr("tradingsite.linkrows.standings", lambda *args: [])
    everything(1)
    return {f"{method} {route.name}": route.path for route in routes() for method in route.methods()}


def of(prefix: str, calls: dict[str, str]) -> dict[str, str]:
    return {call: path for call, path in calls.items() if call.partition(" ")[2].startswith(prefix)}


def answer(client: APIClient, call: str, path: str) -> str:
    """ "yes", "no", or "not offered"; what the call does is undone, a logout too."""
    method, _, route = call.partition(" ")
    cookies = copy.copy(client.cookies)
    with transaction.atomic():
        response = getattr(client, method.lower())(path, REMOTE_ADDR="192.0.2.9")
        transaction.set_rollback(True)
    client.cookies = cookies
    assert response.status_code < 500, (call, response.status_code)
    to_login = response.status_code == 302 and "/login/?next=" in response["Location"]
    hidden = response.status_code == 404 and route.startswith(HIDING)
    if response.status_code in (401, 403) or to_login or hidden:
        return "no"
    return "not offered" if response.status_code == 405 else "yes"


def wanted(role: str, rank: int) -> str:
    """Strangers have the rank -1, people without a role 0, and then the roles in their order."""
    lowest = {EVERYBODY: -1, ANYBODY: 0, LOGGED_IN: 0, NOBODY: 99}
    return "yes" if rank >= lowest.get(role, 1 + [*Role.values, role].index(role)) else "no"


def wrong(client: APIClient, rank: int, calls: dict[str, str]) -> list[str]:
    found = []
    for call, path in calls.items():
        if call in EXPECTED and (said := answer(client, call, path)) != wanted(EXPECTED[call], rank):
            found.append(f"{call}: {said}, not {wanted(EXPECTED[call], rank)} as the table has it")
    return found


# ---- the tests ---------------------------------------------------------------------------------------------------


def test_the_table_names_every_call_that_there_is_and_no_other(calls):
    known = {call.partition(" ")[2] for call in EXPECTED} | NO_CALLS
    new = sorted({call.partition(" ")[2] for call in calls} - known)
    assert not new, f"say in the tables of this module who may use {', '.join(new)}"
    assert not sorted(EXPECTED.keys() - calls), "these calls of the tables are not there"
    root = person("admin", is_staff=True)
    for call, path in calls.items():
        if call not in EXPECTED and call.partition(" ")[2] not in NO_CALLS:
            assert answer(session(root), call, path) == "not offered", f"say in the tables who may use {call}"


@pytest.mark.parametrize("role", [None, *Role.values])
def test_every_role_may_call_what_the_table_says(calls, role):
    client, rank = session(person(role, is_staff=True)), [None, *Role.values].index(role)
    assert wrong(client, rank, calls) == []


def test_a_stranger_may_call_nothing_but_what_is_for_everybody(calls):
    assert wrong(APIClient(), -1, calls) == []


def test_the_admin_takes_the_staff_status_too(calls):
    client = session(person("admin"))
    for call, path in of(ADMIN_SITE, calls).items():
        if EXPECTED.get(call, EVERYBODY) != EVERYBODY and call != "POST admin/logout/":
            assert answer(client, call, path) == "no", call


@pytest.mark.parametrize(
    ("role", "scope"), [*((ADMIN, scope) for scope in Role.values), (VIEWER, ADMIN), (TRADER, RESEARCHER)]
)
def test_a_token_may_call_what_both_its_person_and_its_scope_may(calls, role, scope):
    client = by_token(person(role), scope)
    _token_keeps_to(client, 1 + min(Role.values.index(role), Role.values.index(scope)), calls)


def test_a_token_of_a_superuser_keeps_to_its_scope(calls):
    _token_keeps_to(by_token(User.objects.create_superuser("root"), VIEWER), 1, calls)


def _token_keeps_to(client: APIClient, rank: int, calls: dict[str, str]) -> None:
    for call, path in of(API, calls).items():
        role = EXPECTED.get(call)
        if role is not None:
            assert answer(client, call, path) == ("no" if role == LOGGED_IN else wanted(role, rank)), call


def test_a_token_opens_no_page(calls):
    client = by_token(person("admin", is_staff=True), ADMIN)
    for call in [*PAGES, *below(ADMIN_SITE, ADMIN_PAGES)]:
        if EXPECTED[call] != EVERYBODY:
            assert answer(client, call, calls[call]) == "no", call


def test_the_committed_page_says_what_is_so():
    text = rolepage.page(PAGES, ADMIN_ROWS, ADMIN_PAGES, API_CALLS)
    if os.environ.get("UPDATE_DOCS"):
        rolepage.PAGE.write_text(text, encoding="utf-8")
    assert rolepage.PAGE.read_text(encoding="utf-8") == text, "run this test with UPDATE_DOCS=1 and commit the page"
