"""`/api/v1/devices/…` for clients that ask with their key: the vault of a device."""

from typing import Final

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
from aitrading.server.kit.endpoints import PUBLIC, endpoint

BODY_LIMIT_BYTES: Final = 16 * 1024


class VaultEndpoints:
    """Public routes: what proves the caller is the signature in the body."""

    def __init__(self, shares: CredentialShares) -> None:
        self._shares = shares

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/share",
        access=PUBLIC,
        body=DeviceRequest,
        answer=NewShare,
        errors=(DEVICE_REQUEST_REFUSED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def new_share(self, call: Call) -> NewShare:
        """A new server's half of the key of a stored broker login, for the device that signed."""
        return await self._shares.new(await call.json(DeviceRequest), network=call.network)

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/lease",
        access=PUBLIC,
        body=DeviceRequest,
        answer=Lease,
        errors=(DEVICE_REQUEST_REFUSED, CREDENTIAL_SHARE_GONE),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def lease(self, call: Call) -> Lease:
        """The server's half of the key again, for a day, for the device that signed."""
        return await self._shares.lease(await call.json(DeviceRequest), network=call.network)

    @endpoint(
        "POST",
        "/api/v1/devices/credentials/forget",
        access=PUBLIC,
        body=DeviceRequest,
        answer=Forgotten,
        errors=(DEVICE_REQUEST_REFUSED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def forget(self, call: Call) -> Forgotten:
        """Destroy the server's halves; the stored login opens for nobody any more."""
        return await self._shares.forget(await call.json(DeviceRequest), network=call.network)
