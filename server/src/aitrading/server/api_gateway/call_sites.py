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
PASSWORD_HASHING: Final = CallSite(
    name="password-hashing",
    strategy=Guard.BULKHEAD,
    service="api-gateway",
    fault="More people log in at once than the machine can check passwords of.",
    description=(
        "Two passwords are checked at a time and 32 logins wait; the next is told to come back. "
        "A flood of logins takes neither the processor nor the memory from everybody else."
    ),
)
