"""Runs as the API shows them, whatever their kind, and what every kind of run lets a caller do."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tradingsite.access import may_act
from tradingsite.endpoints import Endpoint, Ordering
from tradingsite.problems import Problem
from tradingsite.runs import Run, cancel, enqueue, retry

ANY_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

STATES = Run.State.choices
LISTED = ("id", "run_id", "state", "origin", "started_by", "created", "started", "finished", "progress", "error")
DETAILS = ("enqueued", "attempts", "worker", "heartbeat", "cancel_requested", "log_tail", "config")


class RunFields(serializers.ModelSerializer):
    """What every run has; for reading alone."""

    started_by: Any = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    run_id = serializers.CharField(read_only=True, help_text="the id that people see on screen and in logs")

    class Meta:
        model: type[Run]
        fields: tuple[str, ...] = LISTED


class RunFilter(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=STATES)
    created_after = filters.IsoDateTimeFilter(field_name="created", lookup_expr="gte")
    created_before = filters.IsoDateTimeFilter(field_name="created", lookup_expr="lt")


class Asked(serializers.Serializer):
    """An answer to a wish: the run that it was made of."""

    id = serializers.UUIDField()
    run_id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)


class RunViews(Endpoint, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """List, follow, cancel and retry one kind of run."""

    detail_serializer: type[serializers.BaseSerializer[Any]]
    filter_backends = (filters.DjangoFilterBackend, Ordering)
    ordering_fields: tuple[str, ...] = ("created", "started", "finished")
    lookup_value_regex = ANY_UUID

    def get_serializer_class(self) -> Any:
        return self.serializer_class if self.action == "list" else self.detail_serializer

    @extend_schema(request=None, responses={202: Asked}, summary="Ask for the end of a run")
    @action(detail=True, methods=["post"], needs=("change",))
    def cancel(self, request: Request, **_: Any) -> Response:
        return asked_to_end(self.get_object())

    @extend_schema(request=None, responses={202: Asked}, summary="Queue a failed or cancelled run again")
    @action(detail=True, methods=["post"], needs=("change",))
    def retry(self, request: Request, **_: Any) -> Response:
        return asked_again(self.get_object())


def asked_to_end(run: Run) -> Response:
    if not cancel(run):
        raise Problem(409, f"The run has ended already: it {_PAST[run.state]}.")
    run.refresh_from_db(fields=["state"])
    return accepted(run)


def asked_again(run: Run) -> Response:
    if not retry(run):
        run.refresh_from_db(fields=["state"])
        raise Problem(409, f"Only a failed or cancelled run can be retried; this one is {run.state}.")
    enqueue(run)
    run.refresh_from_db(fields=["state"])
    return accepted(run)


def accepted(run: Run, view: str = "", key: Any = None) -> Response:
    """202 with the run; `view` and `key` say where it can be followed."""
    headers = {"Location": reverse(view, args=[key])} if view else {}
    data = {"id": str(run.pk), "run_id": run.run_id, "state": run.state}
    return Response(data, status=202, headers=headers)


_PAST = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled"}


def visible(request: Request, models: list[type[Run]], act: str = "view") -> list[type[Run]]:
    """The kinds of runs that the request may act on."""
    return [model for model in models if may_act(request, act, model)]
