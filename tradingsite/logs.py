"""Log lines: text for people or JSON for machines, with what is being worked on, and without secrets.

The code logs through `logging` as every Django package does; structlog formats it and carries what is bound. Settings
import this module, so structlog itself is imported with the first line.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

from tradingsite.scrubbing import scrub

Style = Literal["text", "json"]
LEVELS = ("debug", "info", "warning", "error", "critical")
STYLES = ("text", "json")

Line = MutableMapping[str, Any]


def logging_config(style: str, level: str = "") -> dict[str, Any]:
    """What settings.LOGGING holds: one handler for all, on standard error.

    Without a level it is for people at a terminal: warnings, and nothing of what a run's own log says anyway.
    """
    loggers: dict[str, Any] = {name: {"handlers": [], "propagate": True} for name in ("django", "django.server")}
    loggers["axes.apps"] = {"level": "WARNING"}  # it greets at every start
    if not level:
        loggers["strategies.backtests"] = {"level": "CRITICAL"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"ours": {"()": "tradingsite.logs.Formatter", "style": style}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
        "root": {"handlers": ["stderr"], "level": (level or "warning").upper()},
        "loggers": loggers,  # Django's own handlers make way
    }


@contextmanager
def bound(**tags: Any) -> Iterator[None]:
    """Every line of this thread inside the block carries the tags."""
    from structlog.contextvars import bound_contextvars

    with bound_contextvars(**{name: value for name, value in tags.items() if value}):
        yield


def bind(**tags: Any) -> None:
    """As `bound`, until the block around it ends."""
    from structlog.contextvars import bind_contextvars

    bind_contextvars(**tags)


class Formatter(logging.Formatter):
    def __init__(self, style: Style = "text") -> None:
        super().__init__()
        self._form: Style = style
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._inner is None:
            self._inner = _structlog_formatter(self._form)
        return self._inner.format(_readable(record))


def _readable(record: logging.LogRecord) -> logging.LogRecord:
    """The record, or where its arguments do not fit its text, one that shows both: `logging` would print them itself,
    with all that is in them."""
    try:
        record.getMessage()
    except (TypeError, ValueError, KeyError):
        record = copy.copy(record)
        record.msg, record.args = f"{record.msg} {record.args!r}", None
    return record


def _structlog_formatter(style: Style) -> logging.Formatter:
    import structlog

    stdlib, processors = structlog.stdlib, structlog.processors
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            stdlib.add_log_level,
            stdlib.add_logger_name,
            processors.TimeStamper(fmt="iso", utc=True, key="time"),
        ],
        processors=[
            stdlib.ProcessorFormatter.remove_processors_meta,
            processors.StackInfoRenderer(),
            # Text of the traceback, never the values of its variables.
            processors.format_exc_info,
            _without_secrets,
            processors.JSONRenderer(ensure_ascii=False, sort_keys=False) if style == "json" else _as_text,
        ],
    )


def _without_secrets(logger: Any, method: str, line: Line) -> Line:
    clean: Line = scrub(dict(line))
    return clean


def _as_text(logger: Any, method: str, line: Line) -> str:
    """`time level logger: event name=value …`, one line; a traceback follows on lines of its own."""
    traceback = "\n".join(str(line.pop(name)) for name in ("exception", "stack") if line.get(name))
    head = f"{line.pop('time')} {line.pop('level'):<8} {line.pop('logger')}: {line.pop('event')}"
    tags = " ".join(f"{name}={value}" for name, value in line.items())
    text = _one_line(f"{head} {tags}".rstrip())
    return f"{text}\n{traceback}" if traceback else text


def _one_line(text: str) -> str:
    """Nobody writes a line of their own by a line break, or moves a terminal's cursor, in what they send."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
