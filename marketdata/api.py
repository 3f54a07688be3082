"""Market data in the REST API: instruments, watchlists, bars, coverage, corporate actions, imports of files."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Prefetch
from django.http import HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.filters import SearchFilter
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from domain.bars import Adjustment
from domain.instrument import InstrumentKind
from domain.timeframe import Timeframe
from marketdata import barpages, calendars
from marketdata.errors import CorruptBarFile, StoreUnavailable
from marketdata.holdings import MAP_MARKS, holdings
from marketdata.models import BarImport, CorporateAction, Instrument, Watchlist, WatchlistMember, What
from marketdata.previews import gateway_now
from marketdata.services import check_symbol, set_watchlist
from marketdata.uploads import MAX_UPLOAD_BYTES, queue_import
from tradingsite import problems
from tradingsite.endpoints import Configuration, IdFilter, Ordering, Strict, StrictRow, one_of, whole_number
from tradingsite.runs import Run, enqueue
from tradingsite.runviews import DETAILS, LISTED, Asked, RunFields, RunFilter, RunViews, accepted
from tradingsite.strictjson import MAX_INTEGER

MAX_BARS = 10_000
MAX_MEMBERS = 2_000
A_NUMBER = "[0-9]{1,18}"
INSTRUMENT_KINDS = [(kind.value, kind.value) for kind in InstrumentKind]
ACTION_KINDS = CorporateAction.Kind.choices

problems.answer_with(CorruptBarFile, 409)
problems.answer_with(StoreUnavailable, 503)


# ---- instruments -------------------------------------------------------------------------------------------------


class InstrumentFields(StrictRow):
    con_id = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MAX_INTEGER, help_text="IB's contract id"
    )

    class Meta:
        model = Instrument
        fields = (
            "id", "symbol", "name", "kind", "exchange", "primary", "currency", "calendar", "tick", "lot", "multiplier",
            "margin", "con_id", "active", "created",
        )  # fmt: skip
        read_only_fields = ("created",)
        validators: ClassVar[list[Any]] = []

    def check(self, row: Instrument) -> None:
        check_symbol(row.symbol)
        calendars.sessions(row.calendar)


class InstrumentFilter(filters.FilterSet):
    symbol = filters.CharFilter(max_length=32)
    kind = filters.MultipleChoiceFilter(choices=INSTRUMENT_KINDS)
    exchange = filters.CharFilter(max_length=16)
    active = filters.BooleanFilter()


BAR_PARAMETERS = [
    OpenApiParameter("timeframe", enum=[each.value for each in Timeframe], required=True),
    OpenApiParameter("what", enum=What.values, default=What.TRADES),
    OpenApiParameter(
        "adjustment",
        enum=[each.value for each in Adjustment],
        description="which corporate actions the prices contain; left out: raw, or the only one that is held",
    ),
    OpenApiParameter("start", description="first start of a bar: 2013-10-07 (midnight UTC) or a time with its zone"),
    OpenApiParameter("end", description="bars start before it; a date includes its day (UTC)"),
    OpenApiParameter("format", enum=["json", "csv", "parquet", "arrow"], default="json"),
    OpenApiParameter("limit", OpenApiTypes.INT, description=f"bars in a page, up to {MAX_BARS}", default=1000),
    OpenApiParameter("cursor", description="of the next link: where the next page begins"),
]


class BarFields(serializers.Serializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    open = serializers.FloatField()
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.FloatField(allow_null=True)


class BarPage(serializers.Serializer):
    instrument = serializers.IntegerField()
    symbol = serializers.CharField()
    timeframe = serializers.ChoiceField(choices=[each.value for each in Timeframe])
    what = serializers.ChoiceField(choices=What.choices)
    adjustment = serializers.ChoiceField(choices=[each.value for each in Adjustment])
    bars = BarFields(many=True)
    next = serializers.URLField(allow_null=True)


class GapFields(serializers.Serializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    missing = serializers.IntegerField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return super().get_fields() | {"class": serializers.CharField(help_text="why the bars are missing")}


class MapFields(serializers.Serializer):
    unit = serializers.CharField(help_text="week, month or year")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    line = serializers.CharField(help_text=f"a character for each: {MAP_MARKS}")


class HoldingFields(serializers.Serializer):
    symbol = serializers.CharField()
    timeframe = serializers.CharField()
    what = serializers.CharField()
    adjustment = serializers.CharField()
    rows = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    files = serializers.IntegerField()
    bytes = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    sources = serializers.ListField(child=serializers.CharField())
    actions = serializers.IntegerField()
    unexpected = serializers.IntegerField()
    fault = serializers.CharField()
    expected = serializers.IntegerField(required=False)
    missing = serializers.IntegerField(required=False)
    gaps = serializers.IntegerField(required=False)
    largest_gaps = GapFields(many=True, required=False)
    since = serializers.DateTimeField(required=False, help_text="where IB's history begins, else the first bar held")
    until = serializers.DateTimeField(required=False, help_text="the end of the newest bar that is due, or held")
    before = serializers.IntegerField(required=False, help_text="bars that could be loaded before the first one held")
    after = serializers.IntegerField(required=False, help_text="bars that could be loaded after the last one held")
    classes = serializers.DictField(
        child=serializers.IntegerField(), required=False, help_text="missing bars from since to until, by class"
    )
    closed_days = serializers.IntegerField(required=False, help_text="holidays of the exchange, from since to until")
    half_days = serializers.IntegerField(required=False, help_text="days on which it traded for less long than usual")
    map = MapFields(required=False, allow_null=True)


class Instruments(Configuration, viewsets.ModelViewSet):
    """What is traded."""

    queryset = Instrument.objects.all()
    serializer_class = InstrumentFields
    filterset_class = InstrumentFilter
    filter_backends = (filters.DjangoFilterBackend, SearchFilter, Ordering)
    search_fields = ("symbol", "name")
    ordering_fields = ("symbol", "name", "kind", "exchange", "created", "id")
    lookup_value_regex = A_NUMBER
    heavy = frozenset({"bars", "coverage"})

    @extend_schema(
        parameters=BAR_PARAMETERS,
        responses={
            (200, "application/json"): BarPage,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
            (200, "application/vnd.apache.arrow.stream"): OpenApiTypes.BINARY,
        },
    )
    @action(detail=True, pagination_class=None, filter_backends=[], filterset_class=None)
    def bars(self, request: Request, **_: Any) -> Any:
        """Bars in time order, a page at a time. The next page's address is also in the Link header."""
        instrument = self.get_object()
        asked = request.query_params
        timeframe = Timeframe.parse(asked.get("timeframe", ""))
        what = one_of(request, "what", What.TRADES, What.values)
        basis = one_of(request, "adjustment", "", ["", *Adjustment])
        form = one_of(request, "format", "json", ("json", "csv", "parquet", "arrow"))
        start = barpages.read_moment(asked["start"]) if asked.get("start") else None
        if asked.get("cursor"):
            start = whole_number(request, "cursor", 0, MAX_INTEGER, least=0)
        page = barpages.read_page(
            instrument,
            timeframe,
            what=what,
            adjustment=Adjustment(basis) if basis else None,
            start_ns=start,
            end_ns=barpages.read_moment(asked["end"], after=True) if asked.get("end") else None,
            limit=whole_number(request, "limit", 1000, MAX_BARS),
        )
        following = _link(request, page.following)
        if form == "json":
            about = {"instrument": instrument.pk, "symbol": instrument.symbol, "timeframe": timeframe, "what": what}
            rest = {"adjustment": page.bars.adjustment, "bars": barpages.as_json(page.bars), "next": following}
            response: Any = Response(about | rest)
        else:
            response = _file(page.bars, form, f"{instrument.pk}-{timeframe}")
        if following:
            response["Link"] = f'<{following}>; rel="next"'
        return response

    @extend_schema(
        parameters=[OpenApiParameter("timeframe", enum=[each.value for each in Timeframe])],
        responses=HoldingFields(many=True),
    )
    @action(detail=True, pagination_class=None, filter_backends=[], filterset_class=None)
    def coverage(self, request: Request, **_: Any) -> Response:
        """What is held, and each gap's class, against the exchange's calendar."""
        text = request.query_params.get("timeframe")
        frame = Timeframe.parse(text) if text else None
        found = holdings(self.get_object(), frame, now=gateway_now(timezone.now()))
        return Response([holding.as_dict() for holding in found])


def _link(request: Request, following: int | None) -> str | None:
    if following is None:
        return None
    query = request.query_params.copy()
    query["cursor"] = str(following)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def _file(bars: Any, form: str, name: str) -> Any:
    if form == "csv":
        response: Any = StreamingHttpResponse(barpages.as_csv(bars), content_type="text/csv; charset=utf-8")
    elif form == "parquet":
        response = HttpResponse(barpages.as_parquet(bars), content_type="application/vnd.apache.parquet")
    else:
        response = HttpResponse(barpages.as_arrow(bars), content_type="application/vnd.apache.arrow.stream")
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response


# ---- watchlists --------------------------------------------------------------------------------------------------


class MembersField(serializers.ListField):
    """Symbols in order; SPY, or SPY@ARCA where several exchanges list it."""

    child = serializers.CharField(max_length=49)

    def to_representation(self, data: Any) -> list[str]:
        return [member.instrument.symbol for member in data.all()]

    def to_internal_value(self, data: Any) -> list[Instrument]:
        texts = super().to_internal_value(data)
        listings = [text.partition("@")[::2] for text in texts]
        by_symbol: dict[str, list[Instrument]] = {}
        for row in Instrument.objects.active().filter(symbol__in={symbol for symbol, _ in listings}):
            by_symbol.setdefault(row.symbol, []).append(row)
        found = []
        for symbol, exchange in listings:
            fitting = [row for row in by_symbol.get(symbol, []) if exchange in ("", row.exchange)]
            # Not one: asked singly, for the error that says why.
            found.append(fitting[0] if len(fitting) == 1 else Instrument.objects.named(symbol, exchange=exchange))
        if len({row.pk for row in found}) < len(found):
            raise ValidationError("An instrument is listed twice.")
        return found


class WatchlistFields(StrictRow):
    members = MembersField(max_length=MAX_MEMBERS, required=False)

    class Meta:
        model = Watchlist
        fields = ("id", "name", "tags", "members")

    def create(self, validated_data: dict[str, Any]) -> Watchlist:
        members = validated_data.pop("members", [])
        row = Watchlist.objects.create(**validated_data)
        set_watchlist(name=row.name, instruments=members)
        return self._read_again(row)

    def update(self, instance: Watchlist, validated_data: dict[str, Any]) -> Watchlist:
        members = validated_data.pop("members", None if self.partial else [])
        row: Watchlist = super().update(instance, validated_data)
        if members is not None:
            set_watchlist(name=row.name, instruments=members)
        return self._read_again(row)

    def _read_again(self, row: Watchlist) -> Watchlist:
        return Watchlists.queryset.all().get(pk=row.pk)


class WatchlistFilter(filters.FilterSet):
    name = filters.CharFilter(max_length=64)
    tag = filters.CharFilter(field_name="tags", lookup_expr="icontains", max_length=200)
    symbol = filters.CharFilter(field_name="instruments__symbol", max_length=32, distinct=True)


class Watchlists(Configuration, viewsets.ModelViewSet):
    """Named, ordered lists of instruments. PUT replaces the members."""

    queryset = Watchlist.objects.prefetch_related(
        Prefetch("members", WatchlistMember.objects.select_related("instrument"))
    )
    serializer_class = WatchlistFields
    filterset_class = WatchlistFilter
    filter_backends = (filters.DjangoFilterBackend, SearchFilter, Ordering)
    search_fields = ("name", "tags")
    ordering_fields = ("name", "id")
    lookup_value_regex = A_NUMBER


# ---- corporate actions -------------------------------------------------------------------------------------------


class ActionFields(StrictRow):
    symbol = serializers.CharField(source="instrument.symbol", read_only=True)

    class Meta:
        model = CorporateAction
        fields = ("id", "instrument", "symbol", "ex_date", "kind", "value", "source", "created")
        read_only_fields = ("created",)
        validators: ClassVar[list[Any]] = []


class ActionFilter(filters.FilterSet):
    instrument = IdFilter(field_name="instrument_id")
    symbol = filters.CharFilter(field_name="instrument__symbol", max_length=32)
    kind = filters.MultipleChoiceFilter(choices=ACTION_KINDS)
    ex_date_from = filters.DateFilter(field_name="ex_date", lookup_expr="gte")
    ex_date_to = filters.DateFilter(field_name="ex_date", lookup_expr="lte")


class CorporateActions(Configuration, viewsets.ModelViewSet):
    """Splits, dividends and delistings."""

    queryset = CorporateAction.objects.select_related("instrument")
    serializer_class = ActionFields
    filterset_class = ActionFilter
    filter_backends = (filters.DjangoFilterBackend, Ordering)
    ordering_fields = ("ex_date", "created", "id")
    lookup_value_regex = A_NUMBER


# ---- imports of files --------------------------------------------------------------------------------------------


class ImportFields(RunFields):
    class Meta:
        model = BarImport
        fields = (*LISTED, "name", "bytes")


class ImportDetail(RunFields):
    report = serializers.DictField(read_only=True, allow_null=True, help_text="what was kept, dropped, and why")

    class Meta:
        model = BarImport
        fields = (*ImportFields.Meta.fields, *DETAILS, "report")


class Upload(Strict):
    """A file of bars, and how to read it; what is left out is read from the file."""

    file = serializers.FileField(allow_empty_file=False, max_length=200)
    symbol = serializers.CharField(required=False, max_length=32)
    exchange = serializers.CharField(required=False, max_length=16)
    currency = serializers.CharField(required=False, max_length=3)
    calendar = serializers.CharField(required=False, max_length=32)
    tz = serializers.CharField(required=False, max_length=64, help_text="zone of times that name none")
    timeframe = serializers.CharField(required=False, max_length=8)
    kind = serializers.CharField(required=False, max_length=12)
    columns = serializers.CharField(required=False, max_length=500, help_text="field=column, with commas between")
    stamp = serializers.ChoiceField(required=False, choices=["start", "end"])
    adjustment = serializers.ChoiceField(required=False, choices=[each.value for each in Adjustment])
    adj_close = serializers.CharField(required=False, max_length=100)
    derive_actions = serializers.CharField(required=False, max_length=32)
    session = serializers.ChoiceField(required=False, choices=["regular", "all"])
    what = serializers.ChoiceField(required=False, choices=What.choices)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)
    strict = serializers.BooleanField(required=False)


class BarImports(RunViews):
    """Files of bars that were handed in, and what became of them."""

    queryset = BarImport.objects.select_related("started_by")
    serializer_class = ImportFields
    detail_serializer = ImportDetail
    filterset_class = RunFilter
    parser_classes = (MultiPartParser,)
    max_body = MAX_UPLOAD_BYTES + 1024 * 1024
    heavy = frozenset({"create"})

    @extend_schema(
        request={"multipart/form-data": Upload},
        responses={202: OpenApiResponse(Asked, "queued; Location says where to follow it")},
        examples=[OpenApiExample("accepted", {"id": "…", "run_id": "…", "state": "queued"}, response_only=True)],
    )
    def create(self, request: Request) -> Response:
        asked = Upload(data=_single(request.data))
        asked.is_valid(raise_exception=True)
        options: dict[str, Any] = dict(asked.validated_data)
        file = options.pop("file")
        for name in ("since", "until"):
            if name in options:
                options[name] = options[name].isoformat()
        with transaction.atomic():
            run = queue_import(
                name=file.name, chunks=file.chunks(), options=options, origin=Run.Origin.API, started_by=request.user
            )
            enqueue(run)
        return accepted(run, "api-bar-imports-detail", run.pk)


def _single(data: Any) -> dict[str, Any]:
    """A form's fields, each given once."""
    if not hasattr(data, "lists"):
        raise ValidationError("Send the file as multipart/form-data.")
    doubled = [name for name, values in data.lists() if len(values) > 1]
    if doubled:
        raise ValidationError({name: ["It is given twice."] for name in doubled})
    return dict(data.items())


VIEWSETS: dict[str, Any] = {
    "instruments": Instruments,
    "watchlists": Watchlists,
    "corporate-actions": CorporateActions,
    "bar-imports": BarImports,
}
