"""Telling every process whose tokens are refused, until the last of them is over."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from typing_extensions import override

from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import RaisedEpoch, TokensRevoked
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.server.api_gateway.identity.tenants import all_tenants
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import EVERY_SERVICE, endpoint
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.revoked_tokens import (
    REMEMBER_S,
    REVOCATIONS_PATH,
    Revocation,
    RevocationState,
    RevokedTokens,
)

REPEAT_S: Final = 1.0
MAX_TOLD_SESSIONS: Final = 1_000
"""In one message; more are several."""
MAX_ASKED_SESSIONS: Final = 20_000
"""Newest first; at more logouts than this in 15 minutes the oldest tokens end by themselves."""
_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/sessions.sql")

_DEVICES: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/devices.sql")


class Revocations(LoopingComponent):
    """The source of revocations: refuses here at once, everywhere within a moment; a component.

    What the bus does not take is noticed by the number that is told once a second, and asked for.
    """

    def __init__(
        self,
        pool: PostgresPool,
        bus: EventBus,
        revoked: RevokedTokens,
        *,
        clock: Clock,
        ids: IdFactory,
        on_error: Callable[[Exception], object],
    ) -> None:
        super().__init__("session-revocations", on_error=on_error)
        self.depends_on = ("postgres",)
        self.critical = False
        self._pool = pool
        self._bus = bus
        self._revoked = revoked
        self._clock = clock
        self._on_error = on_error
        self._feed = ids.new()
        self._number = 0
        self._is_said = True

    @override
    async def start(self) -> None:
        """Remember what was revoked before this process began, then tell what is the newest."""
        self._state = ComponentState.STARTING
        since = now_utc(self._clock) - timedelta(seconds=REMEMBER_S)
        async with self._pool.platform_read() as tx:
            organisations = await tx.fetch(_SQL["recently_raised_tenants"], since)
        self._revoked.apply(Revocation(organisations=_raised(organisations)))
        for tenant in await all_tenants(self._pool):
            async with self._pool.tenant_read(tenant) as tx:
                ended = await tx.fetch(_SQL["recently_ended"], since)
                devices = await tx.fetch(_DEVICES["recently_revoked_devices"], since)
                raised = await tx.fetch(_SQL["recently_raised_users"], since)
            sessions = tuple(row["id"] for row in (*ended, *devices))
            self._revoked.apply(Revocation(sessions=sessions, users=_raised(raised)))
        self._tasks.keep(self._repeat_for_ever, name="repeat", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def announce(self, revoked: Revocation) -> None:
        """Refuse the tokens that a committed transaction revoked; never raises."""
        self._revoked.apply(revoked)
        epochs = Revocation(users=revoked.users, organisations=revoked.organisations)
        parts = [epochs] if epochs else []
        for first in range(0, len(revoked.sessions), MAX_TOLD_SESSIONS):
            some = revoked.sessions[first : first + MAX_TOLD_SESSIONS]
            parts.append(Revocation(sessions=some))
        for part in parts:
            self._number += 1
            await self._tell(part)

    @endpoint("GET", REVOCATIONS_PATH, access=EVERY_SERVICE, answer=RevocationState)
    async def everything(self, call: Call) -> RevocationState:
        """Everything that counts now, for a service that missed something."""
        del call
        return RevocationState(
            feed=self._feed,
            number=self._number,
            revoked=Revocation(
                sessions=self._revoked.recent(MAX_ASKED_SESSIONS), users=self._revoked.epochs()
            ),
        )

    async def _repeat_for_ever(self) -> None:
        while True:
            await self._tell(Revocation())
            await self._clock.sleep(REPEAT_S)

    async def _tell(self, part: Revocation) -> None:
        event = TokensRevoked(
            feed=self._feed,
            number=self._number,
            sessions=part.sessions,
            users=part.users,
            organisations=part.organisations,
        )
        try:
            await self._bus.publish(event)
        except AitradingError as exc:
            if self._is_said:  # once for each time that the bus is away, not once a second
                self._on_error(exc)
            self._is_said = False
        else:
            self._is_said = True


def _raised(rows: Iterable[Any]) -> tuple[RaisedEpoch, ...]:
    return tuple(RaisedEpoch(id=row["id"], epoch=row["token_epoch"]) for row in rows)
