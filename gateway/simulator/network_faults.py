"""Verbs of the network: what goes wrong with sockets and bytes. Seconds are real ones; `client` is a client id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import BadInput, UnknownName
from gateway.simulator.faults import FOREVER, RequestRule, ending_of, verb
from gateway.simulator.outlet import MESSAGE_IDS, Act, DropRule, Ending, MessageRule
from gateway.simulator.request_names import request_name

if TYPE_CHECKING:
    from gateway.simulator.session import Session
    from gateway.simulator.simulator import Simulator

EVERY = 1_000_000_000


@verb
def refuse(simulator: Simulator, seconds: float = FOREVER) -> None:
    """Refuse connections; those that stand are left alone. `refuse` of 0 ends it."""
    simulator.faults.refused_until = simulator.faults.monotonic() + seconds


@verb
def mute_handshake(simulator: Simulator, count: int = EVERY) -> None:
    """Accept the next connections and never say a word to them. 0 ends it."""
    simulator.faults.mute_handshakes = count


@verb
def close_early(simulator: Simulator, count: int = 1) -> None:
    """Accept the next connections and close them before the handshake."""
    simulator.faults.early_closes = count


@verb
def drop(
    simulator: Simulator,
    message: int = 0,
    request: str = "",
    before: bool = False,
    nth: int = 1,
    client: int | None = None,
    how: str = "close",
    count: int = 1,
) -> None:
    """End connections: with their `message`-th message (counted from their start, the handshake's answer left out);
    or at their nth request of a kind, `before` it is acted on or after that, its answers lost; or now. `how` is close,
    half_close or abort."""
    ending = ending_of(how)
    if message and request:
        raise BadInput("drop: message and request are two ways to say when; give one")
    if message:
        simulator.faults.drop_rules.append(DropRule(message, client, ending, count))
    elif request:
        act = "drop" if before else "drop_after"
        rule = RequestRule(act, request_name(request), count, client, skip=nth - 1, ending=ending)
        simulator.faults.request_rules.append(rule)
    else:
        _end(simulator, client, ending)


@verb
def rst(simulator: Simulator, client: int | None = None) -> None:
    """Reset connections now; what was not sent is lost."""
    _end(simulator, client, Ending.ABORT)


@verb
def half_close(simulator: Simulator, client: int | None = None) -> None:
    """Close the sending half of connections; what clients send is still taken."""
    _end(simulator, client, Ending.HALF_CLOSE)


@verb
def half_open(simulator: Simulator, client: int | None = None, holds_id: bool = False) -> None:
    """Forget connections without a word: sockets stay, nothing is read or sent on them any more. With `holds_id` their
    client ids stay in use."""
    for session in _sessions(simulator, client):
        simulator.forget(session, holds_id=holds_id)


@verb
def stall(simulator: Simulator, seconds: float, client: int | None = None) -> None:
    """Sockets stay open; nothing is read and nothing sent, heartbeats included. Then all that waited goes on."""
    simulator.faults.stalls[client] = simulator.faults.monotonic() + seconds


@verb
def slow(simulator: Simulator, ms: float) -> None:
    """Send each message so much later. 0 ends it."""
    simulator.faults.latency = ms / 1000


@verb
def slice_(simulator: Simulator, bytes: int, gap_ms: float = 0.0) -> None:
    """Write in pieces of so many bytes, with a gap between them. 0 ends it."""
    if bytes < 0:
        raise BadInput(f"slice: bytes is {bytes}; expected 0 or more")
    simulator.faults.slice_bytes = bytes
    simulator.faults.slice_gap = gap_ms / 1000


@verb
def swallow(simulator: Simulator, type: str | int, count: int = EVERY, client: int | None = None) -> None:
    """Withhold messages of a type."""
    _rule(simulator, Act.SWALLOW, type, count, client)


@verb
def dup(simulator: Simulator, type: str | int, count: int = 1, client: int | None = None) -> None:
    """Send messages of a type twice."""
    _rule(simulator, Act.DUP, type, count, client)


@verb
def reorder(simulator: Simulator, type: str | int, count: int = 1, client: int | None = None) -> None:
    """Send messages of a type after the one that follows them."""
    _rule(simulator, Act.REORDER, type, count, client)


@verb
def delay(simulator: Simulator, type: str | int, seconds: float, count: int = EVERY, client: int | None = None) -> None:
    """Send messages of a type so much later; the others overtake them."""
    _rule(simulator, Act.DELAY, type, count, client, seconds)


@verb
def garble(
    simulator: Simulator, type: str | int = "", bytes: int = 4, count: int = 1, client: int | None = None
) -> None:
    """Replace bytes in messages by random ones; their length stays."""
    _rule(simulator, Act.GARBLE, type, count, client, bytes)


@verb
def fields(simulator: Simulator, type: str | int, change: int = -1, count: int = 1, client: int | None = None) -> None:
    """Send messages of a type with fields too many or, negative, too few."""
    _rule(simulator, Act.FIELDS, type, count, client, change)


@verb
def truncate(simulator: Simulator, type: str | int = "", bytes: int = 0, client: int | None = None) -> None:
    """Send the first bytes of a message (0: half of it), then close."""
    _rule(simulator, Act.TRUNCATE, type, 1, client, bytes)


@verb
def biglen(simulator: Simulator, length: int = 0x7FFFFFFF, type: str | int = "", client: int | None = None) -> None:
    """Send a message with a false length before it."""
    if not 0 <= length <= 0xFFFFFFFF:
        raise BadInput(f"biglen: length is {length}; it must fit in four bytes")
    _rule(simulator, Act.BIGLEN, type, 1, client, length)


@verb
def ignore(simulator: Simulator, request: str, count: int = 1, nth: int = 1, client: int | None = None) -> None:
    """Lose requests of a kind."""
    simulator.faults.request_rules.append(RequestRule("ignore", request_name(request), count, client, skip=nth - 1))


@verb
def heal(simulator: Simulator) -> None:
    """End every fault of the network and of connectivity; what happened stays so."""
    faults = simulator.faults
    faults.message_rules, faults.drop_rules, faults.request_rules = [], [], []
    faults.latency = faults.slice_gap = faults.refused_until = faults.clock_skew = 0.0
    faults.slice_bytes = faults.mute_handshakes = faults.early_closes = faults.paced_requests = 0
    faults.ghost_seconds = 0.0
    faults.stalls, faults.held_ids = {}, {}
    faults.connected_to_ib = True
    faults.broken_farms.clear()
    faults.empty_answers.clear()


def _sessions(simulator: Simulator, client: int | None) -> list[Session]:
    return [session for session in simulator.sessions.values() if client in (None, session.client_id)]


def _end(simulator: Simulator, client: int | None, ending: Ending) -> None:
    for session in _sessions(simulator, client):
        session.end(ending)


def _rule(
    simulator: Simulator, act: Act, message: str | int, count: int, client: int | None, amount: float = 0.0
) -> None:
    if isinstance(message, str) and message and message not in MESSAGE_IDS:
        raise UnknownName("message", message, MESSAGE_IDS)
    number = MESSAGE_IDS.get(message) if isinstance(message, str) else message or None
    simulator.faults.message_rules.append(MessageRule(act, number, count, client, amount))
