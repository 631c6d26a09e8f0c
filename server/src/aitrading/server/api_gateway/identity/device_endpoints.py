"""`/api/v1/devices/…` for clients, `/internal/v1/devices/…` for services that talk with them."""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.ids import TenantId
from aitrading.core.security.claims import Scope
from aitrading.core.security.enrolment import parse_enrolment_code
from aitrading.core.security.errors import CSR_INVALID, ENROLMENT_CODE_MALFORMED
from aitrading.server.api_gateway.identity.device_tokens import DeviceToken, DeviceTokens
from aitrading.server.api_gateway.identity.devices import (
    Devices,
    DeviceStanding,
    DeviceState,
    EnrolledDevice,
    RenewalRequest,
)
from aitrading.server.api_gateway.identity.errors import (
    CODE_REFUSED,
    DEVICE_TOKEN_REFUSED,
    IDENTITY_UNKNOWN,
)
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import PUBLIC, QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.shared_device_api import SHARED_DEVICE_PATH, SharedDevice

BODY_LIMIT_BYTES: Final = 16 * 1024


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A one-time code and a certificate request (PEM)."""

    code: str
    csr: str


class TrustAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """The edge's certificate authority; worth only what its fingerprint in a code is worth."""

    edge_ca: str


class DeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """The devices of the caller's organisation."""

    devices: list[DeviceState]


class DeviceEndpoints:
    """Enrolment, renewal, and what is known of a device."""

    def __init__(self, devices: Devices, tokens: DeviceTokens) -> None:
        self._devices = devices
        self._tokens = tokens

    @endpoint(
        "POST",
        "/api/v1/devices/token",
        access=PUBLIC,
        answer=DeviceToken,
        errors=(DEVICE_TOKEN_REFUSED,),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def token(self, call: Call) -> DeviceToken:
        """A token of 15 minutes for the device whose certificate the connection shows."""
        shown = Authenticator.device_of(call.head)
        return await self._tokens.issue(shown, network=call.network)

    @endpoint(
        "GET",
        "/api/v1/devices/trust",
        access=PUBLIC,
        answer=TrustAnchor,
    )
    async def trust(self, call: Call) -> TrustAnchor:
        """The certificate authority of this edge, for a client that holds its fingerprint."""
        del call
        return TrustAnchor(edge_ca=self._devices.edge_ca_pem)

    @endpoint(
        "POST",
        "/api/v1/devices/enroll",
        access=PUBLIC,
        body=EnrolRequest,
        answer=EnrolledDevice,
        errors=(CODE_REFUSED, CSR_INVALID, ENROLMENT_CODE_MALFORMED),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def enrol(self, call: Call) -> EnrolledDevice:
        """Exchange a one-time code and a certificate request for a device certificate."""
        request = await call.json(EnrolRequest)
        code, csr = parse_enrolment_code(request.code), request.csr.encode()
        return await self._devices.enrol(code, csr, network=call.network)

    @endpoint(
        "POST",
        "/api/v1/devices/renew",
        access=PUBLIC,
        body=RenewalRequest,
        answer=EnrolledDevice,
        errors=(CODE_REFUSED, CSR_INVALID),
        body_limit_bytes=BODY_LIMIT_BYTES,
    )
    async def renew(self, call: Call) -> EnrolledDevice:
        """The next certificate of a device, for a request signed with its present key."""
        request = await call.json(RenewalRequest)
        return await self._devices.renew(request, network=call.network)

    @endpoint(
        "GET",
        "/api/v1/devices",
        access=scope(Scope.READ),
        answer=DeviceList,
        limit=LimitKind.IDENTITY,
    )
    async def devices(self, call: Call) -> DeviceList:
        """The devices of your organisation."""
        return DeviceList(devices=await self._devices.list(call.token.tenant))

    @endpoint(
        "GET",
        "/internal/v1/devices/{device}",
        access=peers("data-bridge", "database-service", "trading-engine", "admin"),
        answer=DeviceStanding,
        query=(QueryField(name="tenant", doc="The tenant its certificate names.", required=True),),
        errors=(IDENTITY_UNKNOWN,),
    )
    async def device(self, call: Call) -> DeviceStanding:
        """What is known of a device; services refuse one that is not active."""
        tenant = TenantId(uuid_of(call.query("tenant")))
        return await self._devices.state(tenant, uuid_of(call.path("device")))

    @endpoint("POST", SHARED_DEVICE_PATH, access=peers("data-bridge"), body=SharedDevice)
    async def shared(self, call: Call) -> None:
        """Audit that two clients use one device's certificate; often repeated, it is folded."""
        told = await call.json(SharedDevice)
        device = uuid_of(call.path("device"))
        await self._devices.note_shared(TenantId(told.tenant), device, address=told.address)


def uuid_of(text: str) -> UUID:
    """Read an id; raises `REQUEST_INVALID`."""
    try:
        return UUID(text)
    except ValueError as exc:
        raise REQUEST_INVALID.error(reason="an id is not a UUID") from exc
