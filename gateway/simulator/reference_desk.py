"""What exists: contracts, searches, market rules, news, scanners, and what the simulator has nothing to say about."""

from __future__ import annotations

from gateway.contract import Contract
from gateway.simulator import messages, requests
from gateway.simulator.records import Listing
from gateway.simulator.session import Session, answers

_NO_DEFINITION = "No security definition has been found for the request"


def the_listing(session: Session, request_id: int, contract: Contract) -> Listing | None:
    """The one listing a contract means; None where there is none or several, and then 200 has been told."""
    if "secdef" in session.simulator.faults.broken_farms:
        session.error(request_id, 200, _NO_DEFINITION)
        return None
    found = session.simulator.market.find(contract)
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
    found = simulator.market.find(request.contract)
    if not found:
        session.error(request.req_id, 200, _NO_DEFINITION)
        return
    now_ns = simulator.now_ns()
    for listing in found:
        session.send(messages.contract_details(session.version, request.req_id, listing, now_ns))
    session.send(messages.contract_details_end(session.version, request.req_id))


@answers(requests.MatchingSymbols)
def matching_symbols(session: Session, request: requests.MatchingSymbols) -> None:
    found = session.simulator.market.search(request.pattern)
    session.send(messages.symbol_samples(session.version, request.req_id, found))
