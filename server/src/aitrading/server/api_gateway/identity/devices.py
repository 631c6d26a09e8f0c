"""Devices: invited with a one-time code, enrolled with a key of their own, renewed, revoked."""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import DeviceRevoked
from aitrading.core.kit.clock import Clock, datetime_of_ns, now_ms, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.crypto import public_key_of_csr, sha256
from aitrading.core.security.enrolment import SECRET_BYTES, EnrolmentCode
from aitrading.core.security.renewal import renewal_message, signed_by
from aitrading.core.security.server_pins import SignedPins
from aitrading.server.api_gateway.identity.errors import (
    CODE_REFUSED,
    DEVICE_REVOKED,
    IDENTITY_EXISTS,
    IDENTITY_UNKNOWN,
)
from aitrading.server.api_gateway.identity.model import (
    DEVICE_NAME_CHARS,
    LIST_LIMIT,
    after,
    checked_text,
)
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.subscriptions import plan_state
from aitrading.server.api_gateway.identity.tenants import hold_active, opener_of
from aitrading.server.authority.ca import IssuedCertificate
from aitrading.server.authority.installation import Authority
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import Row, TenantTransaction
from aitrading.server.personal_data.catalogue import DEVICE_NAME
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import Opener, by_name, opened_device

CODE_LIFETIME_S: Final = 24 * 3600
_SQL: Final = Queries.load(PACKAGE, "sql/devices.sql")
RENEWAL_WINDOW: Final = timedelta(days=30)
"""How long after its end a certificate can still be renewed with the device's own key."""
RENEWAL_CLOCK_SKEW_S: Final = 300


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """What services ask about a device before they talk with it."""

    device: UUID
    tenant: UUID
    name: str
    state: str
    certificate_sha256: str | None
    certificate_ends_at: datetime | None
    subscription: str = "none"
    """How the organisation's plan stands; services refuse a device whose plan was stopped."""


class DeviceStanding(DeviceState, frozen=True, kw_only=True):
    """The same for services that hold a device to its limits."""

    rates: RateClaims = NO_RATES
    """What decides how often devices of its organisation may connect."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator hands over; the code is shown once."""

    device: UUID
    code: str
    expires_at: datetime


class EnrolledDevice(msgspec.Struct, frozen=True, kw_only=True):
    """What a client keeps: its certificate and the authority of its server."""

    device: UUID
    tenant: UUID
    certificate: str
    edge_ca: str
    expires_at: datetime
    pins: SignedPins
    """The keys that the edge may show."""


class RenewalRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client asks for its next certificate, signed with the key of the present one."""

    tenant: UUID
    device: UUID
    csr: str
    issued_ms: int
    signature: str


class Devices:
    """Everything about devices."""

    def __init__(  # noqa: PLR0913 - the meeting point of identity's parts
        self,
        replay: Replay,
        *,
        authority: Authority,
        keys: FieldKeys,
        audit: AuditTrail,
        refusals: Refusals,
        bus: EventBus,
        announce: Callable[[Revocation], Awaitable[None]],
        clock: Clock,
        ids: IdFactory,
        randomness: Randomness,
    ) -> None:
        self._pool = replay.pool
        self._replay = replay
        self._authority = authority
        self._keys = keys
        self._audit = audit
        self._refusals = refusals
        self._bus = bus
        self._announce = announce
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    @property
    def edge_ca_pem(self) -> str:
        """The certificate that a code's pin belongs to; public."""
        return self._authority.edge.certificate_pem.decode()

    async def invite(self, tenant: TenantId, name: str, *, actor: str) -> Invitation:
        """Create a device and its one-time code; inviting again replaces an unused code.

        Raises `IDENTITY_EXISTS` when a device of that name is active.
        """
        code = EnrolmentCode(
            tenant=tenant,
            secret=Secret(self._randomness.token(SECRET_BYTES)),
            ca_sha256=bytes.fromhex(self._authority.edge.fingerprint),
        )
        expires_at = after(self._clock, CODE_LIFETIME_S)
        checked_text(name, field="name", limit=DEVICE_NAME_CHARS)

        async def apply(tx: TenantTransaction) -> UUID:
            device = await self._invited(tx, name)
            digest = sha256(code.secret.reveal())
            await tx.execute(_SQL["insert_enrolment_code"], digest, device, expires_at)
            await self._note(tx, actor, AuditAction.DEVICE_INVITED, device)
            return device

        device = await self._replay.once(tenant, apply)
        return Invitation(device=device, code=code.text().reveal(), expires_at=expires_at)

    async def enrol(
        self, code: EnrolmentCode, csr_pem: bytes, *, network: str = ""
    ) -> EnrolledDevice:
        """Turn a code and a request into a certificate; exactly one of parallel callers succeeds.

        Raises `CSR_INVALID` (the code stays usable) or `CODE_REFUSED`.
        """
        public_key = public_key_of_csr(csr_pem)
        moment = now_utc(self._clock)

        async def apply(tx: TenantTransaction) -> EnrolledDevice:
            digest = sha256(code.secret.reveal())
            if not await hold_active(tx):
                raise CODE_REFUSED.error()
            device = await tx.fetch_value(_SQL["use_enrolment_code"], digest, moment)
            if device is None:
                raise CODE_REFUSED.error()
            issued = self._issue(code.tenant, device, csr_pem)
            done = await tx.fetch_row(
                _SQL["enrol_device"],
                device,
                public_key,
                issued.fingerprint,
                datetime_of_ns(issued.not_after_ns),
                moment,
            )
            if done is None:
                raise DEVICE_REVOKED.error()
            await self._note(tx, f"device:{device}", AuditAction.DEVICE_ENROLLED, device)
            return self._enrolled(code.tenant, device, issued)

        try:
            return await self._replay.once(code.tenant, apply)
        except AitradingError as exc:
            await self._note_refusal(exc, code.tenant, "enrolment", "code:enrolment", network)
            raise

    async def renew(self, request: RenewalRequest, *, network: str = "") -> EnrolledDevice:
        """Give the next certificate to who still holds the device's key.

        Works until 30 days after the certificate's end. Raises `CSR_INVALID` or `CODE_REFUSED`.
        """
        tenant, csr_pem = TenantId(request.tenant), request.csr.encode()
        public_key = public_key_of_csr(csr_pem)

        async def apply(tx: TenantTransaction) -> EnrolledDevice:
            if not await hold_active(tx):
                raise CODE_REFUSED.error()
            row = await tx.fetch_row(_SQL["find_device"], request.device)
            if row is None or not self._may_renew(row, request):
                raise CODE_REFUSED.error()
            issued = self._issue(tenant, request.device, csr_pem)
            done = await tx.fetch_row(
                _SQL["renew_device"],
                request.device,
                row["public_key"],
                public_key,
                issued.fingerprint,
                datetime_of_ns(issued.not_after_ns),
            )
            if done is None:
                raise CODE_REFUSED.error()
            actor = f"device:{request.device}"
            await self._note(tx, actor, AuditAction.DEVICE_RENEWED, request.device)
            return self._enrolled(tenant, request.device, issued)

        try:
            return await self._replay.once(tenant, apply)
        except AitradingError as exc:
            device = f"device:{request.device}"
            await self._note_refusal(exc, tenant, "renewal", device, network)
            raise

    async def state(self, tenant: TenantId, device: UUID) -> DeviceStanding:
        """What is known of a device; raises `IDENTITY_UNKNOWN`."""
        async with self._pool.tenant_read(tenant) as tx:
            row = await tx.fetch_row(_SQL["find_device"], device)
            if row is None:
                raise IDENTITY_UNKNOWN.error(kind="device", name=str(device))
            fields = await opener_of(self._keys, tx)
            plan = await plan_state(tx, now_utc(self._clock))
            limits = await tx.fetch_row(_SQL["limits_of_devices"])
        known = msgspec.structs.replace(_state(row, fields, tenant), subscription=str(plan))
        return DeviceStanding(**msgspec.structs.asdict(known), rates=_rates(limits))

    async def list(self, tenant: TenantId) -> list[DeviceState]:
        """The tenant's devices by name, at most `LIST_LIMIT`."""
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["list_devices"], LIST_LIMIT)
            fields = await opener_of(self._keys, tx)
        return by_name(_state(row, fields, tenant) for row in rows)

    async def names(self, tenant: TenantId, devices: Collection[UUID]) -> dict[UUID, str]:
        """The names of some of the tenant's devices."""
        if not devices:
            return {}
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["devices_by_id"], [*devices])
            fields = await self._keys.of(tx)
        return {row["id"]: opened_device(row, fields)["name"] for row in rows}

    async def revoke(self, tenant: TenantId, device: UUID, *, actor: str, reason: str) -> None:
        """End a device's right to connect, then tell everybody; repeating it tells again."""
        await self.state(tenant, device)
        moment = now_utc(self._clock)

        async def apply(tx: TenantTransaction) -> None:
            if await tx.fetch_row(_SQL["revoke_device"], device, moment):
                await self._note(tx, actor, AuditAction.DEVICE_REVOKED, device)

        await self._replay.run(tenant, apply, idempotent=True)
        await self._announce(Revocation(sessions=(device,)))  # its tokens name it as their session
        event = DeviceRevoked(
            device=DeviceId(device), reason=reason, revoked_ns=self._clock.now_ns()
        )
        await self._bus.publish(event, tenant=tenant)

    async def note_shared(self, tenant: TenantId, device: UUID, *, address: str) -> None:
        """Audit that two clients use the device's certificate; raises `IDENTITY_UNKNOWN`."""
        await self.state(tenant, device)
        refused = Refused(
            action=AuditAction.DEVICE_SHARED,
            tenant=tenant,
            subject=f"device:{device}",
            target=device.bytes,
            address=address,
            kind="link",
            tenant_is_claimed=False,
        )
        await self._refusals.note(refused)

    async def _invited(self, tx: TenantTransaction, name: str) -> UUID:
        fields = await self._keys.of(tx)
        index = fields.index(DEVICE_NAME, name)
        row = await tx.fetch_row(_SQL["find_device_by_name"], index)
        if row is not None and row["state"] == "active":
            raise IDENTITY_EXISTS.error(kind="device", name=name)
        if row is not None:
            await tx.execute(_SQL["forget_enrolment_codes"], row["id"])
            return UUID(str(row["id"]))
        device = self._ids.new()
        sealed = fields.seal(DEVICE_NAME, device, name)
        await tx.execute(_SQL["insert_device"], device, sealed, index, now_utc(self._clock))
        return device

    def _issue(self, tenant: TenantId, device: UUID, csr_pem: bytes) -> IssuedCertificate:
        identity = DeviceIdentity(tenant=tenant, device=DeviceId(device))
        return self._authority.issue_device(csr_pem, identity)

    def _may_renew(self, row: Row, request: RenewalRequest) -> bool:
        if row["state"] != "active":
            return False
        if now_utc(self._clock) > row["certificate_ends_at"] + RENEWAL_WINDOW:
            return False
        if abs(now_ms(self._clock) - request.issued_ms) > RENEWAL_CLOCK_SKEW_S * 1000:
            return False
        message = renewal_message(
            tenant=request.tenant,
            device=request.device,
            csr_pem=request.csr.encode(),
            issued_ms=request.issued_ms,
        )
        return signed_by(row["public_key"], request.signature, message)

    def _enrolled(
        self, tenant: TenantId, device: UUID, issued: IssuedCertificate
    ) -> EnrolledDevice:
        return EnrolledDevice(
            device=device,
            tenant=tenant,
            certificate=issued.certificate_pem.decode(),
            edge_ca=self.edge_ca_pem,
            expires_at=datetime_of_ns(issued.not_after_ns),
            pins=self._authority.edge_keys.signed_pins(),
        )

    async def _note_refusal(
        self, exc: AitradingError, tenant: TenantId, kind: str, subject: str, network: str
    ) -> None:
        """What somebody tried without the right to; a mistake in a request is no refusal."""
        if exc.spec not in (CODE_REFUSED, DEVICE_REVOKED):
            return
        refused = Refused(
            action=AuditAction.CODE_REFUSED,
            tenant=tenant,
            subject=subject,
            target=tenant.bytes + subject.encode(),
            address=network,
            kind=kind,
        )
        await self._refusals.note(refused)

    async def _note(
        self, tx: TenantTransaction, actor: str, action: AuditAction, device: UUID
    ) -> None:
        event = AuditEvent(actor=actor, action=action, subject=f"device:{device}")
        await self._audit.add(tx, event)


def _rates(row: Row | None) -> RateClaims:
    if row is None:
        return NO_RATES
    granted = msgspec.json.decode(row["granted_limits"] or b"{}", type=dict[str, int])
    return RateClaims(plan=row["plan"] or "", granted=granted)


def _state(row: Row, fields: Opener, tenant: TenantId) -> DeviceState:
    return DeviceState(
        device=row["id"],
        tenant=tenant,
        name=opened_device(row, fields)["name"],
        state=row["state"],
        certificate_sha256=row["certificate_sha256"],
        certificate_ends_at=row["certificate_ends_at"],
    )
