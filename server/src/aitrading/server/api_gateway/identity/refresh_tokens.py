"""What a refresh token is made of: its organisation, its session, and a secret of its own."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import hmac_sha256, sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.errors import TOKEN_REFUSED

SECRET_BYTES: Final = 32
UUID_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class RefreshToken:
    """One that was shown; whether it counts is the database's to know."""

    tenant: TenantId
    session: UUID
    hash: bytes


def successor(salt: bytes, request_key: str) -> bytes:
    """The next secret: told again to who repeats the request, and to nobody who reads the rows."""
    return hmac_sha256(salt, request_key.encode())


def spelled(tenant: TenantId, session: UUID, secret: bytes) -> Secret[str]:
    """As its holder keeps it."""
    return Secret(base64url_encode(tenant.bytes + session.bytes + secret))


def parsed(token: Secret[str]) -> RefreshToken:
    """Read one; raises `TOKEN_REFUSED`."""
    try:
        raw = base64url_decode(token.reveal())
    except ValueError as exc:
        raise TOKEN_REFUSED.error() from exc
    if len(raw) != 2 * UUID_BYTES + SECRET_BYTES:
        raise TOKEN_REFUSED.error()
    return RefreshToken(
        tenant=TenantId(UUID(bytes=raw[:UUID_BYTES])),
        session=UUID(bytes=raw[UUID_BYTES : 2 * UUID_BYTES]),
        hash=sha256(raw[2 * UUID_BYTES :]),
    )
