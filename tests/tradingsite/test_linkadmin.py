"""The connection's page in the admin: facts in words, and the button that has it made anew."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.reports.desk import gateway_link
from tests.tradingsite.people import staff
from tradingsite.models import GatewayLink, Lease

pytestmark = pytest.mark.django_db


def page(client, row: GatewayLink) -> str:
    return client.get(reverse("admin:tradingsite_gatewaylink_change", args=[row.pk])).content.decode()


def press(client, row: GatewayLink):
    data = {"action": "reconnect", "_selected_action": row.pk, "_page": row.pk}
    return client.post(reverse("admin:tradingsite_gatewaylink_changelist"), data, follow=True)


def test_it_says_how_it_is_why_and_what_to_do(client):
    client.force_login(staff("viewer"))
    row = gateway_link(timezone.now())
    Lease.objects.create(role="data", holder="desk:1", epoch=3, expires=timezone.now())
    shown = page(client, row)
    for words in (
        "degraded", "the gateway is cut off from IB", "wait; look at IB&#x27;s status page", "127.0.0.1:4002",
        "client 11", "DU1000001 (simulated)", "protocol version 176", "123,456 in, 4,321 out", "answers in 1.4 ms",
        "ushmds", "the request is not valid", "What to do: correct the request.", "epoch 3, until",
    ):  # fmt: skip
        assert words in shown, words


def test_what_the_gateway_says_stays_text(client):
    client.force_login(staff("viewer"))
    bad = "<script>alert(1)</script>"
    notice = {"at": "2026-03-02T12:00:00+00:00", "code": 1, "family": bad, "words": bad, "remedy": bad, "text": bad}
    shown = page(client, gateway_link(timezone.now(), notices=[notice], cause=bad, farms={bad: bad}, library=bad))
    assert bad not in shown and "&lt;script&gt;" in shown


def test_a_silent_holder_is_shown_as_down(client):
    client.force_login(staff("viewer"))
    row = gateway_link(timezone.now(), state="ready", cause="", remedy="")
    GatewayLink.objects.update(seen=timezone.now() - timedelta(minutes=1))
    assert "its holder has said nothing since" in page(client, row)


@pytest.mark.parametrize("role", ["viewer", "researcher", "trader", "admin"])
def test_the_button_is_for_who_trades_and_writes_a_wish(client, role):
    person = staff(role)
    client.force_login(person)
    row = gateway_link(timezone.now())
    may = role in ("trader", "admin")
    assert ("Disconnect and reconnect" in page(client, row)) is may
    answer = press(client, row)
    row.refresh_from_db()
    assert (row.disconnect_asked is not None) is may
    if may:
        assert "asked to disconnect and reconnect" in answer.content.decode()
        assert row.disconnect_by == person
        shown = page(client, row)
        assert f"by {person.username}; not done yet" in shown
        assert 'value="reconnect"' not in shown, "it is asked already"


def test_nobody_changes_what_the_holder_tells(client):
    client.force_login(staff("admin"))
    row = gateway_link(timezone.now())
    assert (
        client.post(reverse("admin:tradingsite_gatewaylink_change", args=[row.pk]), {"state": "x"}).status_code == 403
    )
