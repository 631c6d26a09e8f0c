"""Keeps what every process reports: folded in memory for a second, then one transaction each.

A durable subscription: reports wait on the bus while this service is away. While PostgreSQL is
away, or something fails that nobody foresaw, they wait here, folded and bounded; what finds no
room is counted. A crash loses what was not written yet, at most what
arrived in one second; a repeated delivery after a crash may count twice. A connection lost while
a report was committed counts it once: the receipt tells.
"""

from typing import ClassVar, Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.error_backlog import ErrorBacklog
from aitrading.core.infrastructure.error_dna import SimilarError
from aitrading.core.infrastructure.error_embedding import ErrorFeatures
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import ErrorRecognised, ErrorSeen, ErrorsSeen
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.kit.clock import Clock, datetime_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction

FLUSH_EVERY_S: Final = 1.0
MAX_KNOWN: Final = 5_000
"""Kinds of errors remembered of one organisation; beyond it the longest silent one is forgotten."""
MAX_NEW_COMPARED: Final = 20
MAX_SERVICES: Final = 32
SIMILAR_TOLD: Final = 3
DURABLE_NAME: Final = "known-errors"
NOT_KEPT: Final = Metric(
    name="aitrading_reported_errors_not_kept_total",
    kind=MetricKind.COUNTER,
    help="Errors that services reported and that found no room to wait to be written.",
)
_SQL: Final = Queries.load(__package__ or "", "known_errors.sql")
_log = get_logger(__name__)


class ErrorRecorder(LoopingComponent):
    """Writes reported errors, and tells the reporters what is like the new ones."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("bus", "postgres-schema")

    def __init__(
        self,
        bus: EventBus,
        replay: Replay,
        lookup: ErrorLookup,
        guards: Guards,
        clock: Clock,
        ids: IdFactory,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        super().__init__("error-recorder", on_error=errors.classify)
        self._bus = bus
        self._replay = replay
        self._ids = ids
        self._lookup = lookup
        self._guards = guards
        self._clock = clock
        self._waiting: dict[str, ErrorBacklog] = {}
        self._refused = 0
        metrics.add_source(lambda: [Reading(NOT_KEPT, self.not_kept)])
        self._subscription: Subscription | None = None

    @property
    def not_kept(self) -> int:
        """Reported errors for which there was no room."""
        return self._refused + sum(each.forgotten for each in self._waiting.values())

    @override
    async def start(self) -> None:
        self._subscription = await self._bus.subscribe(
            ErrorsSeen, self._on_seen, durable=DURABLE_NAME
        )
        self._tasks.keep(self._flush_for_ever, name="flush", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPING
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()
        await self._tasks.close()
        try:
            await self.flush()
        finally:
            self._state = ComponentState.STOPPED

    async def flush(self) -> None:
        """Write what waits; what cannot be written waits on.

        What nobody foresaw hinders nothing else from being written, and is raised at the end.
        """
        unforeseen: Exception | None = None
        for service, backlog in list(self._waiting.items()):  # reports arrive meanwhile
            waiting = backlog.drain()
            try:
                for tenant in list(waiting):
                    try:
                        await self._record(service, tenant, waiting)
                    except AitradingError as exc:
                        # Not classified: an error about keeping errors would be kept for ever.
                        _log.debug("errors wait to be written: %s", exc.message)
                    except Exception as exc:  # noqa: BLE001 - raised when the others are written
                        unforeseen = exc
            finally:
                for tenant, seen in waiting.items():
                    backlog.put_back(tenant, seen)
        if unforeseen is not None:
            raise unforeseen

    async def _on_seen(self, event: ErrorsSeen, envelope: EventEnvelope) -> None:
        tenant = str(envelope.tenant) if envelope.tenant else None
        if event.service in self._waiting or len(self._waiting) < MAX_SERVICES:
            self._waiting.setdefault(event.service, ErrorBacklog()).put_back(tenant, event.errors)
        else:
            self._refused += sum(each.count for each in event.errors)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def _record(
        self, service: str, tenant: str | None, waiting: dict[str | None, list[ErrorSeen]]
    ) -> None:
        """Write what waits of one organisation; once it is written it waits no more."""
        seen = waiting[tenant]
        owner = PLATFORM if tenant is None else TenantId(UUID(tenant))

        async def write(tx: TenantTransaction) -> tuple[list[ErrorSeen], list[str]]:
            new = [each for each in seen if await _write(tx, service, each)]
            old = await tx.fetch(_SQL["forget_oldest"], MAX_KNOWN) if new else []
            return new, [row["fingerprint"] for row in old]

        with self._guards.postgres.guard():
            new, old = await self._replay.run(owner, write, receipt=self._ids.new())
        del waiting[tenant]
        if old:
            await self._forget(owner, old)
        for each in new[:MAX_NEW_COMPARED]:
            await self._recognise(owner, each)

    async def _recognise(self, owner: TenantId, seen: ErrorSeen) -> None:
        """A help for people: when the index or the bus is away, the error is kept all the same."""
        try:
            similar = await self._similar(owner, seen)
            if similar:
                event = ErrorRecognised(fingerprint=seen.fingerprint, similar=tuple(similar))
                await self._bus.publish(event, tenant=None if owner == PLATFORM else owner)
        except AitradingError as exc:
            _log.info("a new error was not compared: %s", exc.message)

    async def _forget(self, owner: TenantId, fingerprints: list[str]) -> None:
        try:
            await self._lookup.forget(owner, fingerprints)
        except AitradingError as exc:
            _log.info("%d forgotten errors stay in the index: %s", len(fingerprints), exc.message)

    async def _similar(self, owner: TenantId, seen: ErrorSeen) -> list[SimilarError]:
        features = ErrorFeatures(
            code=seen.code, kind=seen.kind, frames=seen.frames, message=seen.message
        )
        return await self._lookup.similar(
            owner, features, SIMILAR_TOLD, excluding=seen.fingerprint
        )


async def _write(tx: TenantTransaction, service: str, seen: ErrorSeen) -> bool:
    """Fold one summary into its row; tells whether it is the first of its kind."""
    return bool(
        await tx.fetch_value(
            _SQL["record"],
            seen.fingerprint,
            seen.code[:100],
            seen.kind[:300],
            list(seen.frames[-16:]),
            seen.message[:1000],
            seen.severity,
            seen.impact,
            service,
            seen.count,
            datetime_of_ns(seen.first_seen_ns),
            datetime_of_ns(seen.last_seen_ns),
            seen.trace_id,
        )
    )
