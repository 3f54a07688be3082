import csv
import io
import json

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

import tradingsite.urls  # noqa: F401  registers what the admin shows
from marketdata.models import Instrument
from tests.tradingsite import rows
from tests.tradingsite.people import staff
from tradingsite.models import ApiToken, Heartbeat, Role
from tradingsite.navigation import SECTIONS
from tradingsite.roles import permissions_of
from tradingsite.ticks import TICKS

pytestmark = pytest.mark.django_db

OURS = ("marketdata", "strategies", "execution", "reports", "tradingsite")
# What people configure; all else that the admin shows is a fact.
CONFIGURATION = {
    "instrument", "watchlist", "corporateaction", "strategyconfig", "riskprofile", "scheduledbacktest", "user",
    "periodictask", "loadplan", "requestlength", "halt", "pacingbudget",
}  # fmt: skip
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def url(model, page: str, *args) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_model_of_ours_is_registered():
    ours = {model for app in OURS for model in apps.get_app_config(app).get_models()}
    assert ours <= set(MODELS)


def test_of_beat_only_the_ticks_are():
    assert [model for model in MODELS if model._meta.app_label == "django_celery_beat"] == [PeriodicTask]


@pytest.mark.parametrize("role", Role.values)
def test_every_page_of_every_model_opens_for_those_who_may_view_it_and_for_nobody_else(client, role):
    rows.everything(2)
    client.force_login(staff(role))
    held = permissions_of(role)
    wrong = []
    for model in MODELS:
        app, name = model._meta.app_label, model._meta.model_name
        may_view = (app, f"view_{name}") in held
        may_add = (app, f"add_{name}") in held and name in CONFIGURATION
        if name == "killswitch":
            may_add = (app, "halt") in held
        row = model._default_manager.last()
        assert row is not None, model
        for page, args, allowed in (
            ("changelist", (), may_view),
            ("add", (), may_add),
            ("change", (row.pk,), may_view),
            ("history", (row.pk,), may_view),
        ):
            status = client.get(url(model, page, *args)).status_code
            if status != (200 if allowed else 403):
                wrong.append((model._meta.label, page, status))
    assert not wrong


@pytest.mark.parametrize("role", Role.values)
def test_nobody_adds_changes_or_deletes_a_fact(client, role):
    rows.everything(1)
    client.force_login(staff(role))
    removable = {"apitoken", "totpdevice", "staticdevice"} if role == Role.ADMIN else set()
    wrong = []
    for model in MODELS:
        name = model._meta.model_name
        if name in CONFIGURATION:
            continue
        row = model._default_manager.last()
        before = list(model._default_manager.order_by("pk").values())
        pages = [("change", (row.pk,))]
        pages += [] if name == "killswitch" else [("add", ())]
        pages += [] if name in removable else [("delete", (row.pk,))]
        for page, args in pages:
            status = client.post(url(model, page, *args), {"post": "yes", "name": "changed"}).status_code
            if status != 403:
                wrong.append((model._meta.label, page, status))
        if list(model._default_manager.order_by("pk").values()) != before:
            wrong.append((model._meta.label, "rows changed"))
    assert not wrong


def test_a_superuser_cannot_change_a_fact_either(admin_client):
    Heartbeat.objects.create(name="beat", started=rows.NOON, seen=rows.NOON)
    assert admin_client.post(url(Heartbeat, "change", Heartbeat.objects.get().pk), {"name": "x"}).status_code == 403


def test_lists_ask_the_database_as_often_for_many_rows_as_for_few(admin_client):
    def counts() -> dict[str, int]:
        found = {}
        for model in MODELS:
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert admin_client.get(url(model, "changelist")).status_code == 200
            found[model._meta.label] = len(queries)
        return found

    rows.everything(2)
    admin_client.get(reverse("admin:index"))
    few = counts()
    rows.everything(10)
    many = counts()
    assert many == few
    assert max(many.values()) <= 16, many


def test_the_index_and_the_sidebar_show_what_a_person_may_view(client):
    client.force_login(staff("viewer"))
    page = client.get(reverse("admin:index")).content.decode()
    assert "Backtests" in page
    assert "Background ticks" not in page
    client.force_login(staff("admin"))
    assert "Background ticks" in client.get(reverse("admin:index")).content.decode()


def test_every_entry_of_the_sidebar_leads_somewhere(admin_client):
    groups = admin_client.get(reverse("admin:index")).context["sidebar_navigation"]
    assert [item["link"] for item in groups[0]["items"]] == ["/"]
    assert {group["title"]: len(group["items"]) for group in groups[1:]} == {
        title: len(entries) for title, entries in SECTIONS.items()
    }


def test_somebody_without_a_role_reads_what_to_do(client):
    client.force_login(User.objects.create_user("new", is_staff=True))
    assert "no role yet" in client.get(reverse("admin:index")).content.decode()


def test_the_header_says_where_trading_happens(admin_client, settings):
    settings.TRADING_MODE = "paper"
    assert "PAPER" in admin_client.get(reverse("admin:index")).content.decode()


def test_only_the_admin_may_build_functions_and_nothing_runs_inline(admin_client):
    policy = admin_client.get(reverse("admin:index"))["Content-Security-Policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self' 'unsafe-eval'"
    assert "unsafe-eval" not in admin_client.get("/nothing/")["Content-Security-Policy"]


def test_the_login_page_is_none_of_the_admin_and_needs_no_eval(client):
    assert "unsafe-eval" not in client.get(reverse("admin:login"))["Content-Security-Policy"]


# ---- people ------------------------------------------------------------------------------------------------------


def user_form(user: User, **changes) -> dict:
    form = {"username": user.username, "groups": [group.pk for group in user.groups.all()], "is_staff": "on"}
    return {"is_active": "on", **form, **changes}


def test_an_admin_gives_a_role_to_another(client):
    client.force_login(staff("admin"))
    vera = staff("viewer", "vera")
    trader = Group.objects.get(name="trader")
    assert client.post(url(User, "change", vera.pk), user_form(vera, groups=[trader.pk])).status_code == 302
    assert list(vera.groups.all()) == [trader]


def test_nobody_changes_their_own_rights(client):
    ann = staff("admin", "ann")
    ann.groups.set([Group.objects.get(name="admin")])
    client.force_login(ann)
    everything = [group.pk for group in Group.objects.all()]
    sent = user_form(ann, groups=everything, is_superuser="on", email="ann@example.org")
    assert client.post(url(User, "change", ann.pk), sent).status_code == 302
    ann.refresh_from_db()
    assert ann.email == "ann@example.org"
    assert [group.name for group in ann.groups.all()] == ["admin"]
    assert not ann.is_superuser
    assert client.post(url(User, "delete", ann.pk), {"post": "yes"}).status_code == 403


def test_an_admin_makes_nobody_a_superuser_and_leaves_superusers_alone(client, admin_user):
    client.force_login(staff("admin", "ann"))
    vera = staff("viewer", "vera")
    client.post(url(User, "change", vera.pk), user_form(vera, is_superuser="on", user_permissions=[1, 2]))
    vera.refresh_from_db()
    assert not vera.is_superuser
    assert not vera.user_permissions.exists()
    assert client.post(url(User, "change", admin_user.pk), user_form(admin_user)).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[admin_user.pk])
    sent = {"password1": "other long words", "password2": "other long words"}
    assert client.post(password, sent).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [admin_user.pk], "post": "yes"}
    client.post(url(User, "changelist"), chosen)
    assert User.objects.filter(pk=admin_user.pk).exists()


def test_a_new_person_gets_a_role_a_way_in_and_a_password_kept_by_argon2(client):
    client.force_login(staff("admin"))
    viewer = Group.objects.get(name="viewer")
    words = "four rather long words"
    sent = {"username": "new", "usable_password": "true", "password1": words, "password2": words}
    response = client.post(url(User, "add"), {**sent, "groups": [viewer.pk], "is_staff": "on"})
    assert response.status_code == 302
    made = User.objects.get(username="new")
    assert made.password.startswith("argon2$")
    assert (made.is_staff, list(made.groups.all())) == (True, [viewer])


def test_an_admin_revokes_a_token_and_never_sees_it(client):
    ann = staff("admin", "ann")
    token, secret = ApiToken.objects.create(user=ann, name="notebook")
    client.force_login(ann)
    for page in (url(ApiToken, "changelist"), url(ApiToken, "change", token.pk)):
        assert secret not in client.get(page).content.decode()
    assert client.post(url(ApiToken, "delete", token.pk), {"post": "yes"}).status_code == 302
    assert not ApiToken.objects.exists()


def test_the_key_of_a_second_factor_is_never_shown(client):
    rows.everything(1)
    client.force_login(staff("admin"))
    device = apps.get_model("otp_totp", "totpdevice").objects.get()
    assert device.key not in client.get(url(type(device), "change", device.pk)).content.decode()


# ---- beat --------------------------------------------------------------------------------------------------------


def tick() -> PeriodicTask:
    return PeriodicTask.objects.get(name="tidy up")


def test_a_tick_may_be_made_slower_and_switched_off(client):
    client.force_login(staff("admin"))
    assert client.post(url(PeriodicTask, "change", tick().pk), {"seconds": "600"}).status_code == 302
    row = tick()
    assert (row.interval.every, row.interval.period, row.enabled, row.expire_seconds) == (600, "seconds", False, 1200)


@pytest.mark.parametrize("seconds", ["0", "-1", "604801", "soon", ""])
def test_an_interval_that_cannot_be_is_refused_on_its_field(client, seconds):
    client.force_login(staff("admin"))
    before = tick().interval
    response = client.post(url(PeriodicTask, "change", tick().pk), {"seconds": seconds})
    assert response.context["adminform"].form.errors.keys() == {"seconds"}
    assert tick().interval == before


def test_crafted_fields_of_a_tick_change_nothing(client):
    client.force_login(staff("admin"))
    other = IntervalSchedule.objects.create(every=1, period="days")
    fixed = ("name", "task", "args", "kwargs", "queue", "exchange", "routing_key", "headers", "one_off", "crontab_id")
    before = {name: getattr(tick(), name) for name in fixed}
    sent = {
        "seconds": "60", "enabled": "on", "name": "mine", "task": "os.system", "regtask": "os.system", "args": '["x"]',
        "kwargs": '{"a": 1}', "queue": "trade", "exchange": "e", "routing_key": "r", "headers": '{"h": 1}',
        "one_off": "on", "interval": str(other.pk), "crontab": "1",
    }  # fmt: skip
    assert client.post(url(PeriodicTask, "change", tick().pk), sent).status_code == 302
    row = tick()
    assert {name: getattr(row, name) for name in fixed} == before
    assert row.interval.every == 60


def test_a_task_that_is_no_tick_is_not_there(client):
    client.force_login(staff("admin"))
    interval = IntervalSchedule.objects.first()
    other = PeriodicTask.objects.create(name="other", task="x", interval=interval)
    assert client.get(url(PeriodicTask, "change", other.pk)).status_code == 302
    shown = client.get(url(PeriodicTask, "changelist")).context["cl"].queryset
    assert {row.name for row in shown} == set(TICKS)


def test_ticks_are_neither_added_nor_deleted(admin_client):
    assert admin_client.post(url(PeriodicTask, "add"), {"name": "x"}).status_code == 403
    assert admin_client.post(url(PeriodicTask, "delete", tick().pk), {"post": "yes"}).status_code == 403


# ---- lists as files ----------------------------------------------------------------------------------------------


def export(client, model, pks) -> list[list[str]]:
    response = client.post(url(model, "changelist"), {"action": "export_csv", "_selected_action": list(pks)})
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode(), newline="")))


def test_a_list_is_exported_with_what_it_shows_and_no_live_formula(client):
    client.force_login(staff("viewer"))
    names = ["=1+1", "+a", "-a", "@sum", "\tx", "\rx", "plain", 'quo"te, comma']
    made = [Instrument.objects.create(symbol=f"I{place}", name=name) for place, name in enumerate(names)]
    header, *body = export(client, Instrument, [row.pk for row in made])
    assert header[:4] == ["Symbol", "Name", "Kind", "Exchange"]
    assert [line[1] for line in body] == ["'=1+1", "'+a", "'-a", "'@sum", "'\tx", "'\rx", *names[6:]]


def test_every_list_can_be_exported_and_numbers_stay_numbers(admin_client):
    rows.everything(2)
    for model in MODELS:
        keys = model._default_manager.values_list("pk", flat=True)
        assert len(export(admin_client, model, keys)) >= 2, model
    position = apps.get_model("execution", "position")
    _header, line, *_rest = export(admin_client, position, position.objects.values_list("pk", flat=True))
    assert float(line[2]) == -1
    backtests = apps.get_model("strategies", "backtest")
    table = export(admin_client, backtests, backtests.objects.values_list("pk", flat=True))
    assert float(table[1][table[0].index("Return")]) == -0.1
    assert "<" not in json.dumps(table)


def test_a_list_that_may_not_be_viewed_is_not_exported(client):
    client.force_login(staff("viewer"))
    sent = {"action": "export_csv", "_selected_action": [User.objects.get().pk]}
    assert client.post(url(User, "changelist"), sent).status_code == 403
