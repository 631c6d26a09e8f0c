"""Forgetting what is over: dead sessions, used refresh tokens, expired codes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.server.api_gateway.identity.tenants import all_tenants
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

PERIOD_S: Final = 3600.0
KEPT_AFTER_END: Final = timedelta(days=1)
USED_TOKENS_KEPT: Final = timedelta(days=7)
"""As long as a session may idle: so long a stolen token that comes back is recognised."""
_SQL: Final = Queries.load("aitrading.server.api_gateway.identity", "sql/housekeeping.sql")


class Housekeeping(LoopingComponent):
    """Cleans one organisation after the other, once an hour; a component."""

    def __init__(
        self, pool: PostgresPool, *, clock: Clock, on_error: Callable[[Exception], object]
    ) -> None:
        super().__init__("identity-housekeeping", on_error=on_error)
        self.depends_on = ("postgres",)
        self.critical = False
        self._pool = pool
        self._clock = clock
        self._on_error = on_error

    @override
    async def start(self) -> None:
        """Clean in an hour, and then every hour."""
        self._tasks.keep(self._clean_for_ever, name="clean", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def clean(self) -> int:
        """Clean everything now and tell how many rows went."""
        return sum([await self._clean_tenant(each) for each in await all_tenants(self._pool)])

    async def _clean_tenant(self, tenant: TenantId) -> int:
        moment = now_utc(self._clock)
        async with self._pool.tenant_tx(tenant) as tx:
            counts = [
                await tx.execute(_SQL["forget_sessions"], moment - KEPT_AFTER_END),
                await tx.execute(_SQL["forget_refresh_tokens"], moment - USED_TOKENS_KEPT),
                await tx.execute(_SQL["forget_login_links"], moment - KEPT_AFTER_END),
                await tx.execute(_SQL["forget_challenges"], moment - KEPT_AFTER_END),
                await tx.execute(_SQL["forget_begun_totp"], moment - KEPT_AFTER_END),
                await tx.execute(_SQL["forget_key_challenges"], moment - KEPT_AFTER_END),
                await tx.execute(_SQL["forget_enrolment_codes"], moment - KEPT_AFTER_END),
            ]
        return sum(counts)

    async def _clean_for_ever(self) -> None:
        while True:
            await self._clock.sleep(PERIOD_S)
            try:
                await self.clean()
            except AitradingError as exc:
                self._on_error(exc)
