from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_otp.models import Device

from tradingsite.account import codes
from tradingsite.models import Role
from tradingsite.roles import roles_up_to

EXPIRY_DAYS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}
MAX_TOKENS = 20


def _code_field(**options: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"})
    return forms.CharField(max_length=32, widget=widget, **options)


def _check_code(request: HttpRequest | None, user: Any, code: str) -> Device | None:
    """The device that shows who it is; None where the user has set up none. A wrong code counts as a failed login."""
    if not codes.has_second_factor(user):
        return None
    if not code:
        raise ValidationError({"code": "Type the code that your authenticator app shows, or a recovery code."})
    device = codes.verify(user, code)
    if device is None:
        user_login_failed.send(sender=__name__, credentials={"username": user.get_username()}, request=request)
        raise ValidationError({"code": "This code is wrong or was used before. Wait for the next one and try again."})
    return device


class LoginForm(AuthenticationForm):
    """Name, password, and the code of the second factor where the user has one."""

    code = _code_field(required=False, label="Code", help_text="Only if you have set up a second factor.")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        user: Any = self.get_user()
        if user is not None:
            user.otp_device = _check_code(self.request, user, cleaned.get("code", ""))
        return cleaned


class PasswordAgainForm(forms.Form):
    """For who is logged in already: the same proof again."""

    password = forms.CharField(strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))
    code = _code_field(required=False)

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        if not codes.has_second_factor(request.user):
            del self.fields["code"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        name = self.request.user.get_username()
        user = authenticate(self.request, username=name, password=cleaned.get("password", ""))
        if user is None or user.pk != self.request.user.pk:
            raise ValidationError({"password": "This is not your password."})  # nosec B105
        _check_code(self.request, user, cleaned.get("code", ""))
        return cleaned


class CodeForm(forms.Form):
    code = _code_field(label="Code")


class TokenForm(forms.Form):
    name = forms.CharField(max_length=64, label="What it is for")
    scope = forms.ChoiceField(label="It may do what a")
    days = forms.ChoiceField(choices=list(EXPIRY_DAYS.items()), initial="90", label="It ends after")

    def __init__(self, role: Role | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scope = self.fields["scope"]
        assert isinstance(scope, forms.ChoiceField)  # nosec B101
        scope.choices = [(each.value, each.label) for each in roles_up_to(role)]

    @property
    def expiry(self) -> timedelta:
        return timedelta(days=int(self.cleaned_data["days"]))
