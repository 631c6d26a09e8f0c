"""Configuration that a server signs for one of its devices.

A bundle names its organisation, its device and a version that only grows. Its text is canonical:
what does not come out again byte for byte when it is read and written is refused, so that two
readers never see two things. It is signed with an Ed25519 key whose public half is vouched for by
the authority that the device pinned when it enrolled; nobody else's word counts.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.protocol.storable import STORABLE
from aitrading.core.security.crypto import (
    SigningKey,
    VerifyKey,
    sha256,
    verify_with_certificate,
)
from aitrading.core.security.device_requests import DevicePurpose, answer_message
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.server_pins import SignedPins

KEY_LABEL: Final = b"aitrading/configuration-key/v1\0"
CONTENT_CHARS_MAX: Final = 32 * 1024
SETTINGS_MAX: Final = 64
VERSION_WANTED_MAX: Final = 1 << 52
"""A device that claims more would leave no room for the next version."""
_CHARS_MAX: Final = 256

CONFIG_BUNDLE_REFUSED: Final = ErrorSpec(
    code="CONFIG_BUNDLE_REFUSED",
    category=Category.DENIED,
    message="A configuration of the server was refused: {reason}.",
    why="It is damaged, not of this device's server, of another device, too old, or sets what it may "
    "not.",
    remedy="The configuration before stays in force. Look at what the server sends: "
    "`aitrading device settings list`; a device that was restored from a backup is asked for anew.",
    http_status=409,
    severity=Severity.ERROR,
)

Scalar = bool | int | float | str | tuple[str, ...]


class BundleContent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device is to use from now on; members and settings in this order, by name."""

    tenant: UUID
    device: UUID
    version: Annotated[int, msgspec.Meta(ge=1, le=(1 << 53) - 1)]
    made_ms: int
    expires_ms: int
    """From then on nobody takes it any more; whoever uses it goes on and says so."""
    settings: Annotated[dict[str, Scalar], msgspec.Meta(max_length=SETTINGS_MAX)]

    def text(self) -> str:
        """The one way to write it."""
        ordered = msgspec.structs.replace(self, settings=dict(sorted(self.settings.items())))
        return msgspec.json.encode(ordered).decode()

    @property
    def digest(self) -> str:
        """Of what it sets; the same for every device, version and day."""
        return settings_digest(self.settings)


class SignedBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as it travels and lies on disk."""

    content: str
    signature: str
    key: str
    """The public half, and below who vouches for it; all base64url."""
    vouched: str
    pins: SignedPins | None = None
    """The keys that the server may show, which travel with it and stand for themselves."""


class WantedBundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device says when it asks: the highest version it ever took, and what it uses."""

    version: Annotated[int, msgspec.Meta(ge=0, le=VERSION_WANTED_MAX)]
    digest: Annotated[str, msgspec.Meta(max_length=64, pattern=STORABLE)] = ""
    problem: Annotated[str, msgspec.Meta(max_length=256, pattern=STORABLE)] = ""
    """Why it could not take the one before."""


def settings_digest(settings: dict[str, Scalar]) -> str:
    """Tells two sets of settings apart."""
    return sha256(msgspec.json.encode(dict(sorted(settings.items())))).hex()


def key_message(public: bytes) -> bytes:
    """What the pinned authority signs about the key of configurations."""
    return KEY_LABEL + public


def sign_bundle(
    content: BundleContent, key: SigningKey, vouched: bytes, *, pins: SignedPins | None = None
) -> SignedBundle:
    """The bundle as it travels; `vouched` is the authority's signature over `key_message`."""
    text = content.text()
    return SignedBundle(
        content=text,
        signature=base64url_encode(key.sign(_message(content.tenant, content.device, text))),
        key=base64url_encode(key.public.raw),
        vouched=base64url_encode(vouched),
        pins=pins,
    )


def open_bundle(
    bundle: SignedBundle, *, authority_pem: bytes, tenant: UUID, device: UUID
) -> BundleContent:
    """What the device's own server says to it; raises `CONFIG_BUNDLE_REFUSED`.

    Version and expiry are for the caller: a bundle that is in use was not expired when it was taken.
    """
    if len(bundle.content) > CONTENT_CHARS_MAX:
        raise refused(f"it is longer than {CONTENT_CHARS_MAX} characters")
    public, vouched = _raw(bundle.key), _raw(bundle.vouched)
    if not verify_with_certificate(authority_pem, vouched, key_message(public)):
        raise refused("its key is not vouched for by the authority of this server")
    message = _message(tenant, device, bundle.content)
    if not VerifyKey(public).verify(_raw(bundle.signature), message):
        raise refused("its signature is not for this text and this device")
    try:
        content = msgspec.json.decode(bundle.content, type=BundleContent)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise refused("it is not written as a configuration is") from exc
    if content.text() != bundle.content:
        raise refused("it is not written in the canonical way")
    if (content.tenant, content.device) != (tenant, device):
        raise refused("it is for another device")
    return content


def refused(reason: str) -> AitradingError:
    """`CONFIG_BUNDLE_REFUSED`."""
    return CONFIG_BUNDLE_REFUSED.error(reason=reason)


def _message(tenant: UUID, device: UUID, text: str) -> bytes:
    return answer_message(
        DevicePurpose.CONFIGURATION, tenant=tenant, device=device, content=text.encode()
    )


def _raw(text: str) -> bytes:
    if len(text) > _CHARS_MAX:
        raise refused("a part of its signature is too long")
    try:
        return base64url_decode(text)
    except ValueError as exc:
        raise refused("a part of its signature is not base64url") from exc
