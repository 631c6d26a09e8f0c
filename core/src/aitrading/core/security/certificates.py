"""Who a certificate belongs to: the URI SAN shapes, version 1.

`spiffe://aitrading/service/<name>` is one server process,
`spiffe://aitrading/tenant/<uuid>/device/<uuid>` is one installed client. Both have exactly one
spelling; anything else is refused. The trust chain was checked by TLS before these are read.
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.errors import IDENTITY_MALFORMED

TRUST_DOMAIN: Final = "spiffe://aitrading"
MAX_FORWARDED_BYTES: Final = 1024
_SERVICE: Final = re.compile(rf"{TRUST_DOMAIN}/service/([a-z][a-z0-9-]{{0,62}})")
_DEVICE: Final = re.compile(rf"{TRUST_DOMAIN}/tenant/([0-9a-f-]{{36}})/device/([0-9a-f-]{{36}})")
_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ServiceIdentity:
    """One service of this installation."""

    name: str

    @property
    def uri(self) -> str:
        """The URI SAN of its certificate."""
        return f"{TRUST_DOMAIN}/service/{self.name}"


@dataclass(frozen=True, kw_only=True)
class DeviceIdentity:
    """One installed client of one tenant."""

    tenant: TenantId
    device: DeviceId

    @property
    def uri(self) -> str:
        """The URI SAN of its certificate."""
        return f"{TRUST_DOMAIN}/tenant/{self.tenant}/device/{self.device}"


@dataclass(frozen=True, kw_only=True)
class ForwardedDevice:
    """A device as the edge vouches for it after the TLS handshake."""

    identity: DeviceIdentity
    certificate_sha256: str


def parse_identity(uri: str) -> ServiceIdentity | DeviceIdentity:
    """Read a URI SAN; raises `IDENTITY_MALFORMED` for any other spelling."""
    if found := _SERVICE.fullmatch(uri):
        return ServiceIdentity(name=found[1])
    if found := _DEVICE.fullmatch(uri):
        return DeviceIdentity(
            tenant=TenantId(_canonical_uuid(found[1])), device=DeviceId(_canonical_uuid(found[2]))
        )
    raise IDENTITY_MALFORMED.error()


def parse_device(uri: str) -> DeviceIdentity:
    """Read a URI SAN that must be a device's."""
    identity = parse_identity(uri)
    if not isinstance(identity, DeviceIdentity):
        raise IDENTITY_MALFORMED.error()
    return identity


def parse_service(uri: str) -> ServiceIdentity:
    """Read a URI SAN that must be a service's."""
    identity = parse_identity(uri)
    if not isinstance(identity, ServiceIdentity):
        raise IDENTITY_MALFORMED.error()
    return identity


def parse_forwarded_device(header: str) -> ForwardedDevice:
    """Read the edge's `x-forwarded-client-cert`: one element with one `Hash` and one `URI`.

    The edge replaces whatever a client sent (SANITIZE_SET); a second element, a repeated key or
    a quoted value means that it did not, and is refused with `IDENTITY_MALFORMED`.
    """
    if len(header) > MAX_FORWARDED_BYTES or "," in header or '"' in header:
        raise IDENTITY_MALFORMED.error()
    pairs = [part.partition("=") for part in header.split(";")]
    values = {key.lower(): value for key, _, value in pairs}
    fingerprint = values.get("hash", "")
    if len(values) != len(pairs) or not _SHA256_HEX.fullmatch(fingerprint):
        raise IDENTITY_MALFORMED.error()
    return ForwardedDevice(
        identity=parse_device(values.get("uri", "")), certificate_sha256=fingerprint
    )


def _canonical_uuid(text: str) -> UUID:
    try:
        value = UUID(text)
    except ValueError as exc:
        raise IDENTITY_MALFORMED.error() from exc
    if str(value) != text:
        raise IDENTITY_MALFORMED.error()
    return value
