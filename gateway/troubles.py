"""What keeps a connection from being ready, in words, with what to do; said by the connection and by the diagnosis."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.errors import GatewayError


class Trouble(StrEnum):
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    MUTE = "mute"
    CLOSED_EARLY = "closed early"
    NOT_A_GATEWAY = "not a gateway"
    TOO_OLD = "too old"
    CLIENT_ID_IN_USE = "client id in use"
    NO_LOGIN = "no login"
    READ_ONLY = "read only"
    WRONG_ACCOUNT = "wrong account"
    WRONG_KIND = "wrong kind"
    ORDER_IDS = "order ids"
    INCOMPLETE = "incomplete"
    SILENT = "silent"
    DAMAGED = "damaged"
    LOST = "lost"
    CUT_OFF = "cut off"
    CLOCK_SKEW = "clock skew"


class Explanation(NamedTuple):
    """`longest_wait_seconds` bounds the time between two attempts; `is_fatal`: a person must act."""

    cause: str
    remedy: str
    longest_wait_seconds: float = 5.0
    is_fatal: bool = False


EXPLANATIONS = {
    Trouble.REFUSED: Explanation(
        "nothing listens at that address",
        "start the gateway, and see that its API is enabled and its socket port is the one in the settings "
        "(4001 live and 4002 paper for the gateway, 7496 and 7497 for TWS)",
    ),
    Trouble.UNREACHABLE: Explanation(
        "the address does not answer", "check the host name, the network and the firewall between here and the gateway"
    ),
    Trouble.MUTE: Explanation(
        "something takes the connection and says nothing",
        "look at the gateway's window: it may wait for a login, or for the paper trading disclaimer to be accepted",
        2.0,
    ),
    Trouble.CLOSED_EARLY: Explanation(
        "the connection was closed before the greeting",
        "add this machine to the gateway's trusted addresses, and accept its question about incoming connections",
    ),
    Trouble.NOT_A_GATEWAY: Explanation(
        "something else than an IB gateway answers at that port", "set the port to the gateway's API port", 30.0, True
    ),
    Trouble.TOO_OLD: Explanation(
        "the gateway is too old for this platform", "install the current stable version of the gateway", 60.0, True
    ),
    Trouble.CLIENT_ID_IN_USE: Explanation(
        "the client id is in use",
        "end the other program that uses it; after a crash the gateway frees it by itself within a minute or so",
    ),
    Trouble.NO_LOGIN: Explanation(
        "the gateway answers, but names no account",
        "look at the gateway's window: it may wait for a login, a second factor, or the paper trading disclaimer",
        2.0,
    ),
    Trouble.READ_ONLY: Explanation(
        "the gateway's API is read only",
        "untick Read-Only API in the gateway's API settings, or mark this connection as read only",
        60.0,
        True,
    ),
    Trouble.WRONG_ACCOUNT: Explanation(
        "the gateway is logged in to another account",
        "log the gateway in to the account of the settings, or change the settings",
        60.0,
        True,
    ),
    Trouble.WRONG_KIND: Explanation(
        "the account is not of the kind (simulated, paper, live) that the settings name",
        "check the port and the login; change the kind only if this account is really meant",
        60.0,
        True,
    ),
    Trouble.ORDER_IDS: Explanation(
        "the gateway's order ids have grown too high",
        "reset the API order id sequence in the gateway's API settings",
        60.0,
        True,
    ),
    Trouble.INCOMPLETE: Explanation(
        "the gateway did not tell all of its orders and positions",
        "it is asked again by itself; if that does not help, restart the gateway",
    ),
    Trouble.SILENT: Explanation(
        "the gateway stopped answering", "it is dialled again by itself; if that does not help, restart the gateway"
    ),
    Trouble.DAMAGED: Explanation(
        "a damaged message came", "it is dialled again by itself; if it comes back, report it with the log"
    ),
    Trouble.LOST: Explanation("the connection ended", "it is dialled again by itself"),
    Trouble.CUT_OFF: Explanation(
        "the gateway has no connection to IB",
        "wait: it comes back by itself (each night for some minutes); look at the gateway's network if it does not",
    ),
    Trouble.CLOCK_SKEW: Explanation(
        "this machine's clock and the gateway's differ", "synchronise this machine's clock (NTP)", 60.0
    ),
}


class TroubleError(GatewayError):
    """The connection could not be made, or kept; `trouble` says why."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        explanation = EXPLANATIONS[trouble]
        words = f"{explanation.cause}: {detail}" if detail else explanation.cause
        super().__init__(words, remedy=explanation.remedy)
        self.trouble = trouble
        self.detail = detail

    @property
    def explanation(self) -> Explanation:
        return EXPLANATIONS[self.trouble]
