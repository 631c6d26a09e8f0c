"""How much each tenant may read: counted in the cache, so that every instance counts together."""

from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.server.database_service.call_sites import READ_BUDGET_DEGRADE, SERVICE
from aitrading.server.database_service.errors import READ_BUDGET_SPENT
from aitrading.server.database_service.settings import ReadSettings
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.cache.types import Spent
from aitrading.server.kit.tenant_settings import TenantSettings

WINDOW_S: Final = 60
NAME: Final = "read-pages"


class ReadBudget:
    """One tenant's questions never take the place of another's.

    While the cache is away this process counts alone, with the same limit: never without one.
    """

    def __init__(
        self,
        cache: Cache,
        settings: TenantSettings,
        errors: ErrorHandler,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._errors = errors
        self._alone = Cache(SERVICE, InProcessCache(clock), clock, ids)

    async def spend(self, tenant: TenantId) -> None:
        """Take one page; raises `READ_BUDGET_SPENT` with the time of the next window."""
        limit = (await self._settings.of(tenant, ReadSettings)).pages_per_minute

        async def together() -> Spent:
            return await _take(self._cache, tenant, limit)

        async def alone(_: Exception) -> Spent:
            return await _take(self._alone, tenant, limit)

        spent = await self._errors.degrade(READ_BUDGET_DEGRADE, together, alone)
        if not spent.accepted:
            raise READ_BUDGET_SPENT.error(
                limit=limit, retry_after_s=max(1, round(spent.resets_in_s))
            )


async def _take(cache: Cache, tenant: TenantId, limit: int) -> Spent:
    return await cache.of(tenant).spend(NAME, 1, limit=limit, window_s=WINDOW_S)
