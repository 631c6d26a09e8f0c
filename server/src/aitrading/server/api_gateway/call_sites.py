"""Where the api-gateway protects itself from its peers' faults."""

from typing import Final

from aitrading.core.infrastructure.error_handler import CallSite, Guard

PEER_BREAKER: Final = CallSite(
    name="gateway.peers",
    strategy=Guard.BREAKER,
    service="api-gateway",
    fault="A service does not answer the question how it is.",
    description=(
        "After three failures in a row the service is asked once every two seconds only, so that "
        "a hanging peer does not hold the others' answers back."
    ),
)
HEALTH_LAST_KNOWN: Final = CallSite(
    name="gateway.health",
    strategy=Guard.FALLBACK,
    service="api-gateway",
    fault="A service's health cannot be had.",
    description=(
        "The page and /api/v1/health go on with what the service said last, show its age and "
        "call its state UNKNOWN unless the supervisor knows it."
    ),
)
