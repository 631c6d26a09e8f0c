"""What the addresses of second factors take and give."""

from datetime import datetime
from typing import Literal

import msgspec


class SecondFactorNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """The first proof was right: send the challenge with a code to `/api/v1/auth/second`."""

    challenge: str
    lifetime_s: int


class SecondStepRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login's challenge with the code of an app, or a recovery code."""

    challenge: str
    code: str
    deliver: Literal["cookie", "token"] = "cookie"


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code, or the password of a person who has no second factor."""

    code: str | None = None
    password: str | None = None


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that an app shows now."""

    code: str


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has besides the password."""

    totp_since: datetime | None
    recovery_codes_left: int
    step_up_with: str
    """`code` or `password`: what a fresh proof is made with."""


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
