"""`/api/v1/connections`, and the same for the host's administrator."""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.connections.directory import (
    ConnectionDirectory,
    NamedConnection,
)
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.device_endpoints import uuid_of
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.connections_api import Ended
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, proved_recently, scope

ADMIN_PATH: Final = "/internal/v1/admin/connections"
ADMIN: Final = peers(ADMIN_SERVICE)


class ConnectionList(msgspec.Struct, frozen=True, kw_only=True):
    """Open connections, oldest first."""

    items: list[NamedConnection]


class ConnectionName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connection of an organisation."""

    tenant: str
    connection: UUID


class ConnectionEndpoints:
    """Who is connected."""

    def __init__(self, directory: ConnectionDirectory, administration: Administration) -> None:
        self._directory = directory
        self._administration = administration

    @endpoint("GET", "/api/v1/connections", access=scope(Scope.READ), answer=ConnectionList)
    async def connections(self, call: Call) -> ConnectionList:
        """The open connections of your organisation: links of devices and streams of people."""
        return ConnectionList(items=await self._directory.of_tenant(call.token.tenant))

    @endpoint(
        "DELETE",
        "/api/v1/connections/{connection}",
        access=proved_recently(scope(Scope.ADMIN)),
        errors=(IDENTITY_UNKNOWN,),
    )
    async def end(self, call: Call) -> None:
        """End one connection. Whoever may connect comes back; revoke a device to keep it out."""
        token = call.token
        await self._directory.end(
            token.tenant, uuid_of(call.path("connection")), actor=f"user:{token.user}"
        )

    @endpoint(
        "GET",
        ADMIN_PATH,
        access=ADMIN,
        answer=ConnectionList,
        query=(QueryField(name="tenant", doc="The organisation, by name or id.", required=True),),
        errors=(IDENTITY_UNKNOWN,),
    )
    async def connections_of(self, call: Call) -> ConnectionList:
        """The open connections of an organisation."""
        tenant = await self._administration.tenant(call.query("tenant"))
        return ConnectionList(items=await self._directory.of_tenant(tenant))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/end",
        access=ADMIN,
        body=ConnectionName,
        answer=Ended,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def end_one_of(self, call: Call) -> Ended:
        """End one connection of an organisation."""
        wanted = await call.json(ConnectionName)
        tenant = await self._administration.tenant(wanted.tenant)
        await self._directory.end(tenant, wanted.connection, actor=HOST_ACTOR)
        return Ended(connection=wanted.connection)
