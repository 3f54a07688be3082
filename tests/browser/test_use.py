"""The pages as a person uses them: keyboard, theme, what refreshes itself, forms."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from execution.models import KillSwitch
from marketdata.models import BarImport, Instrument, Watchlist
from marketdata.uploads import import_upload
from reports.models import Alert
from strategies.models import Backtest
from tests.browser.conftest import PHONE
from tests.reports import desk
from tradingsite import attempts, runs

CSV = "date,open,high,low,close,volume\n2024-01-02,1,2,1,2,10\n2024-01-03,2,3,2,x,10\n2024-01-04,2,3,2,3,10\n"


def test_the_key_slash_leads_to_the_search_and_arrows_through_what_is_found(visitor, trader):
    Instrument.objects.create(symbol="MOMO", name="Momentum Motors")
    found = Watchlist.objects.create(name="mom and pop")
    page = visitor.page(user=trader)
    page.goto("/runs/")
    page.keyboard.press("/")
    page.keyboard.type("mom")
    expect(page.locator("#found a")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/watchlists/{found.pk}/")
    page.keyboard.press("/")
    page.keyboard.type("mom")
    expect(page.locator("#found a")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#found a")).to_have_count(0)


def test_the_chosen_theme_stays(visitor, trader):
    page = visitor.page(user=trader, scheme="light")
    page.goto("/")

    def colour() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = colour()
    page.get_by_role("button", name="Light or dark").click()
    dark = colour()
    page.goto("/runs/")
    assert colour() == dark != light
    page.get_by_role("button", name="Light or dark").click()
    assert colour() == light


def test_the_dashboard_shows_what_is_new_without_losing_what_is_being_typed(visitor, trader):
    page = visitor.page(user=trader)
    page.goto("/")
    page.get_by_label("Reason").fill("half a sent")
    Alert.objects.create(level="critical", subject="disk is full")
    desk.backtest(state="running", progress=0.25, tag="night run")
    expect(page.get_by_text("disk is full")).to_be_visible(timeout=9000)
    expect(page.get_by_role("link", name="night run on ABC, XYZ, 1d")).to_be_visible()
    assert page.get_by_label("Reason").input_value() == "half a sent"


def test_halting_asks_first(visitor, trader):
    page = visitor.page(user=trader, viewport=PHONE)
    page.goto("/")
    page.get_by_label("Reason").fill("prices look wrong")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Halt trading").click()
    assert not KillSwitch.objects.exists()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Halt trading").click()
    expect(page.locator(".badge")).to_have_text("HALTED")
    expect(page.get_by_text("An admin who did not engage it may release it.")).to_be_visible()
    assert KillSwitch.objects.get().reason == "prices look wrong"


def test_a_run_is_followed_to_its_end_and_then_left_alone(visitor, trader):
    run = desk.backtest(state="running", progress=0.25)
    page = visitor.page(user=trader)
    page.goto(f"/runs/backtest/{run.pk}/")
    expect(page.get_by_text("25\u202f%")).to_be_visible()
    Backtest.objects.filter(pk=run.pk).update(progress=0.5, log_tail="half of it\n")
    expect(page.get_by_text("50\u202f%")).to_be_visible(timeout=6000)
    expect(page.get_by_text("half of it")).to_be_visible()
    Backtest.objects.filter(pk=run.pk).update(state="succeeded", finished=timezone.now(), progress=1.0)
    expect(page.get_by_role("heading", name="Succeeded")).to_be_visible(timeout=6000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4500)
    assert asked == []


def test_a_file_is_handed_in_imported_and_explained(visitor, trader, places, settings, monkeypatch):
    settings.UPLOADS_DIR = places / "uploads"
    monkeypatch.setattr(runs, "send", lambda run: None)
    page = visitor.page(user=trader, viewport=PHONE)
    page.goto("/imports/new/")
    page.get_by_label("File").set_input_files({"name": "ABC.csv", "mimeType": "text/csv", "buffer": CSV.encode()})
    page.get_by_label("Timeframe").select_option("1d")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="Queued")).to_be_visible()
    attempts.perform(BarImport, BarImport.objects.get().pk, import_upload)
    expect(page.get_by_role("heading", name="Succeeded")).to_be_visible(timeout=6000)
    expect(page.get_by_role("heading", name="Dropped, and why")).to_be_visible()
    assert page.get_by_role("link", name="ABC", exact=True).get_attribute("href").startswith("/instruments/")


def test_a_watchlist_is_pasted_and_mended_on_the_field(visitor, trader):
    for symbol in ("AAPL", "MSFT"):
        Instrument.objects.create(symbol=symbol)
    page = visitor.page(user=trader)
    page.goto("/watchlists/new/")
    page.get_by_label("Name").fill("mine")
    page.get_by_label("Symbols").fill("AAPL\nMSFR")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field:has(#id_symbols) .errorlist")).to_contain_text("did you mean 'MSFT'?")
    page.get_by_label("Symbols").fill("AAPL\nMSFT")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    assert Watchlist.objects.get().members.count() == 2


def test_a_session_that_ended_leads_to_the_login(visitor, trader):
    page = visitor.page(user=trader)
    page.goto("/")
    page.context.clear_cookies()
    page.wait_for_url("**/admin/login/**", timeout=9000)
    visitor.faults = [each for each in visitor.faults if "eval" not in each.lower()]  # that page is the admin's


def test_a_server_that_does_not_answer_is_said(visitor, trader):
    page = visitor.page(user=trader)
    page.goto("/")
    page.route("**/*", lambda route: route.abort())
    expect(page.locator("html")).to_have_attribute("data-stale", "", timeout=9000)
    visitor.faults = [each for each in visitor.faults if "ERR_FAILED" not in each and "htmx:" not in each]


@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.2:9/x.png'}))", "CSP img-src"),
        ("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))", "CSP script-src"),
        ("setTimeout(() => { throw new Error('torn') })", "script: torn"),
        ("fetch('/nothing/here/')", "404"),
    ],
)
def test_the_guard_sees_what_no_page_may_do(visitor, trader, deed, fault):
    page = visitor.page(user=trader)
    page.goto("/search/")
    page.evaluate(f"() => {{ {deed}; }}")
    page.wait_for_timeout(300)
    assert any(fault in each for each in visitor.faults), visitor.faults
    visitor.faults = []
