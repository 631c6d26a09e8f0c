"""The claim shapes of the platform's tokens, version 1; issuer and verifier share this file.

Wider shapes may follow: a verifier ignores claims it does not know, and never header members.
"""

from enum import StrEnum
from typing import Final

import msgspec

ISSUER: Final = "aitrading"
ALGORITHM: Final = "EdDSA"
USER_AUDIENCE: Final = "aitrading-api"
USER_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type (RFC 9068)
USER_TOKEN_LIFETIME_S: Final = 15 * 60
SERVICE_TOKEN_TYPE: Final = "svc+jwt"  # noqa: S105 - a media type
SERVICE_TOKEN_LIFETIME_S: Final = 60
PROOF_TYPE: Final = "dpop+jwt"
_OTHER_MEMBERS: Final = 2


class Scope(StrEnum):
    """What a token allows; roles are made of these."""

    READ = "read"
    TRADE = "trade"
    KILL = "kill"
    ADMIN = "admin"
    AUDIT = "audit"
    DEVICE = "device"
    """Asking for what belongs to the device itself; no role and no key of a program has it."""


class Authentication(StrEnum):
    """How the person proved who they are (`acr`)."""

    PASSWORD = "pwd"  # noqa: S105 - a claim value
    LINK = "link"
    HOST = "host"
    MFA = "mfa"
    KEY = "key"
    DEVICE = "device"
    """By the certificate of the connection; the subject is a device and no person."""


class TokenHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole header: a member like `jwk`, `jku`, `x5u`, `crit` or `b64` is refused."""

    alg: str
    typ: str
    kid: str


class Confirmation(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What must be shown with the token (RFC 7800); exactly one member, each base64url SHA-256."""

    x5t_s256: str | None = msgspec.field(name="x5t#S256", default=None)
    """The client's certificate (RFC 8705)."""
    jkt: str | None = None
    """The thumbprint of the key that signs a proof for each request (RFC 9449)."""
    session_s256: str | None = msgspec.field(name="ses#S256", default=None)
    """The secret in the cookie of a browser's session."""

    def __post_init__(self) -> None:
        if [self.x5t_s256, self.jkt, self.session_s256].count(None) != _OTHER_MEMBERS:
            raise ValueError("a token is bound to one thing")


class RateClaims(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What decides how often a person and the organisation may ask, as it was at issue."""

    plan: str = ""
    """The organisation's; empty without a subscription that counts."""
    tier: str = ""
    """The person's own; empty where the organisation's counts."""
    granted: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """Limits that were granted to the organisation alone, by the name of the setting."""


NO_RATES: Final = RateClaims()


class UserClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access token of a person (RFC 9068); holds no personal data."""

    iss: str
    sub: str
    aud: str
    exp: int
    nbf: int
    iat: int
    jti: str
    sid: str
    tid: str
    scope: str
    acr: str
    auth_time: int
    ent_v: int
    cnf: Confirmation | None = None
    u_ep: int = 0
    """The person's epoch at issue; a token of an older one than counts now is refused."""
    t_ep: int = 0
    """The organisation's."""
    rates: RateClaims = NO_RATES
    nets: str = ""
    """From which networks it counts (`network_claim.py`); empty: from everywhere."""


class ServiceClaims(msgspec.Struct, frozen=True, kw_only=True):
    """A call from one service to one other; `iss` and `sub` are the caller's name."""

    iss: str
    sub: str
    aud: str
    exp: int
    nbf: int
    iat: int
    jti: str
