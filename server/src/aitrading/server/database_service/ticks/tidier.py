"""Keeping the ledger's memory of segments short."""

from contextlib import suppress
from typing import ClassVar, Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.ticks import ledger
from aitrading.server.kit.cache.port import Cache
from aitrading.server.kit.postgres import PostgresPool

TIDY_EVERY_S: Final = 3_600.0
LEASE_LIFE_S: Final = 120.0
"""Longer than a statement may take: the lease outlives the one statement of a round."""
JOB: Final = "tidier"


class Tidier(LoopingComponent):
    """Forgets, every hour, names of segments that nobody sends any more."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema", "cache")

    def __init__(
        self, pool: PostgresPool, cache: Cache, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("tidier", on_error=errors.classify)
        self._pool = pool
        self._cache = cache.platform
        self._clock = clock
        self._errors = errors

    @override
    async def start(self) -> None:
        """Tidy from now on."""
        self._tasks.keep(self._tidy_for_ever, name="tidy", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def tidy(self) -> int:
        """Tidy once, unless another instance does; gives how many names were forgotten.

        Raises `CACHE_UNAVAILABLE` without a cache to agree in: the next round will do.
        """
        lease = await self._cache.acquire(JOB, life_s=LEASE_LIFE_S)
        if lease is None:
            return 0
        try:
            async with self._pool.platform_tx() as tx:
                return await ledger.forget_old_segments(tx)
        finally:
            with suppress(AitradingError):  # it ends by itself
                await self._cache.release(lease)

    async def _tidy_for_ever(self) -> None:
        while True:
            await self._clock.sleep(TIDY_EVERY_S)
            try:
                await self.tidy()
            except AitradingError as exc:
                self._errors.classify(exc)
