"""The server's half of the key of a device's stored broker login.

Whoever steals a disk has the other half. A share goes to its device alone, for a day at a time,
and to nobody once the device was revoked. The server never sees the login itself.
"""

import secrets
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.security.device_requests import DevicePurpose, DeviceRequest
from aitrading.server.api_gateway.identity.errors import (
    CREDENTIAL_SHARE_GONE,
    IDENTITY_UNKNOWN,
)
from aitrading.server.api_gateway.identity.model import after
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.signed_requests import SignedRequests, content_of
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import CREDENTIAL_SHARE
from aitrading.server.personal_data.keys import FieldKeys

LEASE_S: Final = 24 * 3600
SHARE_BYTES: Final = 32
_SQL: Final = Queries.load(PACKAGE, "sql/credential_shares.sql")


class NewShare(msgspec.Struct, frozen=True, kw_only=True):
    """A share that a device seals a login under; it stays when the device leases it."""

    id: UUID
    share: str
    """32 bytes, hexadecimal."""


class WantedShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which share a stored login was sealed under."""

    id: UUID


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A share, for a day."""

    share: str
    expires_at: datetime
    rotate: bool
    """An administrator wants the login sealed anew."""


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """How many shares there were."""

    shares: int


class CredentialShares:
    """Makes, leases and destroys shares."""

    def __init__(
        self,
        requests: SignedRequests,
        replay: Replay,
        *,
        keys: FieldKeys,
        audit: AuditTrail,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._requests = requests
        self._replay = replay
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._ids = ids

    async def new(self, request: DeviceRequest, *, network: str) -> NewShare:
        """Draw a share; one that was drawn before and never used is forgotten.

        Raises `DEVICE_REQUEST_REFUSED`.
        """
        share, share_id = secrets.token_bytes(SHARE_BYTES).hex(), self._ids.new()

        async def apply(tx: TenantTransaction) -> NewShare:
            fields = await self._keys.of(tx)
            await tx.execute(_SQL["forget_unused"], request.device)
            newest = int(str(await tx.fetch_value(_SQL["newest_generation"], request.device)))
            sealed = fields.seal(CREDENTIAL_SHARE, share_id, share)
            moment = now_utc(self._clock)
            await tx.execute(
                _SQL["insert_share"], share_id, request.device, newest + 1, sealed, moment
            )
            await self._requests.note(
                tx, request.device, AuditAction.CREDENTIAL_SHARE_MADE, share=str(share_id)
            )
            return NewShare(id=share_id, share=share)

        return await self._requests.run(request, DevicePurpose.NEW_SHARE, apply, network=network)

    async def lease(self, request: DeviceRequest, *, network: str) -> Lease:
        """Hand out the share for a day; older ones are destroyed.

        Raises `DEVICE_REQUEST_REFUSED` or `CREDENTIAL_SHARE_GONE`.
        """

        async def apply(tx: TenantTransaction) -> Lease:
            wanted = content_of(request, WantedShare).id
            until = after(self._clock, LEASE_S)
            row = await tx.fetch_row(_SQL["lease"], request.device, wanted, until)
            if row is None:
                raise CREDENTIAL_SHARE_GONE.error()
            await tx.execute(_SQL["forget_older"], request.device, row["generation"])
            fields = await self._keys.of(tx)
            await self._requests.note(
                tx, request.device, AuditAction.CREDENTIAL_LEASED, share=str(wanted)
            )
            return Lease(
                share=fields.open(CREDENTIAL_SHARE, wanted, row["share_sealed"]),
                expires_at=until,
                rotate=row["rotation_wanted_at"] is not None,
            )

        return await self._requests.run(request, DevicePurpose.LEASE, apply, network=network)

    async def forget(self, request: DeviceRequest, *, network: str) -> Forgotten:
        """Destroy the device's shares: what was sealed under them opens for nobody any more."""

        async def apply(tx: TenantTransaction) -> Forgotten:
            gone = await tx.fetch(_SQL["forget_all"], request.device)
            await self._requests.note(
                tx, request.device, AuditAction.CREDENTIAL_FORGOTTEN, shares=len(gone)
            )
            return Forgotten(shares=len(gone))

        return await self._requests.run(request, DevicePurpose.FORGET, apply, network=network)

    async def want_rotation(self, tenant: TenantId, device: UUID, *, actor: str) -> None:
        """Let the device seal its login anew, at its next lease.

        Raises `IDENTITY_UNKNOWN` when it stores none.
        """

        async def apply(tx: TenantTransaction) -> None:
            found = await tx.fetch(_SQL["want_rotation"], device, now_utc(self._clock))
            if not found:
                raise IDENTITY_UNKNOWN.error(kind="stored login of the device", name=str(device))
            event = AuditEvent(
                actor=actor,
                action=AuditAction.CREDENTIAL_ROTATION_WANTED,
                subject=f"device:{device}",
            )
            await self._audit.add(tx, event)

        await self._replay.once(tenant, apply)
