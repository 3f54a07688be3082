"""Secrets taken out of text before it reaches a log, a row or a page. Importable without Django and cheap to import."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
# A known value shorter than this would be found in words that are no secret.
_SHORTEST_VALUE = 8

_NAMES = (
    r"passw(?:or)?d|passphrase|secret|token|authorization|cookie|session_?id|credential|"
    r"api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|otp|recovery[_-]?code"
)
_SECRET_NAME = re.compile(rf"(?i){_NAMES}|(?:^|[_-])key$")
# Names that end in "key" and say what a row is about.
_OPEN_NAMES = frozenset({"effect_key", "intent_key", "token_key"})

_NAMED = rf"[\w-]*(?:{_NAMES})[\w-]*['\"]?\s*[=:]\s*"
_PATTERNS = (
    # Cookie: a=b; c=d — the whole header
    (re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s*[:=]\s*)[^\r\n]+"), rf"\1{MASK}"),
    # Authorization: Token abc, and the bare "Bearer abc"
    (re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?)(?:[a-z]+\s+)?[^\s'\",]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"\b([Tt]oken)\s+(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}"), rf"\1 {MASK}"),
    # scheme://user:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@'\"]*):[^\s/@'\"]+@"), rf"\1:{MASK}@"),
    # password=…, "api_key": "…", ?token=…
    (re.compile(rf"(?i)([\w-]*(?:{_NAMES})[\w-]*['\"]?\s*[=:]\s*)(['\"])(?:(?!\2).)*\2"), rf"\1\2{MASK}\2"),
    (
        re.compile(rf"(?i)([\w-]*(?:{_NAMES})[\w-]*['\"]?\s*[=:]\s*)(?!{re.escape(MASK)})[^\s'\"&,;)}}\]]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)([?&]key=)[^\s&'\"]+"), rf"\1{MASK}"),
)


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is a secret, whatever its value is."""
    return name not in _OPEN_NAMES and _SECRET_NAME.search(name) is not None


def scrub_text(text: str) -> str:
    for value in _values():
        if value in text:
            text = text.replace(value, MASK)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def scrub(value: Any) -> Any:
    """The same value without secrets: in texts, under names that mean a secret, and inside mappings and lists."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, Mapping):
        return {
            name: MASK if isinstance(name, str) and is_secret_name(name) and each else scrub(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return scrub_text(str(value))


def _values() -> tuple[str, ...]:
    from django.conf import settings

    return _known_values() if settings.configured else _longest_first(_environment_values())


@cache
def _known_values() -> tuple[str, ...]:
    from django.conf import settings

    found = _environment_values() | {str(settings.SECRET_KEY), str(getattr(settings, "METRICS_TOKEN", ""))}
    found |= {str(database.get("PASSWORD", "")) for database in settings.DATABASES.values()}
    found |= _passwords_of(str(settings.CELERY_BROKER_URL))
    return _longest_first(found)


def _environment_values() -> set[str]:
    """What the environment holds under a secret's name, and the password of each address in it."""
    found = set()
    for name, value in os.environ.items():
        if is_secret_name(name) and not name.endswith("_FILE"):
            found.add(value)
        if "://" in value:
            found |= _passwords_of(value)
    return found


def _passwords_of(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:  # no address after all
        return set()
    return {password, unquote(password)}


def _longest_first(values: set[str]) -> tuple[str, ...]:
    spelled = values | {quote(value, safe="") for value in values}
    return tuple(sorted((each for each in spelled if len(each) >= _SHORTEST_VALUE), key=len, reverse=True))
