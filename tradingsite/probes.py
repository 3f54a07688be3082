"""What machines ask: is the process alive, can the installation work, and its figures."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from tradingsite import health
from tradingsite.clients import is_this_machine
from tradingsite.metrics import CONTENT_TYPE, metrics_text


@login_not_required
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nobody, so that a database outage restarts nothing."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 where everything works, else 503. Strangers get names alone; who is logged in gets causes and remedies."""
    found = health.checks()
    # Who asks is a question to the database, so it is asked only where that answers.
    reachable = any(check.name == "database" and check.ok for check in found)
    if reachable and request.user.is_authenticated:
        about = {"checks": [check._asdict() for check in found]}
    else:
        about = {"checks": [{"name": check.name, "ok": check.ok} for check in found]}
    fine = health.ready(found)
    return JsonResponse({"ready": fine} | about, status=200 if fine else 503)


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read_metrics(request):
        answer = HttpResponse("Send METRICS_TOKEN as a Bearer token, or log in.\n", "text/plain", status=401)
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    return HttpResponse(metrics_text(), content_type=CONTENT_TYPE)


def _may_read_metrics(request: HttpRequest) -> bool:
    token = str(settings.METRICS_TOKEN)
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return hmac.compare_digest(sent.strip().encode(), token.encode())
    if not token and is_this_machine(request):
        return True
    # Without a session there is nobody to look up, and no database to wait for.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return bool(request.user.has_perm("tradingsite.view_heartbeat"))
