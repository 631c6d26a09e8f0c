"""Makes the bars that are missing, soon after the ticks came.

Who stores ticks notes the stretch of time in the same transaction (`market.bar_dirt`). Here the
bars of that stretch are made, and then the notes that were read are deleted: killed in between,
the same bars are made again. Until then questions make them from ticks (`reader.py`).
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.bars.periods import DAY_S
from aitrading.server.database_service.bars.port import BarStore, Span
from aitrading.server.database_service.bars.settings import BarSettings
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics import BAR_DAYS_MADE
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

NOTES_AT_ONCE: Final = 10_000
SQL: Final = Queries.load(__package__ or "", "dirt.sql")


class BarKeeper(LoopingComponent):
    """One round every few seconds, organisation by organisation."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema", "clickhouse-schema")

    def __init__(
        self,
        pool: PostgresPool,
        store: BarStore,
        writer: TickWriter,
        guards: Guards,
        settings: BarSettings,
        clock: Clock,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        super().__init__("bar-keeper", on_error=errors.classify)
        self._pool = pool
        self._store = store
        self._writer = writer
        self._guards = guards
        self._settings = settings
        self._clock = clock
        self._errors = errors
        self._metrics = metrics
        self._waiting: set[TenantId] = set()

    @override
    async def start(self) -> None:
        """Keep bars from now on; what was noted before the start comes first."""
        self._tasks.keep(self._keep_for_ever, name="keep", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def keep(self, tenants: Iterable[TenantId] = ()) -> None:
        """One round over organisations whose ticks came since the last one, and over these.

        One that cannot be finished stays for the next round and keeps no other from its turn; the
        last failure is raised at the end.
        """
        self._waiting |= self._writer.take_touched() | set(tenants)
        failure: AitradingError | None = None
        for tenant in sorted(self._waiting):
            try:
                while await self._make_some(tenant):
                    pass
            except AitradingError as exc:
                failure = exc
            else:
                self._waiting.discard(tenant)
        if failure is not None:
            raise failure

    async def _make_some(self, tenant: TenantId) -> bool:
        """Work through some notes of one organisation; tells whether there may be more."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(tenant) as tx:
                notes = await tx.fetch(SQL["read"], NOTES_AT_ONCE)
        if not notes:
            return False
        version = max(note["id"] for note in notes)
        for streams, span in days_of(notes):
            with self._guards.clickhouse_writes.guard():
                await self._store.make(tenant, streams, span, version)
            self._metrics.increment(BAR_DAYS_MADE)
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(tenant) as tx:
                await tx.execute(SQL["clean"], [note["id"] for note in notes])
        return len(notes) == NOTES_AT_ONCE

    async def _keep_for_ever(self) -> None:
        started = False
        while True:
            try:
                await self.keep(() if started else await self._everybody())
                started = True
            except AitradingError as exc:
                self._errors.classify(exc)
            await self._clock.sleep(self._settings.round_s)

    async def _everybody(self) -> list[TenantId]:
        with self._guards.postgres.guard():
            async with self._pool.platform_read() as tx:
                return [TenantId(row["id"]) for row in await tx.fetch(SQL["tenants"])]


def days_of(notes: Iterable[Any]) -> list[tuple[list[UUID], Span]]:
    """The notes as pieces of work: streams, and a span within one day that covers their notes."""
    days: dict[int, tuple[set[UUID], list[int]]] = defaultdict(lambda: (set(), []))
    for note in notes:
        low, high = note["from_s"], note["until_s"] + 1
        for day in range(low // DAY_S, (high - 1) // DAY_S + 1):
            streams, ends = days[day]
            streams.add(note["stream_id"])
            ends += (max(low, day * DAY_S), min(high, (day + 1) * DAY_S))
    return [
        (sorted(streams), (min(ends), max(ends))) for _, (streams, ends) in sorted(days.items())
    ]
