"""Scenario: what happens when, read from a YAML file.

    seed: 7
    steps:
      - at: "10:15"            # HH:MM[:SS] in New York, YYYY-MM-DD HH:MM[:SS], or +seconds from the start
        do: stall
        seconds: 30
      - message: 40            # with the 40th message that the simulator sends
        do: rst
      - request: placeOrder    # when the nth request of a kind has been taken, before it is acted on
        nth: 2
        do: swallow
        type: orderStatus

Each step happens once, or `times` times for requests. Arguments of the verb stand beside it, or in a mapping `with`,
which those need that are named like a key of the step: `with: {request: placeOrder, nth: 2}` of `drop`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import yaml

from domain.errors import BadInput, UnknownName
from gateway.simulator.faults import VERBS, bind
from gateway.simulator.request_names import request_name
from gateway.simulator.settings import SWITCHES

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

MOST_BYTES = 200_000
_DEEPEST = 10
MOST_STEPS = 10_000
_NEW_YORK = ZoneInfo("America/New_York")
_TOP = ("seed", "steps", "settings")
_WHEN = ("at", "message", "request")
_STEP = (*_WHEN, "nth", "times", "do", "with")
_TIME = re.compile(r"(?:(\d{4}-\d{2}-\d{2})[ T])?(\d{1,2}):(\d{2})(?::(\d{2}))?")
_AFTER = re.compile(r"\+(\d{1,9}(?:\.\d{1,9})?)")


class ScenarioError(BadInput):
    """The file cannot be right; the message names file, line and key."""


@dataclass(slots=True)
class Step:
    """`at` is a text as given; exactly one of `at`, `message` and `request` is set."""

    line: int
    do: str
    act: Callable[[Simulator], None]
    arguments: dict[str, object]
    at: str = ""
    message: int = 0
    request: str = ""
    nth: int = 1
    times: int = 1


class Scenario(NamedTuple):
    path: str
    seed: int | None
    settings: dict[str, object]
    steps: tuple[Step, ...]


def load_scenario(path: str | Path) -> Scenario:
    """Raises ScenarioError, for a file that is not there too."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from error
    return parse_scenario(data, str(path))


def parse_scenario(data: bytes, path: str = "scenario") -> Scenario:
    if len(data) > MOST_BYTES:
        raise ScenarioError(f"{path}: {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    try:
        # Nested a hundred thousand deep, it would take minutes.
        depth = 0
        for event in yaml.parse(data, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ScenarioError(f"{path}:{_line(event)}: an alias (*name); write it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ScenarioError(f"{path}:{_line(event)}: nested more than {_DEEPEST} deep")
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ScenarioError(f"{path}{line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: not YAML: {error}") from error
    return _Reader(path).read(root)


@dataclass
class _Reader:
    path: str
    loader: yaml.SafeLoader = field(default_factory=lambda: yaml.SafeLoader(""))

    def read(self, root: yaml.Node | None) -> Scenario:
        if root is None:
            raise ScenarioError(f"{self.path}: empty; expected a mapping with steps")
        top = self._mapping(root, "the file")
        for key, (line, _) in top.items():
            if key not in _TOP:
                raise self._error(line, _unknown("key", key, _TOP))
        seed = self._value(top["seed"][1]) if "seed" in top else None
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise self._error(top["seed"][0], f"seed is {seed!r}; expected a whole number")
        return Scenario(self.path, seed, self._settings(top), tuple(self._steps(top)))

    def _settings(self, top: dict[str, tuple[int, yaml.Node]]) -> dict[str, object]:
        if "settings" not in top:
            return {}
        given = self._mapping(top["settings"][1], "settings")
        for key, (line, _) in given.items():
            if key not in SWITCHES:
                raise self._error(line, _unknown("setting", key, SWITCHES))
        return {key: self._value(node) for key, (_, node) in given.items()}

    def _steps(self, top: dict[str, tuple[int, yaml.Node]]) -> list[Step]:
        if "steps" not in top:
            return []
        line, node = top["steps"]
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(line, "steps is not a list")
        if len(node.value) > MOST_STEPS:
            raise self._error(line, f"{len(node.value):,} steps; at most {MOST_STEPS:,}")
        return [self._step(each) for each in node.value]

    def _step(self, node: yaml.Node) -> Step:
        keys = self._mapping(node, "a step")
        start = node.start_mark.line + 1
        if "do" not in keys:
            wrong = next((key for key in keys if key in VERBS), None)
            hint = f"; write `do: {wrong}`" if wrong else ""
            raise self._error(start, f"a step without `do`{hint}")
        line, verb_node = keys["do"]
        do = self._value(verb_node)
        if not isinstance(do, str) or do not in VERBS:
            raise self._error(line, _unknown("verb", str(do), VERBS))
        when = [key for key in _WHEN if key in keys]
        if len(when) != 1:
            raise self._error(start, f"{do}: say when by one of at, message, request; {len(when)} are given")
        for key, (key_line, _) in keys.items():
            if key not in _STEP and key not in VERBS[do].parameters:
                raise self._error(key_line, f"{do}: " + _unknown("key", key, (*_STEP, *VERBS[do].parameters)))
        given = {key: value for key, value in keys.items() if key not in _STEP}
        if "with" in keys:
            within = self._mapping(keys["with"][1], "with")
            for key, (key_line, _) in within.items():
                if key not in VERBS[do].parameters:
                    raise self._error(key_line, f"{do}: " + _unknown("key", key, VERBS[do].parameters))
            given |= within
        arguments = {key: self._value(value) for key, (_, value) in given.items()}
        try:
            act = bind(do, arguments)
        except BadInput as error:
            named = next((key for key in arguments if f" {key} is " in str(error)), None)
            raise self._error(given[named][0] if named else line, str(error)) from error
        step = Step(start, do, act, arguments)
        self._set_when(step, keys)
        return step

    def _set_when(self, step: Step, keys: dict[str, tuple[int, yaml.Node]]) -> None:
        for key in ("message", "nth", "times"):
            if key in keys:
                number = self._value(keys[key][1])
                if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                    raise self._error(keys[key][0], f"{key} is {number!r}; expected a whole number from 1")
                setattr(step, key, number)
        if "request" in keys:
            given = self._value(keys["request"][1])
            try:
                step.request = request_name(str(given))
            except UnknownName as error:
                raise self._error(keys["request"][0], str(error)) from error
        if "at" in keys:
            # As written: YAML reads an unquoted 10:15 as 615 minutes.
            node = keys["at"][1]
            text = node.value if isinstance(node, yaml.ScalarNode) else ""
            if not _TIME.fullmatch(text) and not _AFTER.fullmatch(text):
                raise self._error(
                    keys["at"][0], f"at is {text!r}; expected HH:MM[:SS], YYYY-MM-DD HH:MM[:SS] or +seconds"
                )
            try:
                moment_of(text, 0)
            except ValueError as error:
                raise self._error(keys["at"][0], f"at is {text!r}: {error}") from error
            step.at = text

    def _mapping(self, node: yaml.Node, what: str) -> dict[str, tuple[int, yaml.Node]]:
        """Each key with its line and its value's node."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node.start_mark.line + 1, f"{what} is not a mapping")
        found: dict[str, tuple[int, yaml.Node]] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value)
            if key in found:
                raise self._error(line, f"{key!r} is given twice")
            found[key] = (line, value)
        return found

    def _value(self, node: yaml.Node) -> object:
        try:
            value: object = self.loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self._error(node.start_mark.line + 1, f"not a value: {error}") from error
        return value

    def _error(self, line: int, text: str) -> ScenarioError:
        return ScenarioError(f"{self.path}:{line}: {text}")


def moment_of(text: str, start_ns: int) -> int:
    """The exchange time that `at` means in a run that starts at `start_ns`: a time of day is the first at or after it.
    ValueError for a day or an hour that does not exist."""
    after = _AFTER.fullmatch(text)
    if after:
        return start_ns + round(float(after[1]) * 1e9)
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("not a time")
    day, hour, minute, second = found.groups()
    start = datetime.fromtimestamp(start_ns // 1_000_000_000, _NEW_YORK)
    date = datetime.fromisoformat(day).date() if day else start.date()
    clock = {"hour": int(hour), "minute": int(minute), "second": int(second or 0)}
    moment = datetime(date.year, date.month, date.day, **clock, tzinfo=_NEW_YORK)
    if not day and round(moment.timestamp()) * 1_000_000_000 < start_ns:
        moment += timedelta(days=1)
    return round(moment.timestamp()) * 1_000_000_000


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return str(UnknownName(kind, name, known))


class Player:
    """Plays a scenario's steps against a simulator."""

    def __init__(self, scenario: Scenario, simulator: Simulator) -> None:
        self._simulator = simulator
        start_ns = simulator.clock.now_ns()
        timed = [(moment_of(step.at, start_ns), step) for step in scenario.steps if step.at]
        self._timed = sorted(timed, key=lambda each: each[0])
        self._by_message = sorted((step for step in scenario.steps if step.message), key=lambda step: step.message)
        self._by_request = [step for step in scenario.steps if step.request]
        self._requests: dict[str, int] = {}

    def next_ns(self) -> int | None:
        return self._timed[0][0] if self._timed else None

    def time_passed(self, now_ns: int) -> None:
        while self._timed and self._timed[0][0] <= now_ns:
            self._play(self._timed.pop(0)[1])

    def messages_sent(self, total: int) -> None:
        while self._by_message and self._by_message[0].message <= total:
            self._play(self._by_message.pop(0))

    def requested(self, name: str) -> None:
        if not self._by_request:
            return
        seen = self._requests[name] = self._requests.get(name, 0) + 1
        for step in self._by_request:
            if step.request == name and step.nth <= seen < step.nth + step.times:
                self._play(step)

    def _play(self, step: Step) -> None:
        self._simulator.faults.do(step.do, step.arguments)


__all__ = ["Player", "Scenario", "ScenarioError", "Step", "load_scenario", "moment_of", "parse_scenario"]
