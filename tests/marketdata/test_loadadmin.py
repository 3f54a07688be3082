"""The loader in the admin: buttons that load, plans, the pace, and what is only looked at."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from marketdata import store
from marketdata.models import BarFile, Fetch, LoadPlan, LoadRun, PacingBudget, RequestLength, Watchlist
from marketdata.services import set_watchlist
from tests.marketdata.loads import series
from tests.marketdata.make import instrument
from tests.tradingsite.people import staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """The loads that workers were told of."""
    found = []
    monkeypatch.setattr("marketdata.loadadmin.enqueue", found.append)
    return found


@pytest.fixture
def researcher(client):
    client.force_login(staff("researcher"))
    return client


def act(client, model: str, action: str, *rows):
    answer = client.post(
        reverse(f"admin:marketdata_{model}_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows]},
    )
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_latest_bars_of_instruments_are_loaded_by_a_button(researcher, told):
    spy, pair = instrument("SPY"), instrument("EURUSD", kind="forex", exchange="IDEALPRO", calendar="FX")
    assert act(researcher, "instrument", "load_tail_1d", spy, pair) == ["2 loads are queued."]
    runs = LoadRun.objects.order_by("instrument__symbol")
    assert [(run.instrument, run.timeframe, run.what) for run in runs] == [
        (pair, "1d", "MIDPOINT"),
        (spy, "1d", "TRADES"),
    ]
    assert {(run.origin, run.started_by.username) for run in runs} == {("web", "researcher")}
    assert {run.pk for run in told} == {run.pk for run in runs}


def test_what_has_nothing_missing_or_cannot_be_loaded_is_said(researcher, told):
    spy, odd, ibm = instrument("SPY"), instrument("ODD"), instrument("IBM")
    now = timezone.now()
    store.write_bars(instrument=spy, series=series("1d", "2026-01-02", f"{now:%Y-%m-%d}"), source="IB, simulated")
    store.write_bars(instrument=odd, series=series("1d", "2026-01-02", "2026-02-02"), source="a file")
    said = act(researcher, "instrument", "load_tail_1d", spy, odd, ibm)
    assert said[-1] == "1 load is queued; 1 had nothing missing; 1 cannot be loaded."
    assert "ODD" in said[0] and "simulated ones are not mixed with them" in said[0]
    assert [run.instrument for run in told] == [ibm]


def test_a_watchlist_is_loaded_member_by_member_and_a_file_s_series_once(researcher, told):
    spy, gone = instrument("SPY"), instrument("GONE", active=False)
    set_watchlist(name="mine", instruments=[spy, gone])
    act(researcher, "watchlist", "load_full_1m", Watchlist.objects.get())
    assert [(run.instrument, run.timeframe, run.mode) for run in told] == [(spy, "1m", "full")]
    store.write_bars(instrument=spy, series=series("1m", "2025-12-31", "2026-01-02"), source="IB, simulated")
    assert BarFile.objects.count() == 2
    act(researcher, "barfile", "load_tail_1m", *BarFile.objects.all())
    assert [run.mode for run in told] == ["full", "tail"]
    assert act(researcher, "barfile", "load_tail_1d", *BarFile.objects.all())[-1] == "0 loads are queued."


def test_who_may_not_start_loads_has_no_such_button(client, told):
    client.force_login(staff("viewer"))
    spy = instrument("SPY")
    act(client, "instrument", "load_tail_1d", spy)
    assert not LoadRun.objects.exists() and not told
    page = client.get(reverse("admin:marketdata_instrument_changelist"))
    assert "load_tail_1d" not in page.content.decode()


def test_a_load_s_page_tells_its_result_and_leads_to_its_segments(researcher):
    run = LoadRun.objects.create(instrument=instrument("SPY"), timeframe="1m", outcome="partial")
    Fetch.objects.create(
        load_run=run, instrument=run.instrument, timeframe="1m", gap=0, start=timezone.now(),
        end=timezone.now() + timezone.timedelta(hours=1), duration="3600 S", state="failed", error="Timed out",
    )  # fmt: skip
    text = researcher.get(reverse("admin:marketdata_loadrun_change", args=[run.pk])).content.decode()
    assert "ib_requests_made: 0" in text and "error: Timed out" in text
    fetches = f"{reverse('admin:marketdata_fetch_changelist')}?load_run__id__exact={run.pk}"
    assert fetches in text and "1 segment<" in text
    assert "Timed out" in researcher.get(fetches).content.decode()


def test_a_plan_that_is_saved_is_due_and_one_that_cannot_be_is_refused(researcher):
    set_watchlist(name="mine", instruments=[instrument("SPY")])
    form = {"name": "minutes", "watchlist": Watchlist.objects.get().pk, "enabled": "on", "timeframe": "1m",
            "what": "", "mode": "tail", "start": "", "every_minutes": "5"}  # fmt: skip
    page = reverse("admin:marketdata_loadplan_add")
    assert researcher.post(page, form).status_code == 302
    assert LoadPlan.objects.get().next_run_at <= timezone.now()
    wrong = researcher.post(page, form | {"name": "other", "what": "ADJUSTED_LAST"})
    assert "is loaded for 1d and 1w" in str(wrong.context["adminform"].form.errors)
    assert LoadPlan.objects.count() == 1
    plan = LoadPlan.objects.get()
    researcher.post(reverse("admin:marketdata_loadplan_change", args=[plan.pk]), form | {"enabled": ""})
    plan.refresh_from_db()
    assert (plan.enabled, plan.next_run_at) == (False, None)


def test_the_pace_is_the_admin_s_and_never_off_for_a_real_gateway(client, settings):
    client.force_login(staff("admin"))
    budget = PacingBudget.objects.create(login="127.0.0.1:4002")
    page = reverse("admin:marketdata_pacingbudget_change", args=[budget.pk])
    settings.TRADING_MODE = "paper"
    wrong = client.post(page, {"login": budget.login, "profile": "off"})
    assert "simulated gateway alone" in str(wrong.context["adminform"].form.errors)
    assert client.post(page, {"login": budget.login, "profile": "relaxed"}).status_code == 302
    budget.refresh_from_db()
    assert budget.profile == "relaxed"


@pytest.mark.parametrize("duration", ["1 H", "0 D", "D", "1D"])
def test_a_length_that_is_no_duration_is_refused(client, duration):
    client.force_login(staff("admin"))
    row = RequestLength.objects.get(timeframe="1d")
    page = reverse("admin:marketdata_requestlength_change", args=[row.pk])
    wrong = client.post(page, {"timeframe": "1d", "duration": duration})
    assert wrong.context["adminform"].form.errors["duration"]
    row.refresh_from_db()
    assert row.duration == "1 Y"
