"""What IB knows of instruments, in the REST API: discovery, what was discovered, and where histories begin.

No request reaches the gateway: each question is a run, which the data worker answers.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import URLPattern, path
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from domain.bars import Adjustment
from domain.timeframe import Timeframe
from marketdata import questions, store
from marketdata.api import INSTRUMENT_KINDS, InstrumentFields
from marketdata.contracts import default_what
from marketdata.lookup import check_wanted
from marketdata.models import GatewayQuestion, HeadTime, Instrument, InstrumentDetails, What
from tradingsite.access import may_act
from tradingsite.endpoints import Endpoint, Ordering, Strict
from tradingsite.problems import Problem
from tradingsite.runs import Run, enqueue, wait_for
from tradingsite.runviews import DETAILS, LISTED, Asked, RunFields, RunFilter, RunViews, accepted

QUESTION_KINDS = GatewayQuestion.Kind.choices


# ---- questions ---------------------------------------------------------------------------------------------------


class QuestionFields(RunFields):
    class Meta:
        model = GatewayQuestion
        fields = (*LISTED, "kind", "symbol", "instrument", "waits_for")


class QuestionDetail(RunFields):
    answer = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = GatewayQuestion
        fields = (*QuestionFields.Meta.fields, *DETAILS, "answer")


class QuestionFilter(RunFilter):
    kind = filters.ChoiceFilter(choices=QUESTION_KINDS)
    symbol = filters.CharFilter(max_length=32)


class Questions(RunViews):
    """What IB was asked beside bars, and what it said."""

    queryset = GatewayQuestion.objects.select_related("started_by")
    serializer_class = QuestionFields
    detail_serializer = QuestionDetail
    filterset_class = QuestionFilter


VIEWSETS: dict[str, Any] = {"gateway-questions": Questions}


# ---- discovery ---------------------------------------------------------------------------------------------------


class DetailFields(serializers.ModelSerializer):
    price_steps = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), help_text="[[from this price on, step], …]"
    )

    class Meta:
        model = InstrumentDetails
        fields = (
            "local_symbol", "trading_class", "expiry", "stock_type", "isin", "zone", "trading_hours", "liquid_hours",
            "market_rule", "price_steps", "refreshed",
        )  # fmt: skip


class DiscoveredFields(serializers.ModelSerializer):
    """An instrument and what IB says of its contract."""

    con_id = serializers.IntegerField(help_text="IB's contract id: the identity; a ticker may change hands")
    details = DetailFields()

    class Meta:
        model = Instrument
        fields = (*InstrumentFields.Meta.fields, "details")


class WantedFields(Strict):
    """A symbol, and what narrows it where several contracts have it."""

    symbol = serializers.CharField(max_length=32, help_text="EURUSD, TSLA, BRK.B, ESZ6")
    instrument_type = serializers.ChoiceField(
        choices=INSTRUMENT_KINDS, required=False, help_text="left out: pair, stock, future, index, in this order"
    )
    exchange = serializers.CharField(required=False, max_length=16, help_text="as IB writes it; left out: SMART")
    currency = serializers.CharField(required=False, max_length=3, help_text="left out: USD for stocks")
    con_id = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="of a candidate")


class CandidateFields(serializers.Serializer):
    con_id = serializers.IntegerField()
    symbol = serializers.CharField()
    kind = serializers.ChoiceField(choices=INSTRUMENT_KINDS)
    name = serializers.CharField()
    exchange = serializers.CharField()
    primary = serializers.CharField()
    currency = serializers.CharField()
    expiry = serializers.CharField(help_text="YYYYMMDD, of a future")


class DiscoveryFields(serializers.Serializer):
    ambiguous = serializers.BooleanField(help_text="several contracts fit: nothing was stored")
    instrument = DiscoveredFields(allow_null=True)
    candidates = CandidateFields(many=True, help_text="choose one: ask again with its con_id")
    notes = serializers.ListField(child=serializers.CharField(), help_text="what changed of other instruments")


_CANDIDATE = {
    "con_id": 258309493, "symbol": "ESZ6", "kind": "future", "name": "E-mini S&P 500", "exchange": "CME",
    "primary": "", "currency": "USD", "expiry": "20261218",
}  # fmt: skip


class Discover(Endpoint, APIView):
    """Which of IB's contracts a symbol is. It is stored as an instrument; where several fit, none is."""

    queryset = GatewayQuestion.objects.all()
    heavy = frozenset({"post"})

    @extend_schema(
        operation_id="ib_symbols_discover",
        request=WantedFields,
        responses={
            200: OpenApiResponse(DiscoveryFields, "known, or answered at once"),
            202: OpenApiResponse(Asked, "still being asked; Location says where to follow it"),
        },
        examples=[
            OpenApiExample("a pair", {"symbol": "EURUSD"}, request_only=True),
            OpenApiExample("a share in London", {"symbol": "VOD", "exchange": "LSE"}, request_only=True),
            OpenApiExample(
                "several contracts",
                {"ambiguous": True, "instrument": None, "candidates": [_CANDIDATE], "notes": []},
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        asked = WantedFields(data=request.data)
        asked.is_valid(raise_exception=True)
        given: dict[str, Any] = dict(asked.validated_data)
        wanted = check_wanted(kind=given.pop("instrument_type", ""), **given)
        known = questions.answer_to(wanted, timezone.now())
        if known is not None:
            return _answered(known)
        with transaction.atomic():
            question = questions.ask_which(wanted=wanted, origin=Run.Origin.API, started_by=request.user)
            enqueue(question)
        wait_for(question, settings.DISCOVER_WAIT_SECONDS)
        if question.answer is not None:
            return _answered(question.answer)
        if question.state == Run.State.FAILED:
            raise Problem(422, question.error)
        return accepted(question, "api-gateway-questions-detail", question.pk)


def _answered(answer: dict[str, Any]) -> Response:
    rows = Instrument.objects.select_related("details").filter(pk=answer["instrument"])
    shown = answer | {"instrument": rows.first(), "ambiguous": bool(answer["candidates"])}
    return Response(DiscoveryFields(shown).data)


class DiscoveredFilter(filters.FilterSet):
    instrument_type = filters.ChoiceFilter(field_name="kind", choices=INSTRUMENT_KINDS)
    symbol = filters.CharFilter(max_length=32)
    active = filters.BooleanFilter()


class DiscoveredList(Endpoint, generics.ListAPIView):
    """Instruments whose contract at IB is known."""

    queryset = Instrument.objects.filter(con_id__isnull=False, details__isnull=False).select_related("details")
    serializer_class = DiscoveredFields
    filterset_class = DiscoveredFilter
    filter_backends = (filters.DjangoFilterBackend, Ordering)
    ordering_fields = ("symbol", "name", "kind", "exchange", "created", "id")

    @extend_schema(operation_id="ib_symbols_discovered")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)


# ---- ranges ------------------------------------------------------------------------------------------------------


class HeadFields(serializers.ModelSerializer):
    class Meta:
        model = HeadTime
        fields = ("what", "start", "asked")


class HeldFields(serializers.Serializer):
    timeframe = serializers.ChoiceField(choices=[each.value for each in Timeframe])
    what = serializers.ChoiceField(choices=What.choices)
    adjustment = serializers.ChoiceField(choices=[each.value for each in Adjustment])
    start = serializers.DateTimeField(help_text="start of the earliest bar")
    end = serializers.DateTimeField(help_text="end of the latest bar")
    rows = serializers.IntegerField()


class RangeFields(serializers.Serializer):
    symbol = serializers.CharField()
    instrument = serializers.IntegerField()
    what = serializers.ChoiceField(choices=What.choices, help_text="the kind of bars that `head` is of")
    head = serializers.DateTimeField(allow_null=True, help_text="where IB's history begins; null: not known yet")
    heads = HeadFields(many=True, help_text="by kind of bars, and when IB was asked")
    held = HeldFields(many=True)
    asked = Asked(allow_null=True, help_text="the run that asks IB; ask again once it has ended")
    error = serializers.CharField(help_text="why IB could not say lately")


class Ranges(Endpoint, APIView):
    """Since when IB has history of an instrument, and what is held. What is not known is asked by whoever may ask."""

    queryset = HeadTime.objects.all()

    @extend_schema(
        operation_id="ib_ranges",
        parameters=[
            OpenApiParameter("symbol", required=True),
            OpenApiParameter("exchange", description="where several instruments have the symbol"),
            OpenApiParameter("instrument_type", enum=[kind for kind, _ in INSTRUMENT_KINDS]),
            OpenApiParameter("timeframe", enum=[each.value for each in Timeframe], description="left out: all"),
        ],
        responses=RangeFields,
    )
    def get(self, request: Request) -> Response:
        given = request.query_params
        wanted = check_wanted(
            symbol=given.get("symbol", ""), kind=given.get("instrument_type", ""), exchange=given.get("exchange", "")
        )
        timeframe = Timeframe.parse(given["timeframe"]) if given.get("timeframe") else None
        instrument = Instrument.objects.named(wanted.symbol, exchange=wanted.exchange, kind=str(wanted.kind or ""))
        now, what = timezone.now(), default_what(instrument)
        heads = {row.what: row for row in HeadTime.objects.filter(instrument=instrument)}
        asked = self._asked(request, instrument, heads, now)
        failed = asked is not None and asked.state == Run.State.FAILED
        found = {
            "symbol": instrument.symbol,
            "instrument": instrument.pk,
            "what": what,
            "head": heads[what].start if what in heads else None,
            "heads": list(heads.values()),
            "held": store.coverage(instrument, timeframe),
            "asked": None if failed else asked,
            "error": asked.error if asked is not None and failed else "",
        }
        return Response(RangeFields(found).data)

    def _asked(
        self, request: Request, instrument: Instrument, heads: dict[str, HeadTime], now: Any
    ) -> GatewayQuestion | None:
        whats = questions.whats_of(instrument)
        if all(what in heads and now - heads[what].asked < questions.FRESH for what in whats):
            return None
        asked = questions.ranges_asked(instrument, now)
        if asked is None and may_act(request, "add", GatewayQuestion):
            with transaction.atomic():
                asked = questions.ask_ranges(
                    instrument=instrument, whats=whats, origin=Run.Origin.API, started_by=request.user
                )
                enqueue(asked)
        return asked


URLS: list[URLPattern] = [
    path("ib/ranges", Ranges.as_view(), name="api-ib-ranges"),
    path("ib/symbols/discover", Discover.as_view(), name="api-ib-symbols-discover"),
    path("ib/symbols/discovered", DiscoveredList.as_view(), name="api-ib-symbols-discovered"),
]
