"""History: bars once or kept up to date, head time stamps, schedules and ticks."""

from __future__ import annotations

from gateway.simulator import history, messages, requests
from gateway.simulator.records import Listing
from gateway.simulator.reference_desk import the_listing
from gateway.simulator.service_faults import finds_no_data
from gateway.simulator.session import Session, answers

_HMDS = "Historical Market Data Service error message:"
_UPDATE_SECONDS = 1.0
"""A forming bar is told again after so long, real time."""


def _refused(session: Session, request_id: int, symbol: str, exchange: str, what: str) -> bool:
    """Whether a fault or a permission answers in place of history; then it has."""
    simulator = session.simulator
    faults = simulator.faults
    why = ""
    if faults.paced_requests > 0:
        faults.paced_requests -= 1
        why = "Historical data request pacing violation"
    elif simulator.settings.competing_session:
        why = "Trading TWS session is connected from a different IP address"
    elif "history" in faults.broken_farms or not faults.connected_to_ib:
        why = "HMDS server disconnect occurred.  Attempting reconnection..."
    elif symbol in simulator.settings.history_denied:
        why = f"No market data permissions for {exchange} STK"
    elif finds_no_data(simulator, symbol):
        why = f"HMDS query returned no data: {symbol}@{exchange} {what.capitalize()}"
    if why:
        session.error(request_id, 162, _HMDS + why)
    return bool(why)
