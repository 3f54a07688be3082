"""The second factor: codes of an authenticator app (TOTP), and recovery codes for the day when it is lost.

Recovery codes are kept as keyed digests: the table alone opens nothing. An app's key has to be kept as it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from django.conf import settings
from django.db import transaction
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

RECOVERY_CODES = 10
_APP, _RECOVERY = "authenticator app", "recovery codes"


def has_second_factor(user: Any) -> bool:
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def device_to_enrol(user: Any) -> TOTPDevice:
    """The key that the user is about to put into an app; it counts once a code of it was typed in."""
    device = TOTPDevice.objects.filter(user=user, confirmed=False).first()
    return device or TOTPDevice.objects.create(user=user, name=_APP, confirmed=False)


def enrol(user: Any, code: str) -> tuple[TOTPDevice, list[str]] | None:
    """Confirm the device by one of its codes; the device and the user's recovery codes, or None for a wrong code."""
    device = device_to_enrol(user)
    if not device.verify_token(code):
        return None
    with transaction.atomic():
        TOTPDevice.objects.filter(pk=device.pk).update(confirmed=True)
        device.confirmed = True
        return device, new_recovery_codes(user)


def verify(user: Any, code: str) -> Device | None:
    """The user's device that the code is of. Each code opens once, and wrong ones make the next wait longer."""
    code = code.replace(" ", "").replace("-", "").lower()
    if code.isdigit():
        devices: list[tuple[Device, str]] = [
            (device, code) for device in TOTPDevice.objects.filter(user=user, confirmed=True)
        ]
    else:
        devices = [(device, _digest(code)) for device in StaticDevice.objects.filter(user=user, confirmed=True)]
    for device, token in devices:
        with transaction.atomic():
            # Two requests with one code wait for each other here (SQLite: at BEGIN), and the second one finds it used.
            locked = type(device).objects.select_for_update().get(pk=device.pk)
            if locked.verify_token(token):
                return locked
    return None


def new_recovery_codes(user: Any) -> list[str]:
    """New ones in the place of those before; to be shown once."""
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    with transaction.atomic():
        StaticDevice.objects.filter(user=user).delete()
        device = StaticDevice.objects.create(user=user, name=_RECOVERY)
        StaticToken.objects.bulk_create(StaticToken(device=device, token=_digest(code)) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, 16, 4)) for code in codes]


def recovery_codes_left(user: Any) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


@transaction.atomic
def remove_second_factor(user: Any) -> None:
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()


def _digest(code: str) -> str:
    """80 bits, which fill the column; without SECRET_KEY it says nothing about a code of 80 random bits."""
    full = hmac.new(settings.SECRET_KEY.encode(), b"recovery code " + code.encode(), hashlib.sha256).digest()
    return base64.b32encode(full[:10]).decode()
