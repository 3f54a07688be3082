"""Loads from IB in the REST API: preview, ask, follow, and the plans that ask by themselves.

No request here reaches the gateway: a load is a run, which the data worker performs.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from domain.errors import BadInput, UnknownName
from domain.pacing import PacingProfile
from domain.timeframe import Timeframe
from marketdata import loadplans, pacing, previews
from marketdata.loadruns import queue_load, result_of
from marketdata.models import Fetch, Instrument, LoadPlan, LoadRun, PacingBudget, Watchlist, What
from marketdata.models.loads import PRIORITIES, Mode
from marketdata.moments import as_ns
from marketdata.planning import LoadAsk, check_ask
from marketdata.previews import Preview
from marketdata.services import check_symbol
from tradingsite import linkrows
from tradingsite.endpoints import Configuration, Endpoint, IdFilter, Ordering, Strict, StrictRow, one_of
from tradingsite.problems import Problem
from tradingsite.runs import Run, enqueue, wait_for
from tradingsite.runviews import DETAILS, LISTED, STATES, RunFields, RunFilter, RunViews

A_NUMBER = "[0-9]{1,18}"
TIMEFRAMES = [each.value for each in Timeframe]
ALL_MODES = Mode.choices
MODES = [choice for choice in ALL_MODES if choice[0] != Mode.REBUILD]
OUTCOMES = LoadRun.Outcome.choices
FETCH_STATES = Fetch.State.choices
LOAD_PRIORITIES = PRIORITIES
PROFILES = [(each.value, each.value) for each in PacingProfile]


# ---- what is asked -----------------------------------------------------------------------------------------------


class LoadFields(Strict):
    """The bars that are wanted. Times are ISO 8601 with a zone, or dates: a start's midnight UTC, an end's last
    moment."""

    symbol = serializers.CharField(max_length=32, help_text="of an instrument that is held: MSFT, EURUSD")
    exchange = serializers.CharField(max_length=16, required=False, help_text="where several instruments have it")
    timeframe = serializers.ChoiceField(choices=TIMEFRAMES)
    mode = serializers.ChoiceField(choices=MODES, default=Mode.TAIL, help_text="a first load is full in any mode")
    what = serializers.ChoiceField(
        choices=What.choices, required=False, help_text="left out: trades, and the midpoint for forex"
    )
    start = serializers.CharField(max_length=40, required=False, help_text="left out: as the mode says")
    end = serializers.CharField(max_length=40, required=False, help_text="left out: now")


class FailureFields(serializers.Serializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    error = serializers.CharField()


class ResultFields(serializers.Serializer):
    """What a load did."""

    status = serializers.CharField(help_text="up_to_date, complete, partial, nothing, restated; else the run's state")
    symbol = serializers.CharField()
    timeframe = serializers.ChoiceField(choices=TIMEFRAMES)
    what = serializers.ChoiceField(choices=What.choices)
    mode = serializers.ChoiceField(choices=ALL_MODES, help_text="the one that it came to")
    fetched_bars = serializers.IntegerField(help_text="bars that IB sent and the store took")
    cached_before = serializers.IntegerField(help_text="bars held before")
    merged_file = serializers.CharField(help_text="the newest file of the series, below BARS_URL")
    gaps_analyzed = serializers.IntegerField(help_text="gaps found")
    segments_fetched = serializers.IntegerField(help_text="segments that succeeded")
    segments_failed = serializers.IntegerField()
    ib_requests_made = serializers.IntegerField(help_text="real requests to IB")
    failures = FailureFields(many=True, help_text="the first segments that failed")


class AnsweredFields(ResultFields):
    run = serializers.UUIDField(allow_null=True, help_text="null: nothing was missing, so there is none")


class GatewayFields(serializers.Serializer):
    ready = serializers.BooleanField()
    cause = serializers.CharField(help_text="why it is not")
    remedy = serializers.CharField(help_text="what to do")


class QueuedFields(serializers.Serializer):
    id = serializers.UUIDField()
    run_id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    follow = serializers.URLField(help_text="where the run can be followed; the result is there when it has ended")
    waits_for = serializers.CharField(help_text="why it is queued; empty: for a worker")
    requests = serializers.IntegerField(help_text="requests that it was planned with")
    minutes = serializers.FloatField(help_text="how long they take at the present pace")
    gateway = GatewayFields()


class MissingFields(serializers.Serializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    missing = serializers.IntegerField(help_text="bars")


class PreviewFields(serializers.Serializer):
    symbol = serializers.CharField()
    timeframe = serializers.ChoiceField(choices=TIMEFRAMES)
    what = serializers.ChoiceField(choices=What.choices)
    mode = serializers.ChoiceField(choices=ALL_MODES, help_text="the one that it would come to")
    cached = serializers.IntegerField(help_text="bars held")
    missing = serializers.IntegerField(help_text="bars that it would ask for")
    requests = serializers.IntegerField()
    minutes = serializers.FloatField(help_text="how long they take at the present pace")
    head_known = serializers.BooleanField(
        help_text="false: IB was not asked yet how far back it goes, and the figures are the most that it can be"
    )
    gaps_found = serializers.IntegerField(help_text="gaps that would close")
    gaps = MissingFields(many=True, help_text=f"the first {previews.GAPS_TOLD} of them")


EXAMPLES = [
    OpenApiExample("new bars", {"symbol": "MSFT", "timeframe": "1h"}, request_only=True),
    OpenApiExample(
        "older ones too",
        {"symbol": "MSFT", "timeframe": "1h", "mode": "full", "start": "2024-01-02", "end": "2024-06-28T20:00:00Z"},
        request_only=True,
    ),
]


def read_ask(data: Any) -> LoadAsk:
    asked = LoadFields(data=data)
    asked.is_valid(raise_exception=True)
    given: dict[str, Any] = dict(asked.validated_data)
    symbol, exchange = check_symbol(given.pop("symbol")), given.pop("exchange", "")
    try:
        instrument = Instrument.objects.named(symbol, exchange=exchange)
    except UnknownName as error:
        raise BadInput(f"{error}. POST /api/v1/ib/symbols/discover asks IB which contract {symbol} is") from error
    return check_ask(instrument=instrument, now_ns=as_ns(_now()), **given)


def _now() -> Any:
    return previews.gateway_now(timezone.now())


class PreviewLoad(Endpoint, APIView):
    """What a load would cost: requests, minutes, the gaps that would close. It writes nothing and asks IB nothing, so
    whoever may see loads may ask."""

    queryset = LoadRun.objects.all()
    needs = ("view",)
    heavy = frozenset({"post"})

    @extend_schema(operation_id="data_preview", request=LoadFields, responses=PreviewFields, examples=EXAMPLES)
    def post(self, request: Request) -> Response:
        found = previews.preview(read_ask(request.data), _now())
        return Response(PreviewFields(found.as_dict()).data)


class Load(Endpoint, APIView):
    """Load what is missing of one series. Where nothing is, the answer comes at once and no run is made; a short load
    is waited for; a long one is to be followed."""

    queryset = LoadRun.objects.all()
    heavy = frozenset({"post"})

    @extend_schema(
        operation_id="data_load",
        request=LoadFields,
        responses={
            200: OpenApiResponse(AnsweredFields, "done, or nothing was missing"),
            202: OpenApiResponse(QueuedFields, "queued or running; Location and `follow` say where to follow it"),
        },
        examples=EXAMPLES,
    )
    def post(self, request: Request) -> Response:
        ask = read_ask(request.data)
        found = previews.preview(ask, _now())
        if found.is_needless:
            return Response(AnsweredFields(previews.up_to_date(found.plan) | {"run": None}).data)
        with transaction.atomic():
            run = queue_load(ask=ask, origin=Run.Origin.API, started_by=request.user)
            if run.state == Run.State.QUEUED:
                enqueue(run)
        gateway = linkrows.standing(linkrows.DATA)
        if gateway.ok:
            wait_for(run, settings.LOAD_WAIT_SECONDS)
        if run.ended:
            return _ended(run)
        return _queued(request, run, found, gateway)


def _ended(run: LoadRun) -> Response:
    """Its result, where there is any; never an empty success."""
    place = reverse("api-data-loads-detail", args=[run.pk])
    if run.state == Run.State.CANCELLED:
        raise Problem(409, f"The load {run.run_id} was cancelled.", Location=place)
    if run.state == Run.State.FAILED and run.outcome != LoadRun.Outcome.PARTIAL:
        raise Problem(422, run.error or "The load has failed.", Location=place)
    return Response(AnsweredFields(result_of(run) | {"run": run.pk}).data, headers={"Location": place})


def _queued(request: Request, run: LoadRun, found: Preview, gateway: linkrows.Standing) -> Response:
    place = reverse("api-data-loads-detail", args=[run.pk])
    told = {
        "id": run.pk,
        "run_id": run.run_id,
        "state": run.state,
        "follow": request.build_absolute_uri(place),
        "waits_for": run.waits_for,
        "requests": found.plan.requests,
        "minutes": round(found.minutes, 2),
        "gateway": {"ready": gateway.ok, "cause": gateway.cause, "remedy": gateway.remedy},
    }
    return Response(QueuedFields(told).data, status=202, headers={"Location": place})


# ---- loads -------------------------------------------------------------------------------------------------------


class LoadRunFields(RunFields):
    symbol = serializers.CharField(source="instrument.symbol", read_only=True)
    plan: Any = serializers.SlugRelatedField(slug_field="name", read_only=True, allow_null=True)

    class Meta:
        model = LoadRun
        fields = (
            *LISTED, "instrument", "symbol", "timeframe", "what", "mode", "start", "end", "plan", "priority",
            "waits_for", "outcome", "cached_before", "fetched_bars", "gaps_analyzed", "segments_fetched",
            "segments_failed", "ib_requests_made",
        )  # fmt: skip


class LoadRunDetail(LoadRunFields):
    result = serializers.SerializerMethodField(help_text="what it has done so far")

    class Meta:
        model = LoadRun
        fields = (*LoadRunFields.Meta.fields, *DETAILS, "planned", "result")

    @extend_schema_field(ResultFields)
    def get_result(self, run: LoadRun) -> Any:
        return ResultFields(result_of(run)).data


class LoadFilter(RunFilter):
    instrument = IdFilter(field_name="instrument_id")
    symbol = filters.CharFilter(field_name="instrument__symbol", max_length=32)
    timeframe = filters.ChoiceFilter(choices=[(each, each) for each in TIMEFRAMES])
    what = filters.ChoiceFilter(choices=What.choices)
    mode = filters.ChoiceFilter(choices=ALL_MODES)
    outcome = filters.MultipleChoiceFilter(choices=OUTCOMES)
    plan = filters.CharFilter(field_name="plan__name", max_length=64)


class FetchFields(serializers.ModelSerializer):
    class Meta:
        model = Fetch
        fields = ("id", "gap", "start", "end", "duration", "state", "tries", "due", "bars", "code", "error", "ended")


class Loads(RunViews):
    """Loads from IB, whoever asked for them."""

    queryset = LoadRun.objects.select_related("started_by", "instrument", "plan")
    serializer_class = LoadRunFields
    detail_serializer = LoadRunDetail
    filterset_class = LoadFilter
    ordering_fields = ("created", "started", "finished", "fetched_bars", "ib_requests_made")

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        return rows.defer("config", "log_tail") if self.action == "list" else rows

    @extend_schema(
        operation_id="data_loads_fetches",
        parameters=[OpenApiParameter("state", enum=Fetch.State.values, description="only fetches in this state")],
        responses=FetchFields(many=True),
    )
    @action(detail=True, filter_backends=[], filterset_class=None)
    def fetches(self, request: Request, **_: Any) -> Response:
        """The requests that the load was cut into, in the order in which they are asked."""
        rows = self.get_object().fetches.order_by("pk")
        state = one_of(request, "state", "", ["", *Fetch.State.values])
        page = self.paginate_queryset(rows.filter(state=state) if state else rows)
        return self.get_paginated_response(FetchFields(page, many=True).data)


# ---- plans -------------------------------------------------------------------------------------------------------


class PlanFields(StrictRow):
    watchlist = serializers.SlugRelatedField(slug_field="name", queryset=Watchlist.objects.all())

    class Meta:
        model = LoadPlan
        fields = (
            "id", "name", "watchlist", "timeframe", "what", "mode", "start", "every_minutes", "enabled", "next_run_at",
            "last_run_at", "updated",
        )  # fmt: skip
        read_only_fields = ("next_run_at", "last_run_at", "updated")

    def check(self, row: LoadPlan) -> None:
        loadplans.check_plan(row)

    def create(self, validated_data: dict[str, Any]) -> LoadPlan:
        return _planned(super().create(validated_data))

    def update(self, instance: LoadPlan, validated_data: dict[str, Any]) -> LoadPlan:
        return _planned(super().update(instance, validated_data))


def _planned(plan: LoadPlan) -> LoadPlan:
    loadplans.set_due(plan=plan, now=timezone.now())
    return plan


@extend_schema_view(
    create=extend_schema(
        examples=[
            OpenApiExample(
                "minutes of a watchlist",
                {"name": "us minutes", "watchlist": "us", "timeframe": "1m", "every_minutes": 5},
                request_only=True,
            )
        ]
    )
)
class LoadPlans(Configuration, viewsets.ModelViewSet):
    """Watchlists whose bars are kept up without anybody asking."""

    queryset = LoadPlan.objects.select_related("watchlist")
    serializer_class = PlanFields
    filter_backends = (filters.DjangoFilterBackend, SearchFilter, Ordering)
    filterset_fields = ("name", "timeframe", "mode", "enabled")
    search_fields = ("name", "watchlist__name")
    ordering_fields = ("name", "next_run_at", "id")
    lookup_value_regex = A_NUMBER


# ---- pacing ------------------------------------------------------------------------------------------------------


class WaitingFields(serializers.Serializer):
    """Requests that wait for a slot, by who comes first."""

    live = serializers.IntegerField()
    scan = serializers.IntegerField()
    tail = serializers.IntegerField()
    backfill = serializers.IntegerField()


class PacingFields(serializers.Serializer):
    login = serializers.CharField(help_text="host and port of the gateway")
    profile = serializers.ChoiceField(choices=PROFILES)
    used = serializers.IntegerField(help_text="requests of the last ten minutes, by weight")
    limit = serializers.IntegerField()
    open = serializers.IntegerField(help_text="requests that IB has not answered yet")
    waiting = WaitingFields()
    paused_until = serializers.DateTimeField(allow_null=True, help_text="after IB reported too many requests")
    seconds = serializers.FloatField(help_text="until the next slot")


class Pacing(Endpoint, APIView):
    """The budget of history requests, which all processes of one IB login share."""

    queryset = PacingBudget.objects.all()

    @extend_schema(operation_id="data_pacing", responses=PacingFields)
    def get(self, request: Request) -> Response:
        found = pacing.standing()
        waiting = {priority.name.lower(): number for priority, number in found.waiting.items()}
        return Response(PacingFields(found._asdict() | {"waiting": waiting}).data)


VIEWSETS: dict[str, Any] = {"data/loads": Loads, "data/plans": LoadPlans}

URLS: list[URLPattern] = [
    path("data/load", Load.as_view(), name="api-data-load"),
    path("data/preview", PreviewLoad.as_view(), name="api-data-preview"),
    path("data/pacing", Pacing.as_view(), name="api-data-pacing"),
]
