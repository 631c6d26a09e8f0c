"""Which keys a server may show, said by the authority that its devices pinned when they enrolled.

One of the keys is in use, another is a backup for the day when the first is lost or stolen. The
version only grows, so that an older set does not come back. The text is canonical, as that of a
configuration is.
"""

from typing import Annotated, Final

import msgspec

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.security.crypto import verify_with_certificate
from aitrading.core.security.encoding import base64url_decode, base64url_encode

LABEL: Final = b"aitrading/server-keys/v1\0"
KEYS_MAX: Final = 8
CONTENT_CHARS_MAX: Final = 1_024
_SIGNATURE_CHARS_MAX: Final = 256

SERVER_PINS_REFUSED: Final = ErrorSpec(
    code="SERVER_PINS_REFUSED",
    category=Category.DENIED,
    message="A new set of the server's keys was refused: {reason}.",
    why="It is damaged, not signed by this device's server, or older than the set in force.",
    remedy="The keys that are known stay in force. If the link is lost after the server changed its "
    "key, enrol the device again.",
    http_status=409,
    severity=Severity.ERROR,
)

KeyHash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class ServerPins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """SHA-256 of the public keys (SPKI) that the server may show, in this order."""

    version: Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
    keys: Annotated[tuple[KeyHash, ...], msgspec.Meta(min_length=1, max_length=KEYS_MAX)]

    def text(self) -> str:
        """The one way to write it."""
        return msgspec.json.encode(self).decode()


class SignedPins(msgspec.Struct, frozen=True, kw_only=True):
    """A set as it travels; the signature is base64url."""

    content: str
    signature: str


def pins_message(content: str) -> bytes:
    """What the authority signs."""
    return LABEL + content.encode()


def sealed_pins(pins: ServerPins, signature: bytes) -> SignedPins:
    """The set as it travels; `signature` is the authority's over `pins_message`."""
    return SignedPins(content=pins.text(), signature=base64url_encode(signature))


def open_pins(signed: SignedPins, *, authority_pem: bytes) -> ServerPins:
    """What the device's own server says; raises `SERVER_PINS_REFUSED`. The version is the caller's."""
    if max(
        len(signed.content) // CONTENT_CHARS_MAX, len(signed.signature) // _SIGNATURE_CHARS_MAX
    ):
        raise pins_refused("it is too long")
    try:
        signature = base64url_decode(signed.signature)
    except ValueError as exc:
        raise pins_refused("its signature is not base64url") from exc
    if not verify_with_certificate(authority_pem, signature, pins_message(signed.content)):
        raise pins_refused("it is not signed by the authority of this server")
    try:
        pins = msgspec.json.decode(signed.content, type=ServerPins)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise pins_refused("it is not written as a set of keys is") from exc
    if pins.text() != signed.content:
        raise pins_refused("it is not written in the canonical way")
    return pins


def pins_refused(reason: str) -> AitradingError:
    """`SERVER_PINS_REFUSED`."""
    return SERVER_PINS_REFUSED.error(reason=reason)
