"""Who may see and do what on the pages: deny by default, as the table of roles says."""

import pytest
from django.test import Client

from execution.models import KillSwitch
from execution.services import engage
from marketdata.models import Watchlist
from reports.models import Alert
from tests.reports import desk
from tests.tradingsite.people import person

ROLES = ("viewer", "researcher", "trader", "admin")
SEEN = ["/", "/search/?q=a", "/instruments/", "/watchlists/", "/imports/new/", "/runs/", "/health/"]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("healthy")]


def signed_in(role: str | None, name: str = "") -> Client:
    client = Client()
    client.force_login(person(role, name))
    return client


def runs_of_each_kind() -> list[str]:
    return [f"/runs/backtest/{desk.backtest(state='queued').pk}/", f"/runs/barimport/{desk.bar_import().pk}/"]


@pytest.mark.parametrize("address", SEEN)
def test_a_stranger_is_sent_to_the_login(client, address):
    answer = client.get(address)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/?next=")


def test_the_icon_alone_is_for_everybody(client):
    assert client.get("/favicon.ico")["Location"] == "/static/ibdesk/favicon.svg"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_read_every_page(role):
    client = signed_in(role)
    for address in [*SEEN, *runs_of_each_kind(), f"/watchlists/{Watchlist.objects.create(name='w').pk}/"]:
        assert client.get(address).status_code == 200, address


def test_a_person_without_a_role_reads_nothing():
    client = signed_in(None)
    for address in [*SEEN[2:], f"/watchlists/{Watchlist.objects.create(name='w').pk}/"]:
        assert client.get(address).status_code == 403, address
    assert [client.get(address).status_code for address in runs_of_each_kind()] == [404, 404]
    assert "Your account has no role yet" in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("role", "allowed"), [("viewer", False), ("researcher", True), ("trader", True), ("admin", True)]
)
def test_who_may_write(role, allowed):
    client, watchlist = signed_in(role), Watchlist.objects.create(name="w")
    queued, failed = desk.backtest(state="queued"), desk.backtest(state="failed")
    answers = {
        "new watchlist": client.get("/watchlists/new/"),
        "edit watchlist": client.get(f"/watchlists/{watchlist.pk}/edit/"),
        "import": client.post("/imports/new/"),
        "cancel": client.post(f"/runs/backtest/{queued.pk}/cancel/"),
        "retry": client.post(f"/runs/backtest/{failed.pk}/retry/"),
    }
    refused = {name for name, answer in answers.items() if answer.status_code == 403}
    assert refused == (set() if allowed else set(answers))
    queued.refresh_from_db()
    failed.refresh_from_db()
    assert (queued.state, failed.state) == (("cancelled", "queued") if allowed else ("queued", "failed"))


@pytest.mark.parametrize("role", ROLES)
def test_who_may_halt_and_mark_alerts(role):
    client = signed_in(role)
    Alert.objects.create(level="warning", subject="old bars")
    allowed = role in ("trader", "admin")
    assert client.post("/alerts/seen/").status_code == (302 if allowed else 403)
    assert Alert.objects.filter(seen__isnull=True).exists() is not allowed
    assert client.post("/halts/", {"level": "cancel", "reason": "a test"}).status_code == (302 if allowed else 403)
    assert KillSwitch.objects.filter(level="cancel", released__isnull=True).exists() is allowed


def test_a_halt_is_released_by_another_admin_only():
    first, other = signed_in("admin", "first"), signed_in("admin", "other")
    first.post("/halts/", {"level": "pause"})
    switch = KillSwitch.objects.get()
    shown = first.get("/").content.decode()
    assert "another admin must release it" in shown
    assert f"/halts/{switch.pk}/release/" not in shown
    assert "another person" in first.post(f"/halts/{switch.pk}/release/", follow=True).content.decode()
    assert signed_in("trader").post(f"/halts/{switch.pk}/release/").status_code == 403
    assert f"/halts/{switch.pk}/release/" in other.get("/").content.decode()
    assert "Released" in other.post(f"/halts/{switch.pk}/release/", follow=True).content.decode()
    switch.refresh_from_db()
    assert (switch.engaged_by.username, switch.released_by.username) == ("first", "other")


def test_a_wish_needs_a_post():
    client = signed_in("admin")
    switch = engage(person=person("trader", "t"))
    run = desk.backtest(state="queued")
    for address in (
        "/halts/",
        f"/halts/{switch.pk}/release/",
        "/alerts/seen/",
        f"/runs/backtest/{run.pk}/cancel/",
        f"/runs/backtest/{run.pk}/retry/",
    ):
        assert client.get(address).status_code == 405, address


def test_a_form_without_its_token_changes_nothing():
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("trader"))
    answer = client.post("/halts/", {"level": "pause"})
    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()
    assert not KillSwitch.objects.exists()


def test_the_navigation_shows_what_the_person_may_open():
    shown = signed_in("viewer").get("/").content.decode()
    assert 'href="/runs/"' in shown
    assert 'href="/admin/"' not in shown
    client = Client()
    client.force_login(person("admin", is_staff=True))
    assert 'href="/admin/"' in client.get("/").content.decode()
