"""Diagnosis: what is wrong between here and the gateway, each finding with its cause and its cure."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from gateway.connection import Connection
from gateway.contract import Contract
from gateway.errors import GatewayError, NotReady, OperatorNeeded
from gateway.events import Notice, QuoteChanged, SubscriptionEnded
from gateway.settings import ConnectionSettings
from gateway.troubles import EXPLANATIONS, Trouble

# IB gives the first quote at once; a market data refusal comes as fast.
_QUOTE_SECONDS = 5.0
_COMPETING = 10197
_LOOK_AT = Contract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")
_UNTRUSTED_SKEW_SECONDS = 2.0


class Finding(NamedTuple):
    """One thing looked at. `detail` is what was seen; `cause` and `remedy` are empty where it is `ok`."""

    name: str
    ok: bool
    detail: str
    cause: str = ""
    remedy: str = ""


# In the order in which a connection meets them: what fails keeps the later ones from being looked at.
_STEPS: tuple[tuple[str, tuple[Trouble, ...]], ...] = (
    ("port", (Trouble.REFUSED, Trouble.UNREACHABLE)),
    ("greeting", (Trouble.MUTE, Trouble.CLOSED_EARLY, Trouble.NOT_A_GATEWAY)),
    ("version", (Trouble.TOO_OLD,)),
    ("client id", (Trouble.CLIENT_ID_IN_USE,)),
    ("login", (Trouble.NO_LOGIN, Trouble.SILENT, Trouble.DAMAGED, Trouble.LOST)),
    ("account", (Trouble.WRONG_ACCOUNT, Trouble.WRONG_KIND)),
    ("orders", (Trouble.READ_ONLY, Trouble.INCOMPLETE, Trouble.ORDER_IDS)),
)


def diagnose(settings: ConnectionSettings, contract: Contract = _LOOK_AT) -> list[Finding]:
    """Connect once with these settings, look, and disconnect. Takes a client id, as any connection does.

    `contract` is the one whose quote is asked for, to see whether market data comes.
    """
    seconds = 2 * settings.connect_seconds + settings.sync_seconds + settings.heartbeat_deadline_seconds
    with Connection(settings) as connection:
        trouble, words = _first_trouble(connection, seconds)
        findings = _connecting(settings, connection, trouble, words)
        if trouble is None:
            findings.append(_clock(connection, settings))
            findings.append(of_ib(connection))
            findings.append(_market_data(connection, contract))
    return findings


def _first_trouble(connection: Connection, seconds: float) -> tuple[Trouble | None, str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection.wait_ready(0.05)
        except (NotReady, OperatorNeeded):
            found = connection.trouble
            if found is not None:
                return found, connection.snapshot().cause
        else:
            return None, ""
    return Trouble.INCOMPLETE, connection.snapshot().cause


def _connecting(
    settings: ConnectionSettings, connection: Connection, trouble: Trouble | None, words: str
) -> list[Finding]:
    status = connection.snapshot()
    seen = {
        "port": f"{settings.host}:{settings.port} takes connections",
        "greeting": "an IB gateway answers",
        "version": f"server version {status.server_version}",
        "client id": f"client id {settings.client_id} is free",
        "login": f"logged in to {', '.join(status.accounts)}",
        "account": f"{status.account} is {settings.kind}",
        "orders": "not asked for: this connection is read only" if settings.read_only else "orders and positions came",
    }
    findings = []
    for name, troubles in _STEPS:
        if trouble in troubles:
            explanation = EXPLANATIONS[trouble]
            findings.append(Finding(name, False, words, explanation.cause, explanation.remedy))
            break
        findings.append(Finding(name, True, seen[name] if trouble is None else "reached"))
    return findings


def _clock(connection: Connection, settings: ConnectionSettings) -> Finding:
    sent = time.time()
    try:
        told = connection.server_time()
    except GatewayError as error:
        return Finding("clock", False, error.words, "the gateway does not tell the time", error.remedy)
    skew = told + 0.5 - (sent + time.time()) / 2
    detail = f"the gateway's clock differs by {skew:+.1f} s"
    if math.isinf(settings.clock_limit) or abs(skew) <= _UNTRUSTED_SKEW_SECONDS + 0.5:
        return Finding("clock", True, detail)
    explanation = EXPLANATIONS[Trouble.CLOCK_SKEW]
    return Finding("clock", False, detail, explanation.cause, explanation.remedy)


def of_ib(connection: Connection) -> Finding:
    """Whether the gateway itself reaches IB."""
    status = connection.snapshot()
    broken = [farm.name for farm in status.farms if farm.status == "broken"]
    if not broken:
        return Finding("IB", True, f"{len(status.farms)} farms are told to be up")
    return Finding(
        "IB",
        False,
        f"down: {', '.join(broken)}",
        "the gateway does not reach all of IB's farms",
        "wait: farms go down for a while at night and at weekends; look at the gateway's network if they stay down",
    )


def _market_data(connection: Connection, contract: Contract) -> Finding:
    """Whether a quote comes: without a subscription, or while another session has the data, none does."""
    number = connection.subscribe_quotes(contract)
    deadline = time.monotonic() + _QUOTE_SECONDS
    about = f"{contract.symbol}: "
    while (left := deadline - time.monotonic()) > 0:
        event = connection.events.get(left)
        if isinstance(event, QuoteChanged):
            connection.unsubscribe(number)
            kind = {3: "delayed", 4: "delayed"}.get(event.data_type, "live")
            return Finding("market data", True, f"{about}{kind} quotes come")
        if isinstance(event, SubscriptionEnded):
            return Finding("market data", False, f"{about}{event.code}", event.words, event.remedy)
        if isinstance(event, Notice) and event.code == _COMPETING:
            return Finding("market data", False, f"{about}{event.text}", event.words, event.remedy)
    connection.unsubscribe(number)
    return Finding(
        "market data",
        False,
        f"{about}no quote in {_QUOTE_SECONDS:g} s",
        "no quote came, and no reason for that",
        "look again while the market is open",
    )
