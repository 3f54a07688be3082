"""Values as one line of text, and back, without loss.

A text stands as it is, unless that would read as something else (empty, blanks at its ends, a comma in a list, marks
that nobody sees): then in double quotes, as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from domain.errors import BadInput

_WHOLE = re.compile(r"[-+]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_ITEM = re.compile(r'\s*+("(?:[^"\\]|\\.)*"|[^",\s][^,]*|)\s*(?:,|\Z)')
_MAX_DIGITS = 4_000


def read_text(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def show_text(value: str) -> str:
    is_plain = value and value.isprintable() and value == value.strip() and read_text(value) == value
    return value if is_plain else json.dumps(value, ensure_ascii=not value.isprintable())


def show_plain(value: Any) -> str:
    """A JSON value that is no text."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return value if isinstance(value, str) else json.dumps(value)


def read_list(text: str) -> list[str]:
    """The items between commas; `[]` is the empty list."""
    if text.strip() == "[]":
        return []
    items, at = [], 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            raise BadInput(f'cannot be read from {text[at : at + 20]!r} on; put a text with " or , into double quotes')
        if found[1].strip():
            items.append(read_text(found[1].strip()))
        at = found.end()
    return items


def show_list(values: Iterable[Any]) -> str:
    return ", ".join(_item(value) for value in values) or "[]"


def _item(value: Any) -> str:
    if isinstance(value, str):
        shown = show_text(value)
        return json.dumps(value, ensure_ascii=False) if shown == value and ("," in value or value[0] in '"[') else shown
    return show_plain(value)


def read_number(text: str, types: Collection[Any]) -> Any:
    """A number, where the text is plainly one of these types; else the text, for the model to judge."""
    if int in types and _WHOLE.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text)
    if float in types and _NUMBER.fullmatch(text):
        return float(text)
    return text
