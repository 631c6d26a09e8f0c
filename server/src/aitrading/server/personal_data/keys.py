"""The key of one organisation's personal data, read where it is used.

It is read in the transaction that needs it and kept nowhere: a key that was destroyed is gone with
the next statement of every process.
"""

from collections.abc import Callable
from typing import Final

from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.field_encryption import (
    FIELD_KEY_MISSING,
    MasterKeys,
    TenantFields,
)
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Row, TenantTransaction

_SQL: Final = Queries.load(__package__ or "", "keys.sql")


class FieldKeys:
    """Gives who holds a transaction of an organisation the means to read its personal data."""

    def __init__(self, load: Callable[[], MasterKeys]) -> None:
        self._load = load
        self._masters = load()

    async def of(self, tx: TenantTransaction) -> TenantFields:
        """Seal, open and find for the transaction's organisation; raises `FIELD_KEY_MISSING`."""
        row = await tx.fetch_row(_SQL["find_key"])
        if row is None:
            raise FIELD_KEY_MISSING.error()
        return TenantFields(tx.tenant, self._unwrapped(tx.tenant, row))

    async def ensure(self, tx: TenantTransaction) -> None:
        """Make the key of a new organisation; changes nothing where there is one."""
        await tx.execute(_SQL["insert_key"], *self._masters.wrap(tx.tenant, FieldKey.generate()))

    async def wrapped_by(self, tx: TenantTransaction) -> int | None:
        """The number of the master key that wraps the organisation's; None without a key."""
        row = await tx.fetch_row(_SQL["find_key"])
        return None if row is None else row["master"]

    async def destroy(self, tx: TenantTransaction) -> None:
        """Delete the organisation's key: no sealed value of it opens ever again."""
        await tx.execute(_SQL["delete_key"], tx.tenant)

    async def rewrap(self, tx: TenantTransaction, master: int) -> bool:
        """Wrap the key with this master key, if it is the newest; tells whether it changed."""
        row = await tx.fetch_row(_SQL["lock_key"])
        if row is None or row["master"] == master:
            return False
        if self._masters.newest < master:
            self._masters = self._load()
        key = self._unwrapped(tx.tenant, row)
        await tx.execute(_SQL["rewrap_key"], *self._masters.wrap(tx.tenant, key))
        return True

    def _unwrapped(self, tenant: TenantId, row: Row) -> Secret[bytes]:
        """The key in a row; another process may have made a newer master key meanwhile."""
        if row["master"] > self._masters.newest:
            self._masters = self._load()
        return self._masters.unwrap(tenant, row["master"], row["wrapped"])
