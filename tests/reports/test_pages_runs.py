"""The list of runs and the page of one."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from marketdata.models import BarImport
from reports.models import Report
from strategies.models import Backtest
from tests.reports import desk
from tests.tradingsite.people import person
from tradingsite import runs

HTMX = {"HX-Request": "true"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]


@pytest.fixture
def researcher(client):
    user = person("researcher", "rosa")
    client.force_login(user)
    return user


@pytest.fixture
def told(monkeypatch):
    """What workers were told, instead of a queue."""
    sent = []
    monkeypatch.setattr(runs, "send", lambda run: sent.append(run.pk))
    return sent


def mixed_runs(count: int) -> list[str]:
    """Addresses of runs of all kinds, the newest first; three at a time have the same moment."""
    now = timezone.now()
    found = []
    for number in range(count):
        if number % 3 == 0:
            row = desk.bar_import(name=f"{number}.csv")
        else:
            row = desk.backtest(tag=f"t{number}")
            if number % 3 == 2:
                row = Report.objects.create(backtest=row, origin="run")
                Backtest.objects.filter(pk=row.backtest_id).update(created=now - dt.timedelta(days=400, minutes=number))
        moment = now - dt.timedelta(minutes=number // 3)
        type(row).objects.filter(pk=row.pk).update(created=moment)
        found.append((moment, row.pk, f"/runs/{row._meta.model_name}/{row.pk}/"))
    found.sort(reverse=True)
    return [address for _, _, address in found]


def listed(html: str) -> list[str]:
    return re.findall(r'<th scope="row"[^>]*><a href="(/runs/[^"]+)"', html)


def test_pages_of_the_list_hold_every_run_once_in_order(client, researcher):
    wanted = mixed_runs(120)
    seen, address = [], "/runs/"
    while address:
        html = client.get(address).content.decode()
        seen += listed(html)
        more = re.search(r'href="(\?[^"]+)" rel="next"', html)
        address = "/runs/" + more[1].replace("&amp;", "&") if more else ""
    assert seen[:120] == wanted
    assert len(seen) == len(set(seen)) == 120 + 40  # the backtests that reports were made of


def test_filters_narrow_the_list_and_stay_while_paging(client, researcher):
    mixed_runs(9)
    desk.backtest(state="failed", error="no bars")
    assert len(listed(client.get("/runs/?kind=barimport").content.decode())) == 3
    assert len(listed(client.get("/runs/?state=failed").content.decode())) == 1
    shown = client.get("/runs/?kind=report&state=failed").content.decode()
    assert "No run fits." in shown
    for _ in range(60):
        desk.backtest()
    assert re.search(r'href="\?kind=backtest&amp;before=', client.get("/runs/?kind=backtest").content.decode())


@pytest.mark.parametrize("address", ["/runs/?before=x", "/runs/?before=2026-01-01T00:00:00~1", "/runs/?before=~"])
def test_a_place_that_is_none_is_a_bad_request(client, researcher, address):
    assert client.get(address).status_code == 400


@pytest.mark.parametrize("address", ["/runs/?kind=user", "/runs/user/00000000-0000-0000-0000-000000000000/"])
def test_a_kind_that_is_none_is_not_found(client, researcher, address):
    assert client.get(address).status_code == 404


def test_a_run_shows_what_it_is_and_how_it_goes(client, researcher):
    run = desk.backtest(
        state="running",
        progress=0.629,
        worker="desk:1",
        log_tail="bar 7\n",
        tag="sweep",
        started_by=researcher,
        origin="web",
    )
    shown = client.get(f"/runs/backtest/{run.pk}/").content.decode()
    for words in (
        "sweep on ABC, XYZ, 1d",
        "62\u202f%",
        "web, rosa",
        "1 of 3, on desk:1",
        "bar 7",
        "window: 20",
        "every 2s",
    ):
        assert words in shown


def test_polling_ends_with_the_run(client, researcher):
    run = desk.backtest(state="running", progress=0.1)
    address = f"/runs/backtest/{run.pk}/"
    known = re.findall(r'name="part" value="([^"]+)"', client.get(address).content.decode())
    assert client.get(address, {"part": known}, headers=HTMX).status_code == 204
    Backtest.objects.filter(pk=run.pk).update(state="succeeded", finished=timezone.now(), progress=1.0)
    answer = client.get(address, {"part": known}, headers=HTMX)
    assert answer.status_code == 286
    assert "See the result" in answer.content.decode()
    assert 'hx-trigger="every' not in client.get(address).content.decode()


def test_cancel_ends_a_queued_run_and_says_where_nothing_was_to_cancel(client, researcher):
    run = desk.backtest(state="queued")
    client.post(f"/runs/backtest/{run.pk}/cancel/")
    run.refresh_from_db()
    assert run.state == "cancelled"
    answer = client.post(f"/runs/backtest/{run.pk}/cancel/", follow=True)
    assert "had ended before" in answer.content.decode()


def test_retry_queues_again_and_tells_a_worker(client, researcher, told, django_capture_on_commit_callbacks):
    run = desk.backtest(state="failed", error="no bars")
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/runs/backtest/{run.pk}/retry/")
    run.refresh_from_db()
    assert (run.state, run.error, told) == ("queued", "", [run.pk])
    assert (
        "Only a failed or cancelled run" in client.post(f"/runs/backtest/{run.pk}/retry/", follow=True).content.decode()
    )


def test_an_import_says_what_became_of_its_rows(client, researcher):
    run = desk.bar_import()
    shown = client.get(f"/runs/barimport/{run.pk}/").content.decode()
    for words in ("506", "503", "close is not a number", "lines 17, 41", "line 507", "no bars", "Comment"):
        assert words in shown


def test_hostile_texts_of_a_run_stay_text(client, researcher):
    run = desk.bar_import(
        name=desk.HOSTILE, state="failed", error=desk.HOSTILE, log_tail=desk.HOSTILE, config={"symbol": desk.HOSTILE}
    )
    BarImport.objects.filter(pk=run.pk).update(
        report={
            "rows": 1,
            "kept": 0,
            "dropped": {desk.HOSTILE: {"rows": 1, "lines": [1]}},
            "noted": {},
            "series": [],
            "remarks": [desk.HOSTILE],
            "ignored_columns": [desk.HOSTILE],
        }
    )
    shown = client.get(f"/runs/barimport/{run.pk}/").content.decode()
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert shown.count("&lt;script&gt;") >= 6


@pytest.mark.parametrize("address", ["/runs/", "/runs/?kind=report", "/runs/?state=succeeded"])
def test_the_list_asks_the_same_questions_however_long_it_is(client, researcher, django_assert_num_queries, address):
    mixed_runs(6)
    client.get(address)
    questions = 7 if "kind" in address else 11  # session, user, its permissions, the halt; each kind; whether a load is
    with django_assert_num_queries(questions):
        client.get(address)
    mixed_runs(70)
    with django_assert_num_queries(questions):
        client.get(address)
