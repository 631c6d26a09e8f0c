"""Reports of devices about themselves, and what an administrator decides after them."""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.security.claims import Scope
from aitrading.core.security.device_reports import AVAILABILITY_WANTED, REPORT_PATH, Exposure
from aitrading.core.security.device_requests import DeviceRequest
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH, Done
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.device_reports import DeviceReports, DeviceSecurity
from aitrading.server.api_gateway.identity.errors import DEVICE_REQUEST_REFUSED, IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.vault_endpoints import BODY_LIMIT_BYTES, own_request
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, scope
from aitrading.server.kit.limit_levels import LimitKind

MAX_REASON_CHARS: Final = 256
BARRED_REMEDY: Final = (
    "Closing and reducing still work. Install the client again from a trusted copy, find out who "
    "changed it, then `aitrading device allow-exposure DEVICE --tenant NAME --reason TEXT` on the host."
)


class AllowedDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A barred device that may open positions again."""

    tenant: str
    device: UUID
    reason: str


class ListedSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """What devices said of themselves last, and what follows from it."""

    devices: list[DeviceSecurity]
    remedy: str = BARRED_REMEDY
    """What to do about a device that may open nothing new."""
    availability_wanted: float = AVAILABILITY_WANTED


class DeviceReportEndpoints:
    """One route of devices, proved by token and signature, one of people, and two of the host."""

    def __init__(self, reports: DeviceReports, administration: Administration) -> None:
        self._reports = reports
        self._administration = administration

    @endpoint(
        "POST",
        REPORT_PATH,
        access=scope(Scope.DEVICE),
        body=DeviceRequest,
        answer=Exposure,
        errors=(DEVICE_REQUEST_REFUSED,),
        limit=LimitKind.IDENTITY,
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def report(self, call: Call) -> Exposure:
        """What a client sees of its own files and process; tells whether it may open positions."""
        return await self._reports.note(await own_request(call), network=call.network)

    @endpoint(
        "GET",
        "/api/v1/devices/standing",
        access=scope(Scope.READ),
        answer=ListedSecurity,
        limit=LimitKind.IDENTITY,
    )
    async def standing(self, call: Call) -> ListedSecurity:
        """Your devices' last reports: who may open nothing new, and how much terminals were up."""
        return ListedSecurity(devices=await self._reports.list(call.token.tenant))

    @endpoint("GET", f"{ADMIN_PATH}/devices/security", access=ADMIN, answer=list[DeviceSecurity])
    async def security(self, call: Call) -> list[DeviceSecurity]:
        """The last report of each active device of the organisation `tenant`."""
        return await self._reports.list(await self._administration.tenant(call.query("tenant")))

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/devices/allow-exposure",
        access=ADMIN,
        body=AllowedDevice,
        answer=Done,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def allow(self, call: Call) -> Done:
        """Let a barred device open positions again."""
        wanted = await call.json(AllowedDevice)
        tenant = await self._administration.tenant(wanted.tenant)
        reason = wanted.reason[:MAX_REASON_CHARS]
        await self._reports.allow(tenant, wanted.device, actor=HOST_ACTOR, reason=reason)
        return Done()
