"""Organisations: visiting all of them, and what each one's state allows."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.events import RaisedEpoch
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.field_encryption import FIELD_KEY_MISSING, SealedField
from aitrading.server.api_gateway.identity.model import tenant_of_row
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import Opener

_PACKAGE: Final = "aitrading.server.api_gateway.identity"
_ALL: Final = Queries.load(_PACKAGE, "sql/administration.sql")
_SQL: Final = Queries.load(_PACKAGE, "sql/tenants.sql")
ERASED_NAME: Final = "(erased)"


class TenantState(StrEnum):
    """Where an organisation is in its life; ERASED is its end."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ERASED = "erased"


class _ErasedNames:
    """Stands where the key of an erased organisation was."""

    def open(self, field: SealedField, row: UUID, sealed: bytes) -> str:
        """The same word for every value."""
        del field, row, sealed
        return ERASED_NAME


async def all_tenants(pool: PostgresPool) -> list[TenantId]:
    """The ids of all organisations, erased ones too."""
    async with pool.platform_read() as tx:
        rows = await tx.fetch(_ALL["all_tenants"])
    return [tenant_of_row(row["id"]) for row in rows]


async def tenants_with_keys(pool: PostgresPool) -> list[TenantId]:
    """The ids of all organisations that must have a key: those that were not erased."""
    async with pool.platform_read() as tx:
        rows = await tx.fetch(_ALL["tenants_with_keys"])
    return [tenant_of_row(row["id"]) for row in rows]


async def hold_active(tx: TenantTransaction) -> bool:
    """Whether the transaction's organisation is active, and stays so until the transaction ends.

    Whoever suspends or erases it meanwhile waits, and then ends what this transaction began.
    """
    state: object = await tx.fetch_value(_SQL["hold_state"], tx.tenant)
    return state == TenantState.ACTIVE


async def raise_epoch(tx: TenantTransaction, moment: datetime) -> Revocation:
    """Let no token of the transaction's organisation count that was issued before it commits."""
    raised = await tx.fetch(_SQL["raise_epoch"], tx.tenant, moment)
    return Revocation(
        organisations=tuple(
            RaisedEpoch(id=UUID(str(row["id"])), epoch=row["token_epoch"]) for row in raised
        )
    )


async def opener_of(keys: FieldKeys, tx: TenantTransaction) -> Opener:
    """What opens the names of the transaction's organisation, or says that they were erased.

    Raises `FIELD_KEY_MISSING` for an organisation that lost its key and was never erased.
    """
    try:
        return await keys.of(tx)
    except AitradingError as exc:
        if exc.spec is not FIELD_KEY_MISSING:
            raise
        if await tx.fetch_value(_SQL["find_state"], tx.tenant) != TenantState.ERASED:
            raise
        return _ErasedNames()
