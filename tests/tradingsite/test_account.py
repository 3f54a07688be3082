"""What a person keeps of their own: second factor, tokens, password; and the password again before what matters."""

import base64
import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import include, path
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from knox.auth import TokenAuthentication

from tests.tradingsite.people import PASSWORD, person
from tests.tradingsite.test_login import code_of, with_second_factor
from tradingsite.account import codes, pages
from tradingsite.account.recent import recently_authenticated
from tradingsite.models import ApiToken
from tradingsite.urls import urlpatterns as ours

pytestmark = pytest.mark.django_db


def enter(client, user, device: TOTPDevice | None = None) -> None:
    client.force_login(user)
    if device is not None:
        session = client.session
        session["otp_device_id"] = device.persistent_id
        session.save()


def long_ago(client) -> None:
    session = client.session
    session["authenticated_at"] = time.time() - 16 * 60
    session.save()


# ---- second factor -----------------------------------------------------------------------------------------------


def test_a_second_factor_is_set_up_by_a_code_of_the_app(client):
    user = person("viewer", "vera")
    enter(client, user)
    page = client.get("/account/second-factor/").content.decode()
    device = TOTPDevice.objects.get(user=user)
    assert not device.confirmed
    assert 'src="data:image/svg+xml' in page
    key = re.search(r"<code>([A-Z2-7 ]+)</code>", page)[1]
    assert key.replace(" ", "") == base64.b32encode(device.bin_key).decode()
    assert not codes.has_second_factor(user)
    done = client.post("/account/second-factor/", {"code": code_of(device)}).content.decode()
    shown = re.search(r'<pre id="codes">(.*?)</pre>', done, re.S)[1].split()
    assert len(shown) == codes.RECOVERY_CODES
    assert codes.has_second_factor(user)
    assert codes.verify(user, shown[3]) is not None
    assert client.session["otp_device_id"] == device.persistent_id
    assert shown[4] not in client.get("/account/").content.decode()


def test_a_wrong_code_sets_up_nothing_and_keeps_the_key(client):
    user = person("viewer", "vera")
    enter(client, user)
    client.get("/account/second-factor/")
    device = TOTPDevice.objects.get(user=user)
    wrong = f"{(int(code_of(device)) + 1) % 1_000_000:06d}"
    assert b"does not fit" in client.post("/account/second-factor/", {"code": wrong}).content
    assert not codes.has_second_factor(user)
    assert TOTPDevice.objects.get(user=user).key == device.key


def test_the_key_of_a_second_factor_that_is_on_is_never_shown_again(client):
    user = person("viewer", "vera")
    enter(client, user, with_second_factor(user))
    assert client.get("/account/second-factor/")["Location"] == "/account/"


@pytest.mark.parametrize("right", [True, False])
def test_it_is_removed_and_its_codes_renewed_by_a_code_alone(client, right):
    user = person("viewer", "vera")
    device = with_second_factor(user)
    before = codes.new_recovery_codes(user)
    enter(client, user, device)
    code = code_of(device) if right else "000000"
    if code_of(device) == "000000":
        pytest.skip("the wrong code is right just now")
    page = client.post("/account/recovery-codes/", {"code": code}).content.decode()
    assert ('<pre id="codes">' in page) is right
    assert (codes.verify(user, before[0]) is None) is right
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    client.post("/account/second-factor/remove/", {"code": code_of(device, 1) if right else "000000"})
    assert codes.has_second_factor(user) is not right


@pytest.mark.parametrize("name", ["second-factor/remove/", "recovery-codes/", "tokens/"])
def test_a_link_changes_nothing(client, name):
    enter(client, person("viewer", "vera"))
    assert client.get(f"/account/{name}").status_code == 405


# ---- REQUIRE_OTP -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "sent"), [("viewer", False), ("researcher", False), ("trader", True), ("admin", True)]
)
def test_who_may_trade_or_administer_must_set_one_up_first(client, settings, role, sent):
    settings.REQUIRE_OTP = True
    enter(client, person(role, "vera"))
    answer = client.get("/account/")
    assert (answer.status_code, answer.headers.get("Location")) == (
        (302, "/account/second-factor/") if sent else (200, None)
    )


def test_a_superuser_too_on_every_page_and_by_every_method_until_it_is_set_up(client, settings):
    settings.REQUIRE_OTP = True
    user = person(None, "root", is_superuser=True, is_staff=True)
    enter(client, user)
    for url in ("/admin/", "/admin/auth/user/", "/account/tokens/", "/account/password/", "/search/"):
        for method in (client.get, client.post):
            assert method(url)["Location"] == "/account/second-factor/", url
    assert client.get("/search/", headers={"HX-Request": "true"})["HX-Redirect"] == "/account/second-factor/"
    assert client.get("/account/second-factor/").status_code == 200
    client.post("/account/second-factor/", {"code": code_of(TOTPDevice.objects.get(user=user))})
    assert client.get("/admin/").status_code == 200


def test_a_session_from_before_the_second_factor_has_to_log_in_again(client, settings):
    settings.REQUIRE_OTP = True
    user = person("trader", "theo")
    enter(client, user)
    with_second_factor(user)
    assert client.get("/account/")["Location"].startswith("/admin/login/")
    assert "_auth_user_id" not in client.session


def test_who_must_have_one_is_not_offered_to_remove_it(client, settings):
    user = person("trader", "theo")
    enter(client, user, with_second_factor(user))
    assert b"Remove second factor" in client.get("/account/").content
    settings.REQUIRE_OTP = True
    assert b"Remove second factor" not in client.get("/account/").content
    code = code_of(TOTPDevice.objects.get(user=user))
    client.post("/account/second-factor/remove/", {"code": code})
    assert codes.has_second_factor(user)


# ---- the password again ------------------------------------------------------------------------------------------


@recently_authenticated(minutes=5)
def _resume(request):
    return HttpResponse("resumed")


urlpatterns = [path("resume/", _resume), path("", include(ours))]


def test_what_matters_asks_for_the_password_again_and_comes_back(client, settings):
    settings.ROOT_URLCONF = __name__
    enter(client, person("trader", "theo"))
    assert client.post("/resume/").content == b"resumed"
    long_ago(client)
    asked = client.get("/resume/?x=1")
    assert asked["Location"] == "/account/confirm/?next=%2Fresume%2F%3Fx%3D1"
    assert client.post(asked["Location"], {"password": "wrong", "next": "/resume/?x=1"}).status_code == 200
    assert client.get("/resume/").status_code == 302
    done = client.post(asked["Location"], {"password": PASSWORD, "next": "/resume/?x=1"})
    assert done["Location"] == "/resume/?x=1"
    assert client.get("/resume/").content == b"resumed"


def test_a_post_comes_back_to_the_page_it_was_sent_from_and_to_no_other_site(client, settings):
    settings.ROOT_URLCONF = __name__
    enter(client, person("trader", "theo"))
    long_ago(client)
    here = client.post("/resume/", headers={"Referer": "http://testserver/halts/?page=2"})
    assert here["Location"].endswith("?next=%2Fhalts%2F%3Fpage%3D2")
    elsewhere = client.post("/resume/", headers={"Referer": "https://evil.example/x"})
    assert elsewhere["Location"].endswith("?next=%2F")
    sent = client.post("/account/confirm/", {"password": PASSWORD, "next": "https://evil.example/"})
    assert sent["Location"] == "/"


def test_a_part_of_a_page_sends_the_whole_page_to_the_password(client, settings):
    settings.ROOT_URLCONF = __name__
    enter(client, person("trader", "theo"))
    long_ago(client)
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/halts/"}
    assert client.post("/resume/", headers=headers)["HX-Redirect"] == "/account/confirm/?next=%2Fhalts%2F"


def test_the_password_again_needs_the_code_too_where_there_is_one(client):
    user = person("trader", "theo")
    device = with_second_factor(user)
    enter(client, user, device)
    long_ago(client)
    client.post("/account/confirm/", {"password": PASSWORD})
    assert client.get("/account/second-factor/")["Location"].startswith("/account/confirm/")
    assert client.post("/account/confirm/", {"password": PASSWORD, "code": code_of(device)}).status_code == 302
    assert client.get("/account/second-factor/")["Location"] == "/account/"


def test_guessing_the_password_at_an_open_screen_is_locked_as_at_the_door(client):
    enter(client, person("trader", "theo"))
    statuses = [client.post("/account/confirm/", {"password": f"wrong {n}"}).status_code for n in range(6)]
    assert statuses == [200] * 4 + [429] * 2


# ---- tokens ------------------------------------------------------------------------------------------------------


def make_token(client, **form):
    return client.post("/account/tokens/", {"name": "notebook", "scope": "viewer", "days": "30"} | form)


def test_a_token_is_shown_once_and_is_the_users(client, rf):
    user = person("researcher", "rosa")
    enter(client, user)
    answer = make_token(client, scope="researcher")
    token = re.search(r'<pre id="made">(\w+)</pre>', answer.content.decode())[1]
    row = ApiToken.objects.get()
    assert (row.user, row.name, row.scope) == (user, "notebook", "researcher")
    assert timedelta(days=29) < row.expiry - timezone.now() <= timedelta(days=30)
    assert token not in str(ApiToken.objects.values().get())
    assert answer["Cache-Control"] == "no-store"
    assert token not in client.get("/account/").content.decode()
    found, _ = TokenAuthentication().authenticate(rf.get("/", headers={"Authorization": f"Token {token}"}))
    assert found == user


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", ["viewer"]),
        ("researcher", ["viewer", "researcher"]),
        ("trader", ["viewer", "researcher", "trader"]),
        ("admin", ["viewer", "researcher", "trader", "admin"]),
        (None, []),
    ],
)
def test_a_token_may_do_no_more_than_its_user(client, role, allowed):
    enter(client, person(role, "rosa"))
    for scope in ("viewer", "researcher", "trader", "admin"):
        assert make_token(client, scope=scope).status_code == (200 if scope in allowed else 400)
    assert sorted(ApiToken.objects.values_list("scope", flat=True)) == sorted(allowed)


@pytest.mark.parametrize("form", [{"name": ""}, {"name": "x" * 65}, {"days": "0"}, {"days": "9999"}, {"scope": "root"}])
def test_a_bad_token_form_is_refused_at_the_field(client, form):
    enter(client, person(None, "root", is_superuser=True))
    answer = make_token(client, **form)
    assert answer.status_code == 400
    assert b"errorlist" in answer.content
    assert not ApiToken.objects.exists()


def test_nobody_makes_tokens_without_end(client, monkeypatch):
    monkeypatch.setattr(pages, "MAX_TOKENS", 2)
    enter(client, person("viewer", "rosa"))
    assert [make_token(client).status_code for _ in range(3)] == [200, 200, 400]


def test_a_token_is_deleted_by_its_owner_alone(client):
    mine, other = person("viewer", "rosa"), person("viewer", "omar")
    row, _token = ApiToken.objects.create(user=other, name="x")
    enter(client, mine)
    assert "<tbody>" not in client.get("/account/").content.decode()
    assert client.post(f"/account/tokens/{row.pk}/delete/").status_code == 404
    enter(client, other)
    assert client.post(f"/account/tokens/{row.pk}/delete/").status_code == 302
    assert not ApiToken.objects.exists()


def test_a_token_needs_the_password_again_after_a_while(client):
    enter(client, person("viewer", "rosa"))
    long_ago(client)
    assert make_token(client)["Location"].startswith("/account/confirm/")
    assert not ApiToken.objects.exists()


# ---- password and role -------------------------------------------------------------------------------------------


def test_a_changed_password_ends_the_other_sessions(client, django_user_model):
    from django.test import Client

    user = person("viewer", "vera")
    other = Client()
    for each in (client, other):
        enter(each, user)
    form = {"old_password": PASSWORD, "new_password1": "a longer secret 42", "new_password2": "a longer secret 42"}
    assert client.post("/account/password/", form)["Location"] == "/account/"
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    assert django_user_model.objects.get().check_password("a longer secret 42")
    assert django_user_model.objects.get().password.startswith("argon2")


@pytest.mark.parametrize("weak", ["short", "12345678901234", "password1234", "veraveravera"])
def test_a_weak_password_is_refused(client, weak):
    enter(client, person("viewer", "veraveravera"))
    form = {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak}
    assert client.post("/account/password/", form).status_code == 200


@pytest.mark.parametrize(
    ("roles", "said"),
    [(["viewer"], "viewer: read"), (["viewer", "trader"], "trader: orders"), ([], "No role: an admin has to give you")],
)
def test_everybody_sees_their_role(client, roles, said):
    user = person(None, "vera")
    user.groups.set(Group.objects.filter(name__in=roles))
    enter(client, user)
    assert said in client.get("/account/").content.decode()
