"""Open connections with the names of their devices and people."""

from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.core.kit.clock import datetime_of_ns
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import TenantId
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.devices import Devices
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.connections_api import (
    CONNECTIONS_PATH,
    END_PATH,
    Connection,
    Connections,
    EndConnection,
    Ended,
)
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

T = TypeVar("T")


class NamedConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One open connection as its organisation sees it."""

    id: UUID
    kind: str
    """`link`: a device delivers ticks. `stream`: a person looks at quotes."""
    name: str
    """Of the device or the person."""
    device: UUID | None = None
    user: UUID | None = None
    since: datetime
    round_trip_ms: float | None = None
    feeds: int = 0
    unconfirmed: int = 0
    """Ticks of a link that are not durable yet, or quotes that wait for a slow stream."""


class BridgeClient(Protocol):
    """How the data bridge is asked; an `InternalClient` does it."""

    async def get(
        self, path: str, *, answer: type[T], query: dict[str, str], timeout_s: float
    ) -> T:
        """GET and decode; raises the peer's or the network's error."""
        ...

    async def post(
        self, path: str, *, body: msgspec.Struct, answer: type[T], timeout_s: float
    ) -> T:
        """POST and decode; raises the peer's or the network's error."""
        ...


class ConnectionDirectory:
    """The data bridge knows ids, identity knows names."""

    def __init__(
        self,
        bridge: BridgeClient,
        *,
        devices: Devices,
        administration: Administration,
        replay: Replay,
        audit: AuditTrail,
    ) -> None:
        self._bridge = bridge
        self._devices = devices
        self._administration = administration
        self._replay = replay
        self._audit = audit

    async def of_tenant(self, tenant: TenantId) -> list[NamedConnection]:
        """The organisation's open connections, oldest first."""
        open_now = await self._open(tenant)
        devices = {one.device for one in open_now if one.device}
        users = {one.user for one in open_now if one.user}
        names = await self._devices.names(tenant, devices)
        names |= await self._administration.names(tenant, users)
        return [_named(one, names) for one in open_now]

    async def end(self, tenant: TenantId, connection: UUID, *, actor: str) -> None:
        """Audit, then end; raises `IDENTITY_UNKNOWN` when it is not open, or not theirs."""
        if connection not in {one.id for one in await self._open(tenant)}:
            raise _unknown(connection)

        async def note(tx: TenantTransaction) -> None:
            event = AuditEvent(
                actor=actor,
                action=AuditAction.CONNECTION_ENDED,
                subject=f"connection:{connection}",
            )
            await self._audit.add(tx, event)

        await self._replay.once(tenant, note)
        wanted = EndConnection(tenant=tenant, connection=connection)
        try:
            await self._bridge.post(END_PATH, body=wanted, answer=Ended, timeout_s=Timeouts.FAST)
        except AitradingError as exc:
            if exc.spec.category is Category.DENIED:
                raise _unknown(connection) from exc
            raise

    async def _open(self, tenant: TenantId) -> list[Connection]:
        answer = await self._bridge.get(
            CONNECTIONS_PATH,
            answer=Connections,
            query={"tenant": str(tenant)},
            timeout_s=Timeouts.FAST,
        )
        return answer.items


def _named(one: Connection, names: dict[UUID, str]) -> NamedConnection:
    whose = one.device or one.user
    return NamedConnection(
        id=one.id,
        kind="link" if one.device else "stream",
        name=names.get(whose, str(whose)) if whose else "",
        device=one.device,
        user=one.user,
        since=datetime_of_ns(one.since_ns),
        round_trip_ms=one.round_trip_ms,
        feeds=one.feeds,
        unconfirmed=one.unconfirmed,
    )


def _unknown(connection: UUID) -> AitradingError:
    return IDENTITY_UNKNOWN.error(kind="open connection", name=str(connection))
