import datetime as dt

import pytest
from django.urls import reverse

from marketdata import store
from marketdata.models import (
    BarFile,
    Halt,
    Instrument,
    LoadPlan,
    LoadRun,
    PacingBudget,
    RequestLength,
    Watchlist,
    WatchlistMember,
)
from marketdata.rebuilding import SIMULATED
from tests.marketdata import loads, make
from tests.tradingsite.people import staff
from tradingsite.models import ConfigChange

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bars_root")]


@pytest.fixture
def researcher(client):
    client.force_login(staff("researcher"))
    return client


@pytest.fixture
def chief(client):
    client.force_login(staff("admin"))
    return client


def address(model, page, *args):
    return reverse(f"admin:marketdata_{model}_{page}", args=args)


def act(client, model, rows, **form):
    chosen = {"action": "load_bars", "_selected_action": [row.pk for row in rows]}
    return client.post(address(model, "changelist"), chosen | form, follow=True)


def told(response):
    return [str(message) for message in response.context["messages"]]


def errors(response):
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def test_instruments_are_loaded_after_a_page_that_asks_what(researcher):
    rows = [make.instrument("AAA"), make.instrument("BBB")]
    page = act(researcher, "instrument", rows)
    shown = page.content.decode()
    assert page.status_code == 200 and "AAA" in shown and "BBB" in shown and 'name="timeframe"' in shown
    assert not LoadRun.objects.exists()
    page = act(researcher, "instrument", rows, load="1", mode="full", timeframe="1h")
    assert sorted(LoadRun.objects.values_list("instrument__symbol", "timeframe", "mode", "origin")) == [
        ("AAA", "1h", "full", "web"), ("BBB", "1h", "full", "web"),
    ]  # fmt: skip
    assert told(page)[0] == "2 loads are queued: BBB 1h, AAA 1h." or "AAA 1h, BBB 1h" in told(page)[0]


def test_one_load_is_followed_at_once(researcher):
    page = act(researcher, "instrument", [make.instrument()], load="1", mode="tail", timeframe="1d")
    run = LoadRun.objects.get()
    assert page.redirect_chain == [(address("loadrun", "change", run.pk), 302)]
    assert "trades" in page.content.decode().lower()


def test_a_form_without_a_mode_says_so_and_queues_nothing(researcher):
    page = act(researcher, "instrument", [make.instrument()], load="1", timeframe="2d")
    assert page.status_code == 400 and page.context["form"].errors.keys() == {"mode", "timeframe"}
    assert not LoadRun.objects.exists()


def test_a_watchlist_loads_its_active_members(researcher):
    mine = Watchlist.objects.create(name="mine")
    for number, symbol in enumerate(("AAA", "BBB", "OLD")):
        row = make.instrument(symbol, active=symbol != "OLD")
        WatchlistMember.objects.create(watchlist=mine, instrument=row, position=number)
    act(researcher, "watchlist", [mine], load="1", mode="tail", timeframe="5m")
    assert set(LoadRun.objects.values_list("instrument__symbol", "timeframe")) == {("AAA", "5m"), ("BBB", "5m")}


def test_coverage_loads_the_series_of_its_files(researcher):
    spy = make.instrument()
    store.write_bars(instrument=spy, series=loads.series("1h", "2022-12-01", "2023-01-10"), source=SIMULATED)
    page = act(researcher, "barfile", BarFile.objects.all())
    assert 'name="timeframe"' not in page.content.decode()
    act(researcher, "barfile", BarFile.objects.all(), load="1", mode="tail")
    assert list(LoadRun.objects.values_list("instrument__symbol", "timeframe", "what")) == [("SPY", "1h", "TRADES")]


def test_files_that_the_loader_does_not_keep_are_said_to_be_none(researcher):
    store.write_bars(instrument=make.instrument(), series=make.minutes(10), source="test")
    page = act(researcher, "barfile", BarFile.objects.all(), load="1", mode="tail")
    assert told(page) == ["There is no series that is loaded from IB among these."]


def test_a_viewer_loads_nothing(client):
    client.force_login(staff("viewer"))
    row = make.instrument()
    assert "load_bars" not in client.get(address("instrument", "change", row.pk)).content.decode()
    act(client, "instrument", [row], load="1", mode="full", timeframe="1h")
    assert not LoadRun.objects.exists()


def test_a_row_has_the_action_as_a_button(researcher):
    row = make.instrument()
    assert 'value="load_bars"' in researcher.get(address("instrument", "change", row.pk)).content.decode()
    page = act(researcher, "instrument", [row], _page=row.pk)
    assert f'name="_page" value="{row.pk}"' in page.content.decode()


def test_a_load_is_cancelled_and_tried_again(researcher):
    run = LoadRun.objects.create(instrument=make.instrument(), timeframe="1d")
    for action, state in (("cancel_runs", "cancelled"), ("retry_runs", "queued")):
        researcher.post(address("loadrun", "changelist"), {"action": action, "_selected_action": [run.pk]})
        run.refresh_from_db()
        assert run.state == state
    page = researcher.get(address("loadrun", "change", run.pk)).content.decode()
    assert "ib_requests_made: 0" in page and f"load_run__id__exact={run.pk}" in page
    fetches = f"{address('fetch', 'changelist')}?load_run__id__exact={run.pk}"
    assert researcher.get(fetches).status_code == 200


def plan_form(watchlist, **changed):
    form = {
        "name": "minutes", "watchlist": watchlist.pk, "timeframe": "1m", "what": "", "mode": "tail", "start": "",
        "every_minutes": 5, "enabled": "on",
    }  # fmt: skip
    return form | changed


def test_a_plan_is_due_as_soon_as_it_is_saved_and_its_history_is_kept(researcher):
    mine = Watchlist.objects.create(name="mine")
    assert researcher.post(address("loadplan", "add"), plan_form(mine)).status_code == 302
    plan = LoadPlan.objects.get()
    assert plan.next_run_at is not None
    changed = {key: value for key, value in plan_form(mine, every_minutes=15).items() if key != "enabled"}
    assert researcher.post(address("loadplan", "change", plan.pk), changed).status_code == 302
    plan.refresh_from_db()
    assert (plan.every_minutes, plan.next_run_at) == (15, None)
    kept = ConfigChange.objects.filter(kind="load_plan", name="minutes").order_by("pk")
    assert [change.after.get("every_minutes", 5) for change in kept] == [5, 15]
    assert "every_minutes" in researcher.get(address("loadplan", "history", plan.pk)).content.decode()


def test_a_plan_that_no_load_can_follow_is_refused(researcher):
    mine = Watchlist.objects.create(name="mine")
    found = errors(researcher.post(address("loadplan", "add"), plan_form(mine, what="ADJUSTED_LAST")))
    assert "ADJUSTED_LAST is loaded for 1d and 1w" in str(found)
    assert not LoadPlan.objects.exists()


def test_a_plan_is_looked_at_now(researcher):
    mine = Watchlist.objects.create(name="mine")
    later = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    on = LoadPlan.objects.create(name="on", watchlist=mine, next_run_at=later)
    off = LoadPlan.objects.create(name="off", watchlist=mine, enabled=False)
    form = {"action": "look_now", "_selected_action": [on.pk, off.pk]}
    page = researcher.post(address("loadplan", "changelist"), form, follow=True)
    on.refresh_from_db()
    assert on.next_run_at < later
    assert sorted(told(page)) == [
        "off is switched off; enable it first.", "on: its turn comes with the next tick of load plans.",
    ]  # fmt: skip


def test_a_halt_ends_after_it_begins_and_is_recorded(researcher):
    spy = make.instrument()
    halt = {
        "instrument": spy.pk, "start_0": "2024-01-03", "start_1": "15:00:00", "end_0": "2024-01-03",
        "end_1": "14:00:00", "note": "news pending",
    }  # fmt: skip
    assert errors(researcher.post(address("halt", "add"), halt)) == {"end": ["Must be after the start."]}
    assert researcher.post(address("halt", "add"), halt | {"end_1": "16:00:00"}).status_code == 302
    assert Halt.objects.get().note == "news pending"
    change = ConfigChange.objects.get(kind="halt")
    assert change.after["halts"][0]["end"] == "2024-01-03T16:00:00Z"


def test_a_request_length_is_of_ib_s_words(chief):
    row = RequestLength.objects.get(timeframe="1m")
    page = address("requestlength", "change", row.pk)
    assert "a number and S, D, W, M or Y" in str(errors(chief.post(page, {"timeframe": "1m", "duration": "2 days"})))
    assert chief.post(page, {"timeframe": "1m", "duration": "2 D"}).status_code == 302
    row.refresh_from_db()
    assert row.duration == "2 D"


@pytest.mark.parametrize(("trading_mode", "accepted"), [("simulated", True), ("paper", False), ("live", False)])
def test_only_a_simulated_gateway_is_asked_without_limits(chief, settings, trading_mode, accepted):
    settings.TRADING_MODE = trading_mode
    budget = PacingBudget.objects.create(login="127.0.0.1:4002", profile="strict")
    page = chief.post(address("pacingbudget", "change", budget.pk), {"profile": "off"})
    budget.refresh_from_db()
    assert (budget.profile == "off") is accepted
    if not accepted:
        assert "is never asked without limits" in str(errors(page))
    assert chief.post(address("pacingbudget", "change", budget.pk), {"profile": "relaxed"}).status_code == 302


def test_the_login_of_a_budget_is_not_changed_and_it_is_not_deleted(chief):
    budget = PacingBudget.objects.create(login="127.0.0.1:4002")
    chief.post(address("pacingbudget", "change", budget.pk), {"profile": "relaxed", "login": "other:1"})
    assert PacingBudget.objects.get().login == "127.0.0.1:4002"
    assert chief.post(address("pacingbudget", "delete", budget.pk), {"post": "yes"}).status_code == 403
    assert Instrument.objects.count() == 0 and PacingBudget.objects.exists()
