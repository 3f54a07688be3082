"""Verbs of IB's service: connectivity, farms, restarts, client ids, time, permissions, and what history answers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from domain.errors import BadInput
from gateway.simulator import messages
from gateway.simulator.clock import ManualClock, RunningClock
from gateway.simulator.faults import FOREVER, RequestRule, verb
from gateway.simulator.request_names import request_name
from gateway.simulator.scenario import moment_of

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

_NEW_YORK = ZoneInfo("America/New_York")

_NOTICES = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data maintained.",
    1300: "TWS socket port has been reset and this connection is being dropped. Please reconnect on the new port - ",
    2100: "New account data requested from TWS. API client has been unsubscribed from account data.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
}
_FARMS = {
    2103: "Market data farm connection is broken:",
    2104: "Market data farm connection is OK:",
    2105: "HMDS data farm connection is broken:",
    2106: "HMDS data farm connection is OK:",
    2107: "HMDS data farm connection is inactive but should be available upon demand.",
    2108: "Market data farm connection is inactive but should be available upon demand.",
    2157: "Sec-def data farm connection is broken:",
    2158: "Sec-def data farm connection is OK:",
}
_FARM_OF = {2103: "market", 2104: "market", 2105: "history", 2106: "history", 2157: "secdef", 2158: "secdef"}
_BROKEN = frozenset({2103, 2105, 2157})


@verb
def sys(simulator: Simulator, code: int) -> None:
    """Connectivity to IB: 1100 or 2110 lost, 1101 back without the data subscriptions, 1102 back with them, 1300 the
    port has changed and all connections end."""
    if code not in _NOTICES:
        raise BadInput(f"sys: code is {code}; expected one of {', '.join(map(str, _NOTICES))}")
    faults = simulator.faults
    if code in (1100, 2110):
        faults.connected_to_ib = False
    elif code in (1101, 1102):
        faults.connected_to_ib = True
    if code == 1101:
        for session in simulator.by_client.values():
            session.subscriptions.drop_data()
    simulator.broadcast(code, _NOTICES[code])
    if code == 1300:
        for session in list(simulator.sessions.values()):
            session.end()


@verb
def farm(simulator: Simulator, code: int, name: str = "") -> None:
    """A data farm breaks (2103 market data, 2105 history, 2157 contract definitions: 200 is then answered for all), is
    well again (2104, 2106, 2158) or inactive (2107, 2108)."""
    if code not in _FARMS:
        raise BadInput(f"farm: code is {code}; expected one of {', '.join(map(str, _FARMS))}")
    kind = _FARM_OF.get(code)
    if kind is not None and code in _BROKEN:
        simulator.faults.broken_farms.add(kind)
    elif kind is not None:
        simulator.faults.broken_farms.discard(kind)
    usual = {"market": "usfarm", "history": "ushmds", "secdef": "secdefnj"}.get(kind or "", "usfarm")
    simulator.broadcast(code, _FARMS[code] + (name or usual))


@verb
def restart(simulator: Simulator, seconds: float = 60.0, id_rollback: int = 0) -> None:
    """The gateway restarts: 1100, all connections end, refused for so many real seconds. `id_rollback` lowers each
    client's next order id, as if the last ones had never been used."""
    simulator.broadcast(1100, _NOTICES[1100])
    for session in list(simulator.sessions.values()):
        session.end()
    for client_id in simulator.known_clients:
        simulator.exchange.roll_back_ids(client_id, id_rollback)
    simulator.faults.refused_until = simulator.faults.monotonic() + seconds
    simulator.faults.connected_to_ib = True
    simulator.restarts += 1


@verb
def in_use(simulator: Simulator, seconds: float = FOREVER, client: int | None = None) -> None:
    """Answer 326 to a client id, or to all, for so long; 0 ends it."""
    simulator.faults.held_ids[client] = simulator.faults.monotonic() + seconds


@verb
def ghost(simulator: Simulator, seconds: float) -> None:
    """A client id stays in use so long after its connection has ended; 0 ends it."""
    simulator.faults.ghost_seconds = seconds


@verb
def err(
    simulator: Simulator,
    code: int,
    text: str = "",
    request: str = "",
    count: int = 1,
    nth: int = 1,
    client: int | None = None,
    id: int = -1,
) -> None:
    """An error: in place of the answer to the next requests of a kind, or, without `request`, now, about an id."""
    words = text or f"Error {code} by a fault of the simulator"
    if request:
        rule = RequestRule("err", request_name(request), count, client, skip=nth - 1, code=code, text=words)
        simulator.faults.request_rules.append(rule)
        return
    for session in list(simulator.by_client.values()):
        if client in (None, session.client_id):
            session.error(id, code, words)


@verb
def clock(simulator: Simulator, skew: float) -> None:
    """The gateway's clock is wrong by so much in what it says of the current time; 0 ends it."""
    simulator.faults.clock_skew = skew


@verb
def time(simulator: Simulator, at: str) -> None:
    """Move exchange time on, to YYYY-MM-DD HH:MM[:SS] or HH:MM[:SS] in New York, or by +seconds. Never back."""
    now_ns = simulator.now_ns()
    try:
        then_ns = moment_of(at, now_ns)
    except ValueError as error:
        raise BadInput(f"time: at is {at!r}: {error}") from error
    if then_ns < now_ns:
        now = datetime.fromtimestamp(now_ns / 1e9, _NEW_YORK)
        raise BadInput(f"time: {at} is before {now:%Y-%m-%d %H:%M:%S}, and exchange time never goes back")
    if isinstance(simulator.clock, RunningClock):
        simulator.clock.set(now_ns=then_ns)
    elif isinstance(simulator.clock, ManualClock):
        simulator.clock.advance((then_ns - now_ns) / 1e9)
    simulator.advance()


@verb
def speed(simulator: Simulator, factor: float) -> None:
    """Run exchange time so many times as fast as the real one; 0 stops it."""
    if not 0 <= factor <= 100_000:
        raise BadInput(f"speed: factor is {factor}; expected 0 to 100000")
    if not isinstance(simulator.clock, RunningClock):
        raise BadInput("speed: this simulator's time moves only by hand")
    simulator.clock.set(speed=factor)


@verb
def set_(simulator: Simulator, name: str, value: object) -> None:
    """Change a setting: read_only, competing_session, delayed_only, denied, message_rate, market_data_lines, …"""
    simulator.settings.change(name, value)
    if name == "restart_at":
        simulator.plan_restart()
    if name == "competing_session" and value:
        for session in simulator.by_client.values():
            for request_id in session.subscriptions.ids("market data"):
                session.error(request_id, 10197, "No market data during competing live session")


@verb
def no_data(simulator: Simulator, symbol: str = "", count: int = 1) -> None:
    """Answer the next history requests, of a symbol or any, with "no data" (162)."""
    simulator.faults.empty_answers[symbol] += count


@verb
def pace(simulator: Simulator, count: int = 1) -> None:
    """Answer the next history requests with a pacing violation (162)."""
    simulator.faults.paced_requests += count


@verb
def lose_updates(simulator: Simulator, client: int | None = None) -> None:
    """History requests that are kept up to date end with 10182."""
    for session in simulator.by_client.values():
        if client in (None, session.client_id):
            for request_id in session.subscriptions.ids("history"):
                session.subscriptions.remove("history", request_id)
                session.error(request_id, 10182, "Failed to request live updates (disconnected).")


@verb
def resubscribe(simulator: Simulator, client: int | None = None) -> None:
    """Streams of 5-second bars and kept history end with 10225: ask again."""
    text = "Bust event occurred, current subscription is deactivated. Please resubscribe real-time bars immediately."
    for session in simulator.by_client.values():
        if client in (None, session.client_id):
            for kind in ("real-time bars", "history"):
                for request_id in session.subscriptions.ids(kind):
                    session.subscriptions.remove(kind, request_id)
                    session.error(request_id, 10225, text)


@verb
def bulletin(simulator: Simulator, text: str, exchange: str = "", kind: int = 1) -> None:
    """A news bulletin: kind 1 a message, 2 an exchange no longer available, 3 available again."""
    number = len(simulator.bulletins) + 1
    simulator.bulletins.append((number, kind, text, exchange))
    for session in simulator.by_client.values():
        if session.subscriptions.bulletins:
            session.send(messages.news_bulletin(session.version, number, kind, text, exchange))


def finds_no_data(simulator: Simulator, symbol: str) -> bool:
    """Whether a history request of a symbol is to find no data; counts it."""
    for key in (symbol, ""):
        if simulator.faults.empty_answers[key] > 0:
            simulator.faults.empty_answers[key] -= 1
            return True
    return False


__all__ = ["finds_no_data"]
