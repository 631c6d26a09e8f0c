"""Who calls: each service signs short tokens with its own key and verifies those of its peers."""

from pathlib import Path
from typing import Final

from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import SERVICE_TOKEN_LIFETIME_S
from aitrading.core.security.crypto import SigningKey, VerifyKey
from aitrading.core.security.jwt_manager import JwtVerifier, KeySet, StaticKeySet
from aitrading.server.authority.tokens import IssuedToken, ServiceTokenIssuer
from aitrading.server.kit.bundle import ServiceBundle

RENEW_BEFORE_END_S: Final = 15


class FileKeySet(KeySet):
    """A published JWKS file, read again when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, int, int] | None = None
        self._keys = StaticKeySet({})

    @override
    def find(self, kid: str) -> VerifyKey | None:
        found = self._path.stat()
        version = (found.st_mtime_ns, found.st_ino, found.st_size)
        if version != self._version:
            self._keys = StaticKeySet.from_jwks(self._path.read_bytes())
            self._version = version
        return self._keys.find(kid)


class ServiceTokenSource:
    """Gives tokens for calls to peers; one token per peer is used until shortly before its end."""

    def __init__(self, service: str, key: SigningKey, *, clock: Clock, ids: IdFactory) -> None:
        self._issuer = ServiceTokenIssuer(service, key, clock=clock, ids=ids)
        self._clock = clock
        self._tokens: dict[str, IssuedToken] = {}

    @classmethod
    def of(cls, bundle: ServiceBundle, clock: Clock, ids: IdFactory) -> "ServiceTokenSource":
        """The source of the service whose bundle this is."""
        key = SigningKey.from_pem(Secret(signing_key_file(bundle).read_bytes()))
        return cls(bundle.service, key, clock=clock, ids=ids)

    def token_for(self, audience: str) -> str:
        """A token that is valid for at least `RENEW_BEFORE_END_S` more seconds."""
        token = self._tokens.get(audience)
        if token is None or not self._is_good(token):
            token = self._tokens[audience] = self._issuer.issue(audience)
        return token.token.reveal()

    def _is_good(self, token: IssuedToken) -> bool:
        """It lasts a while; with more than a whole life before it, the clock was set back."""
        left_ns = token.expires_ns - self._clock.now_ns()
        return RENEW_BEFORE_END_S * NS_PER_S <= left_ns <= SERVICE_TOKEN_LIFETIME_S * NS_PER_S


def verifier_of(bundle: ServiceBundle, clock: Clock) -> JwtVerifier:
    """Verifies people and peers with the keys this installation published."""
    return JwtVerifier(
        clock=clock,
        user_keys=FileKeySet(bundle.user_keys),
        service_keys=FileKeySet(bundle.service_keys),
    )


def signing_key_file(bundle: ServiceBundle) -> Path:
    """Where `Authority.write_service` put the service's token key: beside its bundle."""
    return bundle.home / "run" / "bundles" / f"{bundle.service}.key"
