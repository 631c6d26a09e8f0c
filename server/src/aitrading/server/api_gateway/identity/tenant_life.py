"""Suspending an organisation, letting it in again, and erasing it for good."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.event_bus import Event, EventBus
from aitrading.core.infrastructure.events import DeviceRevoked, SubscriptionChanged
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.errors import TENANT_ERASED, TENANT_NOT_CONFIRMED
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions
from aitrading.server.api_gateway.identity.tenants import TenantState, raise_epoch
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys

_SQL: Final = Queries.load(PACKAGE, "sql/tenants.sql")
_ACTIONS: Final = {
    TenantState.SUSPENDED: AuditAction.TENANT_SUSPENDED,
    TenantState.ACTIVE: AuditAction.TENANT_ACTIVATED,
}
ERASED: Final = "the organisation was erased"


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure ended."""

    tenant: UUID
    sessions_ended: int
    devices_revoked: int


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """What a committed change ended, for those who must hear of it."""

    revoked: Revocation
    devices: list[UUID]
    plan_version: int


_FORGOTTEN: Final = (
    "forget_login_links",
    "forget_challenges",
    "forget_totp",
    "forget_security_keys",
    "forget_key_challenges",
    "forget_recovery_codes",
    "forget_api_keys",
    "forget_enrolment_codes",
    "forget_people",
)


class TenantLife:
    """The states of an organisation; each change and its audit event are one transaction.

    What the bus does not take after the commit comes later by itself: ended sessions are repeated,
    links ask again, and a command that is repeated tells everything again.
    """

    def __init__(
        self,
        replay: Replay,
        *,
        administration: Administration,
        sessions: Sessions,
        keys: FieldKeys,
        audit: AuditTrail,
        bus: EventBus,
        clock: Clock,
        on_error: Callable[[Exception], object],
    ) -> None:
        self._replay = replay
        self._administration = administration
        self._sessions = sessions
        self._keys = keys
        self._audit = audit
        self._bus = bus
        self._clock = clock
        self._on_error = on_error

    async def set_state(
        self, name: str, state: Literal["active", "suspended"], *, actor: str
    ) -> None:
        """Suspend, which ends sessions and links at once, or let in again; a repeat is harmless.

        Raises `IDENTITY_UNKNOWN` or `TENANT_ERASED`.
        """
        tenant = await self._administration.tenant(name)

        async def apply(tx: TenantTransaction) -> _Ended:
            changed = await self._moved(tx, name, state)
            ended = (
                await self._ended(tx, state) if state == TenantState.SUSPENDED else Revocation()
            )
            if changed:
                await self._note(
                    tx,
                    actor,
                    _ACTIONS[TenantState(state)],
                    {"sessions_ended": len(ended.sessions)},
                )
            return _Ended(revoked=ended, devices=[], plan_version=await _plan_version(tx))

        await self._tell(tenant, await self._replay.once(tenant, apply))

    async def erase(self, name: str, confirmed: str, *, actor: str) -> Erasure:
        """Destroy the organisation's key, and with it every sealed value, for good.

        Ends every session and link, revokes devices, forgets passwords and codes. Raises
        `IDENTITY_UNKNOWN`, `TENANT_NOT_CONFIRMED` or `TENANT_ERASED`, and then changed nothing.
        """
        found = await self._administration.find_tenant(name)
        if confirmed != found.name:
            raise TENANT_NOT_CONFIRMED.error(typed=confirmed, name=found.name)
        tenant = TenantId(found.id)

        async def apply(tx: TenantTransaction) -> _Ended:
            await self._moved(tx, name, TenantState.ERASED)
            ended = await self._ended(tx, TenantState.ERASED)
            rows = await tx.fetch(_SQL["revoke_devices"], now_utc(self._clock))
            for forget in _FORGOTTEN:
                await tx.execute(_SQL[forget])
            await self._keys.destroy(tx)
            devices = [UUID(str(row["id"])) for row in rows]
            counts = {"sessions_ended": len(ended.sessions), "devices_revoked": len(devices)}
            await self._note(tx, actor, AuditAction.TENANT_ERASED, counts)
            return _Ended(revoked=ended, devices=devices, plan_version=await _plan_version(tx))

        ended = await self._replay.once(tenant, apply)
        await self._tell(tenant, ended)
        return Erasure(
            tenant=found.id,
            sessions_ended=len(ended.revoked.sessions),
            devices_revoked=len(ended.devices),
        )

    async def _moved(self, tx: TenantTransaction, name: str, state: str) -> bool:
        """Whether the state is another one now; nothing leads out of ERASED."""
        if await tx.fetch_row(_SQL["set_state"], tx.tenant, state):
            return True
        if await tx.fetch_value(_SQL["find_state"], tx.tenant) == TenantState.ERASED:
            raise TENANT_ERASED.error(name=name)
        return False

    async def _ended(self, tx: TenantTransaction, reason: str) -> Revocation:
        moment = now_utc(self._clock)
        rows = await tx.fetch(_SQL["end_sessions"], moment, reason)
        raised = await raise_epoch(tx, moment)
        sessions = tuple(UUID(str(row["id"])) for row in rows)
        return Revocation(sessions=sessions, organisations=raised.organisations)

    async def _note(
        self, tx: TenantTransaction, actor: str, action: AuditAction, details: dict[str, int]
    ) -> None:
        said: dict[str, FieldValue] = dict(details)
        event = AuditEvent(
            actor=actor,
            action=action,
            subject=f"tenant:{tx.tenant}",
            details=said,
        )
        await self._audit.add(tx, event)

    async def _tell(self, tenant: TenantId, ended: _Ended) -> None:
        await self._sessions.refuse_tokens(ended.revoked)
        for device in ended.devices:
            revoked = DeviceRevoked(
                device=DeviceId(device), reason=ERASED, revoked_ns=self._clock.now_ns()
            )
            await self._publish(tenant, revoked)
        await self._publish(tenant, SubscriptionChanged(user=None, version=ended.plan_version))

    async def _publish(self, tenant: TenantId, event: Event) -> None:
        try:
            await self._bus.publish(event, tenant=tenant)
        except AitradingError as exc:
            self._on_error(exc)


async def _plan_version(tx: TenantTransaction) -> int:
    return int(await tx.fetch_value(_SQL["plan_version"]) or 0)
