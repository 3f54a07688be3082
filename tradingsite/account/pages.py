"""Logging in, and what a person keeps of their own: password, second factor, API tokens."""

from __future__ import annotations

from typing import Any

import django_otp
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from tradingsite.account import codes
from tradingsite.account.forms import MAX_TOKENS, CodeForm, LoginForm, PasswordAgainForm, TokenForm
from tradingsite.account.recent import recently_authenticated, remember, safe_next
from tradingsite.models import ApiToken
from tradingsite.roles import needs_second_factor, role_of


@receiver(user_logged_in, dispatch_uid="tradingsite.account.remember")
def _remember_login(request: HttpRequest | None, **_: Any) -> None:
    if request is not None and hasattr(request, "session"):
        remember(request)


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    """One door for all: it stands at the admin's address, and who may not see the admin comes in by it too."""

    template_name = "account/login.html"
    authentication_form = LoginForm


class Logout(LogoutView):
    def get_default_redirect_url(self) -> str:
        return reverse("admin:login")


class ChangePassword(PasswordChangeView):
    template_name = "account/password.html"
    success_url = reverse_lazy("account:overview")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Other sessions of yours have ended.")
        return super().form_valid(form)


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None) -> HttpResponse:
    """The answer to a login after too many wrong ones."""
    wait = settings.AXES_COOLOFF_TIME
    context = {"minutes": round(wait.total_seconds() / 60), "tries": settings.AXES_FAILURE_LIMIT}
    answer = render(request, "account/locked.html", context, status=429)
    answer["Retry-After"] = str(round(wait.total_seconds()))
    return answer


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "account/overview.html", _about(request, TokenForm(role_of(request.user))))


def _about(request: HttpRequest, form: TokenForm, **more: Any) -> dict[str, Any]:
    role = role_of(request.user)
    return {
        "role": role.label if role else "",
        "second_factor": codes.has_second_factor(request.user),
        "required": needs_second_factor(role),
        "codes_left": codes.recovery_codes_left(request.user),
        "tokens": ApiToken.objects.filter(user=request.user),
        "now": timezone.now(),
        "form": form,
    } | more


@sensitive_post_parameters("password", "code")
def confirm(request: HttpRequest) -> HttpResponse:
    """The password again; then on to `next`."""
    there = safe_next(request, request.POST.get("next", request.GET.get("next", "")), "/")
    form = PasswordAgainForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        remember(request)
        return redirect(there)
    return render(request, "account/confirm.html", {"form": form, "next": there})


# ---- second factor -----------------------------------------------------------------------------------------------


@recently_authenticated()
@sensitive_post_parameters("code")
def second_factor(request: HttpRequest) -> HttpResponse:
    """Set one up: a key to scan, and a code that shows it was scanned."""
    if codes.has_second_factor(request.user):
        return redirect("account:overview")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        enrolled = codes.enrol(request.user, form.cleaned_data["code"].replace(" ", ""))
        if enrolled is not None:
            django_otp.login(request, enrolled[0])
            return render(request, "account/recovery_codes.html", {"codes": enrolled[1]})
        form.add_error("code", "This code does not fit. Check the clock of your phone, and type the newest code.")
    device = codes.device_to_enrol(request.user)
    picture, key = _picture(device.config_url), _readable(device.bin_key)
    return render(request, "account/second_factor.html", {"form": form, "picture": picture, "key": key})


@require_POST
@recently_authenticated()
@sensitive_post_parameters("code")
def remove_second_factor(request: HttpRequest) -> HttpResponse:
    if needs_second_factor(role_of(request.user)):
        messages.error(request, "Your role needs a second factor. Ask an admin to remove it where the phone is lost.")
    elif _code_fits(request):
        codes.remove_second_factor(request.user)
        messages.success(request, "The second factor is removed.")
    return redirect("account:overview")


@require_POST
@recently_authenticated()
@sensitive_post_parameters("code")
def new_recovery_codes(request: HttpRequest) -> HttpResponse:
    if _code_fits(request):
        return render(request, "account/recovery_codes.html", {"codes": codes.new_recovery_codes(request.user)})
    return redirect("account:overview")


def _code_fits(request: HttpRequest) -> bool:
    form = CodeForm(request.POST)
    if form.is_valid() and codes.verify(request.user, form.cleaned_data["code"]) is not None:
        return True
    messages.error(request, "This code is wrong or was used before. Nothing is changed.")
    return False


def _picture(url: str) -> str:
    import segno

    return segno.make(url, error="m").svg_data_uri(scale=5, border=3, dark="#000", light="#fff")


def _readable(key: bytes) -> str:
    import base64

    text = base64.b32encode(key).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


# ---- API tokens --------------------------------------------------------------------------------------------------


@require_POST
@recently_authenticated()
def make_token(request: HttpRequest) -> HttpResponse:
    """The one answer that shows the token: it is kept as a hash, so nobody can show it again."""
    form = TokenForm(role_of(request.user), request.POST)
    if form.is_valid() and ApiToken.objects.filter(user=request.user).count() >= MAX_TOKENS:
        form.add_error(None, f"You have {MAX_TOKENS} tokens; delete one that is not used any more.")
    if not form.is_valid():
        return render(request, "account/overview.html", _about(request, form), status=400)
    _row, token = ApiToken.objects.create(
        user=request.user, expiry=form.expiry, name=form.cleaned_data["name"], scope=form.cleaned_data["scope"]
    )
    return render(request, "account/overview.html", _about(request, TokenForm(role_of(request.user)), made=token))


@require_POST
def delete_token(request: HttpRequest, pk: str) -> HttpResponse:
    get_object_or_404(ApiToken, pk=pk, user=request.user).delete()
    messages.success(request, "The token is deleted: what uses it is refused from now on.")
    return redirect("account:overview")
