"""Loads from IB where people see them: runs, a load's own page, the instrument, the admin."""

from __future__ import annotations

import pytest
from django.utils import timezone

from marketdata.models import Fetch, LoadRun
from tests.browser.conftest import overflowing, picture
from tests.browser.test_looks import LOOKS
from tests.reports import loaddesk
from tests.reports.desk import gateway_link
from tests.tradingsite.people import staff
from tradingsite import runs


@pytest.mark.parametrize("look", LOOKS)
def test_loads_look_right(visitor, transactional_db, places, look):
    viewport, scheme = LOOKS[look]
    user = staff("researcher")
    gateway_link(timezone.now())
    found = loaddesk.full(user)
    page = visitor.page(viewport=viewport, scheme=scheme, user=user)
    problems = {}
    for name, address in {
        "runs": "/runs/",
        "dashboard": "/",
        "running": f"/runs/loadrun/{found['running'].pk}/",
        "partial": f"/runs/loadrun/{found['partial'].pk}/",
        "waiting": f"/runs/loadrun/{found['waiting'].pk}/",
        "instrument": f"/instruments/{found['abc'].pk}/",
        "instrument-year": f"/instruments/{found['abc'].pk}/coverage/?year=2019",
        "nothing-held": f"/instruments/{found['xyz'].pk}/",
        "admin-loads": "/admin/marketdata/loadrun/",
        "admin-load": f"/admin/marketdata/loadrun/{found['running'].pk}/change/",
    }.items():
        page.goto(address)
        if name == "instrument":
            page.get_by_text("Missing because").first.wait_for()
        picture(page, f"loads-{name}-{look}")
        problems[name] = [] if name.startswith("admin") or name == "instrument-year" else overflowing(page)
    assert {name: each for name, each in problems.items() if each} == {}


def test_a_person_asks_for_bars_and_watches_them_come(visitor, transactional_db, places, monkeypatch):
    monkeypatch.setattr(runs, "send", lambda run: True)
    row = loaddesk.loaded()
    LoadRun.objects.all().delete()
    page = visitor.page(user=staff("researcher", "rosa"))
    page.goto(f"/instruments/{row.pk}/")
    page.get_by_label("Timeframe").last.select_option("1h")
    page.get_by_role("button", name="Load everything").last.click()
    page.get_by_role("heading", name="ABC 1h, full").wait_for()
    assert page.get_by_text("number 1 of 1 loads that wait").is_visible()
    assert page.get_by_text("The gateway is off").is_visible()
    picture(page, "load-asked")
    run = LoadRun.objects.get()
    LoadRun.objects.update(state="running", started=timezone.now(), planned=timezone.now(), attempts=1, progress=0.5)
    loaddesk.fetches(run, "done", "failed", "pending", "pending")
    page.get_by_text("2 of 4 requests").wait_for()
    picture(page, "load-running")
    page.get_by_role("link", name="failed 1").click()
    page.wait_for_url("**/?show=failed")
    page.get_by_text("timed out").wait_for()
    assert page.locator("#part-fetches tbody tr").count() == 1
    Fetch.objects.filter(state="pending").update(state="done", bars=35)
    LoadRun.objects.update(
        state="failed", finished=timezone.now(), outcome="partial", fetched_bars=105, error="1 of 4 segments failed"
    )
    page.get_by_text("the rest is stored").wait_for()
    assert page.get_by_role("button", name="Try again").is_visible()
    picture(page, "load-partial")


def test_instruments_are_loaded_from_the_admin_s_list(visitor, transactional_db, places, monkeypatch):
    monkeypatch.setattr(runs, "send", lambda run: True)
    row = loaddesk.loaded()
    LoadRun.objects.all().delete()
    page = visitor.page(user=staff("researcher", "rosa"))
    page.goto(f"/admin/marketdata/instrument/{row.pk}/change/")
    page.get_by_role("button", name="Load from IB").click()
    page.get_by_text("what is to be loaded?").wait_for()
    picture(page, "admin-load-form")
    page.get_by_label("Timeframe").select_option("5m")
    page.get_by_text("everything that is missing").click()
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_text("1 load is queued").first.wait_for()
    picture(page, "admin-load-queued")
    run = LoadRun.objects.get()
    assert (run.timeframe, run.mode, run.started_by.username) == ("5m", "full", "rosa")
