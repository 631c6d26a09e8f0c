"""Requests that a device signs with the key of its certificate, over HTTPS to its one server.

The content is the exact text that was signed: it is checked before it is parsed. Purpose,
organisation, device and moment are part of what is signed, so a request serves no other end.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.security.crypto import TlsKey, sha256
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.renewal import signed_by

LABEL: Final = b"aitrading/device-request/v1\0"
ANSWER_LABEL: Final = b"aitrading/device-answer/v1\0"
MAX_CONTENT_CHARS: Final = 12 * 1024
MAX_SKEW_S: Final = 300


class DevicePurpose(StrEnum):
    """What a signed request is for."""

    NEW_SHARE = "credential-new-share"
    LEASE = "credential-lease"
    FORGET = "credential-forget"
    FILES = "files"
    CONFIGURATION = "configuration"
    SECURITY = "security-report"
    NOTES = "notes"


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device asks for something, signed with its present key."""

    tenant: UUID
    device: UUID
    issued_ms: int
    content: str
    """JSON, as it was signed."""
    signature: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Who asks, for what, and when."""

    purpose: DevicePurpose
    tenant: UUID
    device: UUID
    issued_ms: int

    def message(self, content: str) -> bytes:
        """What is signed."""
        moment = self.issued_ms.to_bytes(8, "big", signed=True)
        who = self.tenant.bytes + self.device.bytes
        return LABEL + self.purpose.encode() + b"\0" + who + moment + sha256(content.encode())


def signed_request(asking: Asking, content: str, key: TlsKey) -> DeviceRequest:
    """The request as it is sent."""
    return DeviceRequest(
        tenant=asking.tenant,
        device=asking.device,
        issued_ms=asking.issued_ms,
        content=content,
        signature=base64url_encode(key.sign(asking.message(content))),
    )


def is_by(public_der: bytes, purpose: DevicePurpose, request: DeviceRequest) -> bool:
    """Whether the holder of the device's key asked exactly this; false for all malformed input."""
    if len(request.content) > MAX_CONTENT_CHARS or not _fits(request.issued_ms):
        return False
    asking = Asking(
        purpose=purpose,
        tenant=request.tenant,
        device=request.device,
        issued_ms=request.issued_ms,
    )
    return signed_by(public_der, request.signature, asking.message(request.content))


def answer_message(purpose: DevicePurpose, *, tenant: UUID, device: UUID, content: bytes) -> bytes:
    """What the server's authority signs for one device, to be checked later without the server."""
    who = tenant.bytes + device.bytes
    return ANSWER_LABEL + purpose.encode() + b"\0" + who + sha256(content)


def _fits(issued_ms: int) -> bool:
    return -(2**63) <= issued_ms < 2**63
