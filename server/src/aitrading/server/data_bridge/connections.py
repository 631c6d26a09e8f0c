"""Who is connected: links of devices and streams of people, and ending one of them."""

from collections.abc import Iterable
from typing import Final, Protocol
from uuid import UUID

from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.ids import TenantId
from aitrading.server.data_bridge.errors import CONNECTION_UNKNOWN
from aitrading.server.kit.call import Call
from aitrading.server.kit.connections_api import (
    CONNECTIONS_PATH,
    END_PATH,
    Connection,
    Connections,
    EndConnection,
    Ended,
)
from aitrading.server.kit.endpoints import QueryField, endpoint, peers
from aitrading.server.kit.http_errors import REQUEST_INVALID

GATEWAY: Final = peers("api-gateway")


class Connected(Protocol):
    """Where open connections are held."""

    def connections(self, tenant: TenantId) -> Iterable[Connection]:
        """Those of one organisation that are open."""
        ...

    def end(self, tenant: TenantId, connection: UUID) -> bool:
        """Close one of the organisation's; False when none has this id."""
        ...


class ConnectionEndpoints:
    """What the api-gateway asks; it knows the names that belong to the ids."""

    def __init__(self, *holders: Connected) -> None:
        self._holders = holders

    @endpoint(
        "GET",
        CONNECTIONS_PATH,
        access=GATEWAY,
        answer=Connections,
        query=(QueryField(name="tenant", doc="The organisation.", required=True),),
    )
    async def connections(self, call: Call) -> Connections:
        """The open connections of an organisation, oldest first."""
        tenant = _tenant(call.query("tenant"))
        found = [one for holder in self._holders for one in holder.connections(tenant)]
        return Connections(items=sorted(found, key=lambda one: (one.since_ns, one.id)))

    @endpoint(
        "POST",
        END_PATH,
        access=GATEWAY,
        body=EndConnection,
        answer=Ended,
        errors=(CONNECTION_UNKNOWN,),
    )
    async def end(self, call: Call) -> Ended:
        """End one connection; whoever may connect can connect again."""
        wanted = await call.json(EndConnection)
        tenant = TenantId(wanted.tenant)
        if not any(holder.end(tenant, wanted.connection) for holder in self._holders):
            raise CONNECTION_UNKNOWN.error(connection=str(wanted.connection))
        return Ended(connection=wanted.connection)


def milliseconds(duration_ns: int | None) -> float | None:
    """As people read a round trip."""
    return None if duration_ns is None else round(duration_ns / NS_PER_MS, 3)


def _tenant(text: str) -> TenantId:
    try:
        return TenantId(UUID(text))
    except ValueError as exc:
        raise REQUEST_INVALID.error(reason="`tenant` is not an id") from exc
