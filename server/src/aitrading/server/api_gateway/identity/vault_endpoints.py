"""`/api/v1/devices/…` for clients that ask with their key: the vault of a device."""

from typing import Final

from aitrading.core.security.claims import Scope
from aitrading.core.security.device_requests import DeviceRequest
from aitrading.server.api_gateway.identity.credential_shares import (
    CredentialShares,
    Forgotten,
    Lease,
    NewShare,
)
from aitrading.server.api_gateway.identity.errors import (
    CREDENTIAL_SHARE_GONE,
    DEVICE_REQUEST_REFUSED,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, scope
from aitrading.server.kit.limit_levels import LimitKind

BODY_LIMIT_BYTES: Final = 16 * 1024


class VaultEndpoints:
    """Twice proved: by a token of the connection's certificate, and by the signature in the body.

    So a request that was copied cannot be sent again by who has not the device's key.
    """

    def __init__(self, shares: CredentialShares) -> None:
        self._shares = shares

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/share",
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=NewShare,
        errors=(DEVICE_REQUEST_REFUSED,),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def new_share(self, call: Call) -> NewShare:
        """A new server's half of the key of a stored broker login, for the device that signed."""
        return await self._shares.new(await own_request(call), network=call.network)

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/lease",
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=Lease,
        errors=(DEVICE_REQUEST_REFUSED, CREDENTIAL_SHARE_GONE),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def lease(self, call: Call) -> Lease:
        """The server's half of the key again, for a day, for the device that signed."""
        return await self._shares.lease(await own_request(call), network=call.network)

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/forget",
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=Forgotten,
        errors=(DEVICE_REQUEST_REFUSED,),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def forget(self, call: Call) -> Forgotten:
        """Destroy the server's halves; the stored login opens for nobody any more."""
        return await self._shares.forget(await own_request(call), network=call.network)


async def own_request(call: Call) -> DeviceRequest:
    """The request, if it is in the name of the device whose token came with it."""
    request, token = await call.json(DeviceRequest), call.token
    if (request.tenant, request.device) != (token.tenant, token.user):
        raise DEVICE_REQUEST_REFUSED.error()
    return request
