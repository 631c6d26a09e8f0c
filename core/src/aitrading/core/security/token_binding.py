"""To what a token is bound, and what a request must show with it.

A token that is stolen alone is worth nothing elsewhere: a browser's needs the secret of its session
in a second cookie, a program's needs a fresh signature of its key (RFC 9449), a device's needs the
TLS certificate (RFC 8705). Each travels one way only, so a browser's token in an `Authorization`
header is refused like a forged one, and so is a program's token in a cookie.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aitrading.core.security.claims import Confirmation
from aitrading.core.security.crypto import same, sha256
from aitrading.core.security.encoding import base64url_encode

SESSION_SECRET_CHARS: Final = 128
"""A longer cookie is none of ours."""


class Way(StrEnum):
    """How a token came."""

    BEARER = "bearer"
    COOKIE = "cookie"
    PROOF = "proof"
    """`Authorization: DPoP` with a proof that was verified."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a request proved besides its token."""

    way: Way = Way.BEARER
    certificate_sha256: str | None = None
    """Base64url SHA-256 of the certificate of the connection."""
    session_sha256: str | None = None
    """Base64url SHA-256 of the session's cookie."""
    key_thumbprint: str | None = None
    """RFC 7638 thumbprint of the key that signed the proof."""


NOTHING_SHOWN: Final = Shown()


def is_shown(bound: Confirmation | None, shown: Shown) -> bool:
    """Whether a token that is bound like this may be used by who shows this."""
    match shown.way:
        case Way.COOKIE:
            return bound is not None and _equal(bound.session_s256, shown.session_sha256)
        case Way.PROOF:
            return bound is not None and _equal(bound.jkt, shown.key_thumbprint)
        case Way.BEARER:
            return bound is None or _equal(bound.x5t_s256, shown.certificate_sha256)


def session_binding(secret: str) -> str:
    """What a token tells of the secret in its session's cookie."""
    return base64url_encode(sha256(secret.encode("utf-8", "replace")))


def certificate_binding(sha256_hex: str) -> str:
    """What a token tells of the certificate that its holder shows (RFC 8705)."""
    return base64url_encode(bytes.fromhex(sha256_hex))


def _equal(bound: str | None, shown: str | None) -> bool:
    if bound is None or shown is None:
        return False
    return same(bound.encode(), shown.encode())
