"""The history of the configuration in the admin, and its import and export."""

import re
from html import unescape

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import include, path, reverse
from unfold.sites import UnfoldAdminSite

from marketdata.models import CorporateAction, Instrument, Watchlist
from strategies.models import RiskProfile
from tests.tradingsite.configuration import EXAMPLE, tables
from tradingsite.documents import export_all
from tradingsite.history import changes_of
from tradingsite.history_admin import MAX_UPLOAD_BYTES, ConfigChangeAdmin, RecordedChanges
from tradingsite.imports import import_documents
from tradingsite.models import ConfigChange
from tradingsite.roles import write_roles

site = UnfoldAdminSite()
site.register(ConfigChange, ConfigChangeAdmin)
for each in (Instrument, Watchlist, CorporateAction, RiskProfile):
    site.register(each, RecordedChanges)
urlpatterns = [
    path("admin/", site.urls),
    path("account/", include("tradingsite.account.urls")),  # where the sidebar leads
    path("", include("reports.urls")),
]
IMPORT = "/admin/tradingsite/configchange/configuration/"


@pytest.fixture(autouse=True)
def example(db, settings):
    settings.ROOT_URLCONF = __name__
    write_roles()
    import_documents(EXAMPLE, actor=None, source="file")


@pytest.fixture
def sign_in(client):
    """Signs a user of that role in; returns the client."""

    def as_role(role: str):
        user = get_user_model().objects.create(username=role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        return client

    return as_role


def upload(text: str | bytes, **fields) -> dict:
    content = text if isinstance(text, bytes) else text.encode()
    return {"file": SimpleUploadedFile("desk.yaml", content), **fields}


def hidden(page: str) -> dict[str, str]:
    """The fields of the form that applies what was shown, as a browser would send them."""
    form = re.search(r"<form(?:(?!</form>).)*?name=\"fingerprint\".*?</form>", page, re.DOTALL)
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[0])
    return {name: re.sub("\r?\n", "\r\n", unescape(value)) for name, value in found if "csrf" not in name}


def newest() -> list[tuple]:
    return list(ConfigChange.objects.order_by("pk").values_list("kind", "name", "source", "actor__username")[7:])


def test_what_a_form_saves_adds_and_deletes_is_recorded(sign_in):
    client = sign_in("admin")
    profile = RiskProfile.objects.get()
    page = reverse("admin:strategies_riskprofile_change", args=[profile.pk])
    form = {"name": "careful", "limits": '{"daily_loss": 7}', "notes": ""}
    assert client.post(page, form, REMOTE_ADDR="10.0.0.7").status_code == 302
    change = changes_of("risk_profile", "careful")[0]
    assert (change.after["limits"], change.address) == ({"daily_loss": 7}, "10.0.0.7")
    client.post(page, form)  # changes nothing
    client.post(reverse("admin:strategies_riskprofile_add"), form | {"name": "new"})
    client.post(page, form | {"name": ""})  # refused
    made = RiskProfile.objects.get(name="new")
    client.post(reverse("admin:strategies_riskprofile_delete", args=[made.pk]), {"post": "yes"})
    assert newest() == [
        ("risk_profile", "careful", "admin", "admin"),
        ("risk_profile", "new", "admin", "admin"),
        ("risk_profile", "new", "admin", "admin"),
    ]
    assert changes_of("risk_profile", "new")[0].after is None


def test_rows_deleted_from_a_list_and_what_named_them_are_recorded(sign_in):
    client = sign_in("researcher")
    instrument = Instrument.objects.get(symbol="SPY")
    client.post(
        reverse("admin:marketdata_instrument_changelist"),
        {"action": "delete_selected", "_selected_action": [instrument.pk], "post": "yes"},
    )
    assert [each[:2] for each in newest()] == [
        ("corporate_action", "SPY"),
        ("instrument", "SPY"),
        ("watchlist", "tech"),
    ]


def test_an_action_moved_to_another_instrument_is_recorded_for_both(sign_in):
    client = sign_in("researcher")
    action = CorporateAction.objects.get()
    other = Instrument.objects.get(symbol="QQQ")
    answer = client.post(
        reverse("admin:marketdata_corporateaction_change", args=[action.pk]),
        {"instrument": other.pk, "ex_date": "2020-03-20", "kind": "dividend", "value": "1.5", "source": ""},
    )
    assert answer.status_code == 302
    assert [each[:2] for each in newest()] == [("corporate_action", "QQQ@ARCA"), ("corporate_action", "SPY")]


def test_the_history_of_a_row_shows_who_when_and_the_difference(sign_in):
    client = sign_in("admin")
    profile = RiskProfile.objects.get()
    form = {"name": "careful", "limits": '{"daily_loss": 7}', "notes": "<b>"}
    client.post(reverse("admin:strategies_riskprofile_change", args=[profile.pk]), form)
    page = client.get(reverse("admin:strategies_riskprofile_history", args=[profile.pk])).content.decode()
    assert re.search(r"diff-removed[^>]*>-    daily_loss: 1000<", page)
    assert re.search(r"diff-added[^>]*>\+    daily_loss: 7<", page)
    assert "admin from 127.0.0.1, by admin" in " ".join(page.split())
    assert "&lt;b&gt;" in page
    assert page.count("Revert this change") == 2
    body = page[page.index('id="content"') : page.rindex("Revert this change")]
    assert "<script" not in body
    assert "style=" not in body


def test_a_revert_is_asked_for_and_then_done_by_who_may_change_the_row(sign_in):
    client = sign_in("admin")
    import_documents(EXAMPLE.replace("1000", "5"), actor=None, source="file")
    change = changes_of("risk_profile", "careful")[0]
    page = reverse("admin:tradingsite_configchange_revert", args=[change.pk])
    before = tables()
    assert "+    daily_loss: 1000" in client.get(page).content.decode()
    assert tables() == before
    answer = client.post(page)
    assert answer.url == reverse("admin:strategies_riskprofile_change", args=[RiskProfile.objects.get().pk])
    assert RiskProfile.objects.get().limits == {"daily_loss": 1000}
    assert newest()[-1] == ("risk_profile", "careful", "revert", "admin")
    refused = client.post(page)
    assert refused.status_code == 400
    assert "was changed again" in refused.content.decode()
    assert client.post(page, {"force": "1"}).status_code == 302
    assert client.get(reverse("admin:tradingsite_configchange_revert", args=[10**9])).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "researcher", "trader"])
def test_who_may_not_change_limits_may_not_revert_or_import_them(sign_in, role):
    client = sign_in(role)
    import_documents(EXAMPLE.replace("1000", "5"), actor=None, source="file")
    page = reverse("admin:tradingsite_configchange_revert", args=[changes_of("risk_profile", "careful")[0].pk])
    before = tables()
    assert client.get(page).status_code == 403
    assert client.post(page, {"force": "1"}).status_code == 403
    answer = client.post(IMPORT, upload("risk_profile: [{name: careful}]"))
    assert answer.status_code == 400
    assert "you may not change risk_profile; nothing was changed" in answer.content.decode()
    shown = client.post(IMPORT, upload("risk_profile: [{name: careful, limits: {daily_loss: 5}}]"))
    assert "the configuration says this already" in shown.content.decode()
    sent = {"text": "risk_profile: [{name: careful}]", "fingerprint": "made up"}
    assert "you may not change risk_profile" in client.post(IMPORT, sent).content.decode()
    assert tables() == before


def test_an_import_is_shown_first_and_applied_when_it_is_asked_for(sign_in):
    client = sign_in("admin")
    before = tables()
    text = EXAMPLE.replace("fast: 20", "fast: 10").replace("scheduled_backtest:", "scheduled_backtest: []\nx:")
    text = text[: text.index("x:")]
    shown = client.post(IMPORT, upload(text, prune="on", reason="<faster>"))
    assert shown.status_code == 200
    page = shown.content.decode()
    assert "0 created, 1 changed, 1 deleted, 5 unchanged" in page
    assert "+    fast: 10" in page
    assert tables() == before
    answer = client.post(IMPORT, hidden(page))
    assert answer.status_code == 302, answer.content.decode()
    changes = ConfigChange.objects.order_by("pk")[7:]
    assert {(each.source, each.reason, each.actor.username, each.address) for each in changes} == {
        ("file", "<faster>", "admin", "127.0.0.1")
    }
    assert "fast: 10" in export_all()


def test_an_import_is_not_applied_where_it_would_do_something_else_than_was_shown(sign_in):
    client = sign_in("admin")
    page = client.post(IMPORT, upload(EXAMPLE.replace("1000", "5"))).content.decode()
    RiskProfile.objects.update(limits={"daily_loss": 6})
    before = tables()
    answer = client.post(IMPORT, hidden(page))
    assert "was changed since the difference was shown" in answer.content.decode()
    assert tables() == before


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("watchlist: [{name: x, member: []}]", "did you mean &#x27;members&#x27;"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * (MAX_UPLOAD_BYTES + 1), "`manage.py config import FILE`"),
        (b'watchlist: [{name: "\\0"}]', "holds a character"),
        (b"a: &b [*b]", "anchors and aliases"),
        (b"", "The submitted file is empty"),
    ],
)
def test_a_bad_upload_is_an_error_on_the_form(sign_in, content, says):
    before = tables()
    answer = sign_in("admin").post(IMPORT, upload(content))
    assert answer.status_code == 400
    assert says in answer.content.decode()
    assert tables() == before


def test_without_a_file_the_form_asks_for_one(sign_in):
    client = sign_in("viewer")
    assert client.get(IMPORT).status_code == 200
    answer = client.post(IMPORT, {"reason": "x"})
    assert answer.status_code == 400
    assert "Choose a YAML file." in answer.content.decode()


def test_the_export_is_the_configuration_as_a_file(sign_in):
    answer = sign_in("viewer").get(IMPORT + "export/")
    assert answer.content.decode() == export_all()
    assert answer["Content-Disposition"] == 'attachment; filename="configuration.yaml"'


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_changes_can_be_read_but_not_written_or_deleted(sign_in, role):
    client = sign_in(role)
    get_user_model().objects.filter(username=role).update(is_superuser=role == "admin")
    change = ConfigChange.objects.first()
    page = reverse("admin:tradingsite_configchange_change", args=[change.pk])
    assert client.get(page).status_code == 200
    listed = client.get(reverse("admin:tradingsite_configchange_changelist"))
    assert IMPORT in listed.content.decode()
    before = list(ConfigChange.objects.values())
    assert client.post(page, {"name": "x", "reason": "x"}).status_code == 403
    assert client.get(reverse("admin:tradingsite_configchange_add")).status_code == 403
    assert (
        client.post(reverse("admin:tradingsite_configchange_delete", args=[change.pk]), {"post": "yes"}).status_code
        == 403
    )
    client.post(
        reverse("admin:tradingsite_configchange_changelist"),
        {"action": "delete_selected", "_selected_action": [change.pk], "post": "yes"},
    )
    assert list(ConfigChange.objects.values()) == before


def test_strangers_are_sent_to_the_login(client):
    for page in (IMPORT, IMPORT + "export/", reverse("admin:tradingsite_configchange_revert", args=[1])):
        answer = client.get(page)
        assert (answer.status_code, "login" in answer.url) == (302, True)
