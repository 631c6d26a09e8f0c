"""What a process of ours says of itself, asked where it answers without a login."""

from typing import Final

import msgspec

from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.engines.http_probe import HttpTarget, http_body

HEALTH_PATH: Final = "/health"


async def own_report(target: HttpTarget) -> PeerReport | None:
    """Its `/health`, as the page gets it; None when it does not answer in time."""
    body = await http_body(target, HEALTH_PATH)
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=PeerReport)
    except msgspec.MsgspecError:
        return None
