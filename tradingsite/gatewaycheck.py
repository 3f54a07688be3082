"""What `manage.py doctor` asks of the gateway: one connection under a client id of its own, looked at and ended."""

from __future__ import annotations

from django.conf import settings

from domain.errors import BadInput
from gateway.diagnosis import diagnose
from gateway.errors import GatewayError
from tradingsite.health import Check
from tradingsite.links import settings_of

_START = "start the simulated gateway: `manage.py simulator`, or `manage.py up`, which starts it with all the rest"


def checks() -> list[Check]:
    """Each thing in the order in which a connection meets it; what fails keeps the later ones from being looked at."""
    where = f"{settings.IB_HOST}:{settings.IB_PORT}"
    try:
        found = diagnose(settings_of("doctor"))
    except BadInput as error:
        return [Check("gateway", False, where, str(error), "correct the settings that begin with IB_")]
    except GatewayError as error:
        return [Check("gateway", False, where, error.words, error.remedy or "see that the gateway runs")]
    return [
        Check(f"gateway {each.name}", each.ok, each.detail, each.cause, _remedy(each.name, each.remedy))
        for each in found
    ]


def _remedy(name: str, remedy: str) -> str:
    """Where nothing listens and the simulated gateway is meant, it is that which is missing."""
    return _START if remedy and name == "port" and settings.TRADING_MODE == "simulated" else remedy
