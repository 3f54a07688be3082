"""Reports and alerts over HTTP."""

import pytest
from django.utils import timezone

from reports.models import Alert, Report
from strategies.models import Backtest
from tests.tradingsite.people import ROOT, person, problem, session

pytestmark = pytest.mark.django_db


@pytest.fixture
def researcher():
    return session(person("researcher"))


def backtest(name: str = "r1", **fields) -> Backtest:
    ended = {"state": "succeeded", "finished": timezone.now()}
    return Backtest.objects.create(directory=name, strategy="s", timeframe="1d", instruments="ABC", **ended | fields)


def test_a_report_of_a_finished_backtest_is_queued_and_can_be_followed(researcher):
    backtest()
    response = researcher.post(f"{ROOT}/reports", {"backtest": "r1"})
    assert response.status_code == 202
    assert Report.objects.get().backtest.directory == "r1"
    assert researcher.get(response["Location"]).json()["backtest"] == "r1"
    assert researcher.get(f"{ROOT}/reports?backtest=r1").json()["count"] == 1
    assert researcher.get(f"{ROOT}/reports?backtest=r2").json()["count"] == 0


def test_no_report_of_what_has_no_result(researcher):
    backtest("waiting", state="queued", finished=None)
    problem(researcher.post(f"{ROOT}/reports", {"backtest": "waiting"}), 409)
    for document in ({}, {"backtest": "none"}, {"backtest": ["r1"]}, {"backtest": "waiting", "state": "succeeded"}):
        problem(researcher.post(f"{ROOT}/reports", document), 400)
    assert not Report.objects.exists()


def test_an_alert_is_seen_once_by_the_first_who_says_so():
    alert = Alert.objects.create(level="warning", subject="odd", text="fills")
    first, second = person("trader"), person("admin")
    path = f"{ROOT}/alerts/{alert.pk}"
    assert session(first).get(f"{ROOT}/alerts?open=true&level=warning").json()["count"] == 1
    seen = session(first).post(f"{path}/seen").json()
    assert seen["seen_by"] == first.username
    assert session(second).post(f"{path}/seen").json() == seen
    assert session(first).get(f"{ROOT}/alerts?open=true").json()["count"] == 0
    problem(session(person("viewer")).post(f"{path}/seen"), 403)
