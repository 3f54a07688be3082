"""Backtests in the REST API: start, follow, cancel, and read what came of them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from strategies import ledgerpages, registry
from strategies.backtests import queue_backtest, run_directory
from strategies.config import BacktestConfig, parse_config
from strategies.models import Backtest, StrategyConfig
from strategies.services import config_of
from tradingsite.endpoints import Strict, StrictRow, one_of, whole_number
from tradingsite.exports import write_csv
from tradingsite.problems import Problem
from tradingsite.runs import Run, enqueue
from tradingsite.runviews import DETAILS, LISTED, Asked, RunFields, RunFilter, RunViews, accepted
from tradingsite.strictjson import MAX_INTEGER

MAX_ROWS = 10_000
MAX_NOTES = 10_000
_FIGURES = ("final_equity", "total_return", "max_drawdown", "sharpe", "trades")
# The report is a page of scripts of our own making: it runs them in a sandbox, without our origin or cookies.
_REPORT_POLICY = "sandbox allow-scripts; frame-ancestors 'none'"


class BacktestFields(RunFields):
    strategy_config: Any = serializers.SlugRelatedField(slug_field="name", read_only=True, allow_null=True)
    schedule: Any = serializers.SlugRelatedField(slug_field="name", read_only=True, allow_null=True)

    class Meta:
        model = Backtest
        fields = (
            *LISTED, "strategy", "timeframe", "instruments", "strategy_config", "schedule", "tag", "archived",
            *_FIGURES,
        )  # fmt: skip


class BacktestDetail(BacktestFields):
    class Meta:
        model = Backtest
        fields = (*BacktestFields.Meta.fields, *DETAILS, "notes", "config_hash", "data_hash", "result_hash")


class BacktestChange(StrictRow):
    class Meta:
        model = Backtest
        fields = ("tag", "notes", "archived")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Nothing else of the row can change, so that its own rules need no asking."""
        return attrs


class ByName(Strict):
    """A backtest of a strategy configuration as it stands."""

    strategy_config = serializers.SlugRelatedField(
        slug_field="name", queryset=StrategyConfig.objects.select_related("watchlist", "risk_profile"), required=False
    )
    tag = serializers.CharField(max_length=64, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=MAX_NOTES, required=False, allow_blank=True)


class BacktestDocument(serializers.Serializer):
    """A whole configuration, as in a YAML file, with a tag and notes beside it."""


class BacktestDocumentSchema(OpenApiSerializerExtension):
    """Described by the pydantic model that reads it."""

    target_class = BacktestDocument

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema = BacktestConfig.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            auto_schema.registry.register_on_missing(
                ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=part)
            )
        schema["properties"] |= {
            "tag": {"type": "string", "maxLength": 64},
            "notes": {"type": "string", "maxLength": MAX_NOTES},
        }
        return schema


class BacktestFilter(RunFilter):
    strategy = filters.CharFilter(max_length=64)
    strategy_config = filters.CharFilter(field_name="strategy_config__name", max_length=64)
    schedule = filters.CharFilter(field_name="schedule__name", max_length=64)
    tag = filters.CharFilter(max_length=64)
    archived = filters.BooleanFilter(help_text="left out: those that are not")


class SummaryFields(serializers.Serializer):
    """summary.json as the run wrote it."""

    schema = serializers.IntegerField()
    status = serializers.CharField()
    metrics = serializers.DictField()
    config = serializers.DictField()


class LedgerRows(serializers.Serializer):
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.DictField())
    next = serializers.URLField(allow_null=True)


class Backtests(RunViews):
    """Backtests. POST queues one; a worker runs it."""

    queryset = Backtest.objects.select_related("started_by", "strategy_config", "schedule")
    serializer_class = BacktestFields
    detail_serializer = BacktestDetail
    filterset_class = BacktestFilter
    ordering_fields = ("created", "started", "finished", *_FIGURES)
    lookup_field = "directory"
    lookup_url_kwarg = "run_id"
    lookup_value_regex = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
    http_method_names = ["get", "head", "post", "patch"]
    heavy = frozenset({"create", "ledgers"})

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if self.action != "list":
            return rows
        rows = rows.defer("config", "log_tail", "notes")
        return rows if "archived" in self.request.query_params else rows.filter(archived=False)

    @extend_schema(
        request=PolymorphicProxySerializer("NewBacktest", [BacktestDocument, ByName], None),
        responses={202: OpenApiResponse(Asked, "queued; Location says where to follow it")},
        examples=[
            OpenApiExample(
                "a whole configuration",
                {
                    "symbols": ["SPY"],
                    "timeframe": "1d",
                    "start": "2015-01-02",
                    "strategy": {"name": "ma_crossover", "params": {"fast": 20, "slow": 100}},
                    "tag": "first try",
                },
                request_only=True,
            ),
            OpenApiExample("a strategy configuration", {"strategy_config": "spy-crossover"}, request_only=True),
        ],
    )
    def create(self, request: Request) -> Response:
        config, about = _read(request.data)
        with transaction.atomic():
            run = queue_backtest(config, origin=Run.Origin.API, started_by=request.user, **about)
            enqueue(run)
        return accepted(run, "api-backtests-detail", run.directory)

    @extend_schema(request=BacktestChange, responses=BacktestDetail)
    def partial_update(self, request: Request, **_: Any) -> Response:
        run = self.get_object()
        asked = BacktestChange(run, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        # Only these columns: a worker may be writing the others.
        Backtest.objects.filter(pk=run.pk).update(**asked.validated_data)
        return Response(BacktestDetail(self.get_object()).data)

    @extend_schema(responses=SummaryFields)
    @action(detail=True)
    def result(self, request: Request, **_: Any) -> HttpResponse:
        """The figures of the run, and everything that decided them: its summary.json."""
        return HttpResponse(_file(self.get_object(), "summary.json").read_bytes(), content_type="application/json")

    @extend_schema(
        parameters=[
            OpenApiParameter("ledger", location="path", enum=list(ledgerpages.LEDGERS)),
            OpenApiParameter(
                "format", enum=["json", "csv", "parquet"], default="json", description="parquet: the whole file"
            ),
            OpenApiParameter("limit", OpenApiTypes.INT, description=f"rows in a page, up to {MAX_ROWS}", default=1000),
            OpenApiParameter("cursor", OpenApiTypes.INT, description="of the next link"),
        ],
        responses={
            (200, "application/json"): LedgerRows,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
        },
    )
    @action(detail=True, url_path=f"ledgers/(?P<ledger>{'|'.join(ledgerpages.LEDGERS)})")
    def ledgers(self, request: Request, ledger: str, **_: Any) -> Any:
        """Bars, orders, fills, trades or equity of the run."""
        form = one_of(request, "format", "json", ("json", "csv", "parquet"))
        run = self.get_object()
        path = _file(run, f"{ledger}.parquet")
        if form == "parquet":
            return FileResponse(
                path.open("rb"),
                as_attachment=True,
                filename=f"{run.directory}-{path.name}",
                content_type="application/vnd.apache.parquet",
            )
        cursor = whole_number(request, "cursor", 0, MAX_INTEGER, least=0)
        page = ledgerpages.read_page(path, cursor, whole_number(request, "limit", 1000, MAX_ROWS))
        following = None
        if page.following is not None:
            query = request.query_params.copy()
            query["cursor"] = str(page.following)
            following = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
        if form == "csv":
            response: Any = StreamingHttpResponse(
                write_csv([page.columns, *page.rows]), content_type="text/csv; charset=utf-8"
            )
            response["Content-Disposition"] = f'attachment; filename="{run.directory}-{ledger}.csv"'
        else:
            rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
            response = Response({"columns": page.columns, "rows": rows, "next": following})
        if following:
            response["Link"] = f'<{following}>; rel="next"'
        return response

    @extend_schema(responses={(200, "text/html"): OpenApiTypes.STR})
    @action(detail=True)
    def report(self, request: Request, **_: Any) -> Any:
        """The report as one HTML page."""
        response = FileResponse(
            _file(self.get_object(), "report.html").open("rb"), content_type="text/html; charset=utf-8"
        )
        response["Content-Security-Policy"] = _REPORT_POLICY
        return response


def _read(document: Any) -> tuple[BacktestConfig, dict[str, Any]]:
    """The configuration that a request means, and what its row says beside it."""
    if not isinstance(document, dict):
        raise ValidationError("Send an object: a configuration, or the name of one as strategy_config.")
    registry.load(settings.PLUGINS_DIR)
    asked = ByName(data={name: document[name] for name in ByName().fields if name in document})
    asked.is_valid(raise_exception=True)
    about = dict(asked.validated_data)
    rest = {name: value for name, value in document.items() if name not in asked.fields}
    row = about.get("strategy_config")
    if row is None:
        return parse_config(rest), about
    if rest:
        raise ValidationError({name: ["Leave it out where strategy_config is given."] for name in rest})
    return config_of(row), about


def _file(run: Backtest, name: str) -> Any:
    path = run_directory(run) / name
    if path.is_file():
        return path
    if run.state == Run.State.SUCCEEDED:
        raise NotFound(f"{name} of this run is not there" + (" yet." if name == "report.html" else "; run it again."))
    raise Problem(409, f"This run is {run.state}; what it found is there once it has succeeded.")
