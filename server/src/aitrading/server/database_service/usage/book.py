"""Usage as it follows from what is kept anyway: days that devices counted, and the ledger of ticks."""

from datetime import date
from typing import Any, Final

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

_SQL: Final = Queries.load(__package__ or "", "usage.sql")


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What was used on a day or in several, each thing once."""

    ticks: int
    """As the organisation's devices counted them; a certificate holds a day against what is stored."""
    streams: int
    """Symbols of a broker on a device that had ticks, each once however often it began anew."""
    symbols: int
    """The same, whichever device delivered them."""
    devices: int
    is_final: bool
    """The days are over, and every device says that it counted to the end; false without a count."""


class UsedOnDay(Used, frozen=True, kw_only=True):
    """The same of one day in UTC."""

    day: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation used from a day to another; days without ticks are left out."""

    first_day: str
    last_day: str
    total: Used
    days: tuple[UsedOnDay, ...]
    ticks_stored: int
    """Ticks of the organisation that were stored until now, of all days, by the server's own ledger."""


class UsageBook:
    """Reads under the tenant's row security; nothing is kept for it."""

    def __init__(self, pool: PostgresPool, guards: Guards, clock: Clock) -> None:
        self._pool = pool
        self._guards = guards
        self._clock = clock

    async def of(self, tenant: TenantId, first: date, last: date) -> Usage:
        """Both days are included; raises that PostgreSQL is away."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                *days, total = await tx.fetch(
                    _SQL["of_days"], first, last, now_utc(self._clock).date()
                )
                stored = await tx.fetch_value(_SQL["stored"])
        return Usage(
            first_day=first.isoformat(),
            last_day=last.isoformat(),
            total=Used(**_fields(total)),
            days=tuple(UsedOnDay(day=row["day"].isoformat(), **_fields(row)) for row in days),
            ticks_stored=stored,
        )


def _fields(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in Used.__struct_fields__}
