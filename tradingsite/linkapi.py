"""The API of the connections to the gateway. It reads and writes their rows; no request reaches the gateway itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import URLPattern, path
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tradingsite import health, linkrows
from tradingsite.endpoints import Endpoint
from tradingsite.linkrows import Standing
from tradingsite.models import GatewayLink

LINK_STATES = GatewayLink.State.choices


class Notice(serializers.Serializer):
    at = serializers.DateTimeField()
    code = serializers.IntegerField(help_text="as IB numbers them")
    family = serializers.CharField(help_text="wait, retry, reject, fatal or note")
    words = serializers.CharField(help_text="what it means")
    remedy = serializers.CharField(help_text="what to do; empty where nothing need be done")
    text = serializers.CharField(help_text="as the gateway said it")


class LinkFields(serializers.ModelSerializer):
    """A role's connection. The state takes the silence of its holder into account; the figures are the last told."""

    state = serializers.ChoiceField(choices=LINK_STATES)
    notices = Notice(many=True)
    accounts = serializers.ListField(child=serializers.CharField())
    farms = serializers.DictField(child=serializers.CharField())
    notice_counts = serializers.DictField(child=serializers.IntegerField(), help_text="by family")
    disconnect_by = serializers.CharField(source="disconnect_by.username", default=None, allow_null=True)

    class Meta:
        model = GatewayLink
        fields = (
            "role", "state", "since", "cause", "remedy", "host", "port", "client_id", "library", "server_version",
            "account_kind", "accounts", "heartbeat", "latency_ms", "clock_skew_s", "messages_in", "messages_out",
            "reconnects", "farms", "notices", "notice_counts", "holder", "epoch", "seen", "disconnect_asked",
            "disconnect_by", "disconnect_done",
        )  # fmt: skip


class Indicator(serializers.Serializer):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()
    cause = serializers.CharField()
    remedy = serializers.CharField()


class LinkReport(serializers.Serializer):
    ready = serializers.BooleanField(help_text="every connection that should be is ready")
    links = LinkFields(many=True)
    indicators = Indicator(many=True)


class LinkHealth(serializers.Serializer):
    ok = serializers.BooleanField()
    checks = Indicator(many=True)


class LinkConfig(serializers.Serializer):
    trading_mode = serializers.ChoiceField(choices=["simulated", "paper", "live"])
    host = serializers.CharField()
    port = serializers.IntegerField()
    account = serializers.CharField(help_text="empty: the only one of the login")
    read_only_api = serializers.BooleanField(help_text="nothing is asked about orders")
    library = serializers.CharField()
    client_ids = serializers.DictField(child=serializers.IntegerField(), help_text="by role")
    heartbeat_seconds = serializers.FloatField()
    heartbeat_deadline_seconds = serializers.FloatField()
    alert_seconds = serializers.FloatField()


class Wished(serializers.Serializer):
    role = serializers.CharField()
    asked = serializers.DateTimeField(allow_null=True, help_text="null: followed already")
    by = serializers.CharField(allow_null=True)


class Cleanup(serializers.Serializer):
    links = Wished(many=True, help_text="the connections that will be ended and made anew")


class _OfLinks(Endpoint, APIView):
    queryset = GatewayLink.objects.all()


class Status(_OfLinks):
    """How each connection is, its figures, and what that means for the desk."""

    @extend_schema(operation_id="ib_status", responses=LinkReport)
    def get(self, request: Request) -> Response:
        found = linkrows.standings()
        checks = health.link_checks()
        report = {"ready": health.ready(checks), "links": [_shown(each) for each in found], "indicators": checks}
        return Response(LinkReport(report).data)


class Health(_OfLinks):
    """Whether the gateway is connected, and answered when it was last asked for the time. 503 where it is not."""

    @extend_schema(
        operation_id="ib_health", responses={200: LinkHealth, 503: OpenApiResponse(LinkHealth, "It does not work.")}
    )
    def get(self, request: Request) -> Response:
        now = timezone.now()
        checks = health.link_checks() + [_answers(each, now) for each in linkrows.standings(now) if each.wanted]
        fine = health.ready(checks)
        return Response(LinkHealth({"ok": fine, "checks": checks}).data, status=200 if fine else 503)


class Config(_OfLinks):
    """The settings of the connections. They hold no secret: the login is the gateway's own."""

    @extend_schema(operation_id="ib_config", responses=LinkConfig)
    def get(self, request: Request) -> Response:
        config = {
            "trading_mode": settings.TRADING_MODE,
            "host": settings.IB_HOST,
            "port": settings.IB_PORT,
            "account": settings.IB_ACCOUNT,
            "read_only_api": settings.IB_READ_ONLY,
            "library": settings.IB_LIBRARY,
            "client_ids": {
                "data": settings.IB_CLIENT_ID_DATA,
                "trader": settings.IB_CLIENT_ID_TRADER,
                "doctor": settings.IB_CLIENT_ID_DOCTOR,
            },
            "heartbeat_seconds": settings.IB_HEARTBEAT_SECONDS,
            "heartbeat_deadline_seconds": settings.IB_HEARTBEAT_DEADLINE_SECONDS,
            "alert_seconds": settings.LINK_ALERT_SECONDS,
        }
        return Response(LinkConfig(config).data)


class Clean(_OfLinks):
    """Ask every holder to end its connection and make it anew. Their processes do so within two seconds."""

    needs = ("tradingsite.reconnect_gateway",)

    @extend_schema(operation_id="ib_cleanup", request=None, responses={202: Cleanup})
    def post(self, request: Request) -> Response:
        rows = linkrows.ask_to_reconnect(person=request.user)
        wished = [
            {"role": row.role, "asked": row.disconnect_asked, "by": row.disconnect_by and row.disconnect_by.username}
            for row in rows
        ]
        return Response(Cleanup({"links": wished}).data, status=202)


def _shown(standing: Standing) -> GatewayLink:
    """The row, with the state that it is to be taken for."""
    row = standing.row or GatewayLink(role=standing.role)
    row.state, row.since, row.cause, row.remedy = standing.state, standing.since, standing.cause, standing.remedy
    return row


def _answers(standing: Standing, now: Any) -> health.Check:
    """Whether the last question for the time was answered, and not long ago."""
    name = f"API of {standing.role}"
    heartbeat = standing.row.heartbeat if standing.row is not None else None
    if heartbeat is None:
        return health.Check(name, False, "", "the gateway has never answered", "see that the connection comes up")
    patience = 2 * (settings.IB_HEARTBEAT_SECONDS + settings.IB_HEARTBEAT_DEADLINE_SECONDS)
    said = f"answered {health.ago(heartbeat, now)} ago"
    if (now - heartbeat).total_seconds() <= patience + linkrows.SILENT_SECONDS:
        return health.Check(name, True, said)
    return health.Check(name, False, said, f"it has not answered for {health.ago(heartbeat, now)}", standing.remedy)


URLS: list[URLPattern] = [
    path("ib/status", Status.as_view(), name="api-ib-status"),
    path("ib/health", Health.as_view(), name="api-ib-health"),
    path("ib/config", Config.as_view(), name="api-ib-config"),
    path("ib/cleanup", Clean.as_view(), name="api-ib-cleanup"),
]
