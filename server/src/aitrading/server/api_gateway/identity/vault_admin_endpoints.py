"""Administration of what devices keep in their vault, from the host."""

from uuid import UUID

import msgspec

from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.credential_shares import CredentialShares
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint


class OneDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device of an organisation."""

    tenant: str
    device: UUID


class VaultAdminEndpoints:
    """What an administrator decides about the vault of a device."""

    def __init__(self, shares: CredentialShares, administration: Administration) -> None:
        self._shares = shares
        self._administration = administration

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/devices/rotate-credentials",
        access=ADMIN,
        body=OneDevice,
        answer=Done,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def rotate_credentials(self, call: Call) -> Done:
        """Let a device seal its stored broker login anew."""
        wanted = await call.json(OneDevice)
        tenant = await self._administration.tenant(wanted.tenant)
        await self._shares.want_rotation(tenant, wanted.device, actor=HOST_ACTOR)
        return Done()
