"""Where the trading engine recovers from faults."""

from typing import Final

from aitrading.core.infrastructure.call_sites import CallSite, RecoveryStrategy

SERVICE: Final = "trading-engine"

BUS_HALT: Final = CallSite(
    name="engine-bus",
    strategy=RecoveryStrategy.HALT,
    service=SERVICE,
    capability="trading (event bus)",
    fault="The event bus is lost, so no feed state arrives.",
    description="Trading is halted and every feed counts as unknown until the bus is back. The "
    "kill switch keeps working.",
)
DATABASE_HALT: Final = CallSite(
    name="engine-database",
    strategy=RecoveryStrategy.HALT,
    service=SERVICE,
    capability="trading (database)",
    fault="PostgreSQL does not answer, so nothing could be made durable.",
    description="Trading is halted until a transaction commits again. The kill switch keeps "
    "working.",
)
SITES: Final = (BUS_HALT, DATABASE_HALT)
