"""What every view of the API is: strict in what it reads, answered once, throttled, paged."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.paginator import Page, Paginator
from django.db import models, transaction
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, Throttled, ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tradingsite.access import StrangerThrottle
from tradingsite.history import address_of, recording
from tradingsite.idempotency import HEADER, answer_once
from tradingsite.models import ConfigChange
from tradingsite.problems import CONTENT_TYPE, Problem, as_fields
from tradingsite.strictjson import MAX_INTEGER, check_text


class Endpoint:
    """Mixed into every view, before REST framework's class."""

    needs: tuple[str, ...] | None = None
    """Permissions; None: by the method. See `access.Permitted`."""
    heavy: frozenset[str] = frozenset()
    """Actions or methods that count as heavy."""
    max_body = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isascii() or not length.isdigit() or int(length) > self.max_body:
            raise Problem(413, f"The request is larger than the {self.max_body >> 20} MiB that this address takes.")
        for name, values in request.query_params.lists():
            for text in (name, *values):
                check_text(text)
        if request.method == "POST" and HEADER in request.headers:
            handler = getattr(self, "post", self.http_method_not_allowed)  # type: ignore[attr-defined]
            once = partial(_once, request, handler, self.handle_exception)
            setattr(self, "post", once)  # noqa: B010

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(response, "content_type", None) == CONTENT_TYPE:  # whatever else the view renders
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), CONTENT_TYPE
        return super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]

    def handle_exception(self, error: Exception) -> Response:
        if isinstance(error, NotAuthenticated | AuthenticationFailed):
            throttle, view = StrangerThrottle(), cast(APIView, self)
            if not throttle.allow_request(view.request, view):
                error = Throttled(throttle.wait())
        response: Response = super().handle_exception(error)  # type: ignore[misc]
        return response


def _once(request: Request, handler: Any, explain: Any, *args: Any, **kwargs: Any) -> Response:
    return answer_once(request, lambda: handler(*args, **kwargs), explain)


# ---- reading -----------------------------------------------------------------------------------------------------


class Strict(serializers.Serializer):
    """Refuses fields that it does not know, and those that only the machine writes."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            fields = self.fields
            unknown = {name: ["There is no such field."] for name in data if name not in fields}
            fixed = {name: ["This field is read-only."] for name in data if name in fields and fields[name].read_only}
            if unknown or fixed:
                raise ValidationError(unknown | fixed)
            for text in (value for value in data.values() if isinstance(value, str)):
                check_text(text)
        return super().to_internal_value(data)


class StrictRow(Strict, serializers.ModelSerializer):
    """A row's fields, checked by the model's own rules and constraints before anything is written."""

    asked: Any
    """The row as it would be; there once the fields were checked."""

    def run_validators(self, value: Any) -> None:
        """The model's constraints are asked in `validate`, with the row as it would be."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        model: Any = self.Meta.model
        row = model() if self.instance is None else model.objects.get(pk=self.instance.pk)
        columns = {field.name for field in model._meta.concrete_fields}
        for name, value in attrs.items():
            if name in columns:
                setattr(row, name, value)
        self.check(row)
        self.asked = row
        try:
            row.full_clean()
        except DjangoValidationError as error:
            raise ValidationError(as_fields(error)) from error
        return attrs

    def check(self, row: Any) -> None:
        """What a kind of row asks beside its model's rules; BadInput or ValidationError says what is wrong."""

    def save(self, **fields: Any) -> Any:
        with transaction.atomic():
            return super().save(**fields)


# ---- writing -----------------------------------------------------------------------------------------------------


class Configuration(Endpoint):
    """Rows that people configure: what a request changes of them is kept in the history, with it or not at all."""

    request: Any

    def perform_create(self, serializer: Any) -> None:
        with recording(serializer.asked, **self._about()) as touched:
            touched.append(serializer.save())

    def perform_update(self, serializer: Any) -> None:
        with recording(serializer.instance, serializer.asked, **self._about()) as touched:
            touched.append(serializer.save())

    def perform_destroy(self, instance: models.Model) -> None:
        with recording(instance, **self._about()):
            instance.delete()

    def _about(self) -> dict[str, Any]:
        return {"actor": self.request.user, "source": ConfigChange.Source.API, "address": address_of(self.request)}


# ---- listing -----------------------------------------------------------------------------------------------------


class _ByKeys(Paginator):
    """Finds the keys of a page first and then its rows, so that no row that is passed over is read or joined."""

    def page(self, number: Any) -> Page[Any]:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows = cast("QuerySet[Any]", self.object_list)
        keys = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
        found = {row.pk: row for row in rows.order_by().filter(pk__in=keys)}
        return Page([found[key] for key in keys if key in found], number, self)


class Pages(PageNumberPagination):
    django_paginator_class = _ByKeys
    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"


class Ordering(OrderingFilter):
    """Refuses what it cannot order by, and ends with the key, so that no row is on two pages."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> list[str]:
        asked = [name.strip() for name in request.query_params.get(self.ordering_param, "").split(",") if name.strip()]
        known = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        unknown = [name for name in asked if name.removeprefix("-") not in known]
        if unknown:
            raise ValidationError({self.ordering_param: [f"{unknown[0][:80]!r} is not one of {', '.join(known)}."]})
        chosen = asked or [str(name) for name in queryset.query.get_meta().ordering or ()]
        return [*chosen, "-pk" if chosen and chosen[0].startswith("-") else "pk"]


class IdFilter(filters.NumberFilter):
    """A number of a row, within what a database keeps."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=MAX_INTEGER, **kwargs)


# ---- query parameters --------------------------------------------------------------------------------------------


def whole_number(request: Request, name: str, default: int, most: int, least: int = 1) -> int:
    """A query parameter between `least` and `most`; ValidationError where it is not."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValidationError({name: [f"It must be a whole number from {least} to {most}."]})
    return int(text)


def one_of(request: Request, name: str, default: str, known: Iterable[str]) -> str:
    """A query parameter that is one of a few words."""
    text, words = request.query_params.get(name, default), [str(word) for word in known]
    if text not in words:
        raise ValidationError({name: [f"{text[:80]!r} is not one of {', '.join(words)}."]})
    return text
