"""`/internal/v1/admin/keys`: the master keys of personal data, for the host."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from aitrading.core.kit.ids import TenantId
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH
from aitrading.server.api_gateway.identity.tenants import tenants_with_keys
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import HOST_ACTOR, AuditEvent, AuditTrail
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.personal_data.file_keys import FileKeyFolder
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.masters import MasterFolder


class MasterKey(msgspec.Struct, frozen=True, kw_only=True):
    """One master key or file key; what it protects cannot be read without it."""

    purpose: Literal["fields", "files"]
    """The folder below `keys`: personal data, or the files that services write."""
    number: int
    wraps: int | None
    """How many organisations' keys, the platform's own among them; nobody counts sealed files."""
    newest: bool
    present: bool
    """Whether its file is in its folder; without it, what it protects cannot be read."""


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """The new master key and how many keys it wraps now."""

    number: int
    rewrapped: int
    file_key: int
    """The new file key: the spool's next segment and the next quarantined one are under it."""


class FieldKeyEndpoints:
    """Shows and changes what wraps the organisations' keys."""

    def __init__(
        self,
        pool: PostgresPool,
        keys: FieldKeys,
        masters: MasterFolder,
        files: FileKeyFolder,
        audit: AuditTrail,
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._masters = masters
        self._files = files
        self._audit = audit

    @endpoint("GET", f"{ADMIN_PATH}/keys", access=ADMIN, answer=list[MasterKey])
    async def list(self, call: Call) -> list[MasterKey]:
        """Every master key and every file key, the oldest of each first."""
        del call
        wraps: Counter[int] = Counter()
        async for tenant in self._tenants():
            async with self._pool.tenant_read(tenant) as tx:
                number = await self._keys.wrapped_by(tx)
            if number is not None:
                wraps[number] += 1
        present, files = self._masters.numbers(), self._files.numbers()
        masters = [
            MasterKey(
                purpose="fields",
                number=number,
                wraps=wraps[number],
                newest=number == max(present, default=0),
                present=number in present,
            )
            for number in sorted({*present, *wraps})
        ]
        return masters + [
            MasterKey(
                purpose="files",
                number=number,
                wraps=None,
                newest=number == max(files),
                present=True,
            )
            for number in sorted(files)
        ]

    @endpoint("POST", f"{ADMIN_PATH}/keys/rotate", access=ADMIN, answer=Rotation)
    async def rotate(self, call: Call) -> Rotation:
        """Make a new master key, wrap every organisation's key with it, and make a new file key.

        Every key is opened first: with one that cannot be, nothing is changed. Sealed values stay
        as they are, and so do sealed files, whose older keys stay. Interrupted, it has wrapped
        some; repeated, it wraps all.
        """
        del call
        async for tenant in self._tenants():
            async with self._pool.tenant_read(tenant) as tx:
                await self._keys.of(tx)
        number, rewrapped = self._masters.add(), 0
        async for tenant in self._tenants():
            rewrapped += await self._rewrap(tenant, number)
        return Rotation(number=number, rewrapped=rewrapped, file_key=self._files.add())

    async def _rewrap(self, tenant: TenantId, number: int) -> bool:
        async with self._pool.tenant_tx(tenant) as tx:
            changed = await self._keys.rewrap(tx, number)
            if changed:
                event = AuditEvent(
                    actor=HOST_ACTOR,
                    action=AuditAction.KEY_REWRAPPED,
                    subject=f"tenant:{tenant}",
                    details={"master": number},
                )
                await self._audit.add(tx, event)
        return changed

    async def _tenants(self) -> AsyncIterator[TenantId]:
        yield PLATFORM
        for tenant in await tenants_with_keys(self._pool):
            yield tenant
