"""What pools of PostgreSQL connections tell: how full they are, how long one waits for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aitrading.core.infrastructure.call_sites import CallSite, Guard
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.infrastructure.resilience import CircuitBreaker, ResilienceRegistry
from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.kit.connection_pool import Observe, Occupation
from aitrading.server.kit.database_errors import DATABASE_CONNECTION_LOST
from aitrading.server.kit.load_meter import StoreWaits

REPLICA_FAILURES: Final = 2
REPLICA_OPEN_S: Final = 5.0
PRIMARY: Final = "primary"
POSTGRES_REPLICA: Final = CallSite(
    name="postgres-replica",
    strategy=Guard.BREAKER,
    service="every service",
    fault="A read replica of PostgreSQL is stopped, cut off or hangs.",
    description="It is not asked for a few seconds, then one question probes it. The other "
    "replica or the primary answers meanwhile.",
)
CONNECTIONS: Final = Metric(
    name="aitrading_postgres_connections",
    kind=MetricKind.GAUGE,
    help="Open connections by login role, server (`primary`, or the replica's address) and "
    "state (`idle`, `in_use`).",
    labels=("role", "server", "state"),
)
CONNECTION_LIMIT: Final = Metric(
    name="aitrading_postgres_connection_limit",
    kind=MetricKind.GAUGE,
    help="How many connections a pool may open to one server.",
    labels=("role", "server"),
)
WAITING: Final = Metric(
    name="aitrading_postgres_waiting",
    kind=MetricKind.GAUGE,
    help="Transactions that wait for a connection.",
    labels=("role", "server"),
)
ACQUIRE_SECONDS: Final = Metric(
    name="aitrading_postgres_acquire_s",
    kind=MetricKind.HISTOGRAM,
    help="Time until a transaction had a connection, or gave up.",
    labels=("role", "server"),
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0),
)
ACQUIRE_TIMEOUTS: Final = Metric(
    name="aitrading_postgres_acquire_timeouts_total",
    kind=MetricKind.COUNTER,
    help="Transactions that had no connection in time.",
    labels=("role", "server"),
)
TRANSACTIONS: Final = Metric(
    name="aitrading_postgres_transactions_total",
    kind=MetricKind.COUNTER,
    help="Transactions on the primary by outcome (`committed`, `rolled_back`).",
    labels=("role", "outcome"),
)
PRIMARY_SWITCHES: Final = Metric(
    name="aitrading_postgres_primary_switches_total",
    kind=MetricKind.COUNTER,
    help="How often another server became the primary.",
    labels=("role",),
)
REPLICA_READS: Final = Metric(
    name="aitrading_postgres_replica_reads_total",
    kind=MetricKind.COUNTER,
    help="Reads that a replica was asked for: `served`, or `stale` when it was not fresh enough.",
    labels=("role", "server", "outcome"),
)


@dataclass(frozen=True, kw_only=True)
class PoolReports:
    """Where the pools of one process tell what they do."""

    metrics: Metrics
    errors: ErrorHandler
    clock: Clock
    waits: StoreWaits

    @classmethod
    def unheard(cls) -> "PoolReports":
        """For programs that end soon: nobody reads what is told."""
        clock, metrics = SystemClock(), Metrics()
        errors = ErrorHandler(
            clock=clock,
            randomness=SystemRandomness(),
            metrics=metrics,
            resilience=ResilienceRegistry(),
        )
        return cls(metrics=metrics, errors=errors, clock=clock, waits=StoreWaits())

    def observer(self, role: str, server: str) -> Observe:
        """Takes how long somebody waited for a connection."""
        measure = self.metrics.observer(ACQUIRE_SECONDS, role=role, server=server)

        def observe(wait_s: float) -> None:
            measure(wait_s)
            self.waits.note(wait_s)

        return observe

    def breaker(self, role: str, server: str) -> CircuitBreaker:
        """One for each replica; all of them stand at the site `postgres-replica`."""
        breaker = CircuitBreaker(
            f"{POSTGRES_REPLICA.name}.{role}.{server}",
            clock=self.clock,
            failure_threshold=REPLICA_FAILURES,
            open_s=REPLICA_OPEN_S,
            counts=is_absence,
        )
        return self.errors.guard(POSTGRES_REPLICA, breaker)


def is_absence(exc: BaseException) -> bool:
    """Whether an error says that the server itself is not there."""
    return isinstance(exc, AitradingError) and exc.spec is DATABASE_CONNECTION_LOST


def readings_of(occupation: Occupation, limit: int, role: str, server: str) -> Iterator[Reading]:
    """One pool as metrics."""
    yield Reading(CONNECTIONS, occupation.idle, (role, server, "idle"))
    yield Reading(CONNECTIONS, occupation.in_use, (role, server, "in_use"))
    yield Reading(CONNECTION_LIMIT, limit, (role, server))
    yield Reading(WAITING, occupation.waiting, (role, server))
    yield Reading(ACQUIRE_TIMEOUTS, occupation.timeouts, (role, server))
