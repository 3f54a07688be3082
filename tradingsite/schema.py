"""What the OpenAPI document says of every call: how it fails, and how to ask only once."""

from __future__ import annotations

from typing import Any

_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what happened, and what to do"},
        "errors": {
            "type": "object",
            "description": "by field",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "example": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Some fields are wrong; errors says which.",
        "errors": {"scope": ["It is above your own role; you may give: viewer."]},
    },
}
_FAILURES = {
    "400": "The request cannot be right",
    "401": "Not logged in",
    "403": "Not allowed",
    "404": "Not there",
    "405": "Not offered here",
    "406": "Not in that form",
    "409": "Not in the state that it is in",
    "413": "Too large",
    "415": "Not a form that is read here",
    "422": "The Idempotency-Key was used for another request",
    "429": "Too often",
    "503": "A database or a store does not answer; try again",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text of your own: the same request with the same key again gets the same answer, and no second"
    " effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "0f1c1d9e-6e6a-4e5e-9a41-0e7c8f4b2d11",
}


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: every call may fail, and every POST takes an Idempotency-Key."""
    result["components"]["schemas"]["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in result["paths"].values():
        for method, call in path.items():
            for status, description in _FAILURES.items():
                if status != "422" or method == "post":
                    call["responses"].setdefault(status, {"description": description, "content": content})
            if method == "post":
                call.setdefault("parameters", []).append(_KEY)
    return result
