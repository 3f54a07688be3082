"""Loads from IB on the pages: asking, following, the budget, what an instrument says of them."""

import datetime as dt
import re

import pytest
from django.utils import timezone

from gateway.simulator.server import DEFAULT_START_NS
from marketdata import loading, store
from marketdata.models import Fetch, GatewayQuestion, LoadRun
from marketdata.moments import as_datetime
from reports.pages import loads
from strategies.models import Backtest
from tests.gateway.gateways import start_gateway
from tests.marketdata.loads import data_worker
from tests.reports import desk, loaddesk
from tests.strategies import make
from tests.strategies.conftest import places  # noqa: F401
from tests.tradingsite.people import person
from tradingsite import attempts, runs

HTMX = {"HX-Request": "true"}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("places")]


@pytest.fixture
def researcher(client):
    user = person("researcher", "rosa")
    client.force_login(user)
    return user


@pytest.fixture
def told(monkeypatch):
    sent = []
    monkeypatch.setattr(runs, "send", lambda run: sent.append(run.pk))
    return sent


def text_of(response):
    """What a person reads: without tags, white space as one blank."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def said(response):
    return [str(message) for message in response.context["messages"]]


# ---- asking ------------------------------------------------------------------------------------------------------


def test_a_button_queues_a_load_and_leads_to_it(client, researcher, told, django_capture_on_commit_callbacks):
    row = make.instrument("NEW")
    page = client.get(f"/instruments/{row.pk}/").content.decode()
    for mode in ("tail", "backfill", "full"):
        assert f'name="mode" value="{mode}"' in page
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(f"/instruments/{row.pk}/load/", {"mode": "full", "timeframe": "1h"})
    run = LoadRun.objects.get()
    assert (run.timeframe, run.mode, run.origin, run.started_by) == ("1h", "full", "web", researcher)
    assert response.url == f"/runs/loadrun/{run.pk}/" and told == [run.pk]


def test_where_nothing_is_missing_it_says_so_and_asks_for_nothing(client, researcher, told, monkeypatch):
    row = loaddesk.loaded()
    LoadRun.objects.all().delete()
    evening = dt.datetime(2020, 12, 31, 22, tzinfo=dt.UTC)
    monkeypatch.setattr("marketdata.previews.gateway_now", lambda now: evening)
    response = client.post(f"/instruments/{row.pk}/load/", {"mode": "tail", "timeframe": "1d"}, follow=True)
    assert said(response) == ["Nothing is missing, so nothing was asked for: ABC 1d."]
    assert response.redirect_chain == [(f"/instruments/{row.pk}/", 302)] and told == []
    assert not LoadRun.objects.exists()


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"mode": "rebuild", "timeframe": "1d"}, 400),
        ({"timeframe": "1d"}, 400),
        ({"mode": "tail", "timeframe": "9x"}, 302),
        ({"mode": "tail", "timeframe": "1m", "what": "ADJUSTED_LAST"}, 302),
        ({"mode": "tail", "timeframe": "1m", "what": "<b>"}, 302),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(client, researcher, form, status):
    row = make.instrument("NEW")
    response = client.post(f"/instruments/{row.pk}/load/", form, follow=status == 302)
    assert not LoadRun.objects.exists()
    if status == 302:
        assert len(said(response)) == 1 and "<b>" not in response.content.decode()
    else:
        assert response.status_code == status


def test_only_those_who_may_load_have_the_buttons(client, told):
    row = make.instrument("NEW")
    client.force_login(person("viewer"))
    assert 'name="mode"' not in client.get(f"/instruments/{row.pk}/").content.decode()
    assert client.post(f"/instruments/{row.pk}/load/", {"mode": "full", "timeframe": "1d"}).status_code == 403
    assert client.get(f"/instruments/{row.pk}/load/").status_code == 405
    client.force_login(person("trader"))
    assert client.post("/instruments/999999/load/", {"mode": "full", "timeframe": "1d"}).status_code == 404
    assert told == []


def test_an_inactive_instrument_says_why_it_has_no_buttons(client, researcher):
    row = make.instrument("OLD")
    row.active = False
    row.save()
    shown = client.get(f"/instruments/{row.pk}/").content.decode()
    assert 'name="mode"' not in shown and "It is inactive, so nothing is loaded" in shown


# ---- following ---------------------------------------------------------------------------------------------------


def test_the_list_says_how_far_each_load_is_and_what_it_waits_for(client, researcher):
    loaddesk.full(researcher)
    shown = text_of(client.get("/runs/"))
    assert "5 of 12 requests, about" in shown
    assert "number 1 of 2 loads that wait" in shown
    assert "number 2 of 2 loads that wait; waits: the gateway is cut off from IB" in shown
    for words in ("ABC 1h, full", "XYZ 1h, tail", "XYZ 1m, full", "succeeded nothing was missing", "failed partial"):
        assert words in shown
    assert "5 of 12 requests, about" in text_of(client.get("/"))


def test_tails_stand_before_backfills_in_the_queue_and_then_who_came_first(researcher):
    rows = [make.instrument(symbol) for symbol in ("A", "B", "C")]
    late = loaddesk.load(rows[0], priority=3)
    later = loaddesk.load(rows[1], priority=3)
    first = loaddesk.load(rows[2], priority=2)
    found = loads.steps_of([late, later, first])
    assert [found[each.pk].position for each in (first, late, later)] == [1, 2, 3]
    assert {each.queued for each in found.values()} == {3}


def test_what_is_left_is_reckoned_by_this_attempt_alone(researcher):
    """A load that did ten requests before its worker died and three since, in a minute, does not look fast."""
    loaddesk.budget(used=0, waiting=0, profile="off")
    run = loaddesk.load(make.instrument("ABC"), "running", started=timezone.now() - dt.timedelta(minutes=1))
    for fetch in loaddesk.fetches(run, *["done"] * 13, *["pending"] * 9, "split")[:10]:
        Fetch.objects.filter(pk=fetch.pk).update(ended=timezone.now() - dt.timedelta(hours=1))
    Fetch.objects.filter(ended__gt=timezone.now() - dt.timedelta(minutes=30)).update(ended=timezone.now())
    (steps,) = loads.steps_of([run]).values()
    assert (steps.done, steps.total, steps.bars) == (13, 22, 13 * 35)
    assert steps.left == "3 min"


def test_a_load_that_has_ended_is_not_followed(researcher):
    assert loads.steps_of([loaddesk.load(make.instrument("ABC"), "succeeded"), desk.backtest()]) == {}


def test_the_pages_ask_as_much_for_many_loads_as_for_few(client, researcher, django_assert_max_num_queries):
    row = make.instrument("ABC")
    for number in range(3):
        loaddesk.load(row, timeframe="1d", mode="full", start=timezone.now() - dt.timedelta(days=number + 1))
    loaddesk.budget()
    client.get("/runs/")
    with django_assert_max_num_queries(18) as few:
        client.get("/runs/")
    for number in range(40):
        loaddesk.load(row, timeframe="1h", mode="full", start=timezone.now() - dt.timedelta(days=number + 1))
    with django_assert_max_num_queries(len(few)):
        client.get("/runs/")


def test_a_load_s_page_shows_what_it_did_and_each_request(client, researcher):
    found = loaddesk.full(researcher)
    address = f"/runs/loadrun/{found['running'].pk}/"
    shown = text_of(client.get(address))
    for words in (
        "Bars fetched 140", "Held before 1,234", "Gaps found 3", "Segments fetched 4", "Segments failed 1",
        "Requests made 6", "162 HMDS query returned no answer: timed out", "all 12", "to be asked 7", "Attempt 1 of 5",
    ):  # fmt: skip
        assert words in shown, words
    only = client.get(address, {"show": "failed"}).content.decode()
    assert only.count("timed out") == 1 and "to be asked</span>" not in only
    partial = text_of(client.get(f"/runs/loadrun/{found['partial'].pk}/"))
    assert "Some segments failed; the rest is stored" in partial and "Try again" in partial
    done = text_of(client.get(f"/runs/loadrun/{found['complete'].pk}/"))
    assert "Nothing was missing, so nothing was asked for." in done
    assert (
        f'href="/instruments/{found["abc"].pk}/?timeframe=1h'
        in client.get(f"/runs/loadrun/{found['complete'].pk}/").content.decode()
    )


def test_requests_come_a_page_at_a_time(client, researcher):
    run = loaddesk.load(make.instrument("ABC"), "running")
    loaddesk.fetches(run, *["done"] * 130)
    address, seen = f"/runs/loadrun/{run.pk}/", []
    while address:
        html = client.get(address).content.decode()
        seen += re.findall(r'<th scope="row" class="t">([^<]+)</th>', html)
        more = re.search(r'href="(\?show=&amp;after=\d+)" rel="next"', html)
        address = f"/runs/loadrun/{run.pk}/{more[1].replace('&amp;', '&')}" if more else ""
    assert len(seen) == len(set(seen)) == 130


def test_a_load_s_page_sends_only_what_has_changed(client, researcher):
    run = loaddesk.load(make.instrument("ABC"), "running")
    loaddesk.fetches(run, "done", "pending")
    address = f"/runs/loadrun/{run.pk}/"
    known = re.findall(r'name="part" value="([^"]+)"', client.get(address).content.decode())
    assert client.get(address, {"part": known}, headers=HTMX).status_code == 204
    Fetch.objects.filter(state="pending").update(state="failed", error="no")
    answer = client.get(address, {"part": known}, headers=HTMX).content.decode()
    assert "2 of 2 requests" in answer and 'id="part-log"' not in answer


def test_a_question_to_ib_shows_its_answer(client, researcher):
    asked = GatewayQuestion.objects.create(kind="discover", symbol="MSFT", answer={"con_id": 272093}, state="queued")
    shown = text_of(client.get(f"/runs/gatewayquestion/{asked.pk}/"))
    assert "MSFT: which contract a symbol is" in shown and "con_id: 272093" in shown
    assert "question to IB" in text_of(client.get("/runs/"))


def test_hostile_words_of_a_gateway_stay_text(client, researcher):
    run = loaddesk.load(make.instrument("ABC"), "running", waits_for=desk.HOSTILE[:190])
    loaddesk.fetches(run, "failed", error=desk.HOSTILE)
    for address in (f"/runs/loadrun/{run.pk}/", "/runs/", "/"):
        html = client.get(address).content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html


# ---- the budget --------------------------------------------------------------------------------------------------


def test_the_budget_stands_beside_the_runs_once_something_was_loaded(client, researcher):
    assert "Requests to IB" not in text_of(client.get("/runs/"))
    loaddesk.full(researcher)
    shown = text_of(client.get("/runs/"))
    assert "Last ten minutes 37 of 58" in shown and "Open now 3 of 48" in shown
    assert "Waiting for a slot 5 3 tail, 2 backfill" in shown


def test_a_pause_after_too_many_requests_is_said(client, researcher):
    loaddesk.load(make.instrument("ABC"))
    loaddesk.budget(used=2, waiting=0, paused_until=timezone.now() + dt.timedelta(minutes=5))
    shown = text_of(client.get("/runs/"))
    assert "IB reported too many requests: nobody asks before" in shown and "Next slot paused" in shown


def test_a_simulated_gateway_without_limits_shows_none(client, researcher):
    loaddesk.load(make.instrument("ABC"))
    loaddesk.budget(used=2, waiting=0, profile="off")
    shown = text_of(client.get("/runs/"))
    assert "of 58" not in shown and "is asked without limits" in shown


# ---- the instrument ----------------------------------------------------------------------------------------------


def test_the_map_tells_every_class_the_calendar_and_the_quality(client, researcher):
    row = loaddesk.loaded()
    shown = text_of(client.get(f"/instruments/{row.pk}/coverage/"))
    assert "475 of 505 expected 1d bars" in shown
    for name in ("H Halt", "N No trades", "P No permission", "F Failed"):
        assert re.search(rf"{name} [a-zA-Z ;]+ 6 1 ", shown), name
    assert "411 bars before the first could be loaded: IB's history begins on 2017-05-15" in shown
    assert re.search(r"[\d,]+ bars after the last are due, up to", shown)
    assert re.search(r"No bars are due on \d+ closed days and in the rest of \d+ half days", shown)
    assert "1 a jump that nothing explains" in shown and "1.50" in shown and "of 200 bars differ" in shown
    assert "a split of 4 for 1" in shown and "rebuilt on" in shown
    year = client.get(f"/instruments/{row.pk}/coverage/", {"year": "2019"}).content.decode()
    assert "Jul 4: the exchange was closed: a holiday" in year and "half day: 180 minutes less than usual" in year
    early = client.get(f"/instruments/{row.pk}/coverage/").content.decode()
    assert early.count("before IB&#x27;s history begins") == 4  # January to April of 2017


def test_the_map_has_the_buttons_that_close_its_gaps(client, told):
    row = loaddesk.loaded()
    LoadRun.objects.all().delete()
    client.force_login(person("researcher"))
    page = client.get(f"/instruments/{row.pk}/coverage/").content.decode()
    assert re.findall(r'name="mode" value="(\w+)"', page) == ["backfill", "full", "tail"]
    client.post(f"/instruments/{row.pk}/load/", {"mode": "backfill", "timeframe": "1d", "what": "TRADES"})
    assert LoadRun.objects.get().mode == "backfill"
    client.force_login(person("viewer"))
    assert "<button" not in client.get(f"/instruments/{row.pk}/coverage/").content.decode()


def test_what_was_imported_and_is_not_kept_up_from_ib_ends_where_it_ends(client, researcher):
    row = make.instrument("RAW", make.bars(seed=1))
    shown = text_of(client.get(f"/instruments/{row.pk}/coverage/"))
    assert "505 of 505" in shown and "after the last" not in shown and "No gap from the first bar to the last." in shown


def test_an_instrument_lists_its_loads(client, researcher):
    found = loaddesk.full(researcher)
    shown = text_of(client.get(f"/instruments/{found['abc'].pk}/"))
    assert "1d trades, full" in shown and "partial" in shown and "IB's history of trades begins on 2017-05-15" in shown
    nothing = text_of(client.get(f"/instruments/{make.instrument('NEW').pk}/"))
    assert "Nothing of NEW was loaded from IB yet." in nothing and "or load them from IB below" in nothing


# ---- backtests ---------------------------------------------------------------------------------------------------


def test_a_backtest_whose_bars_were_replaced_says_so(client, researcher):
    row = desk.backtest(restated=timezone.now())
    fresh = desk.backtest()
    assert "were replaced on" in text_of(client.get(f"/backtests/{row.directory}/"))
    assert "were replaced on" not in text_of(client.get(f"/backtests/{fresh.directory}/"))
    for address in ("/backtests/", "/"):
        assert client.get(address).content.decode().count(">restated</span>") == 1
    assert Backtest.objects.count() == 2


# ---- with a gateway ----------------------------------------------------------------------------------------------


def test_a_load_from_a_gateway_is_told_from_the_button_to_the_map(client, researcher, monkeypatch):
    """The numbers on the pages are those of the bars that the store holds."""
    now = as_datetime(DEFAULT_START_NS)
    monkeypatch.setattr("marketdata.previews.gateway_now", lambda _now: now)
    monkeypatch.setattr("reports.pages.coveragemap.gateway_now", lambda _now: now)
    row = make.instrument("AAPL")
    with start_gateway(history_pacing=False) as gateway, data_worker(gateway, monkeypatch):
        client.post(f"/instruments/{row.pk}/load/", {"mode": "tail", "timeframe": "1d"})
        run = LoadRun.objects.get()
        attempts.perform(LoadRun, run.pk, loading.load_bars)
    run.refresh_from_db()
    bars = store.read_bars(row, "1d", adjustment="split")
    shown = text_of(client.get(f"/runs/loadrun/{run.pk}/"))
    assert f"Bars fetched {len(bars):,} Held before 0" in shown and "Segments failed 0" in shown
    assert f"Requests made {run.ib_requests_made}" in shown and "See the bars" in shown
    coverage = text_of(client.get(f"/instruments/{row.pk}/coverage/"))
    assert f"{len(bars):,} of {len(bars):,} expected 1d bars" in coverage
    assert "before the first" not in coverage and "after the last" not in coverage
    assert "No gap from the first bar to the last." in coverage
    response = client.post(f"/instruments/{row.pk}/load/", {"mode": "full", "timeframe": "1d"}, follow=True)
    assert said(response) == ["Nothing is missing, so nothing was asked for: AAPL 1d."]
