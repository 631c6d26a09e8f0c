"""Where the database service recovers from faults."""

from typing import Final

from aitrading.core.infrastructure.call_sites import CallSite, Guard, RecoveryStrategy

SERVICE: Final = "database-service"

POSTGRES_BREAKER: Final = CallSite(
    name="database-postgres",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="PostgreSQL is stopped, restarting or out of resources.",
    description="Calls fail at once instead of queueing; one probes after a pause. Ticks wait "
    "in the bridge's spool.",
)
CLICKHOUSE_WRITE_BREAKER: Final = CallSite(
    name="database-clickhouse-writes",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="ClickHouse cannot write, for instance because its disk is full.",
    description="Segments are refused at once; one probes after a pause. Ticks wait in the "
    "bridge's spool, and questions are answered meanwhile.",
)
CLICKHOUSE_READ_BREAKER: Final = CallSite(
    name="database-clickhouse-reads",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="ClickHouse cannot read, or takes too long.",
    description="Questions about ticks are refused at once; one probes after a pause. Ticks are "
    "stored meanwhile.",
)
VECTORS_BREAKER: Final = CallSite(
    name="database-vectors",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="The store of error vectors is stopped or does not answer.",
    description="Questions for similar errors are refused at once; one probes after a pause. "
    "Errors are recorded meanwhile and compared later.",
)
GRAPH_BREAKER: Final = CallSite(
    name="database-graph",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="The store of the chains' graph is stopped or does not answer.",
    description="Questions what a failure breaks are refused at once; one probes after a pause. "
    "Chains are measured meanwhile.",
)
READ_BULKHEAD: Final = CallSite(
    name="database-reads",
    strategy=Guard.BULKHEAD,
    service=SERVICE,
    fault="Many or slow questions about ticks arrive at once.",
    description="A few run, some wait, the rest is refused with 503; storing ticks is not touched.",
)
WRITE_BULKHEAD: Final = CallSite(
    name="database-writes",
    strategy=Guard.BULKHEAD,
    service=SERVICE,
    fault="Segments arrive faster than they can be stored.",
    description="One is stored at a time, a few wait, the rest is refused and comes again.",
)
SEGMENT_ISOLATION: Final = CallSite(
    name="database-segment",
    strategy=RecoveryStrategy.ISOLATE,
    service=SERVICE,
    fault="A segment is damaged or belongs to nobody.",
    description="A copy goes to the quarantine folder and the sender is told to go on without "
    "it; the same segment is refused unread for a while.",
)
CACHE_BREAKER: Final = CallSite(
    name="database-cache",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="The cache is stopped, restarting or too slow.",
    description="It is not asked for a while; whoever needs it does without it at once.",
)
READ_BUDGET_DEGRADE: Final = CallSite(
    name="database-read-budget",
    strategy=RecoveryStrategy.DEGRADE,
    service=SERVICE,
    fault="The cache, where pages per tenant are counted, does not answer.",
    description="Each instance counts alone with the same limit; nobody reads without one.",
)
CACHE_DEGRADE: Final = CallSite(
    name="database-quote-cache",
    strategy=RecoveryStrategy.DEGRADE,
    service=SERVICE,
    fault="The cache is stopped or does not answer.",
    description="Last quotes are read from the store instead, and the answer says so.",
)
ALL_CALL_SITES: Final = (
    POSTGRES_BREAKER,
    CLICKHOUSE_WRITE_BREAKER,
    CLICKHOUSE_READ_BREAKER,
    VECTORS_BREAKER,
    GRAPH_BREAKER,
    READ_BULKHEAD,
    WRITE_BULKHEAD,
    SEGMENT_ISOLATION,
    CACHE_BREAKER,
    CACHE_DEGRADE,
    READ_BUDGET_DEGRADE,
)
