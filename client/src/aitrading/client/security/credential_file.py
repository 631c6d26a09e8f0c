"""`identity/broker-login.sealed`: the stored broker login as bytes.

    AITCRED1 | length of the header (4, big-endian) | header (JSON) | sealed login | SHA-256 of all

The login is sealed with AES-256-GCM under a key made of the local half and the server's share, and
bound to the header: device, organisation, share, protection and moment. The digest at the end only
tells an accident from an attack: it proves nothing.
"""

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from aitrading.client.security.credential_errors import CREDENTIALS_DAMAGED
from aitrading.client.security.protection import ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import same, sha256
from aitrading.core.security.crypto_fields import FieldKey, derived_key

FILE_NAME: Final = "broker-login.sealed"
MAGIC: Final = b"AITCRED1"
MAX_BYTES: Final = 16 * 1024
DIGEST_BYTES: Final = 32
_LENGTH: Final = struct.Struct(">I")
_LOGIN: Final = struct.Struct(">QH")
_KEY_LABEL: Final = b"aitrading/broker-login/v1\0"


class CredentialHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be read without any key; changed, the login does not open."""

    tenant: UUID
    device: UUID
    share: UUID
    """Which of the server's shares belongs to it."""
    protection: ProtectionKind
    stored_ms: int
    wrapped: bytes
    """The local half of the key."""

    @property
    def bound_to(self) -> bytes:
        """Tells this stored login apart from every other one."""
        return bound_to(tenant=self.tenant, device=self.device, share=self.share)


@dataclass(frozen=True, kw_only=True)
class BrokerLogin:
    """An account at a broker, and its password in memory that can be wiped."""

    login: int
    server: str
    password: SecretBuffer


@dataclass(frozen=True, kw_only=True)
class CredentialFile:
    """A file that was read and is whole."""

    header: CredentialHeader
    head: bytes
    """Everything before the sealed login, as it was written."""
    sealed: bytes

    def open(self, *, local: Secret[bytes], share: Secret[bytes]) -> BrokerLogin:
        """The login; raises `CREDENTIALS_DAMAGED` when it is not what was sealed."""
        key = _key(self.header, local, share)
        plain = FieldKey(key).open_into(self.sealed, bound_to=self.head)
        if plain is None:
            raise CREDENTIALS_DAMAGED.error(reason="it does not open under its own key")
        with SecretBuffer(plain) as whole:
            data = whole.data
            login, length = _LOGIN.unpack_from(data)
            end = _LOGIN.size + length
            server = str(data[_LOGIN.size : end], "utf-8")
            return BrokerLogin(
                login=login, server=server, password=SecretBuffer(bytearray(data[end:]))
            )


def bound_to(*, tenant: UUID, device: UUID, share: UUID) -> bytes:
    """What a protection binds the local half to."""
    return _KEY_LABEL + tenant.bytes + device.bytes + share.bytes


def written(
    header: CredentialHeader, login: BrokerLogin, *, local: Secret[bytes], share: Secret[bytes]
) -> bytes:
    """The file's bytes."""
    text, server = msgspec.json.encode(header), login.server.encode()
    head = MAGIC + _LENGTH.pack(len(text)) + text
    facts = _LOGIN.pack(login.login, len(server)) + server
    with SecretBuffer(bytearray(len(facts) + len(login.password))) as plain:
        plain.data[: len(facts)] = facts
        plain.data[len(facts) :] = login.password.data
        sealed = FieldKey(_key(header, local, share)).seal(plain.data, bound_to=head)
    return head + sealed + sha256(head + sealed)


def read(data: bytes) -> CredentialFile:
    """Take a file apart; raises `CREDENTIALS_DAMAGED`."""
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    begin = len(MAGIC) + _LENGTH.size
    if len(body) < begin or not body.startswith(MAGIC):
        raise CREDENTIALS_DAMAGED.error(reason="it is not a stored login of this format")
    if not same(sha256(body), digest):
        raise CREDENTIALS_DAMAGED.error(reason="its checksum is wrong")
    end = begin + _LENGTH.unpack_from(body, len(MAGIC))[0]
    try:
        header = msgspec.json.decode(body[begin:end], type=CredentialHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise CREDENTIALS_DAMAGED.error(reason="its header cannot be read") from exc
    return CredentialFile(header=header, head=body[:end], sealed=body[end:])


def _key(header: CredentialHeader, local: Secret[bytes], share: Secret[bytes]) -> Secret[bytes]:
    both = Secret(local.reveal() + share.reveal())
    return derived_key(both, purpose=header.bound_to)
