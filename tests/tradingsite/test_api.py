"""What holds for the whole API: logins and tokens, problems, throttles, runs of every kind, health, the schema."""

import datetime as dt
import re

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from marketdata.models import BarImport, Instrument
from reports.models import Report
from strategies.models import Backtest
from tests.tradingsite.people import ROOT, by_token, person, problem, session
from tradingsite.models import ApiToken, Heartbeat

pytestmark = pytest.mark.django_db


# Who may come in


def test_a_stranger_gets_nothing_not_even_which_addresses_there_are():
    for path in ("instruments", "health", "schema/", "tokens", "no/such/thing"):
        response = APIClient().get(f"{ROOT}/{path}")
        problem(response, 401)
        assert response["WWW-Authenticate"] == "Token"
    assert APIClient().get(f"{ROOT}/docs/").status_code == 302


def test_a_session_writes_with_its_csrf_token_alone():
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(person("researcher"))
    problem(client.post(f"{ROOT}/instruments", {"symbol": "SPY"}), 403)
    assert not Instrument.objects.exists()


@pytest.mark.parametrize(
    "header", ["Token", "Token x", "Token a b", f"Token {'0' * 64}", "Token \0", "Token é", "Basic eDp5"]
)
def test_a_wrong_token_is_refused(header):
    problem(APIClient().get(f"{ROOT}/instruments", HTTP_AUTHORIZATION=header), 401)


def test_a_token_is_made_once_shown_once_and_kept_as_a_hash():
    user = person("researcher")
    made = session(user).post(f"{ROOT}/tokens", {"name": "nightly", "scope": "researcher", "days": 30})
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["token"]
    row = ApiToken.objects.get()
    assert secret not in [str(getattr(row, field.attname)) for field in row._meta.concrete_fields]
    assert dt.timedelta(days=29) < row.expiry - timezone.now() < dt.timedelta(days=31)
    listed = session(user).get(f"{ROOT}/tokens")
    assert secret not in listed.content.decode()
    assert listed.json()["results"][0]["name"] == "nightly"
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {secret}")
    assert client.post(f"{ROOT}/instruments", {"symbol": "SPY"}).status_code == 201
    assert session(user).delete(f"{ROOT}/tokens/{made.json()['key']}").status_code == 204
    problem(client.get(f"{ROOT}/instruments"), 401)


def test_a_token_can_be_no_more_than_its_maker():
    user = person("researcher")
    for scope in ("trader", "admin", "root", ""):
        problem(session(user).post(f"{ROOT}/tokens", {"name": "x", "scope": scope}), 400)
    for wrong in ({"days": 366}, {"days": 0}, {"expiry": None}, {"user": 1}, {"name": ""}):
        problem(session(user).post(f"{ROOT}/tokens", {"name": "x"} | wrong), 400)
    problem(session(person(None)).post(f"{ROOT}/tokens", {"name": "x", "scope": "viewer"}), 400)
    assert not ApiToken.objects.exists()


def test_a_token_neither_sees_nor_makes_tokens_and_nobody_sees_those_of_others():
    user, other = person("admin"), person("admin")
    client = by_token(user, "admin")
    problem(client.get(f"{ROOT}/tokens"), 403)
    problem(client.post(f"{ROOT}/tokens", {"name": "x"}), 403)
    key = ApiToken.objects.get().token_key
    problem(session(other).delete(f"{ROOT}/tokens/{key}"), 404)
    assert session(other).get(f"{ROOT}/tokens").json()["count"] == 0


def test_a_token_acts_within_its_scope_and_its_users_role():
    trader = person("trader")
    problem(by_token(trader, "viewer").post(f"{ROOT}/instruments", {"symbol": "SPY"}), 403)
    assert by_token(trader, "researcher").post(f"{ROOT}/instruments", {"symbol": "SPY"}).status_code == 201
    # A token that was made when its user was more.
    problem(by_token(person("viewer"), "admin").post(f"{ROOT}/instruments", {"symbol": "QQQ"}), 403)


def test_an_expired_token_and_a_person_who_left_are_refused():
    user = person("viewer")
    client = by_token(user, "viewer")
    assert client.get(f"{ROOT}/instruments").status_code == 200
    user.is_active = False
    user.save()
    problem(client.get(f"{ROOT}/instruments"), 401)
    user.is_active = True
    user.save()
    ApiToken.objects.update(expiry=timezone.now() - dt.timedelta(seconds=1))
    problem(client.get(f"{ROOT}/instruments"), 401)


def test_the_use_of_a_token_is_noted_once_a_minute():
    client = by_token(person("viewer"), "viewer")
    client.get(f"{ROOT}/instruments")
    first = ApiToken.objects.get().last_used
    client.get(f"{ROOT}/instruments")
    assert ApiToken.objects.get().last_used == first is not None
    ApiToken.objects.update(last_used=first - dt.timedelta(seconds=61))
    client.get(f"{ROOT}/instruments")
    assert ApiToken.objects.get().last_used > first


# Problems


def test_every_failure_is_a_problem():
    viewer, researcher = session(person("viewer")), session(person("researcher"))
    problem(viewer.get(f"{ROOT}/no/such/thing"), 404)
    problem(viewer.post(f"{ROOT}/no"), 404)
    problem(viewer.get(f"{ROOT}/instruments/{10**17}"), 404)
    problem(viewer.get(f"{ROOT}/instruments/x"), 404)
    problem(viewer.get(f"{ROOT}/runs/00000000-0000-0000-0000-00000000000g"), 404)
    problem(viewer.post(f"{ROOT}/instruments", {"symbol": "SPY"}), 403)
    problem(viewer.post(f"{ROOT}/health"), 405)
    problem(viewer.options(f"{ROOT}/instruments"), 405)
    problem(viewer.get(f"{ROOT}/instruments", HTTP_ACCEPT="text/html"), 406)
    problem(researcher.post(f"{ROOT}/instruments", "symbol=SPY", content_type="text/plain"), 415)
    problem(researcher.generic("POST", f"{ROOT}/instruments", b"{}", content_type="application/json",
                               CONTENT_LENGTH=str(2**30)), 413)  # fmt: skip
    found = problem(researcher.post(f"{ROOT}/instruments", {"symbol": "SPY", "kind": "x", "nope": 1}), 400)
    assert set(found["errors"]) == {"nope"}


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_503_with_a_time_to_come_back(monkeypatch, error):
    client = session(person("viewer"))

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("marketdata.api.Instruments.list", fail)
    response = client.get(f"{ROOT}/instruments")
    assert "gone" not in problem(response, 503)["detail"]
    assert int(response["Retry-After"]) > 0


def test_what_nobody_expected_is_logged_and_not_told(monkeypatch, caplog):
    def fail(*_, **__):
        raise KeyError("a secret")

    monkeypatch.setattr("marketdata.api.Instruments.list", fail)
    response = session(person("viewer")).get(f"{ROOT}/instruments")
    problem(response, 500)
    assert "a secret" not in response.content.decode()
    assert "a secret" in caplog.text


def test_a_row_that_was_made_meanwhile_is_a_conflict(monkeypatch):
    Instrument.objects.create(symbol="SPY")
    monkeypatch.setattr(Instrument, "full_clean", lambda self: None)
    problem(session(person("researcher")).post(f"{ROOT}/instruments", {"symbol": "SPY"}), 409)


# Throttles


@pytest.fixture
def rates(settings):
    def put(**changed: str) -> None:
        cache.clear()
        given = settings.REST_FRAMEWORK
        settings.REST_FRAMEWORK = given | {"DEFAULT_THROTTLE_RATES": given["DEFAULT_THROTTLE_RATES"] | changed}

    yield put
    cache.clear()


def test_a_person_who_asks_too_often_is_told_when_to_come_back(rates):
    rates(person="2/min")
    first, second = session(person("viewer")), session(person("viewer"))
    assert [first.get(f"{ROOT}/instruments").status_code for _ in range(2)] == [200, 200]
    response = first.get(f"{ROOT}/instruments")
    problem(response, 429)
    assert 0 < int(response["Retry-After"]) <= 61
    assert second.get(f"{ROOT}/instruments").status_code == 200


def test_a_stranger_who_tries_too_often_is_slowed_down(rates):
    rates(stranger="2/min")
    answers = [APIClient().get(f"{ROOT}/instruments", HTTP_AUTHORIZATION="Token x").status_code for _ in range(3)]
    assert answers == [401, 401, 429]


def test_heavy_work_has_a_rate_of_its_own(rates):
    rates(heavy="1/min")
    client = session(person("researcher"))
    assert [client.post(f"{ROOT}/backtests", {}).status_code for _ in range(2)] == [400, 429]
    assert [client.get(f"{ROOT}/backtests").status_code for _ in range(3)] == [200] * 3


# Runs of every kind


def make_runs(count: int) -> list[str]:
    """Runs of three kinds, the newest first; two always share a moment."""
    made, now = [], timezone.now()
    for number in range(count):
        kind = number % 3
        if kind == 0:
            run = Backtest(directory=f"b{number}", strategy="s", timeframe="1d", instruments="ABC")
        elif kind == 1:
            run = BarImport(name=f"{number}.csv")
        else:
            run = Report(backtest=Backtest.objects.first())
        run.save(force_insert=True)
        moment = now - dt.timedelta(seconds=number // 2)
        type(run).objects.filter(pk=run.pk).update(created=moment)
        made.append((moment, run.pk, str(run.pk)))
    return [pk for _, _, pk in sorted(made, reverse=True)]


def test_pages_of_runs_hold_each_run_once_the_newest_first():
    wanted = make_runs(20)
    client, path, found = session(person("viewer")), f"{ROOT}/runs?limit=3", []
    while path:
        page = client.get(path).json()
        found += [run["id"] for run in page["results"]]
        path = page["next"]
    assert found == wanted
    assert len(client.get(f"{ROOT}/runs?kind=report&limit=500").json()["results"]) == 6
    assert client.get(f"{ROOT}/runs?state=failed,running").json()["results"] == []
    for wrong in ("limit=0", "limit=501", "state=gone", "kind=x", "before=yesterday", "before=2020-01-01T00:00_x"):
        problem(client.get(f"{ROOT}/runs?{wrong}"), 400)


def test_a_run_of_any_kind_is_followed_cancelled_and_retried():
    make_runs(3)
    viewer, researcher = session(person("viewer")), session(person("researcher"))
    for run in viewer.get(f"{ROOT}/runs").json()["results"]:
        path = f"{ROOT}/runs/{run['id']}"
        assert viewer.get(path).json()["kind"] == run["kind"]
        problem(viewer.post(f"{path}/cancel"), 403)
        assert researcher.post(f"{path}/cancel").json()["state"] == "cancelled"
        problem(researcher.post(f"{path}/cancel"), 409)
        assert researcher.post(f"{path}/retry").json()["state"] == "queued"
    problem(researcher.post(f"{ROOT}/runs/00000000-0000-0000-0000-000000000000/cancel"), 404)


def test_the_list_of_runs_asks_the_same_however_many_there_are():
    client = session(person("viewer"))

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{ROOT}/runs").status_code == 200
        return len(queries)

    make_runs(3)
    first = count()
    for model in (Backtest, BarImport, Report):
        model.objects.update(started_by=person("viewer"))
    for number in range(12):
        BarImport.objects.create(name=f"more {number}", started_by=person("viewer"))
    assert count() == first


# Health and the schema


def test_health_tells_the_silent_from_the_living_and_what_waits():
    now = timezone.now()
    for name, seen in (("beat", now), ("worker:old", now - dt.timedelta(minutes=5))):
        Heartbeat.objects.create(name=name, started=seen, seen=seen)
    make_runs(3)
    found = session(person("viewer")).get(f"{ROOT}/health").json()
    assert {row["name"]: row["alive"] for row in found["processes"]} == {"beat": True, "worker:old": False}
    assert {row["queue"]: row["queued"] for row in found["queues"] if row["queued"]} == {
        "import": 1, "backtest": 1, "report": 1,
    }  # fmt: skip
    assert found["versions"]["django"].startswith("5.2")


def test_the_schema_is_complete_and_valid(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_the_schema_describes_every_address_its_failures_and_the_key():
    client = session(person("viewer"))
    schema = client.get(f"{ROOT}/schema.json").json()
    assert schema["openapi"].startswith("3.1")
    paths = schema["paths"]
    assert len(paths) > 40
    for path, calls in paths.items():
        for method, call in calls.items():
            assert {"401", "403", "429", "503"} <= call["responses"].keys(), (method, path)
            named = {parameter["name"] for parameter in call.get("parameters", [])}
            assert ("Idempotency-Key" in named) == (method == "post"), (method, path)
    posted = paths["/api/v1/backtests"]["post"]["requestBody"]["content"]["application/json"]
    assert len(posted["examples"]) == 2
    assert "symbols" in schema["components"]["schemas"]["BacktestDocumentRequest"]["properties"]
    assert b"openapi: 3.1" in client.get(f"{ROOT}/schema/").content


def test_swagger_runs_from_our_own_files_without_inline_script():
    client = session(person("viewer"))
    page = client.get(f"{ROOT}/docs/").content.decode()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert scripts
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(not body.strip() for _, body in scripts)
    assert sources and all(source.startswith("/") for source in sources)
    script = client.get(f"{ROOT}/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert "https://" not in script.content.decode()
    with override_settings(DEBUG=True):
        assert "script-src 'self'" in client.get(f"{ROOT}/docs/")["Content-Security-Policy"]
