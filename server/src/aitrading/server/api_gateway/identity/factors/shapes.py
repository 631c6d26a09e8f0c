"""What the addresses of second factors take and give."""

from datetime import datetime
from typing import Literal

import msgspec

from aitrading.server.api_gateway.identity.factors.key_shapes import SecurityKey, SignedByKey


class SecondFactorNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The first proof was right: send the challenge with a code to `/api/v1/auth/second`."""

    challenge: str
    lifetime_s: int
    has_key: bool
    """Whether a security key may answer instead; its options are at `/api/v1/auth/second/key`."""


class SecondStepRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login's challenge with the code of an app or a recovery code, or a key's answer."""

    challenge: str
    code: str | None = None
    key: SignedByKey | None = None
    deliver: Literal["cookie", "token"] = "cookie"


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code, a key's answer, or the password of a person who has no second factor."""

    code: str | None = None
    key: SignedByKey | None = None
    password: str | None = None


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that an app shows now."""

    code: str


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has besides the password."""

    totp_since: datetime | None
    recovery_codes_left: int
    step_up_with: str
    """`code` or `password`: what a fresh proof is made with, where no key is used."""
    security_keys: tuple[SecurityKey, ...]
    keys_for: str | None
    """The name that security keys are for under this address; none under an IP address."""


class Qr(msgspec.Struct, frozen=True, kw_only=True):
    """A QR code to draw: the edge of its square, and the path of its dark modules (SVG)."""

    size: int
    path: str


class TotpSetUp(msgspec.Struct, frozen=True, kw_only=True):
    """For an authenticator app: the secret to type, or what it scans; told once."""

    secret: str
    uri: str
    qr: Qr


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Codes that are told once; none where the present ones still count."""

    recovery_codes: tuple[str, ...]
