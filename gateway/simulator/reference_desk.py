"""What exists: contracts, searches, market rules, news, scanners, and what the simulator has nothing to say about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.timeframe import DAY_NS
from gateway.contract import Contract
from gateway.simulator import messages, requests, wire_times
from gateway.simulator.listings import MARKET_RULES
from gateway.simulator.records import Listing
from gateway.simulator.session import HANDLERS, Session, answers

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

_HOURS_DAYS = 7
_NO_DEFINITION = "No security definition has been found for the request"


def the_listing(session: Session, request_id: int, contract: Contract) -> Listing | None:
    """The one listing a contract means; None where there is none or several, and then 200 has been told."""
    if "secdef" in session.simulator.faults.broken_farms:
        session.error(request_id, 200, _NO_DEFINITION)
        return None
    found = session.simulator.market.listed(contract, session.simulator.now_ns())
    if len(found) == 1:
        return found[0]
    text = "The contract description specified for " + (contract.symbol or str(contract.con_id)) + " is ambiguous."
    session.error(request_id, 200, text if found else _NO_DEFINITION)
    return None


@answers(requests.ContractDetails)
def contract_details(session: Session, request: requests.ContractDetails) -> None:
    simulator = session.simulator
    if "secdef" in simulator.faults.broken_farms:
        session.error(request.req_id, 200, _NO_DEFINITION)
        return
    found = simulator.market.listed(request.contract, simulator.now_ns(), expired=request.include_expired)
    if not found:
        session.error(request.req_id, 200, _NO_DEFINITION)
        return
    for listing in found:
        trading, liquid = hours_of(simulator, listing)
        session.send(messages.contract_details(session.version, request.req_id, listing, trading, liquid))
    session.send(messages.contract_details_end(session.version, request.req_id))


def hours_of(simulator: Simulator, listing: Listing) -> tuple[str, str]:
    """Trading and regular hours of the coming days, as contract details tell them."""
    today = simulator.now_ns() // DAY_NS
    key = listing.con_id, today
    if key not in simulator.hours:
        simulator.hours[key] = (
            wire_times.hours(listing.trading, listing.zone, today, _HOURS_DAYS),
            wire_times.hours(listing.regular, listing.zone, today, _HOURS_DAYS),
        )
    return simulator.hours[key]


@answers(requests.MatchingSymbols)
def matching_symbols(session: Session, request: requests.MatchingSymbols) -> None:
    found = session.simulator.market.search(request.pattern)
    session.send(messages.symbol_samples(session.version, request.req_id, found))


@answers(requests.MarketRule)
def market_rule(session: Session, request: requests.MarketRule) -> None:
    steps = MARKET_RULES.get(request.rule_id) or next(
        (each.price_steps for each in session.simulator.market.listings() if each.market_rule == request.rule_id), None
    )
    if steps is None:
        session.error(-1, 321, f"Error validating request.-'cF' : cause - Invalid market rule id {request.rule_id}.")
        return
    session.send(messages.market_rule(session.version, request.rule_id, steps))


@answers(requests.SecDefOptParams)
def option_chain(session: Session, request: requests.SecDefOptParams) -> None:
    """There are no options."""
    session.send(messages.sec_def_opt_params_end(session.version, request.req_id))


@answers(requests.SmartComponents)
def smart_components(session: Session, request: requests.SmartComponents) -> None:
    session.send(messages.smart_components(session.version, request.req_id))


@answers(requests.SoftDollarTiers)
def soft_dollar_tiers(session: Session, request: requests.SoftDollarTiers) -> None:
    session.send(messages.soft_dollar_tiers(session.version, request.req_id))


@answers(requests.MarketDepthExchanges)
def market_depth_exchanges(session: Session, request: requests.MarketDepthExchanges) -> None:
    session.send(messages.market_depth_exchanges(session.version))


# What the simulator does not do, and what it answers


@answers(requests.FundamentalData)
def fundamental_data(session: Session, request: requests.FundamentalData) -> None:
    session.error(request.req_id, 10358, "Fundamentals data is not allowed.")


@answers(requests.MarketDepth)
def market_depth(session: Session, request: requests.MarketDepth) -> None:
    text = "Deep market data is not supported for this combination of security type/exchange"
    session.error(request.req_id, 10092, text)


def _refuse(session: Session, request: Any) -> None:
    name = type(request).__name__
    subject = getattr(request, "req_id", -1)
    session.error(subject, 321, f"Error validating request : cause - {name} is not simulated.")


def _ignore(session: Session, request: Any) -> None:
    """The end of what never began."""


_NOT_SIMULATED: tuple[type, ...] = (
    requests.CalculateImpliedVolatility,
    requests.CalculateOptionPrice,
    requests.ExerciseOptions,
    requests.HistogramData,
    requests.QueryDisplayGroups,
    requests.SubscribeToGroupEvents,
    requests.UpdateDisplayGroup,
    requests.RequestFa,
    requests.ReplaceFa,
    requests.WshMetaData,
    requests.WshEventData,
)
_WITHOUT_EFFECT: tuple[type, ...] = (
    requests.CancelCalculateImpliedVolatility,
    requests.CancelCalculateOptionPrice,
    requests.CancelFundamentalData,
    requests.CancelHistogramData,
    requests.CancelMarketDepth,
    requests.CancelWshEventData,
    requests.CancelWshMetaData,
    requests.UnsubscribeFromGroupEvents,
)
HANDLERS.update(dict.fromkeys(_NOT_SIMULATED, _refuse))
HANDLERS.update(dict.fromkeys(_WITHOUT_EFFECT, _ignore))
