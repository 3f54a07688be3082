import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from reports.models import Alert, Report
from strategies.models import Backtest
from tests.marketdata.make import instrument
from tests.tradingsite import rows
from tests.tradingsite.people import staff
from tradingsite import runs
from tradingsite.runs import Run

pytestmark = pytest.mark.django_db

LIST = reverse("admin:strategies_backtest_changelist")


@pytest.fixture
def researcher(client):
    client.force_login(staff("researcher"))
    return client


@pytest.fixture
def sent(monkeypatch) -> list:
    """The runs that workers were told of."""
    told: list = []
    monkeypatch.setattr(runs, "enqueue", told.append)
    return told


def page(run: Run) -> str:
    return reverse(f"admin:{run._meta.app_label}_{run._meta.model_name}_change", args=[run.pk])


def act(client, name: str, run: Run):
    """Press the button on the run's page."""
    return client.post(LIST, {"action": name, "_selected_action": [run.pk], "_page": run.pk}, follow=True)


def test_a_run_shows_how_it_goes_what_it_said_and_what_was_asked(client):
    client.force_login(staff("viewer"))
    run = rows.backtest("failed", error="no bars <b>", log_tail="line 1\nline 2", started_by=staff("trader"))
    text = client.get(page(run)).content.decode()
    for part in ("failed", "no bars &lt;b&gt;", "line 1\nline 2", "fast: 5", "command line: trader", "0.0 s"):
        assert part in text


def test_a_run_that_goes_on_asks_for_itself_again_and_one_that_ended_does_not(researcher):
    assert "desk-goes-on" in researcher.get(page(rows.backtest("running"))).content.decode()
    assert "desk-goes-on" not in researcher.get(page(rows.backtest())).content.decode()


@pytest.mark.parametrize(
    ("state", "buttons"),
    [
        ("queued", {"cancel_runs", "run_again"}),
        ("running", {"cancel_runs", "run_again"}),
        ("succeeded", {"run_again", "make_report"}),
        ("failed", {"retry_runs", "run_again"}),
        ("cancelled", {"retry_runs", "run_again"}),
    ],
)
def test_a_run_offers_what_fits_its_state_to_those_who_may(client, state, buttons):
    run = rows.backtest(state)
    client.force_login(staff("researcher"))
    assert {name for name, _text in client.get(page(run)).context["buttons"]} == buttons
    client.force_login(staff("viewer"))
    assert client.get(page(run)).context["buttons"] == []


def test_a_running_run_is_asked_to_end_and_a_queued_one_ends(researcher):
    running, queued, done = rows.backtest("running"), rows.backtest("queued"), rows.backtest()
    for run in (running, queued, done):
        act(researcher, "cancel_runs", run)
        run.refresh_from_db()
    assert running.cancel_requested is not None
    assert queued.state == "cancelled"
    assert (done.state, done.cancel_requested) == ("succeeded", None)


def test_a_failed_run_is_queued_again_and_a_worker_told(researcher, sent):
    failed, done = rows.backtest("failed"), rows.backtest()
    response = act(researcher, "retry_runs", failed)
    act(researcher, "retry_runs", done)
    failed.refresh_from_db()
    done.refresh_from_db()
    assert (failed.state, done.state) == ("queued", "succeeded")
    assert sent == [failed]
    assert response.request["PATH_INFO"] == page(failed)


def test_a_backtest_is_run_again_as_a_run_of_its_own(researcher, sent):
    instrument("ABC")
    run = rows.backtest(tag="mine")
    response = act(researcher, "run_again", run)
    again = Backtest.objects.exclude(pk=run.pk).get()
    assert sent == [again]
    assert again.config["strategy"] == {"name": "ma_crossover", "params": {"fast": 5}}
    assert (again.origin, again.started_by.username, again.tag) == ("web", "researcher", "mine")
    assert response.request["PATH_INFO"] == page(again)


def test_what_cannot_be_run_again_says_why(researcher, sent):
    assert "unknown instrument" in act(researcher, "run_again", rows.backtest()).content.decode()
    assert not sent


def test_a_report_is_made_of_a_backtest_that_succeeded(researcher, sent):
    done, failed = rows.backtest(), rows.backtest("failed")
    act(researcher, "make_report", done)
    assert "only a backtest that succeeded" in act(researcher, "make_report", failed).content.decode()
    made = Report.objects.get()
    assert (made.backtest, made.started_by.username, sent) == (done, "researcher", [made])


@pytest.mark.parametrize("name", ["cancel_runs", "retry_runs", "run_again", "make_report"])
def test_a_viewer_does_none_of_it(client, sent, name):
    instrument("ABC")
    client.force_login(staff("viewer"))
    made = [rows.backtest(state) for state in ("queued", "running", "succeeded", "failed")]
    before = list(Backtest.objects.order_by("pk").values())
    for run in made:
        act(client, name, run)
    assert list(Backtest.objects.order_by("pk").values()) == before
    assert not sent
    assert not Report.objects.exists()


def test_no_run_is_started_by_a_link(researcher, sent):
    run = rows.backtest("failed")
    researcher.get(LIST, {"action": "retry_runs", "_selected_action": run.pk})
    run.refresh_from_db()
    assert run.state == "failed"


def test_lists_of_runs_leave_the_long_columns_in_the_database(researcher):
    rows.backtest(log_tail="x" * 8_000)
    with CaptureQueriesContext(connection) as queries:
        researcher.get(LIST)
    assert not [each for each in queries if "log_tail" in each["sql"]]


def test_alerts_are_marked_as_seen_by_those_who_may(client):
    alert = Alert.objects.create(level="critical", subject="silent worker")
    url = reverse("admin:reports_alert_changelist")
    client.force_login(staff("viewer"))
    client.post(url, {"action": "mark_seen", "_selected_action": [alert.pk]})
    alert.refresh_from_db()
    assert alert.seen is None
    client.force_login(staff("trader"))
    client.post(url, {"action": "mark_seen", "_selected_action": [alert.pk]})
    alert.refresh_from_db()
    assert alert.seen_by.username == "trader"
