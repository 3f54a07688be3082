"""What every answer carries, and that no page of ours runs a script of its own."""

import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.tradingsite.users import person

ROOT = Path(__file__).resolve().parents[2]
STANDALONE = {ROOT / "templates/reports/tearsheet.html"}  # a file of its own, with its own policy
PUBLIC = {"healthz/live", "healthz/ready", "metrics", "admin/login/", "favicon.ico"}


def routes(resolver=None, prefix: str = "") -> dict[str, URLPattern]:
    """Every address without arguments, with its pattern."""
    found = {}
    for each in (resolver or get_resolver()).url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            found |= routes(each, route)
        elif not re.search(r"[<(^?\\]", route):
            found[route] = each
    return found


def every_answer(client) -> dict[str, object]:
    client.raise_request_exception = True
    return {route: client.get(f"/{route}") for route in routes()}


@pytest.mark.django_db
def test_every_page_carries_the_headers_and_allows_no_inline_script():
    client = Client()
    client.force_login(person("root", is_superuser=True, is_staff=True))
    answers = every_answer(client)
    assert len(answers) > 30
    for route, answer in answers.items():
        policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
        # The admin's widgets compile expressions of their templates; no page runs what stands in it.
        allowed = {"'self'", "'unsafe-eval'"} if route.startswith("admin/") else {"'self'"}
        assert set(policy["script-src"].split()) <= allowed, route
        assert policy["default-src"] == "'self'", route
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'", route
        assert answer["X-Frame-Options"] == "DENY", route
        assert answer["X-Content-Type-Options"] == "nosniff", route
        assert answer["Referrer-Policy"] == "same-origin", route
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin", route
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin", route
        assert "camera=()" in answer["Permissions-Policy"], route
        assert answer.has_header("Cache-Control") or answer.has_header("ETag"), route


@pytest.mark.django_db
def test_strangers_get_the_login_everywhere_but_where_a_view_says_otherwise():
    client = Client()
    for route, answer in every_answer(client).items():
        if route in PUBLIC or route.startswith("api/"):  # the API answers 401, and has tests of its own
            continue
        assert answer.status_code in (301, 302, 405), route
        if answer.status_code == 302:
            assert answer["Location"].startswith("/admin/login/"), route


@pytest.mark.django_db
def test_no_page_of_ours_holds_an_inline_script_when_it_is_served():
    client = Client()
    client.force_login(person("root", is_superuser=True, is_staff=True))
    for route, answer in every_answer(client).items():
        if route.startswith("admin/") or "text/html" not in answer.get("Content-Type", "") or answer.streaming:
            continue
        assert faults_of(answer.content.decode()) == [], route


def faults_of(page: str) -> list[str]:
    """Inline scripts, event handlers and script addresses in a page or template."""
    bare = re.sub(r"\{#.*?#\}|\{% comment.*?endcomment %\}", "", page, flags=re.S)
    scripts = re.findall(r"<script\b(?![^>]*\bsrc=)(?![^>]*\btype=[\"']application/json[\"'])[^>]*>", bare, re.I)
    handlers = re.findall(r"<[a-z][^>]*\son[a-z]+\s*=", bare, re.I)
    addresses = re.findall(r"(?:href|src|action)\s*=\s*[\"']?\s*javascript:", bare, re.I)
    return scripts + handlers + addresses


@pytest.mark.parametrize(
    "bad", ["<script>x()</script>", "<a onclick=x()>", '<img\n src="a" onerror="x()">', "<a href='javascript:x()'>"]
)
def test_the_search_for_inline_scripts_finds_them(bad):
    assert faults_of(bad)


def test_no_template_holds_an_inline_script_or_an_address_of_another_host():
    templates = set(ROOT.glob("templates/**/*.html")) - STANDALONE
    assert len(templates) >= 10
    for template in templates:
        text = template.read_text()
        assert faults_of(text) == [], template
        assert not re.findall(r"(?:src|href|action)=[\"'](?:https?:)?//", text), template


@pytest.mark.parametrize("query", ["../../etc/passwd", "..%2f..%2fsecret_key", "%00", "\x00", "a" * 5000, "\u202e"])
@pytest.mark.parametrize("where", ["/account/tokens/{}/delete/", "/{}", "/account/confirm/?next={}", "/search/?q={}"])
@pytest.mark.django_db
def test_no_odd_address_is_more_than_a_refusal(client, where, query):
    client.force_login(person("vera", "viewer"))
    for method in (client.get, client.post):
        answer = method(where.format(query))
        assert answer.status_code < 500
        assert b"root:" not in answer.content
