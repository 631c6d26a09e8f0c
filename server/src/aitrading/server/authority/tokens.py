"""Tokens are issued here: a person's access token and a service's call token."""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import IdFactory, TenantId, UserId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import (
    ALGORITHM,
    ISSUER,
    NO_RATES,
    SERVICE_TOKEN_LIFETIME_S,
    SERVICE_TOKEN_TYPE,
    USER_AUDIENCE,
    USER_TOKEN_LIFETIME_S,
    USER_TOKEN_TYPE,
    Authentication,
    Confirmation,
    RateClaims,
    Scope,
    ServiceClaims,
    TokenHeader,
    UserClaims,
)
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.network_claim import Network, network_claim


@dataclass(frozen=True, kw_only=True)
class TokenGrant:
    """Who gets an access token for what."""

    tenant: TenantId
    user: UserId
    session: UUID
    scopes: frozenset[Scope]
    authentication: Authentication
    authenticated_ns: int
    entitlement_version: int = 0
    user_epoch: int = 0
    tenant_epoch: int = 0
    rates: RateClaims = NO_RATES
    networks: tuple[Network, ...] = ()
    """From where alone it counts; without any, from everywhere."""
    binding: Confirmation | None = None
    """What its holder must show with it."""


@dataclass(frozen=True, kw_only=True)
class IssuedToken:
    """A token with what its holder must know about it."""

    token: Secret[str]
    token_id: UUID
    expires_ns: int


class UserTokenIssuer:
    """Signs access tokens that live exactly 15 minutes."""

    def __init__(self, key: SigningKey, *, clock: Clock, ids: IdFactory) -> None:
        self._clock = clock
        self._ids = ids
        self.sign_with(key)

    def sign_with(self, key: SigningKey) -> None:
        """Use another key from the next token on."""
        self._key = key
        self._kid = key.public.thumbprint()

    def issue(self, grant: TokenGrant) -> IssuedToken:
        """Make one token; its id is new."""
        now_s = self._clock.now_ns() // NS_PER_S
        token_id = self._ids.new()
        claims = UserClaims(
            iss=ISSUER,
            sub=str(grant.user),
            aud=USER_AUDIENCE,
            exp=now_s + USER_TOKEN_LIFETIME_S,
            nbf=now_s,
            iat=now_s,
            jti=str(token_id),
            sid=str(grant.session),
            tid=str(grant.tenant),
            scope=" ".join(sorted(grant.scopes)),
            acr=grant.authentication,
            auth_time=grant.authenticated_ns // NS_PER_S,
            ent_v=grant.entitlement_version,
            cnf=grant.binding,
            u_ep=grant.user_epoch,
            t_ep=grant.tenant_epoch,
            rates=grant.rates,
            nets=network_claim(grant.networks),
        )
        header = TokenHeader(alg=ALGORITHM, typ=USER_TOKEN_TYPE, kid=self._kid)
        return IssuedToken(
            token=Secret(sign_compact(self._key, header, claims)),
            token_id=token_id,
            expires_ns=claims.exp * NS_PER_S,
        )


class ServiceTokenIssuer:
    """Signs the 60-second tokens with which one service tells another who calls."""

    def __init__(self, service: str, key: SigningKey, *, clock: Clock, ids: IdFactory) -> None:
        self._service = service
        self._key = key
        self._clock = clock
        self._ids = ids

    def issue(self, audience: str) -> IssuedToken:
        """Make one token that only `audience` accepts."""
        now_s = self._clock.now_ns() // NS_PER_S
        token_id = self._ids.new()
        claims = ServiceClaims(
            iss=self._service,
            sub=self._service,
            aud=audience,
            exp=now_s + SERVICE_TOKEN_LIFETIME_S,
            nbf=now_s,
            iat=now_s,
            jti=str(token_id),
        )
        header = TokenHeader(alg=ALGORITHM, typ=SERVICE_TOKEN_TYPE, kid=self._service)
        return IssuedToken(
            token=Secret(sign_compact(self._key, header, claims)),
            token_id=token_id,
            expires_ns=claims.exp * NS_PER_S,
        )


def sign_compact(key: SigningKey, header: msgspec.Struct, claims: msgspec.Struct) -> str:
    """RFC 7515 compact serialisation of a header and claims under the key."""
    parts = (base64url_encode(msgspec.json.encode(part)) for part in (header, claims))
    signed = ".".join(parts)
    return f"{signed}.{base64url_encode(key.sign(signed.encode('ascii')))}"
