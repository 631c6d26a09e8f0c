"""What keeps a sick store, or too much work, from taking the whole service with it."""

from collections.abc import Callable

from aitrading.core.infrastructure.error_handler import CallSite, ErrorHandler
from aitrading.core.infrastructure.resilience import (
    Bulkhead,
    CircuitBreaker,
    is_failure,
)
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.call_sites import (
    ALL_CALL_SITES,
    CACHE_BREAKER,
    CLICKHOUSE_READ_BREAKER,
    CLICKHOUSE_WRITE_BREAKER,
    GRAPH_BREAKER,
    POSTGRES_BREAKER,
    READ_BULKHEAD,
    VECTORS_BREAKER,
    WRITE_BULKHEAD,
)
from aitrading.server.database_service.settings import GuardSettings


class Guards:
    """The breakers and bulkheads of this process, visible in its health.

    A ClickHouse that cannot write may well be able to read: each has a breaker of its own, or
    every answered question would hide the ticks that cannot be stored.
    """

    def __init__(self, settings: GuardSettings, clock: Clock, errors: ErrorHandler) -> None:
        errors.declare(*ALL_CALL_SITES)

        def breaker(site: CallSite, *prefixes: str) -> CircuitBreaker:
            return errors.guard(
                site,
                CircuitBreaker(
                    site.name,
                    clock=clock,
                    failure_threshold=settings.failures,
                    open_s=settings.open_s,
                    counts=blames(*prefixes),
                ),
            )

        def bulkhead(site: CallSite, limit: int, queue_limit: int) -> Bulkhead:
            return errors.guard(site, Bulkhead(site.name, limit=limit, queue_limit=queue_limit))

        self.postgres = breaker(POSTGRES_BREAKER, "DATABASE_")
        self.clickhouse_writes = breaker(CLICKHOUSE_WRITE_BREAKER, "CLICKHOUSE_")
        self.clickhouse_reads = breaker(CLICKHOUSE_READ_BREAKER, "CLICKHOUSE_")
        self.cache = breaker(CACHE_BREAKER, "CACHE_UNAVAILABLE")
        self.vectors = breaker(VECTORS_BREAKER, "DATABASE_", "VECTORS_")
        self.graph = breaker(GRAPH_BREAKER, "DATABASE_", "GRAPH_")
        self.writes = bulkhead(WRITE_BULKHEAD, 1, settings.write_queue)
        self.reads = bulkhead(READ_BULKHEAD, settings.reads, settings.read_queue)


def blames(*prefixes: str) -> Callable[[BaseException], bool]:
    """Whether an error is the fault of the one store whose codes start so."""

    def counts(exc: BaseException) -> bool:
        return (
            isinstance(exc, AitradingError) and is_failure(exc) and exc.code.startswith(prefixes)
        )

    return counts
