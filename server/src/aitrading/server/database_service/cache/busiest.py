"""Which symbols of a tenant moved most today: a sorted set a day, in UTC."""

from collections.abc import Mapping
from typing import Final

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.cache.port import Cache

LIFE_S: Final = 2 * 86_400
SYMBOLS_KEPT: Final = 10_000


class BusySymbol(msgspec.Struct, frozen=True, kw_only=True):
    """A symbol and how many of its ticks were stored."""

    symbol: str
    ticks: int


class BusiestSymbols(msgspec.Struct, frozen=True, kw_only=True):
    """The busiest symbols of a day, the busiest first."""

    day: str
    items: tuple[BusySymbol, ...]


class Busiest:
    """Counts stored ticks; a figure for the eye, which a lost cache begins anew."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    async def add(self, tenant: TenantId, ticks: Mapping[str, int]) -> None:
        """Count ticks by symbol; raises `CACHE_UNAVAILABLE`."""
        view, name = self._cache.of(tenant), self._name()
        await view.raise_scores(name, ticks, life_s=LIFE_S)
        await view.trim(name, SYMBOLS_KEPT)

    async def today(self, tenant: TenantId, number: int) -> BusiestSymbols:
        """The first so many; raises `CACHE_UNAVAILABLE`."""
        name = self._name()
        found = await self._cache.of(tenant).top(name, number)
        items = tuple(BusySymbol(symbol=one.member, ticks=int(one.score)) for one in found)
        return BusiestSymbols(day=name.partition(":")[2], items=items)

    def _name(self) -> str:
        return f"busiest:{now_utc(self._clock).date().isoformat()}"
