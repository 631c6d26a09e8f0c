"""Sealed segments leave the spool: stored by the database service first, deleted then."""

from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.chains import MARKET_DATA, SPOOL_DATABASE
from aitrading.core.infrastructure.error_handler import ErrorHandler, IsolationPolicy
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import RetryPolicy
from aitrading.core.infrastructure.segment_files import SealedSegment
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT
from aitrading.server.data_bridge.call_sites import (
    DATABASE_BREAKER,
    SEGMENT_HANDOVER,
    SEGMENT_QUARANTINE,
)
from aitrading.server.data_bridge.errors import SEGMENT_NOT_ACCEPTED
from aitrading.server.data_bridge.metrics import SEGMENTS_HANDED_OVER, SEGMENTS_QUARANTINED
from aitrading.server.data_bridge.ports import TickStore
from aitrading.server.kit.ingest_api import SegmentStored, segment_name

UNTIL_STORED: Final = RetryPolicy(
    first_s=0.2,
    max_s=10.0,
    attempts=None,
    retryable=lambda exc: isinstance(exc, Exception) and not is_hopeless(exc),
)
REFUSED_STATUS: Final = 422
"""The one answer that says: this segment can never be stored."""
ONE_FAULT: Final = IsolationPolicy(faults_limit=1, isolate_s=60.0)

_log = get_logger(__name__)


class SegmentHandover:
    """One segment after the other, oldest first; a damaged one is set aside, never the others."""

    def __init__(
        self,
        spool: Spool,
        store: TickStore,
        *,
        errors: ErrorHandler,
        metrics: Metrics,
        chains: ChainRegistry,
        clock: Clock,
    ) -> None:
        self.name = "segment-handover"
        self.handed_over = 0
        self.quarantined = 0
        self._spool = spool
        self._store = store
        self._errors = errors
        self._metrics = metrics
        self._chains = chains
        self._clock = clock
        self._tasks = TaskSet(self.name, on_error=lambda _, exc: errors.classify(exc) and None)
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the database service does not take segments: they wait here."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Seal by age and hand over whatever is sealed."""
        self._errors.declare(SEGMENT_HANDOVER, SEGMENT_QUARANTINE, DATABASE_BREAKER)
        self._tasks.keep(self._spool.maintain, name="seal", clock=self._clock)
        self._tasks.keep(self._run, name="hand-over", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop; what was not handed over is handed over after the next start."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    async def _run(self) -> None:
        while True:
            await self.hand_over(await self._spool.next_sealed())

    async def hand_over(self, segment: SealedSegment) -> None:
        """Return when the segment is stored and deleted, or set aside."""
        began_ns = self._clock.monotonic_ns()
        name = segment_name(segment.spool, segment.segment_id)
        try:
            await self._errors.isolate(
                SEGMENT_QUARANTINE, name, lambda: self._stored(segment, name), ONE_FAULT
            )
        except AitradingError as exc:
            if exc.spec is not SEGMENT_NOT_ACCEPTED:
                raise
            await self._set_aside(segment, name)
            return
        took_ns = self._clock.monotonic_ns() - began_ns
        self._chains.record(MARKET_DATA, SPOOL_DATABASE, took_ns)
        await self._spool.delete(segment)
        self.handed_over += 1
        self._metrics.increment(SEGMENTS_HANDED_OVER)

    async def _stored(self, segment: SealedSegment, name: str) -> None:
        try:
            data = await self._spool.read_segment(segment)
            await self._errors.retry(
                SEGMENT_HANDOVER, lambda: self._send(name, data), UNTIL_STORED
            )
        except AitradingError as exc:
            if not is_hopeless(exc):
                raise
            raise SEGMENT_NOT_ACCEPTED.error(segment=name, reason=exc.message) from exc

    async def _send(self, name: str, data: bytes) -> SegmentStored:
        try:
            stored = await self._store.store(name, data)
        except Exception:
            self._state = ComponentState.DEGRADED
            self._chains.record(MARKET_DATA, SPOOL_DATABASE, 0, ok=False)
            raise
        self._state = ComponentState.HEALTHY
        return stored

    async def _set_aside(self, segment: SealedSegment, name: str) -> None:
        path = await self._spool.quarantine(segment)
        self.quarantined += 1
        self._metrics.increment(SEGMENTS_QUARANTINED)
        _log.critical("segment set aside", segment=name, path=str(path))


def is_hopeless(exc: BaseException) -> bool:
    """Whether repeating with the same bytes can never succeed."""
    if not isinstance(exc, AitradingError):
        return False
    if exc.spec is SEGMENT_CORRUPT:
        return True
    return exc.spec.http_status == REFUSED_STATUS and exc.spec.category is not Category.RETRYABLE
