"""The registry: which strategies exist, and under which name. Importable without Django.

A strategy comes from the library, from an installed package (entry point group `ibdesk.strategies`) or from a file in
the plugins folder. Rows and configs hold the name; nothing is ever imported because a row says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import extract_tb
from typing import Any, NamedTuple, TypeVar

from domain.errors import BadInput, UnknownName
from domain.strategy import Strategy

ENTRY_POINTS = "ibdesk.strategies"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

S = TypeVar("S", bound=type[Strategy])


class Entry(NamedTuple):
    """A strategy and the file it is written in."""

    strategy: type[Strategy]
    source: str


class Fault(NamedTuple):
    """A source that could not be loaded, and why."""

    source: str
    error: str


_entries: dict[str, Entry] = {}
_clashes: dict[str, str] = {}
_loaded: set[str] = set()


def register(strategy: S) -> S:
    """Class decorator: make a strategy known by its `name`. BadInput where another file has taken the name."""
    name, source = strategy.name, _file_of(strategy)
    if not NAME.fullmatch(name):
        raise BadInput(f"strategy {strategy.__name__}: name {name!r} must be lower-case letters, digits and _")
    if strategy.signals is Strategy.signals and strategy.on_bar is Strategy.on_bar:
        raise BadInput(f"strategy {name} has neither signals() nor on_bar()")
    held = _entries.get(name)
    if held is not None and held.source != source:
        _clashes[name] = f"two strategies are named {name!r}: in {held.source} and in {source}; rename one of them"
        raise BadInput(_clashes[name])
    _entries[name] = Entry(strategy, source)
    return strategy


def load(plugins_dir: Path | None = None) -> list[Fault]:
    """Load what is not loaded yet. Returns the plugins and entry points that failed; the others are there.

    A file is imported once in a process: edit it and start again. What failed is tried again at the next call.
    """
    _clashes.clear()
    library = importlib.import_module("strategies.library")
    for module in pkgutil.iter_modules(library.__path__):
        importlib.import_module(f"strategies.library.{module.name}")
    sources: dict[str, Callable[[], Any]] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda each: (each.name, each.value)):
        sources[f"entry point {point.name} = {point.value}"] = partial(_load_point, point)
    if plugins_dir is not None:
        for path in sorted(plugins_dir.glob("*.py")):
            if not path.name.startswith(("_", "test_", "conftest")):
                sources[str(path.resolve())] = partial(_run_file, path.resolve())
    return [fault for source, action in sources.items() if (fault := _attempt(source, action))]


def get(name: str) -> type[Strategy]:
    """The strategy of that name; UnknownName with a suggestion, BadInput where two sources claim the name."""
    if name in _clashes:
        raise BadInput(_clashes[name])
    if name not in _entries:
        raise UnknownName("strategy", name, _entries)
    return _entries[name].strategy


def entries() -> dict[str, Entry]:
    """What is known, in the order of the names."""
    return dict(sorted(_entries.items()))


def _attempt(source: str, action: Callable[[], Any]) -> Fault | None:
    """Run somebody else's module. Whatever it raises is its fault, and nothing of it stays registered."""
    if source in _loaded:
        return None
    before = dict(_entries)
    try:
        action()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        _entries.clear()
        _entries.update(before)
        return Fault(source, _describe(error, source))
    _loaded.add(source)
    return None


def _load_point(point: EntryPoint) -> None:
    found = point.load()
    if isinstance(found, type) and issubclass(found, Strategy):
        register(found)


def _run_file(path: Path) -> None:
    name = f"ibdesk_plugins.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _describe(error: BaseException, source: str) -> str:
    line = next((frame.lineno for frame in reversed(extract_tb(error.__traceback__)) if frame.filename == source), None)
    if isinstance(error, SyntaxError):
        line = error.lineno
    where = f" (line {line})" if line else ""
    return (str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}") + where


def _file_of(strategy: type[Strategy]) -> str:
    module = sys.modules.get(strategy.__module__)
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if file else strategy.__module__
