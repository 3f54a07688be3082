"""Reports and alerts in the REST API."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from reports.models import Alert, Report
from reports.services import queue_report
from strategies.models import Backtest
from tradingsite.endpoints import Endpoint, Ordering, Strict
from tradingsite.problems import Problem
from tradingsite.runs import Run, enqueue
from tradingsite.runviews import DETAILS, LISTED, Asked, RunFields, RunFilter, RunViews, accepted

LEVELS = Alert.Level.choices


class ReportFields(RunFields):
    backtest = serializers.CharField(source="backtest.directory", read_only=True, help_text="its run id")

    class Meta:
        model = Report
        fields = (*LISTED, "backtest")


class ReportDetail(ReportFields):
    class Meta:
        model = Report
        fields = (*ReportFields.Meta.fields, *DETAILS)


class NewReport(Strict):
    backtest = serializers.SlugRelatedField(
        slug_field="directory", queryset=Backtest.objects.all(), help_text="run id of a backtest that succeeded"
    )


class ReportFilter(RunFilter):
    backtest = filters.CharFilter(field_name="backtest__directory", max_length=64)


class Reports(RunViews):
    """The making of reports. The report itself: /backtests/{run_id}/report."""

    queryset = Report.objects.select_related("started_by", "backtest")
    serializer_class = ReportFields
    detail_serializer = ReportDetail
    filterset_class = ReportFilter

    @extend_schema(
        request=NewReport,
        responses={202: OpenApiResponse(Asked, "queued; Location says where to follow it")},
        examples=[OpenApiExample("of a run", {"backtest": "spy-crossover-1"}, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        asked = NewReport(data=request.data)
        asked.is_valid(raise_exception=True)
        backtest = asked.validated_data["backtest"]
        if backtest.state != Run.State.SUCCEEDED:
            raise Problem(409, f"The backtest is {backtest.state}; a report needs one that has succeeded.")
        with transaction.atomic():
            run = queue_report(backtest, origin=Run.Origin.API, started_by=request.user)
            enqueue(run)
        return accepted(run, "api-reports-detail", run.pk)


class AlertFields(serializers.ModelSerializer):
    seen_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Alert
        fields = ("id", "level", "subject", "text", "created", "seen", "seen_by")


class AlertFilter(filters.FilterSet):
    level = filters.MultipleChoiceFilter(choices=LEVELS)
    open = filters.BooleanFilter(field_name="seen", lookup_expr="isnull", help_text="those that nobody has seen")


class Alerts(Endpoint, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What a person should know."""

    queryset = Alert.objects.select_related("seen_by")
    serializer_class = AlertFields
    filterset_class = AlertFilter
    filter_backends = (filters.DjangoFilterBackend, Ordering)
    ordering_fields = ("created", "id")
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=None, responses=AlertFields, summary="Say that you have seen it")
    @action(detail=True, methods=["post"], needs=("change",))
    def seen(self, request: Request, **_: Any) -> Response:
        alert = self.get_object()
        # The first who saw it stays.
        Alert.objects.filter(pk=alert.pk, seen__isnull=True).update(seen=timezone.now(), seen_by=request.user)
        return Response(AlertFields(self.get_object()).data)


VIEWSETS: dict[str, Any] = {"reports": Reports, "alerts": Alerts}
