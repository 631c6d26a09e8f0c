"""Calls to services in the name of the host's administrator, for commands on the host."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from aitrading.server.kit.bundle import load_bundle
from aitrading.server.supervisor.assembly import Kit
from aitrading.server.supervisor.bundles import ADMIN
from aitrading.server.supervisor.errors import ADMIN_CALL_REFUSED
from aitrading.server.supervisor.home import Home

if TYPE_CHECKING:
    from aitrading.server.kit.internal_client import InternalClient

INTERNAL_PREFIX = "/internal/v1/"
CALL_TIMEOUT_S = 30.0


class AdminCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request to a service's internal interface."""

    peer: str
    path: str
    method: str = "GET"
    query: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()


class AdminCalls:
    """Signs and sends them; the client is loaded when the first command needs it."""

    def __init__(self, home: Home, kit: Kit) -> None:
        self._home = home
        self._kit = kit
        self._clients: "dict[str, InternalClient]" = {}

    async def handle(self, arguments: Mapping[str, Any]) -> msgspec.Raw:
        """Pass the call on and its JSON answer back; the service's own error is raised."""
        from urllib.parse import urlencode  # noqa: PLC0415 - only commands need it

        call = _parse(arguments)
        target = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
        response = await self._client(call.peer).request(
            call.method,
            target,
            body=bytes(call.body),
            headers={"content-type": "application/json"} if bytes(call.body) else None,
            timeout_s=CALL_TIMEOUT_S,
        )
        return msgspec.Raw(response.body or b"null")

    async def close(self) -> None:
        """Drop connections."""
        for client in self._clients.values():
            await client.close()

    def _client(self, peer: str) -> "InternalClient":
        if peer not in self._clients:
            from aitrading.server.kit.internal_client import InternalClient  # noqa: PLC0415 - heavy

            bundle = load_bundle(self._home.bundles / f"{ADMIN}.json")
            if peer not in bundle.peers:
                raise ADMIN_CALL_REFUSED.error(reason=f"there is no service {peer}")
            self._clients[peer] = InternalClient.of(bundle, peer, self._kit.clock, self._kit.ids)
        return self._clients[peer]


def _parse(arguments: Mapping[str, Any]) -> AdminCall:
    try:
        call = msgspec.json.decode(msgspec.json.encode(arguments), type=AdminCall)
    except msgspec.ValidationError as exc:
        raise ADMIN_CALL_REFUSED.error(reason=str(exc)) from exc
    if not call.path.startswith(INTERNAL_PREFIX):
        raise ADMIN_CALL_REFUSED.error(reason=f"{call.path} is not below {INTERNAL_PREFIX}")
    return call
