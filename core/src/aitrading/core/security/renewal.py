"""Renewing a device certificate: the request is signed with the key of the present certificate."""

from typing import Final
from uuid import UUID

from aitrading.core.security.crypto import sha256, verify_p256
from aitrading.core.security.encoding import base64url_decode

LABEL: Final = b"aitrading/device-renewal/v1\0"
MAX_SIGNATURE_CHARS: Final = 128


def renewal_message(*, tenant: UUID, device: UUID, csr_pem: bytes, issued_ms: int) -> bytes:
    """What a client signs; binds the new key to the device and to a moment."""
    moment = issued_ms.to_bytes(8, "big", signed=True)
    return LABEL + tenant.bytes + device.bytes + moment + sha256(csr_pem)


def signed_by(public_der: bytes, signature: str, message: bytes) -> bool:
    """Whether the holder of the P-256 key signed the message; false for every malformed input."""
    if len(signature) > MAX_SIGNATURE_CHARS:
        return False
    try:
        raw = base64url_decode(signature)
    except ValueError:
        return False
    return verify_p256(public_der, raw, message)
