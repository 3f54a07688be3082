"""Accounts: what they are called, what they hold and are worth, and profit and loss."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gateway.simulator import messages, requests
from gateway.simulator.records import Holding
from gateway.simulator.session import Session, answers

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

_NEW_YORK = ZoneInfo("America/New_York")
ACCOUNT_SECONDS = 180
"""Account values are told again after so long, exchange time."""
PNL_SECONDS = 1.0
"""Profit and loss is told again after so long, real time."""


# Names


def tell_accounts(session: Session) -> None:
    session.send(messages.managed_accounts(session.version, session.simulator.settings.accounts))


@answers(requests.ManagedAccts)
def managed_accounts(session: Session, request: requests.ManagedAccts) -> None:
    tell_accounts(session)


@answers(requests.CurrentTime)
def current_time(session: Session, request: requests.CurrentTime) -> None:
    session.send(messages.current_time(session.version, session.simulator.told_seconds()))


def named_account(session: Session, given: str) -> str | None:
    """The account a request means; the first where none is given, None where it is unknown."""
    accounts = session.simulator.settings.accounts
    if not given:
        return accounts[0]
    return given if given in accounts else None


# Positions


@answers(requests.Positions)
def positions(session: Session, request: requests.Positions) -> None:
    simulator = session.simulator
    simulator.catch_up()
    for account in simulator.settings.accounts:
        for holding in simulator.exchange.holdings(account):
            if holding.quantity:
                session.send(messages.position(session.version, holding))
    session.send(messages.position_end(session.version))
    session.subscriptions.positions = True


@answers(requests.CancelPositions)
def cancel_positions(session: Session, request: requests.CancelPositions) -> None:
    session.subscriptions.positions = False


# Account updates: one subscription per client


class AccountUpdates:
    is_data = False

    def __init__(self, session: Session, account: str) -> None:
        self.account = account
        self._session = session
        self._next_ns = session.simulator.now_ns() + ACCOUNT_SECONDS * 1_000_000_000

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + ACCOUNT_SECONDS * 1_000_000_000
            tell_account(self._session, self.account)


def tell_account(session: Session, account: str) -> None:
    """Values, portfolio and the time of both."""
    simulator = session.simulator
    now_ns = simulator.now_ns()
    for key, value, currency in simulator.exchange.account_values(account, now_ns):
        session.send(messages.account_value(session.version, account, key, value, currency))
    for holding in simulator.exchange.holdings(account):
        tell_portfolio(session, holding)
    session.send(messages.account_update_time(session.version, _clock(now_ns)))


def tell_portfolio(session: Session, holding: Holding) -> None:
    listing = holding.listing
    price = session.simulator.market.mark(listing.con_id, session.simulator.now_ns())
    value = holding.quantity * price * listing.multiplier
    gain = holding.quantity * (price - holding.average_price) * listing.multiplier
    session.send(messages.portfolio_value(session.version, holding, price, value, gain))


def _clock(now_ns: int) -> str:
    return f"{datetime.fromtimestamp(now_ns / 1e9, _NEW_YORK):%H:%M}"


@answers(requests.AccountUpdates)
def account_updates(session: Session, request: requests.AccountUpdates) -> None:
    subscriptions = session.subscriptions
    account = named_account(session, request.account)
    if account is None:
        session.error(-1, 321, f"Error validating request.-'bG' : cause - Invalid account code '{request.account}'.")
        return
    subscriptions.remove("account", 0)
    if not request.subscribe:
        return
    session.simulator.catch_up()
    tell_account(session, account)
    session.send(messages.account_download_end(session.version, account))
    subscriptions.add("account", 0, AccountUpdates(session, account))


# Account updates of one account or model


class AccountUpdatesMulti:
    is_data = False

    def __init__(self, session: Session, request: requests.AccountUpdatesMulti, account: str) -> None:
        self.account = account
        self._session = session
        self._request = request
        self._next_ns = session.simulator.now_ns() + ACCOUNT_SECONDS * 1_000_000_000

    def tell(self) -> None:
        session = self._session
        now_ns = session.simulator.now_ns()
        for key, value, currency in session.simulator.exchange.account_values(self.account, now_ns):
            session.send(
                messages.account_update_multi(
                    session.version, self._request.req_id, self.account, self._request.model, key, value, currency
                )
            )

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + ACCOUNT_SECONDS * 1_000_000_000
            self.tell()


@answers(requests.AccountUpdatesMulti)
def account_updates_multi(session: Session, request: requests.AccountUpdatesMulti) -> None:
    account = named_account(session, request.account)
    if account is None:
        session.error(
            request.req_id, 321, f"Error validating request.-'bG' : cause - Invalid account code '{request.account}'."
        )
        return
    stream = AccountUpdatesMulti(session, request, account)
    session.simulator.catch_up()
    stream.tell()
    session.send(messages.account_update_multi_end(session.version, request.req_id))
    session.subscriptions.add("account updates", request.req_id, stream)


@answers(requests.CancelAccountUpdatesMulti)
def cancel_account_updates_multi(session: Session, request: requests.CancelAccountUpdatesMulti) -> None:
    session.subscriptions.remove("account updates", request.req_id)


# The summary of all accounts


class Summary:
    is_data = False

    def __init__(self, session: Session, request: requests.AccountSummary) -> None:
        self._session = session
        self._request = request
        self._tags = tuple(tag.strip() for tag in request.tags.split(",") if tag.strip())
        self._next_ns = session.simulator.now_ns() + ACCOUNT_SECONDS * 1_000_000_000

    def tell(self) -> None:
        session = self._session
        now_ns = session.simulator.now_ns()
        for account in session.simulator.settings.accounts:
            for tag, value, currency in session.simulator.exchange.summary(account, self._tags, now_ns):
                session.send(
                    messages.account_summary(session.version, self._request.req_id, account, tag, value, currency)
                )

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + ACCOUNT_SECONDS * 1_000_000_000
            self.tell()


@answers(requests.AccountSummary)
def account_summary(session: Session, request: requests.AccountSummary) -> None:
    subscriptions = session.subscriptions
    if request.group not in ("All", "") and request.group not in session.simulator.settings.accounts:
        session.error(
            request.req_id, 321, f"Error validating request.-'cL' : cause - Group name '{request.group}' is unknown"
        )
        return
    if len(subscriptions.of_kind("summary")) >= 2 and subscriptions.get("summary", request.req_id) is None:
        session.error(
            request.req_id,
            322,
            "Error processing request.-'cL' : cause - Maximum number of account summary requests exceeded",
        )
        return
    stream = Summary(session, request)
    session.simulator.catch_up()
    stream.tell()
    session.send(messages.account_summary_end(session.version, request.req_id))
    subscriptions.add("summary", request.req_id, stream)


@answers(requests.CancelAccountSummary)
def cancel_account_summary(session: Session, request: requests.CancelAccountSummary) -> None:
    session.subscriptions.remove("summary", request.req_id)


# Profit and loss


class ProfitAndLoss:
    """Of an account, or with `con_id` of one position in it; told when it differs from what was told."""

    is_data = False

    def __init__(self, session: Session, request_id: int, account: str, con_id: int = 0) -> None:
        self._session = session
        self._request_id = request_id
        self._account = account
        self._con_id = con_id
        self._next_real = 0.0

    def advance(self, now_ns: int, real_seconds: float) -> None:
        if real_seconds < self._next_real:
            return
        self._next_real = real_seconds + PNL_SECONDS
        session = self._session
        exchange = session.simulator.exchange
        if self._con_id:
            numbers = exchange.pnl_single(self._account, self._con_id, now_ns)
            payload = messages.pnl_single(session.version, self._request_id, *numbers)
        else:
            payload = messages.pnl(session.version, self._request_id, *exchange.pnl(self._account, now_ns))
        session.send(payload)


def _start_pnl(session: Session, kind: str, request_id: int, account_given: str, con_id: int = 0) -> None:
    account = named_account(session, account_given)
    if account is None:
        session.error(
            request_id, 321, f"Error validating request.-'cM' : cause - Invalid account code '{account_given}'."
        )
        return
    if session.subscriptions.get(kind, request_id) is not None:
        session.error(request_id, 102, "Duplicate ticker ID.")
        return
    stream = ProfitAndLoss(session, request_id, account, con_id)
    session.subscriptions.add(kind, request_id, stream)
    stream.advance(session.simulator.catch_up(), session.simulator.monotonic())


@answers(requests.Pnl)
def pnl(session: Session, request: requests.Pnl) -> None:
    _start_pnl(session, "pnl", request.req_id, request.account)


@answers(requests.PnlSingle)
def pnl_single(session: Session, request: requests.PnlSingle) -> None:
    _start_pnl(session, "pnl single", request.req_id, request.account, request.con_id)


@answers(requests.CancelPnl)
def cancel_pnl(session: Session, request: requests.CancelPnl) -> None:
    session.subscriptions.remove("pnl", request.req_id)


@answers(requests.CancelPnlSingle)
def cancel_pnl_single(session: Session, request: requests.CancelPnlSingle) -> None:
    session.subscriptions.remove("pnl single", request.req_id)


class PositionsMulti:
    """Told when a position changes, so that nothing is ever due."""

    is_data = False

    def __init__(self, account: str, model: str) -> None:
        self.account = account
        self.model = model

    def advance(self, now_ns: int, real_seconds: float) -> None:
        pass


# Changes


def holding_changed(simulator: Simulator, holding: Holding) -> None:
    for session in list(simulator.by_client.values()):
        if session.subscriptions.positions:
            session.send(messages.position(session.version, holding))
        if _follows(session, holding.account):
            tell_portfolio(session, holding)
        for request_id in session.subscriptions.ids("positions"):
            stream = session.subscriptions.get("positions", request_id)
            if isinstance(stream, PositionsMulti) and stream.account == holding.account:
                session.send(messages.position_multi(session.version, request_id, holding, stream.model))


def account_changed(simulator: Simulator, account: str) -> None:
    for session in list(simulator.by_client.values()):
        if _follows(session, account):
            for key, value, currency in simulator.exchange.account_values(account, simulator.now_ns()):
                session.send(messages.account_value(session.version, account, key, value, currency))
            session.send(messages.account_update_time(session.version, _clock(simulator.now_ns())))


def _follows(session: Session, account: str) -> bool:
    stream = session.subscriptions.get("account", 0)
    return isinstance(stream, AccountUpdates) and stream.account == account


# Positions of one account or model


@answers(requests.PositionsMulti)
def positions_multi(session: Session, request: requests.PositionsMulti) -> None:
    account = named_account(session, request.account)
    if account is None:
        session.error(
            request.req_id, 321, f"Error validating request.-'bG' : cause - Invalid account code '{request.account}'."
        )
        return
    session.simulator.catch_up()
    for holding in session.simulator.exchange.holdings(account):
        session.send(messages.position_multi(session.version, request.req_id, holding, request.model))
    session.send(messages.position_multi_end(session.version, request.req_id))
    session.subscriptions.add("positions", request.req_id, PositionsMulti(account, request.model))


@answers(requests.CancelPositionsMulti)
def cancel_positions_multi(session: Session, request: requests.CancelPositionsMulti) -> None:
    session.subscriptions.remove("positions", request.req_id)


@answers(requests.FamilyCodes)
def family_codes(session: Session, request: requests.FamilyCodes) -> None:
    session.send(messages.family_codes(session.version, [(each, "") for each in session.simulator.settings.accounts]))


@answers(requests.UserInfo)
def user_info(session: Session, request: requests.UserInfo) -> None:
    session.send(messages.user_info(session.version, request.req_id))


@answers(requests.ServerLogLevel)
def server_log_level(session: Session, request: requests.ServerLogLevel) -> None:
    """Taken, and without effect: the simulator's log is the host's."""


__all__ = ["account_changed", "holding_changed", "named_account", "tell_accounts"]
