"""`Idempotency-Key` on POST: the same request again gets the first one's answer, not a second effect.

The key's row is there before the effect begins, in a transaction of its own, so of two requests at once one waits
outside. The effect and its answer are committed together. So a row without an answer means that nothing happened, and
the next one may take it over once the first can be taken for dead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from tradingsite.models import AnsweredRequest
from tradingsite.problems import Problem

HEADER = "Idempotency-Key"
# No request takes so long: the web server ends its worker before.
ABANDONED = timedelta(minutes=5)
_KEPT_HEADERS = ("Location",)

Handler = Callable[[], Response]


class _Failed(Exception):
    """Rolls back what a handler did whose answer is an error."""

    def __init__(self, response: Response) -> None:
        self.response = response


def answer_once(request: Request, handler: Handler, explain: Callable[[Exception], Response]) -> Response:
    """The handler's answer, or the kept one. `explain` makes an answer of what the handler raised."""
    key = request.headers[HEADER]
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise Problem(400, f"{HEADER} must be 1 to 255 printable characters, such as a UUID.")
    row = _reserve(request, key, _fingerprint(request))
    if row.status is not None:
        return _replay(row)
    try:
        with transaction.atomic():
            try:
                with transaction.atomic():
                    response = handler()
                    if response.status_code >= 400:
                        raise _Failed(response)
            except _Failed as failed:
                response = failed.response
            except Exception as error:  # noqa: BLE001 - made an answer, as outside
                response = explain(error)
            if response.status_code >= 500:
                raise _Failed(response)
            _keep(row, response)
    except _Failed as failed:
        _mine(row).delete()
        return failed.response
    except BaseException:
        _mine(row).delete()
        raise
    return response


def _reserve(request: Request, key: str, fingerprint: str) -> AnsweredRequest:
    """A new row, or the answered one. 422 where the key was used for something else, 409 where it is being answered."""
    user: Any = request.user
    try:
        with transaction.atomic():
            return AnsweredRequest.objects.create(user=user, key=key, fingerprint=fingerprint)
    except IntegrityError:
        held = AnsweredRequest.objects.filter(user=user, key=key).first()
    if held is not None and held.fingerprint != fingerprint:
        raise Problem(422, f"This {HEADER} was used for another request; choose a new one.")
    if held is not None and held.status is not None:
        return held
    now = timezone.now()
    if held is not None and held.created < now - ABANDONED and _mine(held).update(created=now):
        held.created = now
        return held
    raise Problem(409, "The first request with this key is still being answered; ask again.", Retry_After="1")


def _keep(row: AnsweredRequest, response: Response) -> None:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response.headers}
    if response.content_type:
        headers["Content-Type"] = response.content_type
    answer = {"data": json.loads(json.dumps(response.data, cls=JSONEncoder)), "headers": headers}
    if not _mine(row).update(status=response.status_code, answer=answer):
        raise Problem(409, "Another request with this key took over from this one; ask again.", Retry_After="1")


def _replay(row: AnsweredRequest) -> Response:
    answer: Any = row.answer
    headers = dict(answer["headers"])
    content_type = headers.pop("Content-Type", None)
    headers["Idempotent-Replayed"] = "true"
    return Response(answer["data"], status=row.status, headers=headers, content_type=content_type)


def _mine(row: AnsweredRequest) -> Any:
    """The row as long as nobody has taken it over."""
    return AnsweredRequest.objects.filter(pk=row.pk, status__isnull=True, created=row.created)


def _fingerprint(request: Request) -> str:
    """SHA-256 of method, path, query and what was sent; of files, their bytes."""
    digest = hashlib.sha256()
    parts: list[Any] = [request.method, request.get_full_path()]
    data = request.data
    if hasattr(data, "lists"):
        for name, values in sorted(data.lists()):
            parts.append([name, [_of_file(value) if isinstance(value, UploadedFile) else value for value in values]])
    else:
        parts.append(data)
    digest.update(json.dumps(parts, sort_keys=True).encode())
    return digest.hexdigest()


def _of_file(file: UploadedFile) -> list[str]:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    return [str(file.name), digest.hexdigest()]
