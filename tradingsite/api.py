"""The REST API: its addresses put together, and what belongs to no app: runs, tokens, health, the schema."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, path, re_path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

import execution.api
import marketdata.api
import marketdata.gatewayapi
import marketdata.loadapi
import reports.api
import strategies.api
from tradingsite import heartbeats, linkapi
from tradingsite.access import BySession, may_act
from tradingsite.endpoints import Endpoint, Strict, whole_number
from tradingsite.models import ApiToken, Heartbeat, Role
from tradingsite.queues import QUEUES
from tradingsite.roles import role_of, roles_up_to
from tradingsite.runs import Run, run_models
from tradingsite.runviews import ANY_UUID, STATES, Asked, asked_again, asked_to_end, visible

_LISTED_RUNS = 50
_MAX_LISTED_RUNS = 500
_MAX_TOKEN_DAYS = 365
KINDS = ("barimport", "loadrun", "gatewayquestion", "backtest", "report")
_BEFORE = re.compile(r"(?P<created>[0-9T:.+Z-]{20,40})_(?P<id>" + ANY_UUID + ")")


# ---- runs of every kind ------------------------------------------------------------------------------------------


class AnyRun(serializers.Serializer):
    """A run of any kind. Backtests, imports and reports have pages of their own, which say more."""

    kind = serializers.ChoiceField(source="_meta.model_name", choices=KINDS)
    id = serializers.UUIDField()
    run_id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    origin = serializers.ChoiceField(choices=Run.Origin.choices)
    started_by = serializers.CharField(source="started_by.username", default=None, allow_null=True)
    created = serializers.DateTimeField()
    started = serializers.DateTimeField(allow_null=True)
    finished = serializers.DateTimeField(allow_null=True)
    progress = serializers.FloatField()
    error = serializers.CharField()


class AnyRunDetail(AnyRun):
    attempts = serializers.IntegerField()
    worker = serializers.CharField()
    heartbeat = serializers.DateTimeField(allow_null=True)
    cancel_requested = serializers.DateTimeField(allow_null=True)
    log_tail = serializers.CharField()


class RunPage(serializers.Serializer):
    next = serializers.URLField(allow_null=True)
    results = AnyRun(many=True)


def kind_of(model: type[Run]) -> str:
    return str(model._meta.model_name)


class Runs(Endpoint, viewsets.ViewSet):
    """Every kind of run together, the newest first."""

    needs = ()
    lookup_value_regex = ANY_UUID

    @extend_schema(
        operation_id="runs_list",
        responses=RunPage,
        parameters=[
            OpenApiParameter("state", enum=Run.State.values, many=True, description="only runs in these states"),
            OpenApiParameter("kind", enum=KINDS),
            OpenApiParameter("before", description="of the next link: runs older than that place"),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"at most {_MAX_LISTED_RUNS}"),
        ],
    )
    def list(self, request: Request) -> Response:
        limit = whole_number(request, "limit", _LISTED_RUNS, _MAX_LISTED_RUNS)
        states = [state for text in request.query_params.getlist("state") for state in text.split(",")]
        unknown = [state for state in states if state not in Run.State.values]
        if unknown:
            raise ValidationError({"state": [f"{unknown[0][:80]!r} is not one of {', '.join(Run.State.values)}."]})
        older = _older(request.query_params.get("before"))
        found: list[Run] = []
        for model in self._models(request, "view"):
            rows = model._default_manager.filter(older).select_related("started_by").defer("config", "log_tail")
            if states:
                rows = rows.filter(state__in=states)
            found += rows.order_by("-created", "-id")[: limit + 1]
        found.sort(key=lambda run: (run.created, run.pk), reverse=True)
        following = None
        if len(found) > limit:
            last = found[limit - 1]
            query = request.query_params.copy()
            query["before"] = f"{last.created.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}_{last.pk}"
            following = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
        return Response({"next": following, "results": AnyRun(found[:limit], many=True).data})

    @extend_schema(operation_id="runs_retrieve", responses=AnyRunDetail)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(AnyRunDetail(self._run(request, pk)).data)

    @extend_schema(request=None, responses={202: Asked}, summary="Ask for the end of a run")
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return asked_to_end(self._run(request, pk, "change"))

    @extend_schema(request=None, responses={202: Asked}, summary="Queue a failed or cancelled run again")
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        return asked_again(self._run(request, pk, "change"))

    def _models(self, request: Request, act: str) -> Sequence[type[Run]]:
        models = visible(request, run_models(), act)
        if not models:
            raise PermissionDenied("Your role, or the scope of your token, sees no runs.")
        kind = request.query_params.get("kind")
        kinds = {kind_of(model): model for model in run_models()}
        if kind is not None and kind not in kinds:
            raise ValidationError({"kind": [f"{kind[:80]!r} is not one of {', '.join(kinds)}."]})
        return [model for model in models if kind in (None, kind_of(model))]

    def _run(self, request: Request, pk: str, act: str = "view") -> Run:
        for model in self._models(request, "view"):
            run: Run | None = model._default_manager.select_related("started_by").filter(pk=pk).first()
            if run is not None:
                if not may_act(request, act, model):
                    raise PermissionDenied("Your role, or the scope of your token, does not allow this.")
                return run
        if act != "view" and not visible(request, run_models(), act):
            raise PermissionDenied("Your role, or the scope of your token, does not allow this.")
        raise NotFound("There is no such run.")


def _older(text: str | None) -> Q:
    """Rows that come after a place in a list by (created, id), the newest first."""
    if text is None:
        return Q()
    match = _BEFORE.fullmatch(text)
    try:
        moment = dt.datetime.fromisoformat(match["created"]) if match else None
    except ValueError:
        moment = None
    if match is None or moment is None or moment.tzinfo is None:
        raise ValidationError({"before": ["It must be what the next link of a page says."]})
    return Q(created__lt=moment) | Q(created=moment, id__lt=match["id"])


# ---- tokens ------------------------------------------------------------------------------------------------------


class TokenFields(serializers.ModelSerializer):
    key = serializers.CharField(source="token_key", read_only=True, help_text="the beginning of the secret")

    class Meta:
        model = ApiToken
        fields = ("key", "name", "scope", "created", "expiry", "last_used")


class NewToken(Strict):
    name = serializers.CharField(max_length=64)
    scope = serializers.ChoiceField(choices=Role.choices, default=Role.VIEWER)
    days = serializers.IntegerField(min_value=1, max_value=_MAX_TOKEN_DAYS, default=90, help_text="until it expires")

    def validate_scope(self, scope: str) -> str:
        allowed = roles_up_to(role_of(self.context["request"].user))
        if scope not in allowed:
            raise ValidationError(f"It is above your own role; you may give: {', '.join(allowed) or 'none'}.")
        return scope


class TokenSecret(TokenFields):
    token = serializers.CharField(read_only=True, help_text="the secret; shown this once")

    class Meta:
        model = ApiToken
        fields = (*TokenFields.Meta.fields, "token")


class Tokens(Endpoint, mixins.ListModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet):
    """Your own tokens. For people who are logged in; a token can neither see nor make tokens."""

    queryset = ApiToken.objects.all()
    serializer_class = TokenFields
    permission_classes = (BySession,)
    lookup_field = "token_key"
    lookup_url_kwarg = "key"
    lookup_value_regex = "[0-9a-f]{15}"

    def get_queryset(self) -> Any:
        return ApiToken.objects.filter(user=self.request.user.pk)

    @extend_schema(
        request=NewToken,
        responses={201: TokenSecret},
        examples=[
            OpenApiExample("for a script", {"name": "nightly", "scope": "researcher", "days": 90}, request_only=True)
        ],
    )
    def create(self, request: Request) -> Response:
        asked = NewToken(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        row, secret = ApiToken.objects.create(
            request.user, expiry=dt.timedelta(days=given["days"]), name=given["name"], scope=given["scope"]
        )
        return Response(TokenFields(row).data | {"token": secret}, status=201, headers={"Cache-Control": "no-store"})


# ---- health ------------------------------------------------------------------------------------------------------


class Pulse(serializers.Serializer):
    name = serializers.CharField()
    host = serializers.CharField()
    pid = serializers.IntegerField(allow_null=True)
    started = serializers.DateTimeField()
    seen = serializers.DateTimeField()
    alive = serializers.BooleanField()
    details = serializers.DictField()


class Waiting(serializers.Serializer):
    queue = serializers.CharField()
    queued = serializers.IntegerField()
    running = serializers.IntegerField()


class HealthReport(serializers.Serializer):
    processes = Pulse(many=True)
    queues = Waiting(many=True)
    versions = serializers.DictField(child=serializers.CharField())


class Health(Endpoint, APIView):
    """Signs of life of every process, what waits in each queue, and versions."""

    queryset = Heartbeat.objects.all()

    @extend_schema(responses=HealthReport)
    def get(self, request: Request) -> Response:
        silent = timezone.now() - dt.timedelta(seconds=heartbeats.SILENT_SECONDS)
        pulses = [
            {name: getattr(row, name) for name in ("name", "host", "pid", "started", "seen", "details")}
            | {"alive": row.seen >= silent}
            for row in Heartbeat.objects.all()
        ]
        waiting = {queue: {"queue": queue, "queued": 0, "running": 0} for queue in QUEUES}
        for model in run_models():
            counts = (
                model._default_manager.filter(state__in=["queued", "running"]).values("state").annotate(n=Count("pk"))
            )
            for count in counts.order_by():
                waiting[model.queue][count["state"]] += count["n"]
        report = {"processes": pulses, "queues": list(waiting.values()), "versions": _versions()}
        return Response(HealthReport(report).data)


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in ("ibdesk", "django", "celery", "numpy", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout, which is not installed
            continue
    return found


# ---- addresses ---------------------------------------------------------------------------------------------------


class Nothing(Endpoint, APIView):
    """Any other address below the API."""

    needs = ()

    schema = None

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        raise NotFound("There is no such address; /api/v1/docs/ lists those there are.")


class SchemaView(Endpoint, SpectacularAPIView):
    needs = ()


class JsonSchemaView(Endpoint, SpectacularJSONAPIView):
    needs = ()


class DocsView(Endpoint, SpectacularSwaggerSplitView):
    needs = ()


def urls() -> list[URLPattern | URLResolver]:
    router = SimpleRouter(trailing_slash=False)
    for app in (marketdata.api, marketdata.gatewayapi, marketdata.loadapi, strategies.api, reports.api, execution.api):
        for prefix, viewset in app.VIEWSETS.items():
            router.register(prefix, viewset, basename=f"api-{prefix.replace('/', '-')}")
    router.register("runs", Runs, basename="api-runs")
    router.register("tokens", Tokens, basename="api-tokens")
    return [
        *router.urls,
        path("health", Health.as_view(), name="api-health"),
        *linkapi.URLS,
        *marketdata.gatewayapi.URLS,
        *marketdata.loadapi.URLS,
        path("schema/", SchemaView.as_view(), name="api-schema"),
        path("schema.json", JsonSchemaView.as_view(), name="api-schema-json"),
        path("docs/", login_required(DocsView.as_view(url_name="api-schema")), name="api-docs"),
        re_path("", Nothing.as_view()),
    ]


urlpatterns = urls()
