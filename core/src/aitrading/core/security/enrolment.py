"""The enrolment code: what an administrator hands to a person who installs a client.

`ait1.<tenant>.<secret>.<pin>`, each part base64url. The secret is single-use and short-lived; the
pin is the SHA-256 of the edge authority's certificate, so the client knows its server before it
sends anything secret. The tenant only routes the request to the right rows.
"""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import inspect_certificate, same
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.errors import ENROLMENT_CODE_MALFORMED, SERVER_NOT_TRUSTED

PREFIX: Final = "ait1"
SECRET_BYTES: Final = 32
PIN_BYTES: Final = 32
UUID_BYTES: Final = 16
MAX_CODE_CHARS: Final = 256


@dataclass(frozen=True, kw_only=True)
class EnrolmentCode:
    """A parsed code; prints without its secret."""

    tenant: TenantId
    secret: Secret[bytes]
    ca_sha256: bytes = field(repr=False)

    def text(self) -> Secret[str]:
        """The form that people copy."""
        parts = (self.tenant.bytes, self.secret.reveal(), self.ca_sha256)
        return Secret(".".join((PREFIX, *(base64url_encode(part) for part in parts))))


def parse_enrolment_code(text: str) -> EnrolmentCode:
    """Read what a person pasted; raises `ENROLMENT_CODE_MALFORMED`."""
    parts = text.strip().split(".")
    if len(text) > MAX_CODE_CHARS or len(parts) != 4 or parts[0] != PREFIX:  # noqa: PLR2004
        raise ENROLMENT_CODE_MALFORMED.error()
    try:
        tenant, secret, pin = (base64url_decode(part) for part in parts[1:])
    except ValueError as exc:
        raise ENROLMENT_CODE_MALFORMED.error() from exc
    if (len(tenant), len(secret), len(pin)) != (UUID_BYTES, SECRET_BYTES, PIN_BYTES):
        raise ENROLMENT_CODE_MALFORMED.error()
    return EnrolmentCode(tenant=TenantId(UUID(bytes=tenant)), secret=Secret(secret), ca_sha256=pin)


def require_pinned_ca(ca_pem: bytes, code: EnrolmentCode) -> None:
    """Raise `SERVER_NOT_TRUSTED` unless the certificate is the authority the code names."""
    info = inspect_certificate(ca_pem)
    if not info.is_ca or not same(bytes.fromhex(info.fingerprint), code.ca_sha256):
        raise SERVER_NOT_TRUSTED.error()
