"""Faults: what is wrong with the simulated gateway just now, and the verbs that make it so.

A verb is a function `(simulator, …) -> None` registered by `@verb`; scenario files, the control port and Python
(`simulator.faults.stall(30)`) reach it through one table, with one check of its arguments. What chance decides comes
from the seed.
"""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np

from domain.errors import BadInput, UnknownName
from gateway.simulator.outlet import DropRule, Ending, MessageRule

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

log = logging.getLogger(__name__)

FOREVER = float("inf")


class Verb(NamedTuple):
    name: str
    run: Callable[..., None]
    parameters: Mapping[str, inspect.Parameter]
    types: Mapping[str, Any]
    help: str


VERBS: dict[str, Verb] = {}


def verb(run: Callable[..., None]) -> Callable[..., None]:
    """Register a verb under its function's name, a trailing underscore left out."""
    name = run.__name__.rstrip("_")
    parameters = dict(list(inspect.signature(run).parameters.items())[1:])
    VERBS[name] = Verb(name, run, parameters, {}, inspect.getdoc(run) or "")
    return run


def bind(name: str, arguments: Mapping[str, object]) -> Callable[[Simulator], None]:
    """The verb with its arguments, checked; UnknownName and BadInput say what is wrong with them."""
    known = VERBS.get(name)
    if known is None:
        raise UnknownName("verb", name, VERBS)
    types = get_type_hints(known.run, localns={"Simulator": object})
    taken: dict[str, object] = {}
    for key, value in arguments.items():
        if key not in known.parameters:
            if not known.parameters:
                raise BadInput(f"{name} takes no {key!r}: it takes nothing")
            raise UnknownName(f"argument of {name}", key, known.parameters)
        taken[key] = _checked(name, key, value, types[key])
    for key, parameter in known.parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in taken:
            raise BadInput(f"{name} needs {key!r}")
    return lambda simulator: known.run(simulator, **taken)


def _checked(name: str, key: str, value: object, wanted: Any) -> object:
    """`value` as the parameter's type wants it: a whole number serves as a float, nothing else is converted."""
    choices = wanted.__args__ if hasattr(wanted, "__args__") and not hasattr(wanted, "__origin__") else (wanted,)
    for kind in choices:
        plain = getattr(kind, "__origin__", kind)
        if plain is float and isinstance(value, int | float) and not isinstance(value, bool):
            if value != value or (value < 0 and key in ("seconds", "ms", "gap_ms", "count")):
                break
            return float(value)
        if plain is int and isinstance(value, bool):
            continue
        if plain is object or isinstance(value, plain):
            return value
    words = " or ".join(_WORDS.get(getattr(kind, "__origin__", kind), str(kind)) for kind in choices)
    raise BadInput(f"{name}: {key} is {value!r}; expected {words}")


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "nothing",
}


@dataclass(slots=True)
class RequestRule:
    """Act on the next `left` requests of a kind (a request's class name; "" any) of a client id (None: any), after
    letting `skip` of them pass: `err` answers an error in its place, `ignore` loses it, `drop` ends the connection
    before it is acted on, `drop_after` afterwards, before any answer leaves."""

    act: str
    request: str
    left: int
    client: int | None
    skip: int = 0
    code: int = 0
    text: str = ""
    ending: Ending = Ending.CLOSE

    def takes(self, request: str, client: int) -> bool:
        if self.left <= 0 or self.request not in ("", request) or self.client not in (None, client):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left -= 1
        return True


@dataclass
class Faults:
    """The state that the verbs set. Times are real (monotonic) seconds.

    `simulator.faults.<verb>(…)` does a verb, from any thread; `log` keeps what was done, as (exchange time, verb,
    arguments), so that a run can be written down as a scenario.
    """

    simulator: Simulator
    random: np.random.Generator
    monotonic: Callable[[], float]

    message_rules: list[MessageRule] = field(default_factory=list)
    drop_rules: list[DropRule] = field(default_factory=list)
    request_rules: list[RequestRule] = field(default_factory=list)
    latency: float = 0.0
    slice_bytes: int = 0
    slice_gap: float = 0.0
    stalls: dict[int | None, float] = field(default_factory=dict)

    refused_until: float = 0.0
    mute_handshakes: int = 0
    early_closes: int = 0
    held_ids: dict[int | None, float] = field(default_factory=dict)
    ghost_seconds: float = 0.0
    clock_skew: float = 0.0

    connected_to_ib: bool = True
    broken_farms: set[str] = field(default_factory=set)
    empty_answers: Counter[str] = field(default_factory=Counter)
    paced_requests: int = 0
    log: list[tuple[int, str, dict[str, object]]] = field(default_factory=list)

    def do(self, name: str, arguments: Mapping[str, object]) -> None:
        """Do a verb now."""
        action = bind(name, arguments)
        with self.simulator.lock:
            self.log.append((self.simulator.now_ns(), name, dict(arguments)))
            log.info("fault: %s %s", name, dict(arguments) or "")
            action(self.simulator)
        self.simulator.wake()

    def __getattr__(self, name: str) -> Callable[..., None]:
        known = VERBS.get(name)
        if known is None:
            raise AttributeError(f"no verb {name!r}; known: {', '.join(sorted(VERBS))}")

        def run(*values: object, **arguments: object) -> None:
            if len(values) > len(known.parameters):
                raise BadInput(f"{name} takes {len(known.parameters)} arguments, not {len(values)}")
            self.do(name, {**dict(zip(known.parameters, values, strict=False)), **arguments})

        return run

    def stalled_until(self, client: int) -> float:
        if not self.stalls:
            return 0.0
        return max(self.stalls.get(None, 0.0), self.stalls.get(client, 0.0))

    def is_in_use(self, client: int) -> bool:
        """Whether a client id is held by a session that is not there (any more)."""
        now = self.monotonic()
        return now < max(self.held_ids.get(None, 0.0), self.held_ids.get(client, 0.0))

    def is_refusing(self) -> bool:
        return self.monotonic() < self.refused_until

    def forget_spent_rules(self) -> None:
        self.message_rules = [rule for rule in self.message_rules if rule.left > 0]
        self.drop_rules = [rule for rule in self.drop_rules if rule.left > 0]

    def rule_for(self, request: str, client: int) -> RequestRule | None:
        for rule in self.request_rules:
            if rule.takes(request, client):
                self.request_rules = [each for each in self.request_rules if each.left > 0]
                return rule
        return None


def ending_of(name: str) -> Ending:
    """`close`, `half_close` or `abort` (`rst`)."""
    try:
        return Ending("abort" if name == "rst" else name)
    except ValueError:
        raise UnknownName("ending", name, [each.value for each in Ending]) from None


__all__ = ["FOREVER", "VERBS", "Faults", "RequestRule", "Verb", "bind", "ending_of", "verb"]
