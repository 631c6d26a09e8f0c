"""The device's identity on disk: one file with key and certificate, one with everything else.

Key and certificate share a file so that a renewal replaces both at once. Only the owner can read
the folder.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from aitrading.client.security.errors import (
    DEVICE_CERTIFICATE_EXPIRED,
    DEVICE_FILES_DAMAGED,
    DEVICE_NOT_ENROLLED,
)
from aitrading.client.security.trust import ClientCertificate, ServerTrust, link_name
from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.clock import rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.certificates import DeviceIdentity, parse_device
from aitrading.core.security.crypto import TlsKey, Validity, inspect_certificate

FOLDER: Final = "identity"
_CERTIFICATE_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is."""

    host: str
    port: int

    @property
    def link_name(self) -> str:
        """The name under which the server demands a device certificate."""
        return link_name(self.host)

    @property
    def url(self) -> str:
        """For people and for HTTPS calls."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`device.json`: who this client is and whom it trusts."""

    tenant: UUID
    device: UUID
    server: ServerAddress
    server_ca: str
    """The one accepted authority, PEM."""
    server_keys: tuple[str, ...]
    """SHA-256 of accepted public keys of the server, hexadecimal: the one in use and a backup."""
    pins_version: int = 0
    """Which signed set these keys are of; 0 when they were seen and not said."""

    @property
    def trust(self) -> ServerTrust:
        """For TLS contexts."""
        pins = frozenset(bytes.fromhex(pin) for pin in self.server_keys)
        return ServerTrust(ca_pem=self.server_ca, spki_pins=pins)

    @property
    def identity(self) -> DeviceIdentity:
        """The names in the certificate."""
        return DeviceIdentity(tenant=TenantId(self.tenant), device=DeviceId(self.device))


@dataclass(frozen=True, kw_only=True)
class DeviceCertificate:
    """The certificate in use."""

    pem: bytes
    key: TlsKey
    validity: Validity


class DeviceFiles:
    """The identity in a client's home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / FOLDER

    @property
    def credential(self) -> Path:
        """Key and certificate, PEM."""
        return self._folder / "device.pem"

    @property
    def tls(self) -> ClientCertificate:
        """For TLS contexts."""
        return ClientCertificate(certificate=self.credential, private_key=self.credential)

    @property
    def is_enrolled(self) -> bool:
        """There is an identity, good or bad."""
        return self._record_path.exists()

    def load(self) -> DeviceRecord:
        """Read and check; raises `DEVICE_NOT_ENROLLED` or `DEVICE_FILES_DAMAGED`."""
        record = self.record()
        if self.certificate_identity() != record.identity:
            raise self._damaged("device.json and device.pem are of different devices")
        return record

    def record(self) -> DeviceRecord:
        """The record alone; raises `DEVICE_NOT_ENROLLED` or `DEVICE_FILES_DAMAGED`."""
        if not self.is_enrolled:
            raise DEVICE_NOT_ENROLLED.error(home=str(self._home))
        try:
            return msgspec.json.decode(self._record_path.read_bytes(), type=DeviceRecord)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise self._damaged("device.json cannot be read") from exc

    def certificate(self) -> DeviceCertificate:
        """Read the certificate in use; raises `DEVICE_FILES_DAMAGED`."""
        pem = self._certificate_pem()
        try:
            return DeviceCertificate(
                pem=pem,
                key=TlsKey.from_pem(Secret(self.credential.read_bytes())),
                validity=inspect_certificate(pem).validity,
            )
        except (OSError, AitradingError) as exc:
            raise self._damaged("device.pem cannot be read") from exc

    def certificate_identity(self) -> DeviceIdentity:
        """Who the certificate says this is."""
        try:
            uris = inspect_certificate(self._certificate_pem()).uris
            return parse_device(uris[0] if len(uris) == 1 else "")
        except AitradingError as exc:
            raise self._damaged("device.pem is not a device certificate") from exc

    def require_valid(self, now_ns: int) -> None:
        """Raise `DEVICE_CERTIFICATE_EXPIRED` after the certificate's end."""
        ended_ns = self.certificate().validity.not_after_ns
        if now_ns >= ended_ns:
            raise DEVICE_CERTIFICATE_EXPIRED.error(ended=rfc3339_of_ns(ended_ns))

    def store(self, record: DeviceRecord, key: TlsKey, certificate_pem: bytes) -> None:
        """Become this device; blocks until it is on disk."""
        self.replace_credential(key, certificate_pem)
        write_atomically(self._record_path, msgspec.json.format(msgspec.json.encode(record)))

    def replace_pins(self, keys: tuple[str, ...], version: int) -> None:
        """Accept these keys of the server from now on; blocks until it is on disk."""
        record = msgspec.structs.replace(self.record(), server_keys=keys, pins_version=version)
        write_atomically(self._record_path, msgspec.json.format(msgspec.json.encode(record)))

    def replace_credential(self, key: TlsKey, certificate_pem: bytes) -> None:
        """Use another key and certificate from now on; blocks until they are on disk."""
        make_private_folder(self._folder)
        write_atomically(self.credential, key.pem().reveal() + certificate_pem)
        self.forget_pending()

    def pending(self) -> TlsKey | None:
        """The key of a renewal whose answer never came; the server may know it already."""
        try:
            return TlsKey.from_pem(Secret(self._pending_path.read_bytes()))
        except (OSError, AitradingError):
            return None

    def store_pending(self, key: TlsKey) -> None:
        """Remember the key of a renewal before the server is asked."""
        write_atomically(self._pending_path, key.pem().reveal())

    def forget_pending(self) -> None:
        """The renewal is finished."""
        self._pending_path.unlink(missing_ok=True)

    @property
    def _record_path(self) -> Path:
        return self._folder / "device.json"

    @property
    def release_seen(self) -> Path:
        """The release that ran here, once a signed one did."""
        return self._folder / "release.seen"

    @property
    def _pending_path(self) -> Path:
        return self._folder / "pending.pem"

    def _certificate_pem(self) -> bytes:
        try:
            data = self.credential.read_bytes()
        except OSError as exc:
            raise self._damaged(f"device.pem: {os.strerror(exc.errno or 0)}") from exc
        place = data.find(_CERTIFICATE_BEGIN)
        if place < 0:
            raise self._damaged("device.pem holds no certificate")
        return data[place:]

    def _damaged(self, reason: str) -> AitradingError:
        return DEVICE_FILES_DAMAGED.error(home=str(self._home), reason=reason)
