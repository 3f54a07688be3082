"""What went wrong with a request to the API, as RFC 9457 problem details.

`domain.errors.BadInput` is the caller's to mend: 400. Apps add their own errors with `answer_with`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import set_rollback

from domain.errors import BadInput

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 5

log = logging.getLogger(__name__)


class Problem(APIException):
    """An answer that is an error: its status, and a sentence that says what to do."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


_answers: dict[type[Exception], tuple[int, str]] = {
    BadInput: (400, ""),
    RequestDataTooBig: (413, "The request is larger than this address takes."),
    SuspiciousOperation: (400, "The request cannot be read."),
    PermissionDenied: (403, ""),
    ProtectedError: (409, "Other rows need this one; change or delete them first."),
    RestrictedError: (409, "Other rows need this one; change or delete them first."),
    IntegrityError: (409, "Another row stands in the way, or was faster; read again what is there."),
    DataError: (400, "A value is larger or longer than can be kept."),
    OperationalError: (503, "The database does not answer; try again."),
    InterfaceError: (503, "The database does not answer; try again."),
}


def answer_with(error: type[Exception], status: int, detail: str = "") -> None:
    """Answer this kind of error with a status; `detail` empty means the error's own words."""
    _answers[error] = (status, detail)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """REST framework's exception handler. What nobody expected is logged and told to the caller as 500 alone."""
    set_rollback()
    if isinstance(error, Http404):
        return problem(404, str(error) or "There is nothing here by this name.")
    if isinstance(error, DjangoValidationError):
        error = ValidationError(as_fields(error))
    if isinstance(error, APIException):
        return _of_api(error)
    for kind in type(error).__mro__:
        if kind in _answers:
            status, detail = _answers[kind]
            if status >= 500:
                log.warning("%s %s: %s", context["request"].method, context["request"].path, error)
            return problem(status, detail or str(error) or HTTPStatus(status).description)
    log.error("%s %s failed", context["request"].method, context["request"].path, exc_info=error)
    return problem(500, "The server failed at this request. Its log says why.")


def problem(status: int, detail: str, errors: dict[str, list[str]] | None = None) -> Response:
    """`errors` maps a field (dotted where it is inside another) to sentences."""
    data: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        data["errors"] = errors
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Response(data, status=status, content_type=CONTENT_TYPE, headers=headers)


def as_fields(error: DjangoValidationError) -> dict[str, list[str]]:
    """A model's validation error by field; what belongs to none stands under `non_field_errors`."""
    if not hasattr(error, "error_dict"):
        return {"non_field_errors": error.messages}
    return {("non_field_errors" if name == "__all__" else name): texts for name, texts in error.message_dict.items()}


def _of_api(error: APIException) -> Response:
    if isinstance(error, ValidationError):
        errors = dict(_flat(error.detail))
        whole = errors.get("non_field_errors", [])
        detail = " ".join(whole) if len(errors) == 1 and whole else "Some fields are wrong; errors says which."
        response = problem(error.status_code, detail, errors)
    else:
        response = problem(error.status_code, str(error.detail))
    for name, value in getattr(error, "headers", {}).items():
        response[name] = value
    auth_header, wait = getattr(error, "auth_header", None), getattr(error, "wait", None)
    if auth_header:
        response["WWW-Authenticate"] = auth_header
    if wait:
        response["Retry-After"] = str(int(wait) + 1)
    return response


def _flat(detail: Any, place: str = "") -> Iterator[tuple[str, list[str]]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flat(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(detail, list) and any(isinstance(each, dict | list) for each in detail):
        for index, inner in enumerate(detail):
            if inner:
                yield from _flat(inner, f"{place}.{index}" if place else str(index))
    else:
        yield place or "non_field_errors", [str(each) for each in (detail if isinstance(detail, list) else [detail])]
