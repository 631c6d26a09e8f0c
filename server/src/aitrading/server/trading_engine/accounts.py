"""Broker accounts as the trading role may read them."""

from typing import Final

from typing_extensions import override

from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.trading_engine.endpoints import Account, AccountBook

_QUERIES: Final = Queries.load("aitrading.server.trading_engine", "accounts.sql")


class PostgresAccountBook(AccountBook):
    """Reads under row security: another tenant's accounts do not exist here."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    @override
    async def of_tenant(self, tenant: TenantId) -> list[Account]:
        async with self._pool.tenant_tx(tenant) as tx:
            rows = await tx.fetch(_QUERIES["accounts_of_tenant"])
        return [
            Account(
                id=str(row["id"]),
                name=row["name"],
                broker_server=row["broker_server"],
                login=row["login"],
                currency=row["currency"],
                margin_mode=row["margin_mode"],
                simulated=row["simulated"],
            )
            for row in rows
        ]
