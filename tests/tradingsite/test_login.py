"""Who comes in, who is locked out, and for how long."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.utils import timezone
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.tradingsite.people import PASSWORD, person
from tradingsite.account import codes

pytestmark = pytest.mark.django_db
LOGIN = "/admin/login/"


def log_in(client, name="vera", password=PASSWORD, code="", address="192.0.2.1", **query):
    form = {"username": name, "password": password, "code": code}
    return client.post(LOGIN, form, query_params=query, REMOTE_ADDR=address)


def logged_in(client) -> bool:
    return "_auth_user_id" in client.session


def code_of(device: TOTPDevice, step: int = 0) -> str:
    """The code that an app shows, `step` half minutes from now."""
    return f"{totp(device.bin_key, drift=step):06d}"


def with_second_factor(user) -> TOTPDevice:
    return TOTPDevice.objects.create(user=user, name="app", confirmed=True)


def test_who_is_not_staff_comes_in_by_the_same_door_and_goes_by_the_same(client):
    person("viewer", "vera")
    answer = log_in(client, next="/account/")
    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    assert client.post("/admin/logout/")["Location"] == LOGIN
    assert not logged_in(client)


def test_the_page_of_the_login_says_what_was_wrong_and_not_which_half(client):
    person(None, "vera")
    wrong_password, unknown_name = log_in(client, password="wrong"), log_in(client, name="nobody")
    for answer in (wrong_password, unknown_name):
        assert answer.status_code == 200
        assert b"Please enter a correct username and password" in answer.content
        assert PASSWORD.encode() not in answer.content


def test_after_the_login_nobody_is_sent_to_another_site(client):
    person(None, "vera")
    for url in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"):
        assert log_in(client, next=url)["Location"] == "/"
        client.logout()


def test_ten_wrong_tries_lock_at_the_fifth_for_this_name_at_this_address_alone(client):
    person(None, "vera")
    person(None, "omar")
    statuses = [log_in(client, password=f"wrong {number}").status_code for number in range(10)]
    assert statuses == [200] * 4 + [429] * 6
    locked = log_in(client)  # the right password, too
    assert locked.status_code == 429
    assert int(locked["Retry-After"]) == 15 * 60
    assert b"locked at this address for 15 minutes" in locked.content
    assert not logged_in(client)
    assert log_in(client, name="omar").status_code == 302
    client.logout()
    assert log_in(client, address="192.0.2.99").status_code == 302


def test_the_lock_ends_after_a_quarter_of_an_hour(client):
    person(None, "vera")
    for number in range(6):
        log_in(client, password=f"wrong {number}")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert log_in(client).status_code == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
    assert log_in(client).status_code == 302


def test_a_right_login_forgives_the_wrong_ones_before_it(client):
    person(None, "vera")
    for _ in range(2):
        for number in range(4):
            assert log_in(client, password=f"wrong {number}").status_code == 200
        assert log_in(client).status_code == 302
        client.logout()


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_added(client, settings):
    settings.BEHIND_PROXY = True
    person(None, "vera")
    form = {"username": "vera", "password": "wrong", "code": ""}
    for number in range(5):  # what the client itself sends changes each time and does not help
        seen = f"10.0.0.{number}, 203.0.113.5"
        last = client.post(LOGIN, form, REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": seen})
    assert last.status_code == 429
    other = client.post(LOGIN, form, REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": "203.0.113.6"})
    assert other.status_code == 200


def test_failed_logins_are_recorded_without_what_was_typed(client):
    person(None, "vera")
    log_in(client, password="typed-canary-1", code="987654")
    row = AccessAttempt.objects.get()
    assert row.username == "vera"
    assert "typed-canary-1" not in row.post_data
    assert "987654" not in row.post_data


# ---- second factor -----------------------------------------------------------------------------------------------


def test_who_has_a_second_factor_needs_its_code(client):
    device = with_second_factor(person(None, "vera"))
    assert b"Type the code" in log_in(client).content
    assert not logged_in(client)
    assert log_in(client, code=code_of(device)).status_code == 302
    assert client.session["otp_device_id"] == device.persistent_id


def test_a_code_opens_once(client):
    device = with_second_factor(person(None, "vera"))
    code = code_of(device)
    assert log_in(client, code=code).status_code == 302
    client.logout()
    assert log_in(client, code=code).status_code == 200
    assert not logged_in(client)


def test_the_code_of_somebody_else_opens_nothing(client):
    with_second_factor(person(None, "vera"))
    other = with_second_factor(person(None, "omar"))
    log_in(client, code=code_of(other))
    assert not logged_in(client)


def test_wrong_codes_lock_as_wrong_passwords_do(client):
    device = with_second_factor(person(None, "vera"))
    wrong = f"{(int(code_of(device)) + 1) % 1_000_000:06d}"
    statuses = [log_in(client, code=wrong).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    assert log_in(client, code=code_of(device)).status_code == 429


def test_a_recovery_code_opens_once_however_it_is_typed(client):
    user = person(None, "vera")
    with_second_factor(user)
    first, second, *_ = codes.new_recovery_codes(user)
    assert log_in(client, code=first.upper().replace("-", " ")).status_code == 302
    client.logout()
    assert log_in(client, code=first).status_code == 200
    assert not logged_in(client)
    assert codes.recovery_codes_left(user) == codes.RECOVERY_CODES - 1
    from django_otp.plugins.otp_static.models import StaticDevice

    StaticDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    assert log_in(client, code=second).status_code == 302


def test_recovery_codes_are_kept_as_digests():
    from django_otp.plugins.otp_static.models import StaticToken

    user = person(None, "vera")
    made = codes.new_recovery_codes(user)
    held = set(StaticToken.objects.values_list("token", flat=True))
    assert len(held) == len(set(made)) == codes.RECOVERY_CODES
    assert not held & {code.replace("-", "") for code in made}


def test_who_has_no_second_factor_may_leave_the_code_empty_or_not(client):
    person(None, "vera")
    assert log_in(client, code="123456").status_code == 302
