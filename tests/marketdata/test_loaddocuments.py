"""Load plans, request lengths, halts and pacing profiles as documents."""

import pytest

from domain.errors import BadInput
from marketdata.models import Halt, LoadPlan, PacingBudget, PacingSlot, RequestLength
from marketdata.services import set_watchlist
from tests.marketdata.make import instrument
from tests.tradingsite.configuration import LOADING
from tradingsite.documents import export_all, parse_documents
from tradingsite.history import changes_of, revert
from tradingsite.imports import import_documents

pytestmark = pytest.mark.django_db
ABOUT = {"actor": None, "source": "file"}


@pytest.fixture
def desk():
    spy = instrument("SPY")
    set_watchlist(name="tech", instruments=[spy])
    return spy


def test_what_is_written_is_held_and_exported_again(desk):
    report = import_documents(LOADING, **ABOUT)
    assert report.summary() == "3 created, 1 changed, 0 deleted, 0 unchanged"
    plan = LoadPlan.objects.get()
    assert (plan.watchlist.name, plan.timeframe, plan.mode, plan.every_minutes) == ("tech", "1m", "tail", 5)
    assert plan.next_run_at is not None
    assert RequestLength.objects.get(timeframe="1m").duration == "2 D"
    assert (Halt.objects.get().instrument, Halt.objects.get().note) == (desk, "level 1")
    assert PacingBudget.objects.get().profile == "relaxed"
    text = export_all(["load_plan", "halt", "pacing_profile"])
    assert "run_at" not in text
    assert "start: '2020-03-09T13:34:13Z'" in text
    assert import_documents(text, prune=True, **ABOUT).changes == []
    assert import_documents(LOADING, **ABOUT).changes == []


def test_a_plan_that_is_switched_off_is_not_due(desk):
    import_documents(LOADING, **ABOUT)
    import_documents("load_plan: [{name: minutes, watchlist: tech, enabled: false}]", **ABOUT)
    plan = LoadPlan.objects.get()
    assert (plan.next_run_at, plan.timeframe) == (None, "1d"), "what is left out gets the default"


def test_a_watchlist_that_a_plan_needs_is_not_pruned(desk):
    import_documents(LOADING, **ABOUT)
    with pytest.raises(BadInput, match="watchlist tech: cannot be deleted; load plan minutes need it"):
        import_documents("watchlist: []", prune=True, **ABOUT)


def test_no_import_takes_a_budget_away(desk):
    import_documents(LOADING, **ABOUT)
    budget = PacingBudget.objects.get()
    now = "2024-06-12T12:00Z"
    PacingSlot.objects.create(
        budget=budget, priority=2, contract="SPY", identity="x", bar_seconds=60, asked=now, seen=now
    )
    report = import_documents("pacing_profile: []", prune=True, **ABOUT)
    assert report.deleted == ["pacing_profile 127.0.0.1:4002"]
    budget.refresh_from_db()
    assert (budget.profile, budget.slots.count()) == ("strict", 1)
    assert parse_documents(export_all(["pacing_profile"])) == {"pacing_profile": {}}
    revert(changes_of("pacing_profile", "127.0.0.1:4002")[0], actor=None, address="127.0.0.1")
    budget.refresh_from_db()
    assert (budget.profile, budget.slots.count()) == ("relaxed", 1)


def test_a_budget_as_the_first_request_made_it_is_no_configuration(settings):
    settings.PACING_AT_FIRST = "off"
    PacingBudget.objects.create(login="127.0.0.1:4002", profile="off")
    PacingBudget.objects.create(login="127.0.0.1:7497", profile="strict")
    (found,) = parse_documents(export_all(["pacing_profile"]))["pacing_profile"].values()
    assert (found.login, found.profile) == ("127.0.0.1:7497", "strict")


def test_a_list_of_halts_is_the_whole_list(desk):
    import_documents(LOADING, **ABOUT)
    kept = Halt.objects.get()
    second = "{start: '2020-03-12T09:35:44-04:00', end: '2020-03-12T13:50:44Z'}"
    text = LOADING.replace("note: level 1}", f"note: again}}\n  - {second}")
    assert import_documents(text, **ABOUT).changed == ["halt SPY"]
    assert Halt.objects.count() == 2
    kept.refresh_from_db()
    assert kept.note == "again"
    assert [f"{row.start:%H:%M:%S}" for row in Halt.objects.order_by("start")] == ["13:34:13", "13:35:44"]
    with pytest.raises(BadInput, match="halts: two begin at 2020-03-12"):
        import_documents(text.replace(second, f"{second}\n  - {second}"), **ABOUT)
    assert import_documents("halt: []", prune=True, **ABOUT).deleted == ["halt SPY"]
    assert not Halt.objects.exists()
