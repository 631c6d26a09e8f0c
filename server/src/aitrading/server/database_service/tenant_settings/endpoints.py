"""Settings of one organisation, for the host's administrator."""

from typing import Final

import msgspec

from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.organisations import ORGANISATION_UNKNOWN, Organisations
from aitrading.server.database_service.tenant_settings.book import (
    TENANT_SETTING_REFUSED,
    TENANT_SETTING_UNKNOWN,
    GrantedSetting,
    SettingsBook,
)
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers

HOST: Final = peers(ADMIN_SERVICE)
_PATH: Final = "/internal/v1/admin/settings"
_TENANT: Final = QueryField(name="tenant", doc="The organisation by name or id.", required=True)


class SettingGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setting as `section.name`, and its value for this organisation."""

    tenant: str
    setting: str
    value: bool | int | float | str


class GrantedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that was granted to one organisation."""

    items: tuple[GrantedSetting, ...]


class TenantSettingsEndpoints:
    """Read, grant, replace, take back."""

    def __init__(self, book: SettingsBook, organisations: Organisations) -> None:
        self._book = book
        self._organisations = organisations

    @endpoint(
        "GET",
        _PATH,
        access=HOST,
        answer=GrantedSettings,
        query=(_TENANT,),
        errors=(ORGANISATION_UNKNOWN,),
    )
    async def granted(self, call: Call) -> GrantedSettings:
        """What was granted to the organisation `tenant`."""
        tenant = await self._organisations.find(call.query("tenant"))
        return GrantedSettings(items=await self._book.granted(tenant))

    @endpoint(
        "PUT",
        _PATH,
        access=HOST,
        body=SettingGrant,
        answer=GrantedSettings,
        errors=(ORGANISATION_UNKNOWN, TENANT_SETTING_REFUSED),
    )
    async def grant(self, call: Call) -> GrantedSettings:
        """Give an organisation its own value of a setting."""
        new = await call.json(SettingGrant)
        tenant = await self._organisations.find(new.tenant)
        items = await self._book.grant(tenant, new.setting, new.value, HOST_ACTOR)
        return GrantedSettings(items=items)

    @endpoint(
        "DELETE",
        f"{_PATH}/{{setting}}",
        access=HOST,
        answer=GrantedSettings,
        query=(_TENANT,),
        errors=(ORGANISATION_UNKNOWN, TENANT_SETTING_UNKNOWN),
    )
    async def take_back(self, call: Call) -> GrantedSettings:
        """Let an organisation have what everybody has."""
        tenant = await self._organisations.find(call.query("tenant"))
        items = await self._book.take_back(tenant, call.path("setting"), HOST_ACTOR)
        return GrantedSettings(items=items)
