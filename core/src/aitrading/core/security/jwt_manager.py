"""Tokens are verified here, in every process; they are issued in `server.authority.tokens` alone.

A token is three canonical base64url parts (RFC 7515 compact), at most 4 KiB, signed with Ed25519
under a key id that the verifier already knows. The checks beyond a usual library - one spelling
per value, no repeated member, exact types, a closed header, a type per use - are why the parsing
is our own; the signature itself is `crypto.VerifyKey`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.certificates import ServiceIdentity
from aitrading.core.security.claims import (
    ALGORITHM,
    ISSUER,
    SERVICE_TOKEN_LIFETIME_S,
    SERVICE_TOKEN_TYPE,
    USER_AUDIENCE,
    USER_TOKEN_LIFETIME_S,
    USER_TOKEN_TYPE,
    Confirmation,
    RateClaims,
    Scope,
    ServiceClaims,
    TokenHeader,
    UserClaims,
)
from aitrading.core.security.crypto import VerifyKey
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.security.errors import SCOPE_MISSING, TOKEN_REFUSED
from aitrading.core.security.network_claim import AdmittedNetworks
from aitrading.core.security.strict_json import strict_json
from aitrading.core.security.token_binding import NOTHING_SHOWN, Shown, is_shown

MAX_TOKEN_BYTES: Final = 4096
LEEWAY_S: Final = 5
MAX_CACHED_TOKENS: Final = 4096
ClaimsT = TypeVar("ClaimsT")
_PROOF: Final = object()


class KeySet(Protocol):
    """Public keys by key id."""

    def find(self, kid: str) -> VerifyKey | None:
        """The key, or None when this installation never published it."""
        ...


class StaticKeySet(KeySet):
    """The keys of one JWKS document."""

    def __init__(self, keys: Mapping[str, VerifyKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def from_jwks(cls, document: bytes) -> "StaticKeySet":
        """Read a document written by this installation; a foreign kind of key is an error."""
        keys = msgspec.json.decode(document, type=_Jwks).keys
        return cls({key.kid: VerifyKey(base64url_decode(key.x)) for key in keys})

    @override
    def find(self, kid: str) -> VerifyKey | None:
        return self._keys.get(kid)


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    crv: str
    x: str
    kid: str


class _Jwks(msgspec.Struct, frozen=True):
    keys: tuple[_Jwk, ...]


class VerifiedToken:
    """Proof that a person is logged in; only a `JwtVerifier` makes one.

    A handler that takes this value cannot be reached without a valid token.
    """

    __slots__ = (
        "_claims",
        "_networks",
        "key_id",
        "scopes",
        "session",
        "tenant",
        "token_id",
        "user",
    )

    def __init__(self, claims: UserClaims, *, key_id: str = "", proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only JwtVerifier makes a VerifiedToken")
        self._claims: Final = claims
        self.key_id: Final = key_id
        self.tenant: Final = TenantId(_uuid(claims.tid))
        self.user: Final = UserId(_uuid(claims.sub))
        self.session: Final = _uuid(claims.sid)
        self.token_id: Final = _uuid(claims.jti)
        self.scopes: Final = _scopes(claims.scope)
        self._networks: Final = AdmittedNetworks(claims.nets) if claims.nets else None

    @property
    def expires_ns(self) -> int:
        """When the token ends, in nanoseconds since the epoch."""
        return self._claims.exp * NS_PER_S

    @property
    def authenticated_ns(self) -> int:
        """When the person last proved who they are."""
        return self._claims.auth_time * NS_PER_S

    @property
    def authentication(self) -> str:
        """How the person proved it (`claims.Authentication`)."""
        return self._claims.acr

    @property
    def entitlement_version(self) -> int:
        """The subscription's version at issue; an older one is asked for again."""
        return self._claims.ent_v

    @property
    def binding(self) -> Confirmation | None:
        """What must be shown with the token at every use; None for a plain bearer token."""
        return self._claims.cnf

    @property
    def rates(self) -> RateClaims:
        """What decides how often the person may ask."""
        return self._claims.rates

    @property
    def user_epoch(self) -> int:
        """The person's epoch at issue."""
        return self._claims.u_ep

    @property
    def tenant_epoch(self) -> int:
        """The organisation's epoch at issue."""
        return self._claims.t_ep

    def admits(self, address: str) -> bool:
        """Whether the token counts for who has this address."""
        return self._networks is None or self._networks.admit(address)

    def require(self, scope: Scope) -> None:
        """Raise `SCOPE_MISSING` unless the token carries the scope."""
        if scope not in self.scopes:
            raise SCOPE_MISSING.error(scope=str(scope))

    def check_time(self, now_s: int) -> None:
        """Raise `TOKEN_REFUSED` outside the token's life."""
        _check_time(self._claims.iat, self._claims.nbf, self._claims.exp, now_s)


class JwtVerifier:
    """Turns token text into proof, or raises `TOKEN_REFUSED`; one answer for every forgery.

    Tokens that passed are remembered, at most `MAX_CACHED_TOKENS` of them, so that a signature is
    checked once; time and binding are checked at every use. Revocation is not decided here.
    """

    def __init__(self, *, clock: Clock, user_keys: KeySet, service_keys: KeySet) -> None:
        self._clock = clock
        self._user_keys = user_keys
        self._service_keys = service_keys
        self._users: dict[str, VerifiedToken] = {}
        self._services: dict[str, ServiceClaims] = {}

    def verify_user(self, token: str, shown: Shown = NOTHING_SHOWN) -> VerifiedToken:
        """Verify a person's access token with what came with it; see `token_binding.py`."""
        verified = self.known_user(token)
        if not is_shown(verified.binding, shown):
            raise TOKEN_REFUSED.error()
        return verified

    def known_user(self, token: str) -> VerifiedToken:
        """Verify all but the binding: for who compares that with a connection of its own."""
        verified = self._users.get(token)
        if verified is None:
            verified = _refusing(lambda: self._parse_user(token))
            _remember(self._users, token, verified)
        elif not self.is_published(verified):  # withdrawn since it was checked
            del self._users[token]
            raise TOKEN_REFUSED.error()
        verified.check_time(self._now_s())
        return verified

    def is_published(self, token: VerifiedToken) -> bool:
        """Whether the key that signed a token still counts."""
        return self._user_keys.find(token.key_id) is not None

    def verify_service(self, token: str, audience: str) -> ServiceIdentity:
        """Verify a peer's token that must be meant for `audience`."""
        claims = self._services.get(token)
        if claims is None:
            claims = _refusing(lambda: self._parse_service(token))
            _remember(self._services, token, claims)
        _check_time(claims.iat, claims.nbf, claims.exp, self._now_s())
        if claims.aud != audience:
            raise TOKEN_REFUSED.error()
        return ServiceIdentity(name=claims.iss)

    def _parse_user(self, token: str) -> VerifiedToken:
        kid, payload = _open(token, USER_TOKEN_TYPE, self._user_keys)
        claims = msgspec.convert(payload, UserClaims)
        expected = (ISSUER, USER_AUDIENCE, claims.iat + USER_TOKEN_LIFETIME_S)
        if not kid or (claims.iss, claims.aud, claims.exp) != expected:
            raise ValueError("not an access token of this installation")
        return VerifiedToken(claims, key_id=kid, proof=_PROOF)

    def _parse_service(self, token: str) -> ServiceClaims:
        kid, payload = _open(token, SERVICE_TOKEN_TYPE, self._service_keys)
        claims = msgspec.convert(payload, ServiceClaims)
        expected = (kid, kid, claims.iat + SERVICE_TOKEN_LIFETIME_S)
        if (claims.iss, claims.sub, claims.exp) != expected:
            raise ValueError("a service speaks only for itself")
        return claims

    def _now_s(self) -> int:
        return self._clock.now_ns() // NS_PER_S


def _open(token: str, token_type: str, keys: KeySet) -> tuple[str, Any]:
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError("too large")
    header_part, payload_part, signature_part = token.split(".")
    header = msgspec.convert(strict_json(base64url_decode(header_part)), TokenHeader)
    if header.alg != ALGORITHM or header.typ != token_type:
        raise ValueError("another algorithm or another kind of token")
    key = keys.find(header.kid)
    signed = f"{header_part}.{payload_part}".encode("ascii")
    if key is None or not key.verify(base64url_decode(signature_part), signed):
        raise ValueError("not signed by a key of this installation")
    return header.kid, strict_json(base64url_decode(payload_part))


def _refusing(parse: Callable[[], ClaimsT]) -> ClaimsT:
    try:
        return parse()
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise TOKEN_REFUSED.error() from exc


def _check_time(issued_s: int, not_before_s: int, expires_s: int, now_s: int) -> None:
    begins_s = max(issued_s, not_before_s) - LEEWAY_S
    if not begins_s <= now_s < expires_s + LEEWAY_S:
        raise TOKEN_REFUSED.error()


def _remember(cache: dict[str, ClaimsT], token: str, value: ClaimsT) -> None:
    if len(cache) >= MAX_CACHED_TOKENS:
        cache.pop(next(iter(cache)))
    cache[token] = value


def _scopes(text: str) -> frozenset[Scope]:
    return frozenset(Scope(name) for name in text.split(" ") if name)


def _uuid(text: str) -> UUID:
    value = UUID(text)
    if str(value) != text:
        raise ValueError("not a canonical id")
    return value
