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


class Scope(StrEnum):
    """What a token allows; roles are made of these."""

    READ = "read"
    TRADE = "trade"
    KILL = "kill"
    ADMIN = "admin"
    AUDIT = "audit"


class Authentication(StrEnum):
    """How the person proved who they are (`acr`)."""

    PASSWORD = "pwd"  # noqa: S105 - a claim value
    LINK = "link"
    HOST = "host"
    MFA = "mfa"


class TokenHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole header: a member like `jwk`, `jku`, `x5u`, `crit` or `b64` is refused."""

    alg: str
    typ: str
    kid: str


class Confirmation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key a token is bound to (RFC 8705): SHA-256 of the client's certificate, base64url."""

    x5t_s256: str = msgspec.field(name="x5t#S256")


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


class ServiceClaims(msgspec.Struct, frozen=True, kw_only=True):
    """A call from one service to one other; `iss` and `sub` are the caller's name."""

    iss: str
    sub: str
    aud: str
    exp: int
    nbf: int
    iat: int
    jti: str
