"""What keeps a sick store, or too much work, from taking the whole service with it."""

from collections.abc import Callable

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.resilience import (
    Bulkhead,
    CircuitBreaker,
    ResilienceRegistry,
    is_failure,
)
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.call_sites import ALL_CALL_SITES
from aitrading.server.database_service.settings import GuardSettings


class Guards:
    """The breakers and bulkheads of this process, visible in its health."""

    def __init__(
        self,
        settings: GuardSettings,
        clock: Clock,
        resilience: ResilienceRegistry,
        errors: ErrorHandler,
    ) -> None:
        errors.declare(*ALL_CALL_SITES)

        def breaker(name: str, prefix: str) -> CircuitBreaker:
            return resilience.add(
                CircuitBreaker(
                    name,
                    clock=clock,
                    failure_threshold=settings.failures,
                    open_s=settings.open_s,
                    counts=blames(prefix),
                )
            )

        self.postgres = breaker("database-postgres", "DATABASE_")
        self.clickhouse = breaker("database-clickhouse", "CLICKHOUSE_")
        self.writes = resilience.add(
            Bulkhead("database-writes", limit=1, queue_limit=settings.write_queue)
        )
        self.reads = resilience.add(
            Bulkhead("database-reads", limit=settings.reads, queue_limit=settings.read_queue)
        )


def blames(prefix: str) -> Callable[[BaseException], bool]:
    """Whether an error is the fault of the one store whose codes start so."""

    def counts(exc: BaseException) -> bool:
        return isinstance(exc, AitradingError) and is_failure(exc) and exc.code.startswith(prefix)

    return counts
