import pytest
from django.urls import reverse

from execution.models import Account, KillSwitch
from execution.services import engage, environment
from tests.tradingsite.rows import person

pytestmark = pytest.mark.django_db

LIST, ADD = reverse("admin:execution_killswitch_changelist"), reverse("admin:execution_killswitch_add")


def release(client, switch):
    chosen = {"action": "release_switches", "_selected_action": [switch.pk], "_page": switch.pk}
    return client.post(LIST, chosen, follow=True)


def test_a_trader_engages_it_by_saving_and_the_header_says_so(client):
    tom = person("trader")
    client.force_login(tom)
    account = Account.objects.create(number="DU1")
    sent = {
        "account": account.pk,
        "level": "cancel",
        "reason": "strange fills",
        "engaged_by": "",
        "released": "2020-01-01",
    }
    response = client.post(ADD, sent, follow=True)
    row = KillSwitch.objects.get()
    assert (row.account, row.level, row.reason, row.engaged_by, row.released) == (
        account, "cancel", "strange fills", tom, None,
    )  # fmt: skip
    assert "HALTED" in response.content.decode()


def test_a_researcher_cannot_engage_it(client):
    client.force_login(person("researcher"))
    assert client.post(ADD, {"level": "pause"}).status_code == 403
    assert not KillSwitch.objects.exists()


def test_an_engaged_switch_is_not_edited_or_deleted_even_by_who_engaged_it(client):
    tom = person("trader")
    client.force_login(tom)
    row = engage(person=tom)
    for page in ("change", "delete"):
        url = reverse(f"admin:execution_killswitch_{page}", args=[row.pk])
        assert client.post(url, {"post": "yes", "level": "pause", "released": "2026-01-01"}).status_code == 403
    assert environment().label == "HALTED"


def test_an_admin_releases_what_another_engaged(client):
    row = engage(person=person("trader"))
    ann = person("admin")
    client.force_login(ann)
    response = release(client, row)
    row.refresh_from_db()
    assert row.released_by == ann
    assert response.request["PATH_INFO"] == reverse("admin:execution_killswitch_change", args=[row.pk])


def test_an_admin_does_not_release_their_own_and_reads_why(client):
    ann, _other = person("admin"), person("admin", "amy")
    client.force_login(ann)
    row = engage(person=ann)
    assert "another person" in release(client, row).content.decode()
    assert environment().label == "HALTED"


def test_a_trader_is_offered_no_release_and_gets_none(client):
    client.force_login(person("trader"))
    row = engage(person=person("admin"))
    page = client.get(reverse("admin:execution_killswitch_change", args=[row.pk])).content.decode()
    assert "release_switches" not in page
    release(client, row)
    assert environment().label == "HALTED"
