"""From a one-time code to a device certificate, and from one certificate to the next."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.client.security.errors import (
    ENROLMENT_ADDRESS_INVALID,
    SERVER_ANSWER_UNEXPECTED,
)
from aitrading.client.security.server_api import ServerApi
from aitrading.client.security.trust import ServerTrust
from aitrading.core.kit.clock import Clock, now_ms
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.security.certificates import parse_device
from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate, sha256
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.enrolment import parse_enrolment_code, require_pinned_ca
from aitrading.core.security.renewal import renewal_message
from aitrading.core.security.server_pins import SignedPins, open_pins, pins_refused

TRUST_PATH: Final = "/api/v1/devices/trust"
ENROL_PATH: Final = "/api/v1/devices/enroll"
RENEW_PATH: Final = "/api/v1/devices/renew"
COMMON_NAME: Final = "aitrading device"
HTTPS_PORT: Final = 443


class _TrustAnchor(msgspec.Struct, frozen=True, kw_only=True):
    edge_ca: str


class _EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    csr: str


class _RenewalRequest(msgspec.Struct, frozen=True, kw_only=True):
    tenant: UUID
    device: UUID
    csr: str
    issued_ms: int
    signature: str


class _Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    device: UUID
    tenant: UUID
    certificate: str
    pins: SignedPins | None = None


class _Pins(NamedTuple):
    keys: tuple[str, ...]
    version: int


def parse_server(address: str) -> ServerAddress:
    """Read what a person typed; raises `ENROLMENT_ADDRESS_INVALID`."""
    try:
        parts = urlsplit(address.strip())
        port = parts.port or HTTPS_PORT
    except ValueError as exc:
        raise ENROLMENT_ADDRESS_INVALID.error(address=ascii(address)) from exc
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme != "https" or not parts.hostname or not plain:
        raise ENROLMENT_ADDRESS_INVALID.error(address=ascii(address))
    return ServerAddress(host=parts.hostname, port=port)


def enrol(files: DeviceFiles, code_text: str, server: ServerAddress) -> DeviceRecord:
    """Become a device of the server that the code names; blocks.

    The server's authority is fetched first and must have the fingerprint in the code; the code's
    secret and our request go only to a server certified by it. Raises `SERVER_NOT_TRUSTED`,
    `LINK_…`, or the server's refusal; nothing is stored then.
    """
    code = parse_enrolment_code(code_text)
    ca_pem = ServerApi(server, None).get(TRUST_PATH, _TrustAnchor).edge_ca
    require_pinned_ca(ca_pem.encode(), code)
    api = ServerApi(server, ServerTrust(ca_pem=ca_pem))
    key = TlsKey.generate()
    csr = create_csr(key, common_name=COMMON_NAME).decode()
    request = _EnrolRequest(code=code.text().reveal(), csr=csr)
    enrolled = api.post(ENROL_PATH, request, _Enrolled)
    _require_ours(enrolled, key)
    pins = _pins_of(enrolled, ca_pem, api.server_key)
    record = DeviceRecord(
        tenant=enrolled.tenant,
        device=enrolled.device,
        server=server,
        server_ca=ca_pem,
        server_keys=pins.keys,
        pins_version=pins.version,
    )
    files.store(record, key, enrolled.certificate.encode())
    return record


def _pins_of(enrolled: _Enrolled, ca_pem: str, seen: bytes | None) -> _Pins:
    """The keys that the server's authority names; from an older server the one that it showed."""
    if enrolled.pins is None:
        return _Pins((seen.hex(),) if seen else (), 0)
    pins = open_pins(enrolled.pins, authority_pem=ca_pem.encode())
    if seen is None or seen.hex() not in pins.keys:
        raise pins_refused("the server showed another key")
    return _Pins(pins.keys, pins.version)


def renew(files: DeviceFiles, record: DeviceRecord, clock: Clock) -> None:
    """Replace key and certificate by the next ones; blocks.

    The new key is on disk before the server is asked: when an answer is lost, the server knows
    the new key already and this client still holds it.
    """
    api = ServerApi(record.server, files.record().trust)
    earlier = files.pending()
    if earlier is not None and _renew_with(earlier, earlier, files, record, api, clock):
        return
    fresh = TlsKey.generate()
    files.store_pending(fresh)
    _renew_with(files.certificate().key, fresh, files, record, api, clock)


def _renew_with(
    present: TlsKey,
    fresh: TlsKey,
    files: DeviceFiles,
    record: DeviceRecord,
    api: ServerApi,
    clock: Clock,
) -> bool:
    """One request, signed with the present key; False when the server knows another one."""
    csr, issued_ms = create_csr(fresh, common_name=COMMON_NAME), now_ms(clock)
    message = renewal_message(
        tenant=record.tenant, device=record.device, csr_pem=csr, issued_ms=issued_ms
    )
    request = _RenewalRequest(
        tenant=record.tenant,
        device=record.device,
        csr=csr.decode(),
        issued_ms=issued_ms,
        signature=base64url_encode(present.sign(message)),
    )
    try:
        enrolled = api.post(RENEW_PATH, request, _Enrolled)
    except AitradingError as exc:
        if exc.spec.category is Category.DENIED and present is fresh:
            return False
        raise
    _require_ours(enrolled, fresh)
    files.replace_credential(fresh, enrolled.certificate.encode())
    return True


def _require_ours(enrolled: _Enrolled, key: TlsKey) -> None:
    """The certificate must be for this device and this key, or it is of no use."""
    info = inspect_certificate(enrolled.certificate.encode())
    identity = parse_device(info.uris[0] if len(info.uris) == 1 else "")
    ours = (identity.tenant, identity.device) == (enrolled.tenant, enrolled.device)
    if not ours or info.spki_sha256 != sha256(key.public_der()):
        raise SERVER_ANSWER_UNEXPECTED.error(status=200)
