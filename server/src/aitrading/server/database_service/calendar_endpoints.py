"""What an organisation says about trading hours, for the data bridge, which has no database."""

from aitrading.server.kit.calendar_settings import (
    CALENDAR_PATH,
    CalendarSettings,
    CalendarWords,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.kit.tenant_settings import TenantSettings


class CalendarEndpoints:
    """The section `calendar` of one organisation."""

    def __init__(self, settings: TenantSettings) -> None:
        self._settings = settings

    @endpoint(
        "GET",
        CALENDAR_PATH,
        access=peers("data-bridge"),
        summary="The trading hours that a tenant was granted beside the shipped ones.",
        answer=CalendarWords,
        query=(QueryField(name="tenant", doc="The tenant.", required=True),),
    )
    async def calendar(self, call: Call) -> CalendarWords:
        """The file of settings, and over it what was granted."""
        tenant = parse_tenant(call.query("tenant"))
        return (await self._settings.of(tenant, CalendarSettings)).words
