"""What a device asks for with its key: proved before anything is read, refused in one way."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_ms, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.device_requests import (
    MAX_SKEW_S,
    DevicePurpose,
    DeviceRequest,
    is_by,
)
from aitrading.server.api_gateway.identity.errors import DEVICE_REQUEST_REFUSED
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

_SQL: Final = Queries.load(PACKAGE, "sql/credential_shares.sql")
T = TypeVar("T")


class SignedRequests:
    """Runs what an active device of an active organisation asked for, in one transaction.

    The device's row is held, so a revocation that happens meanwhile comes before or after, never
    in between. Everything else is `DEVICE_REQUEST_REFUSED`, whatever the reason, and noted.
    """

    def __init__(
        self, replay: Replay, *, audit: AuditTrail, refusals: Refusals, clock: Clock
    ) -> None:
        self._replay = replay
        self._audit = audit
        self._refusals = refusals
        self._clock = clock

    async def run(
        self,
        request: DeviceRequest,
        purpose: DevicePurpose,
        work: Callable[[TenantTransaction], Awaitable[T]],
        *,
        network: str,
    ) -> T:
        """Give what `work` gives, made exactly once."""
        tenant = TenantId(request.tenant)

        async def apply(tx: TenantTransaction) -> T:
            await self._require(tx, request, purpose)
            return await work(tx)

        try:
            return await self._replay.once(tenant, apply)
        except AitradingError as exc:
            if exc.spec is DEVICE_REQUEST_REFUSED:
                await self._note_refusal(request, purpose, network)
            raise

    async def prove(self, request: DeviceRequest, purpose: DevicePurpose, *, network: str) -> None:
        """Raise `DEVICE_REQUEST_REFUSED` unless an active device asked this; nothing is changed."""
        try:
            async with self._replay.pool.tenant_tx(TenantId(request.tenant)) as tx:
                await self._require(tx, request, purpose)
        except AitradingError as exc:
            if exc.spec is DEVICE_REQUEST_REFUSED:
                await self._note_refusal(request, purpose, network)
            raise

    async def note(
        self, tx: TenantTransaction, device: UUID, action: AuditAction, **details: str | int
    ) -> None:
        """Audit what a device did itself."""
        name = f"device:{device}"
        event = AuditEvent(actor=name, action=action, subject=name, details=dict(details))
        await self._audit.add(tx, event)

    async def _require(
        self, tx: TenantTransaction, request: DeviceRequest, purpose: DevicePurpose
    ) -> None:
        if not await hold_active(tx):
            raise DEVICE_REQUEST_REFUSED.error()
        row = await tx.fetch_row(_SQL["hold_device"], request.device)
        if row is None or row["state"] != "active" or row["public_key"] is None:
            raise DEVICE_REQUEST_REFUSED.error()
        is_valid = row["certificate_ends_at"] > now_utc(self._clock)
        is_fresh = abs(now_ms(self._clock) - request.issued_ms) <= MAX_SKEW_S * 1000
        if not (is_valid and is_fresh) or not is_by(row["public_key"], purpose, request):
            raise DEVICE_REQUEST_REFUSED.error()

    async def _note_refusal(
        self, request: DeviceRequest, purpose: DevicePurpose, network: str
    ) -> None:
        subject = f"device:{request.device}"
        refused = Refused(
            action=AuditAction.DEVICE_REQUEST_REFUSED,
            tenant=TenantId(request.tenant),
            subject=subject,
            target=request.tenant.bytes + subject.encode(),
            address=network,
            kind=purpose,
        )
        await self._refusals.note(refused)


def content_of(request: DeviceRequest, kind: type[T]) -> T:
    """The content of a request; raises `REQUEST_INVALID`."""
    try:
        return msgspec.json.decode(request.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise REQUEST_INVALID.error(reason="the content is not what was asked for") from exc
