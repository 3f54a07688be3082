"""A row of a connection to the gateway, as its holder told it a moment ago."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from tradingsite.models import GatewayLink


def link(role: str = "data", seconds_ago: float = 1.0, **fields: Any) -> GatewayLink:
    told = timezone.now() - timedelta(seconds=seconds_ago)
    about = {"state": "ready", "since": told, "seen": told, "heartbeat": told, "host": "127.0.0.1", "port": 4002}
    return GatewayLink.objects.update_or_create(role=role, defaults={**about, "client_id": 11, **fields})[0]
