"""What IB's message codes mean: the family says what the caller must do, the words and the remedy are for people.

Where one code stands for several things its text decides. A code that nobody listed is `reject` for a request (nothing
is asked twice on an answer that nobody understands) and `note` in the range that IB keeps for warnings.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.errors import GatewayError, NotReady, OperatorNeeded, Refused, TryLater


class Family(StrEnum):
    WAIT = "wait"
    """The gateway is not connected to IB; the connection waits by itself."""
    RETRY = "retry"
    """Failed for a reason that passes."""
    REJECT = "reject"
    """Will be refused again."""
    FATAL = "fatal"
    """A person must act."""
    NOTE = "note"
    """Nothing failed: information, a warning, or the echo of a cancel."""


class Meaning(NamedTuple):
    code: int
    family: Family
    words: str
    remedy: str = ""


WAIT, RETRY, REJECT, FATAL, NOTE = Family.WAIT, Family.RETRY, Family.REJECT, Family.FATAL, Family.NOTE

CONNECTIVITY_LOST = frozenset({1100, 2110})
RESTORED_DATA_LOST = 1101
RESTORED_DATA_KEPT = 1102
PORT_RESET = 1300
CLIENT_ID_IN_USE = 326
SUBSCRIPTION_LOST = frozenset({10182, 10225})
CANCELLED_BY_REQUEST = "cancelled by request"
NO_DATA = "no data"
PACED = "history was asked for too often"
READ_ONLY_REMEDY = "untick Read-Only API in the gateway's API settings, or mark this connection as read only"
_SUBSCRIBE = "subscribe to the market data in IB's client portal, or ask for delayed data"
_ORDER_IDS = "ask for a new order id; another program may share this client id"

_MEANINGS = (
    Meaning(0, NOTE, "the gateway is near its message rate"),
    Meaning(100, RETRY, "more messages a second than IB allows", "let fewer programs share this login"),
    Meaning(101, RETRY, "all market data lines are taken", "end other quotes, or buy more lines"),
    Meaning(102, REJECT, "this request number is in use"),
    Meaning(103, REJECT, "this order id was used before", _ORDER_IDS),
    Meaning(104, REJECT, "a filled order cannot be changed"),
    Meaning(105, REJECT, "the change does not match the original order", "cancel it and place a new one"),
    Meaning(109, REJECT, "the price is too far from the market"),
    Meaning(110, REJECT, "the price is not a multiple of the smallest step", "round to the market rule's step"),
    Meaning(135, REJECT, "the gateway knows no such order"),
    Meaning(136, REJECT, "the order cannot be cancelled any more"),
    Meaning(161, REJECT, "the order cannot be cancelled in its state"),
    Meaning(162, RETRY, "the historical data service refused the request"),
    Meaning(165, NOTE, "a message of the historical data service"),
    Meaning(200, REJECT, "no contract, or more than one, fits the description", "name the exchange, expiry or id"),
    Meaning(201, REJECT, "the order was rejected"),
    Meaning(202, NOTE, "the order was cancelled"),
    Meaning(203, REJECT, "this account may not trade the instrument"),
    Meaning(300, NOTE, "there is no such market data request"),
    Meaning(309, RETRY, "all market depth lines are taken"),
    Meaning(310, NOTE, "there is no such market depth request"),
    Meaning(317, NOTE, "market depth was reset"),
    Meaning(320, REJECT, "the gateway could not read the request"),
    Meaning(321, REJECT, "the gateway refused the request as invalid"),
    Meaning(322, REJECT, "this request number is in use"),
    Meaning(326, WAIT, "the client id is in use", "end the other program, or give this role another client id"),
    Meaning(329, REJECT, "the order could not be changed"),
    Meaning(354, REJECT, "market data is not subscribed", _SUBSCRIBE),
    Meaning(366, NOTE, "there is no such history request"),
    Meaning(382, REJECT, "the order size is not allowed"),
    Meaning(383, REJECT, "the order is larger than the size limit", "raise the limit in the gateway's precautions"),
    Meaning(387, REJECT, "this kind of order is not supported here"),
    Meaning(388, REJECT, "the order is smaller than the minimum size"),
    Meaning(399, NOTE, "a message about the order (often: held till the market opens)"),
    Meaning(404, NOTE, "shares are being located for the short sale"),
    Meaning(420, RETRY, "a real-time request was refused (pacing or permission)"),
    Meaning(421, REJECT, "the account is not valid here"),
    Meaning(430, REJECT, "there is no fundamental data for the contract"),
    Meaning(434, REJECT, "the order's size is zero"),
    Meaning(435, REJECT, "an account must be given"),
    Meaning(436, REJECT, "an account, group or profile must be given"),
    Meaning(460, REJECT, "no trading permission for this instrument", "ask for the permission in IB's client portal"),
    Meaning(463, REJECT, "the order needs a limit price"),
    Meaning(481, NOTE, "the gateway changed the order's size"),
    Meaning(492, NOTE, "the market data service is slow"),
    Meaning(502, WAIT, "the gateway cannot be reached"),
    Meaning(503, FATAL, "the gateway is too old", "install the current version"),
    Meaning(504, WAIT, "not connected"),
    Meaning(507, WAIT, "a damaged message ended the connection"),
    Meaning(1100, WAIT, "the gateway lost its connection to IB"),
    Meaning(1101, WAIT, "the gateway is back, all data subscriptions are lost and asked for again"),
    Meaning(1102, NOTE, "the gateway is back, data subscriptions are kept"),
    Meaning(1300, FATAL, "the gateway moved to another port", "set the port of this connection to the new one"),
    Meaning(2100, NOTE, "another account data request replaced this one"),
    Meaning(2101, NOTE, "account data is not available for this request"),
    Meaning(2103, NOTE, "a market data farm is down"),
    Meaning(2104, NOTE, "a market data farm is up"),
    Meaning(2105, NOTE, "a historical data farm is down"),
    Meaning(2106, NOTE, "a historical data farm is up"),
    Meaning(2107, NOTE, "a historical data farm sleeps until it is asked"),
    Meaning(2108, NOTE, "a market data farm sleeps until it is asked"),
    Meaning(2109, NOTE, "outside regular hours: an attribute of the order is ignored"),
    Meaning(2110, WAIT, "the gateway's connection to IB is broken and will be restored"),
    Meaning(2157, NOTE, "the contract farm is down"),
    Meaning(2158, NOTE, "the contract farm is up"),
    Meaning(2161, NOTE, "the order's price was capped"),
    Meaning(2174, NOTE, "a time without a zone was taken as the gateway's"),
    Meaning(10089, REJECT, "market data needs a subscription for the API", _SUBSCRIBE),
    Meaning(10090, NOTE, "part of the market data is not subscribed", _SUBSCRIBE),
    Meaning(10091, NOTE, "part of the market data needs a subscription for the API", _SUBSCRIBE),
    Meaning(10147, REJECT, "the order to cancel is not known to this client"),
    Meaning(10148, REJECT, "the order cannot be cancelled in its state"),
    Meaning(10167, NOTE, "delayed market data is shown instead of live"),
    Meaning(10168, REJECT, "market data is not subscribed and delayed data is off", _SUBSCRIBE),
    Meaning(10172, REJECT, "there is no such news article"),
    Meaning(10182, RETRY, "live updates of the bars stopped"),
    Meaning(10186, REJECT, "market data is not subscribed and delayed data is off", _SUBSCRIBE),
    Meaning(10197, RETRY, "market data is taken by another session of this login", "log out of the other TWS or app"),
    Meaning(10225, RETRY, "trades were busted: the bars must be asked for again"),
    Meaning(10311, NOTE, "the order is routed directly, which may cost more"),
    Meaning(10314, REJECT, "the end time is not written as IB expects"),
    Meaning(10349, NOTE, "the gateway set the order's time in force from its presets"),
    Meaning(10358, REJECT, "fundamental data is not permitted"),
)
MEANINGS = {meaning.code: meaning for meaning in _MEANINGS}

# (part of the text in small letters, its meaning), the first that fits; codes that are not here have one meaning.
_BY_TEXT: dict[int, tuple[tuple[str, Meaning], ...]] = {
    162: (
        ("returned no data", Meaning(162, NOTE, NO_DATA)),
        ("cancelled", Meaning(162, NOTE, CANCELLED_BY_REQUEST)),
        ("canceled", Meaning(162, NOTE, CANCELLED_BY_REQUEST)),
        ("pacing violation", Meaning(162, RETRY, PACED)),
        ("permission", Meaning(162, REJECT, "no permission for this history", _SUBSCRIBE)),
        (
            "different ip address",
            Meaning(162, RETRY, "the login is in use at another address", "log out of the other TWS or app"),
        ),
        ("no historical", Meaning(162, REJECT, "the instrument has no history of this kind")),
        ("not supported", Meaning(162, REJECT, "the instrument has no history of this kind")),
        ("invalid", Meaning(162, REJECT, "the history request is invalid")),
    ),
    321: (("read-only", Meaning(321, FATAL, "the gateway's API is read only", READ_ONLY_REMEDY)),),
    420: (("permission", Meaning(420, REJECT, "no permission for this market data", _SUBSCRIBE)),),
}

# While the farm is down these answers say nothing about the contract.
_FARM_ANSWERS = frozenset({162, 200, 420})


def meaning(code: int, text: str = "", *, farm_down: bool = False) -> Meaning:
    """What `code` says; `farm_down` when the farm that gave the answer is known to be broken."""
    found = _listed(code, text)
    if farm_down and code in _FARM_ANSWERS and found.words != CANCELLED_BY_REQUEST:
        return Meaning(code, RETRY, f"{found.words}, said while IB's farm is down")
    return found


def error_of(found: Meaning, text: str) -> GatewayError:
    """The exception of a request that ended so; `text` is IB's own."""
    kinds: dict[Family, type[GatewayError]] = {WAIT: NotReady, RETRY: TryLater, FATAL: OperatorNeeded}
    words = f"{found.words} ({found.code}: {text})" if text else f"{found.words} ({found.code})"
    return kinds.get(found.family, Refused)(words, code=found.code, remedy=found.remedy)


def _listed(code: int, text: str) -> Meaning:
    small = text.lower()
    for part, found in _BY_TEXT.get(code, ()):
        if part in small:
            return found
    known = MEANINGS.get(code)
    if known is not None:
        return known
    if 2100 <= code < 2200:
        return Meaning(code, NOTE, "a warning of the gateway")
    if 1100 <= code < 1200:
        return Meaning(code, WAIT, "a message about the gateway's connection to IB")
    return Meaning(code, REJECT, "a code that is not in the table")
