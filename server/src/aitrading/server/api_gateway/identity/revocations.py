"""Telling every process which sessions ended, until their last access token is over."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import SessionsEnded
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.server.api_gateway.identity.tenants import all_tenants
from aitrading.server.kit.ended_sessions import REMEMBER_S, EndedSessions
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

REPEAT_S: Final = 10.0
MAX_TOLD_SESSIONS: Final = 1_000
"""Newest first; at more logouts than this in 15 minutes the oldest tokens end by themselves."""
_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/sessions.sql")


class Revocations:
    """Refuses ended sessions here at once and everywhere within a moment; a component."""

    def __init__(
        self,
        pool: PostgresPool,
        bus: EventBus,
        ended: EndedSessions,
        *,
        clock: Clock,
        on_error: Callable[[Exception], object],
    ) -> None:
        self.name = "session-revocations"
        self.depends_on = ("postgres",)
        self.critical = False
        self.state = ComponentState.NEW
        self._pool = pool
        self._bus = bus
        self._ended = ended
        self._clock = clock
        self._on_error = on_error
        self._tasks = TaskSet(self.name, on_error=self._failed)

    async def start(self) -> None:
        """Remember what ended before this process began, then repeat what is known."""
        self.state = ComponentState.STARTING
        since = now_utc(self._clock) - timedelta(seconds=REMEMBER_S)
        for tenant in await all_tenants(self._pool):
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(_SQL["recently_ended"], since)
            self._ended.add(row["id"] for row in rows)
        self._tasks.start(self._repeat_for_ever(), name="repeat")
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Tell no more."""
        await self._tasks.close()
        self.state = ComponentState.STOPPED

    async def announce(self, sessions: Sequence[UUID]) -> None:
        """Refuse the tokens of sessions that a committed transaction ended; never raises.

        What the bus does not take now is repeated.
        """
        self._ended.add(sessions)
        for first in range(0, len(sessions), MAX_TOLD_SESSIONS):
            await self._tell(tuple(sessions[first : first + MAX_TOLD_SESSIONS]))

    async def _repeat_for_ever(self) -> None:
        while True:
            await self._clock.sleep(REPEAT_S)
            await self._tell(self._ended.recent(MAX_TOLD_SESSIONS))

    async def _tell(self, sessions: tuple[UUID, ...]) -> None:
        if not sessions:
            return
        try:
            await self._bus.publish(SessionsEnded(sessions=sessions))
        except AitradingError as exc:
            self._on_error(exc)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._on_error(exc)
        self.state = ComponentState.FAILED
