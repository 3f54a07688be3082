"""Every call of the OpenAPI document with valid and invalid data made up from it: no 5xx, and no half of a write."""

import hashlib
import os
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.apps import apps
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, transaction
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from psycopg.pq import TransactionStatus
from schemathesis import GenerationMode

from execution.models import KillSwitch
from marketdata import store
from marketdata.models import BarImport, CorporateAction, Fetch, GatewayQuestion, LoadPlan, LoadRun, Watchlist
from marketdata.services import set_watchlist
from reports.models import Alert, Report
from strategies.backtests import run_directory
from strategies.models import Backtest, RiskProfile, ScheduledBacktest, StrategyConfig
from tests.execution.test_api import book
from tests.marketdata.make import minutes
from tests.reports.factory import make_run
from tests.tradingsite.linkrow import link
from tests.tradingsite.people import ROOT, person

SECRET = "c" * 32
# Told to a token, a heartbeat or a key, not to what a caller asked for.
UNCOUNTED = {"answeredrequest", "apitoken", "session", "logentry"}
BY_UUID = ("bar-imports", "data/loads", "gateway-questions", "reports", "runs")


@pytest.fixture(autouse=True)
def one_connection():
    """A request does not close the connection in whose transaction the test is, as Django's own test client sees to."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def filled(db, tmp_path, settings) -> dict[str, Any]:
    """Some of everything; returns what stands in the places of a path."""
    settings.BARS_URL, settings.RUNS_DIR = str(tmp_path / "bars"), tmp_path / "runs"
    settings.UPLOADS_DIR, settings.PLUGINS_DIR = tmp_path / "uploads", tmp_path / "plugins"
    order = book(1)
    store.write_bars(instrument=order.instrument, series=minutes(50), source="test")
    set_watchlist(name="etfs", instruments=[order.instrument])
    CorporateAction.objects.create(instrument=order.instrument, ex_date="2020-01-02", kind="split", value=2)
    RiskProfile.objects.create(name="careful", limits={})
    config = StrategyConfig.objects.create(name="mine", strategy="ma_crossover", symbols="S1")
    ScheduledBacktest.objects.create(name="daily", strategy_config=config)
    done = {"state": "succeeded", "finished": timezone.now()}
    backtest = Backtest.objects.create(directory="done", strategy="s", timeframe="1d", instruments="S1", **done)
    make_run(run_directory(backtest))
    report = Report.objects.create(backtest=backtest)
    BarImport.objects.create(pk=report.pk, name="SPY.csv")
    GatewayQuestion.objects.create(pk=report.pk, kind="discover", symbol="SPY")
    load = LoadRun.objects.create(pk=report.pk, instrument=order.instrument, timeframe="1m", **done)
    hour = {"start": timezone.now(), "end": timezone.now() + timedelta(hours=1), "duration": "3600 S"}
    Fetch.objects.create(load_run=load, instrument=order.instrument, timeframe="1m", gap=0, **hour)
    LoadPlan.objects.create(name="minutes", watchlist=Watchlist.objects.get(), timeframe="1m")
    Alert.objects.create(level="info", subject="hello")
    link(seconds_ago=-86_400)  # alive for as long as this takes, or its health is a 503
    KillSwitch.objects.create(engaged=timezone.now(), engaged_by=person("trader"))
    return {"id": 1, "run_id": "done", "ledger": "fills", "name": "ma_crossover", "uuid": str(report.pk)}


def snapshot() -> str:
    """One text for all rows that the API can touch."""
    digest = hashlib.sha256()
    for config in apps.get_app_configs():
        if config.label in ("marketdata", "strategies", "execution", "reports", "tradingsite", "auth"):
            for model in config.get_models():
                if model._meta.model_name not in UNCOUNTED and not model._meta.swapped:
                    digest.update(repr(list(model._default_manager.order_by("pk").values_list())).encode())
    return digest.hexdigest()


def has_read_too_far(case: Any) -> bool:
    """PostgreSQL refused a value of a query, such as the year 555; this test's transaction reads no more after that."""
    if case.method != "GET" or connection.vendor != "postgresql":
        return False
    return connection.connection.info.transaction_status == TransactionStatus.INERROR


def logged_in() -> tuple[dict[str, str], dict[str, str]]:
    """Headers and cookies of an admin's browser."""
    client = Client()
    client.force_login(person("admin"))
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": SECRET}
    return {"X-CSRFToken": SECRET}, cookies


def fuzz(filled: dict[str, Any], examples: int) -> Counter[int]:
    """Try so many cases per call and kind of data; returns how often each status was answered."""
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    schema.app = WSGIHandler()
    headers, cookies = logged_in()
    before = snapshot()
    statuses: Counter[int] = Counter()

    def attempt(case: Any, places: dict[str, Any]) -> None:
        case.path_parameters |= {place: places[place] for place in case.path_parameters if place in places}
        with transaction.atomic():
            response = case.call(headers=headers, cookies=cookies)
            statuses[response.status_code] += 1
            assert response.status_code < 500, (case.as_curl_command(), response.text[:500])
            if response.status_code >= 400:
                assert response.headers["content-type"] == ["application/problem+json"], case.as_curl_command()
                assert has_read_too_far(case) or snapshot() == before, case.as_curl_command()
            transaction.set_rollback(True)

    for result in schema.get_all_operations():
        operation = result.ok()
        places = filled | ({"id": filled["uuid"]} if of_run(operation.path) else {})
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try_with(operation.as_strategy(generation_mode=mode), examples, attempt, places)
    return statuses


def of_run(path: str) -> bool:
    return path.removeprefix(f"{ROOT}/").startswith(tuple(f"{prefix}/" for prefix in BY_UUID))


def try_with(cases: Any, examples: int, attempt: Any, places: dict[str, Any]) -> None:
    """Many made-up cases, mostly of rows that are there."""

    @settings(max_examples=examples, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=cases, known=st.integers(0, 3))
    def attempt_one(case: Any, known: int) -> None:
        attempt(case, places if known else {})

    with suppress(Unsatisfiable):  # nothing can be wrong in a call that takes nothing
        attempt_one()


def test_a_sample_of_what_the_schema_allows_and_forbids_breaks_nothing(filled, capsys):
    statuses = fuzz(filled, examples=3)
    with capsys.disabled():
        print(f"\n{statuses.total()} cases of {ROOT}: {dict(sorted(statuses.items()))}")
    assert statuses.total() > 300
    assert statuses[200] > 50


@pytest.mark.exhaustive
def test_much_of_what_the_schema_allows_and_forbids_breaks_nothing(filled, capsys):
    statuses = fuzz(filled, examples=int(os.environ.get("FUZZ_CASES", "100")))
    with capsys.disabled():
        print(f"\n{statuses.total()} cases of {ROOT}: {dict(sorted(statuses.items()))}")
    assert statuses.total() > 2_000
