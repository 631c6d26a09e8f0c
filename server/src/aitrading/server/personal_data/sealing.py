"""The step of migration 0011: gives every organisation a key and seals what lies in the clear.

It runs in the transaction of its migration, as the owner of the tables under forced row security.
"""

from collections.abc import Callable
from typing import Any, Final

from aitrading.core.kit.ids import TenantId
from aitrading.core.security.field_encryption import MasterKeys, TenantFields
from aitrading.server.kit.migrations import Step
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.tenancy import NO_TENANT, PLATFORM, tenant_setting
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import (
    ACCOUNT_LOGIN,
    ACCOUNT_NAME,
    DEVICE_NAME,
    USER_DISPLAY_NAME,
    USER_NAME,
)
from aitrading.server.personal_data.keys import FieldKeys

STEP: Final = "seal-personal-data"
_SQL: Final = Queries.load(__package__ or "", "sealing.sql")


def sealing_step(load: Callable[[], MasterKeys]) -> dict[str, Step]:
    """What the migration runner calls by name; keys are loaded when it does."""

    async def run(session: Any) -> None:
        keys = FieldKeys(load)
        for row in await session.fetch(_SQL["tenants"]):
            await _seal_tenant(session, keys, TenantId(row["id"]))
        await _seal_tenant(session, keys, PLATFORM)
        await session.execute(_SQL["enter"], NO_TENANT)

    return {STEP: run}


async def _seal_tenant(session: Any, keys: FieldKeys, tenant: TenantId) -> None:
    await session.execute(_SQL["enter"], tenant_setting(tenant))
    tx = TenantTransaction(session, tenant)
    await keys.ensure(tx)
    fields = await keys.of(tx)
    await _seal_users(tx, fields)
    await _seal_devices(tx, fields)
    await _seal_accounts(tx, fields)


async def _seal_users(tx: TenantTransaction, fields: TenantFields) -> None:
    for row in await tx.fetch(_SQL["users"]):
        await tx.execute(
            _SQL["seal_user"],
            row["id"],
            fields.seal(USER_NAME, row["id"], row["name"]),
            fields.index(USER_NAME, row["name"]),
            fields.seal(USER_DISPLAY_NAME, row["id"], row["display_name"]),
        )


async def _seal_devices(tx: TenantTransaction, fields: TenantFields) -> None:
    for row in await tx.fetch(_SQL["devices"]):
        await tx.execute(
            _SQL["seal_device"],
            row["id"],
            fields.seal(DEVICE_NAME, row["id"], row["name"]),
            fields.index(DEVICE_NAME, row["name"]),
        )


async def _seal_accounts(tx: TenantTransaction, fields: TenantFields) -> None:
    for row in await tx.fetch(_SQL["accounts"]):
        login = str(int(row["login"]))  # the one spelling in which it is looked for
        await tx.execute(
            _SQL["seal_account"],
            row["id"],
            fields.seal(ACCOUNT_NAME, row["id"], row["name"]),
            fields.seal(ACCOUNT_LOGIN, row["id"], login),
            fields.index(ACCOUNT_LOGIN, row["broker_server"], login),
        )
