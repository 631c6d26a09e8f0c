"""Tokens of devices: given for the certificate of the connection, and worth nothing without it.

The session of a device is the device itself: revoking it ends its tokens in every process.
"""

from datetime import datetime
from typing import Final

import msgspec

from aitrading.core.kit.clock import Clock, datetime_of_ns, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import UserId
from aitrading.core.security.certificates import ForwardedDevice
from aitrading.core.security.claims import Authentication, Confirmation, Scope
from aitrading.core.security.token_binding import certificate_binding
from aitrading.server.api_gateway.identity.errors import DEVICE_TOKEN_REFUSED
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.authority.tokens import IssuedToken, TokenGrant, UserTokenIssuer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

DEVICE_SCOPES: Final = frozenset({Scope.DEVICE})
_SQL: Final = Queries.load(PACKAGE, "sql/devices.sql")


class DeviceToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of 15 minutes; it counts only on connections with the certificate it was given for."""

    access_token: str
    expires_at: datetime


class DeviceTokens:
    """Issues them."""

    def __init__(
        self,
        replay: Replay,
        *,
        issuer: UserTokenIssuer,
        audit: AuditTrail,
        refusals: Refusals,
        clock: Clock,
    ) -> None:
        self._replay = replay
        self._issuer = issuer
        self._audit = audit
        self._refusals = refusals
        self._clock = clock

    async def issue(self, shown: ForwardedDevice | None, *, network: str) -> DeviceToken:
        """A token for the newest certificate of an active device of an active organisation.

        The device's row is held: a revocation comes before, or ends the token. Everything else is
        `DEVICE_TOKEN_REFUSED`, whatever the reason, and noted if the certificate is one of ours.
        """
        if shown is None:
            raise DEVICE_TOKEN_REFUSED.error()
        try:
            issued = await self._replay.once(
                shown.identity.tenant, lambda tx: self._issued(tx, shown)
            )
        except AitradingError as exc:
            if exc.spec is DEVICE_TOKEN_REFUSED:
                await self._note_refusal(shown, network)
            raise
        return DeviceToken(
            access_token=issued.token.reveal(), expires_at=datetime_of_ns(issued.expires_ns)
        )

    async def _issued(self, tx: TenantTransaction, shown: ForwardedDevice) -> IssuedToken:
        device = shown.identity.device
        if not await hold_active(tx):
            raise DEVICE_TOKEN_REFUSED.error()
        row = await tx.fetch_row(_SQL["hold_device_with_epoch"], device)
        if row is None or row["state"] != "active":
            raise DEVICE_TOKEN_REFUSED.error()
        is_newest = row["certificate_sha256"] == shown.certificate_sha256
        if not is_newest or row["certificate_ends_at"] <= now_utc(self._clock):
            raise DEVICE_TOKEN_REFUSED.error()
        name = f"device:{device}"
        event = AuditEvent(actor=name, action=AuditAction.DEVICE_TOKEN_ISSUED, subject=name)
        await self._audit.add(tx, event)
        grant = TokenGrant(
            tenant=tx.tenant,
            user=UserId(device),
            session=device,
            scopes=DEVICE_SCOPES,
            authentication=Authentication.DEVICE,
            authenticated_ns=self._clock.now_ns(),
            tenant_epoch=row["tenant_epoch"],
            binding=Confirmation(x5t_s256=certificate_binding(shown.certificate_sha256)),
        )
        return self._issuer.issue(grant)

    async def _note_refusal(self, shown: ForwardedDevice, network: str) -> None:
        tenant, subject = shown.identity.tenant, f"device:{shown.identity.device}"
        refused = Refused(
            action=AuditAction.DEVICE_REQUEST_REFUSED,
            tenant=tenant,
            subject=subject,
            target=tenant.bytes + subject.encode(),
            address=network,
            kind="token",
        )
        await self._refusals.note(refused)
