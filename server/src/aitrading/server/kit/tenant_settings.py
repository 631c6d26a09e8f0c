"""A section of settings as one organisation has it: the file, and over it what was granted.

What is granted lies in PostgreSQL and acts in every service within `REFRESH_S`. While PostgreSQL
is away the last known values hold.
"""

from collections import OrderedDict
from typing import Final, TypeVar

import msgspec

from aitrading.core.infrastructure.config_manager import MAX_TENANTS, ConfigManager
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

REFRESH_S: Final = 5
_SQL: Final = Queries.load("aitrading.server.kit", "tenant_settings.sql")
_log = get_logger(__name__)
T = TypeVar("T")


class TenantSettings:
    """Reads what was granted when it is first asked for, and again when it is old."""

    def __init__(self, pool: PostgresPool, config: ConfigManager, clock: Clock) -> None:
        self._pool = pool
        self._config = config
        self._clock = clock
        self._read_ns: OrderedDict[TenantId, int] = OrderedDict()

    async def of(self, tenant: TenantId, section: type[T]) -> T:
        """The section as it is for this organisation now."""
        read_ns = self._read_ns.get(tenant)
        if read_ns is None:
            await self._refresh(tenant)
        elif self._clock.monotonic_ns() - read_ns > REFRESH_S * NS_PER_S:
            self._note(tenant)  # who comes meanwhile is served with what is known
            await self._refresh(tenant)
        return self._config.get_for(tenant, section)

    async def reload(self, tenant: TenantId) -> None:
        """Let a change act in this process at once; raises what the store or a value raises."""
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["of_tenant"])
        known = self._config.explain_all()
        granted = {
            row["setting"]: msgspec.json.decode(row["value"])
            for row in rows
            if row["setting"] in known
        }
        self._config.set_tenant_overrides(tenant, granted)
        self._note(tenant)

    async def _refresh(self, tenant: TenantId) -> None:
        try:
            await self.reload(tenant)
        except AitradingError as exc:
            self._note(tenant)  # the next try is due like any other, not with every request
            _log.warning("settings of an organisation were not read", error=exc.code)

    def _note(self, tenant: TenantId) -> None:
        self._read_ns[tenant] = self._clock.monotonic_ns()
        self._read_ns.move_to_end(tenant)
        if len(self._read_ns) > MAX_TENANTS:
            forgotten, _ = self._read_ns.popitem(last=False)
            self._config.set_tenant_overrides(forgotten, {})
