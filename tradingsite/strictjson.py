"""JSON and texts that come in: what no row and no canonical document can hold is refused before anything reads it."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
# Characters that turn the order of text around: what is read is not what is there.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def check_text(text: str) -> None:
    """ParseError for what no text of ours holds: NUL, half of a surrogate pair, characters that reverse the order."""
    if text.isascii():
        if "\0" in text:
            raise ParseError("A text holds a NUL character.")
        return
    for character in text:
        if character == "\0" or character in _BIDI or unicodedata.category(character) == "Cs":
            raise ParseError(f"A text holds U+{ord(character):04X}, which is not allowed.")


def check_document(value: Any, depth: int = 0) -> None:
    """ParseError for values that a database or a canonical JSON document cannot hold, anywhere inside."""
    if depth > MAX_DEPTH:
        raise ParseError(f"The document is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ParseError("A number is too large.")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ParseError("A number is too large; the largest is 2^63 - 1.")
    elif isinstance(value, dict):
        for name, inner in value.items():
            check_text(name)
            check_document(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_document(inner, depth + 1)


class StrictJson(BaseParser):
    """JSON without NaN, doubled names, and what `check_document` refuses."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            value = json.loads(
                stream.read().decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_without_doubles
            )
        except RecursionError:
            raise ParseError(f"The document is nested deeper than {MAX_DEPTH} levels.") from None
        except ValueError as error:
            raise ParseError(f"The body is no JSON: {str(error)[:200]}") from error
        check_document(value)
        return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
