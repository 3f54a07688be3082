"""The gateway's connection where people see it: the admin's page, the dashboard and the health page."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.browser.conftest import overflowing, picture
from tests.browser.test_looks import LOOKS
from tests.reports.desk import gateway_link
from tests.tradingsite.people import staff
from tradingsite.models import GatewayLink


@pytest.mark.parametrize("look", LOOKS)
def test_a_connection_in_trouble_looks_right(visitor, transactional_db, places, look):
    viewport, scheme = LOOKS[look]
    row = gateway_link(timezone.now())
    page = visitor.page(viewport=viewport, scheme=scheme, user=staff("trader"))
    problems = {}
    for name, address in {
        "list": "/admin/tradingsite/gatewaylink/",
        "page": f"/admin/tradingsite/gatewaylink/{row.pk}/change/",
        "health": "/health/",
        "dashboard": "/",
    }.items():
        page.goto(address)
        picture(page, f"gateway-{name}-{look}")
        problems[name] = [] if name == "list" else overflowing(page)  # the skin's lists scroll in their own way
    assert {name: each for name, each in problems.items() if each} == {}


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_where_nobody_holds_it_the_pages_say_how_to_start_it(visitor, transactional_db, places, look):
    viewport, scheme = LOOKS[look]
    page = visitor.page(viewport=viewport, scheme=scheme, user=staff("trader"))
    for name, address in {"health": "/health/", "dashboard": "/", "list": "/admin/tradingsite/gatewaylink/"}.items():
        page.goto(address)
        picture(page, f"no-gateway-{name}-{look}")
        if name != "list":
            assert page.get_by_text("manage.py worker data").first.is_visible()


def test_the_button_asks_for_a_new_connection(visitor, transactional_db, places):
    row = gateway_link(timezone.now())
    page = visitor.page(user=staff("trader", "tess"))
    page.goto(f"/admin/tradingsite/gatewaylink/{row.pk}/change/")
    page.get_by_role("button", name="Disconnect and reconnect").click()
    page.get_by_text("asked to disconnect and reconnect").first.wait_for()
    picture(page, "gateway-asked")
    assert GatewayLink.objects.get().disconnect_by.username == "tess"
