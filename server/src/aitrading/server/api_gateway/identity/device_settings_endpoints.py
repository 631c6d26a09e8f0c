"""`/api/v1/devices/settings` for people, `/api/v1/devices/configuration` for devices."""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from aitrading.core.security.claims import Scope
from aitrading.core.security.config_bundle import Scalar, SignedBundle
from aitrading.core.security.device_requests import DeviceRequest
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.device_endpoints import BODY_LIMIT_BYTES, uuid_of
from aitrading.server.api_gateway.identity.device_settings import (
    DEVICE_SETTING_REFUSED,
    DEVICE_SETTING_UNKNOWN,
    DeviceSettings,
    DeviceSettingsView,
)
from aitrading.server.api_gateway.identity.errors import DEVICE_REQUEST_REFUSED, IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.vault_endpoints import own_request
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, proved_recently, scope
from aitrading.server.kit.limit_levels import LimitKind

PATH: Final = "/api/v1/devices/settings"
HOST_PATH: Final = f"{ADMIN_PATH}/devices/settings"
_DEVICE: Final = QueryField(name="device", doc="Only for this device; without it for every one.")
_TENANT: Final = QueryField(name="tenant", doc="The organisation, by name or id.", required=True)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class NewDeviceSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setting as `section.name`, for one device or without one for every device."""

    setting: Name
    value: Scalar
    device: UUID | None = None


class HostDeviceSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same for an organisation; without a value the setting is taken back."""

    tenant: str
    setting: Name
    value: Scalar | None = None
    device: UUID | None = None


class DeviceSettingsEndpoints:
    """What an organisation sets on its installed clients."""

    def __init__(self, settings: DeviceSettings, administration: Administration) -> None:
        self._settings = settings
        self._administration = administration

    @endpoint(
        "POST",
        "/api/v1/devices/configuration",
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=SignedBundle,
        errors=(DEVICE_REQUEST_REFUSED,),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def configuration(self, call: Call) -> SignedBundle:
        """What the device that signed is to use, signed for it."""
        return await self._settings.bundle(await own_request(call), network=call.network)

    @endpoint(
        "GET", PATH, access=scope(Scope.ADMIN), answer=DeviceSettingsView, limit=LimitKind.IDENTITY
    )
    async def view(self, call: Call) -> DeviceSettingsView:
        """What your organisation set on its clients, and which of them use it."""
        return await self._settings.view(call.token.tenant)

    @endpoint(
        "PUT",
        PATH,
        access=proved_recently(scope(Scope.ADMIN)),
        limit=LimitKind.IDENTITY,
        body=NewDeviceSetting,
        answer=DeviceSettingsView,
        errors=(DEVICE_SETTING_REFUSED, IDENTITY_UNKNOWN),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def set(self, call: Call) -> DeviceSettingsView:
        """Set something on one client or on every one; those that are connected use it at once."""
        new, token = await call.json(NewDeviceSetting), call.token
        actor = f"user:{token.user}"
        await self._settings.set(token.tenant, new.device, new.setting, new.value, actor=actor)
        return await self._settings.view(token.tenant)

    @endpoint(
        "DELETE",
        f"{PATH}/{{setting}}",
        access=proved_recently(scope(Scope.ADMIN)),
        limit=LimitKind.IDENTITY,
        answer=DeviceSettingsView,
        query=(_DEVICE,),
        errors=(DEVICE_SETTING_UNKNOWN,),
    )
    async def unset(self, call: Call) -> DeviceSettingsView:
        """Let clients use their own value again."""
        token, device = call.token, call.query_or("device", None)
        await self._settings.unset(
            token.tenant,
            uuid_of(device) if device else None,
            call.path("setting"),
            actor=f"user:{token.user}",
        )
        return await self._settings.view(token.tenant)

    @endpoint(
        "GET",
        HOST_PATH,
        access=ADMIN,
        answer=DeviceSettingsView,
        query=(_TENANT,),
        errors=(IDENTITY_UNKNOWN,),
    )
    async def view_of(self, call: Call) -> DeviceSettingsView:
        """What an organisation set on its clients."""
        return await self._settings.view(await self._administration.tenant(call.query("tenant")))

    @endpoint(
        "POST",
        HOST_PATH,
        access=ADMIN,
        body=HostDeviceSetting,
        answer=Done,
        errors=(DEVICE_SETTING_REFUSED, DEVICE_SETTING_UNKNOWN, IDENTITY_UNKNOWN),
    )
    async def set_of(self, call: Call) -> Done:
        """Set something on the clients of an organisation, or take it back."""
        new = await call.json(HostDeviceSetting)
        tenant = await self._administration.tenant(new.tenant)
        if new.value is None:
            await self._settings.unset(tenant, new.device, new.setting, actor=HOST_ACTOR)
        else:
            await self._settings.set(tenant, new.device, new.setting, new.value, actor=HOST_ACTOR)
        return Done()
