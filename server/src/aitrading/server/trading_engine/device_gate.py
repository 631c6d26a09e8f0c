"""Whether the device that executes an account may open anything new on it.

A device that reported altered files is barred until an administrator allows it again. Only what
opens or widens a position asks; cancelling, reducing and the kill switch never do. When nobody can
tell, the answer is no.
"""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.trading_engine.errors import DEVICE_BARRED, DEVICE_UNKNOWN

_QUERIES: Final = Queries.load("aitrading.server.trading_engine", "device_gate.sql")


class BarredDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that may open nothing new, and why."""

    device: str
    reason: str
    since: str


class DeviceGate:
    """Reads under row security: another tenant's devices do not exist here."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def require(self, tenant: TenantId, account: UUID | None) -> None:
        """Raise `DEVICE_BARRED` for an account whose device is barred; `DEVICE_UNKNOWN` if unsure.

        An order that names no account may go to any, so one barred device is enough.
        """
        try:
            async with self._pool.tenant_read(tenant) as tx:
                row = await tx.fetch_row(_QUERIES["barred_for_account"], account)
        except AitradingError as exc:
            raise DEVICE_UNKNOWN.error(reason=exc.code) from exc
        if row is not None:
            device, reason = str(row["device_id"]), str(row["barred_reason"])
            raise DEVICE_BARRED.error(device=device, reason=reason)

    async def barred(self, tenant: TenantId) -> list[BarredDevice]:
        """The tenant's barred devices."""
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_QUERIES["barred"])
        return [
            BarredDevice(
                device=str(row["device_id"]),
                reason=row["barred_reason"],
                since=row["barred_at"].isoformat(),
            )
            for row in rows
        ]
