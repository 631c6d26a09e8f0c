"""`/internal/v1/admin/tenants/…`: what becomes of an organisation, for the host."""

from typing import Literal

import msgspec

from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.errors import (
    IDENTITY_UNKNOWN,
    TENANT_ERASED,
    TENANT_NOT_CONFIRMED,
)
from aitrading.server.api_gateway.identity.tenant_life import Erasure, TenantLife
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint


class TenantStateChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation, by name or id, and whether its people and devices may come in."""

    tenant: str
    state: Literal["active", "suspended"]


class TenantErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation, by name or id, and its name as it was typed again."""

    tenant: str
    confirm: str


class TenantEndpoints:
    """Suspending, activating and erasing."""

    def __init__(self, life: TenantLife) -> None:
        self._life = life

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/tenants/state",
        access=ADMIN,
        body=TenantStateChange,
        answer=Done,
        errors=(IDENTITY_UNKNOWN, TENANT_ERASED),
    )
    async def set_tenant_state(self, call: Call) -> Done:
        """Suspend an organisation or let it in again."""
        wanted = await call.json(TenantStateChange)
        await self._life.set_state(wanted.tenant, wanted.state, actor=HOST_ACTOR)
        return Done()

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/tenants/erase",
        access=ADMIN,
        body=TenantErasure,
        answer=Erasure,
        errors=(IDENTITY_UNKNOWN, TENANT_ERASED, TENANT_NOT_CONFIRMED),
    )
    async def erase_tenant(self, call: Call) -> Erasure:
        """Destroy the key of an organisation's personal data, for good."""
        wanted = await call.json(TenantErasure)
        return await self._life.erase(wanted.tenant, wanted.confirm, actor=HOST_ACTOR)
