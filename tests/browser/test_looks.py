"""Every page in light, in dark and on a phone: nothing reaches over the edge or is loaded from elsewhere.

With BROWSER_PICTURES=folder each is kept as a picture.
"""

from __future__ import annotations

import pytest

from tests.browser.conftest import DESKTOP, PHONE, overflowing, picture
from tests.reports import desk
from tests.tradingsite.people import person

LOOKS = {
    "light": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone-dark": (PHONE, "dark"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_full_desk_looks_right(visitor, trader, places, look):
    viewport, scheme = LOOKS[look]
    found = desk.full_desk(trader)
    page = visitor.page(viewport=viewport, scheme=scheme, user=trader)
    addresses = {
        "dashboard": "/",
        "runs": "/runs/",
        "run-running": f"/runs/backtest/{found['running'].pk}/",
        "run-failed": f"/runs/backtest/{found['failed'].pk}/",
        "run-import": f"/runs/barimport/{found['imported'].pk}/",
        "import": "/imports/new/",
        "instruments": "/instruments/",
        "watchlists": "/watchlists/",
        "watchlist": f"/watchlists/{found['watchlist'].pk}/",
        "watchlist-edit": f"/watchlists/{found['watchlist'].pk}/edit/",
        "health": "/health/",
        "search": "/search/?q=a",
    }
    problems = {}
    for name, address in addresses.items():
        page.goto(address)
        picture(page, f"{name}-{look}")
        problems[name] = overflowing(page)
    assert {name: each for name, each in problems.items() if each} == {}


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_an_empty_desk_says_what_to_do_next(visitor, trader, places, look):
    viewport, scheme = LOOKS[look]
    page = visitor.page(viewport=viewport, scheme=scheme, user=trader)
    for name, address in {
        "dashboard": "/",
        "runs": "/runs/",
        "instruments": "/instruments/",
        "watchlists": "/watchlists/",
        "health": "/health/",
    }.items():
        page.goto(address)
        picture(page, f"empty-{name}-{look}")
        assert overflowing(page) == [], name
    page.goto("/")
    page.get_by_role("link", name="Import a CSV or Parquet file").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Import bars"


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_pages_of_errors_look_like_the_others(visitor, places, look):
    viewport, scheme = LOOKS[look]
    visitor.meant = {400, 403, 404}
    page = visitor.page(viewport=viewport, scheme=scheme, user=person("viewer"))
    for status, address in {404: "/nothing/here/", 403: "/watchlists/new/", 400: "/runs/?before=cut"}.items():
        assert page.goto(address).status == status
        picture(page, f"error-{status}-{look}")
        assert overflowing(page) == []
        assert page.get_by_role("link", name="To the dashboard").is_visible()
