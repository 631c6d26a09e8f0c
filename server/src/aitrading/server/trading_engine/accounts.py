"""Broker accounts as the trading role may read them."""

from typing import Final

import msgspec
from typing_extensions import override

from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import opened_account
from aitrading.server.trading_engine.endpoints import Account, AccountBook

_QUERIES: Final = Queries.load("aitrading.server.trading_engine", "accounts.sql")


class PostgresAccountBook(AccountBook):
    """Reads under row security: another tenant's accounts do not exist here."""

    def __init__(self, pool: PostgresPool, keys: FieldKeys) -> None:
        self._pool = pool
        self._keys = keys

    @override
    async def of_tenant(self, tenant: TenantId) -> list[Account]:
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_QUERIES["accounts_of_tenant"])
            fields = await self._keys.of(tx)
        opened = (opened_account(row, fields) for row in rows)
        accounts = [msgspec.convert({**each, "id": str(each["id"])}, Account) for each in opened]
        return sorted(accounts, key=lambda each: (each.broker_server, each.login))
