"""Proof that who sends a token holds its key (RFC 9449, DPoP): made by programs, checked here.

A proof is signed for one method, one address and one token, lives `PROOF_LIFETIME_S` and is used
once; that it was not used before is for the caller to find out, who has a memory.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.security.claims import ALGORITHM, PROOF_TYPE
from aitrading.core.security.crypto import SigningKey, VerifyKey, sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.core.security.strict_json import strict_json

PROOF_HEADER: Final = "dpop"
PROOF_LIFETIME_S: Final = 60
LEEWAY_S: Final = 5
MAX_PROOF_BYTES: Final = 2_048
MAX_ID_CHARS: Final = 128
_DEFAULT_PORT: Final = 443


class ProofJwk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public key of the proof; a private member is refused like any other we do not know."""

    kty: str
    crv: str
    x: str


class ProofHead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole header of a proof."""

    typ: str
    alg: str
    jwk: ProofJwk


class ProofClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a proof is good for."""

    jti: str
    htm: str
    htu: str
    iat: int
    ath: str | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """The request that a proof has to be made for."""

    method: str
    host: str
    """As the `Host` header names it."""
    path: str
    """Without the query."""
    token: str | None = None
    """None where there is no token yet: a login, a renewal."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A proof that is right, if it was not used before."""

    thumbprint: str
    use: str
    """Tells its use apart from every other one."""


def check_proof(text: str, target: Target, *, now_ns: int) -> Proof:
    """Check a proof against its request; raises `TOKEN_REFUSED`, whatever is wrong."""
    try:
        return _checked(text, target, now_ns // NS_PER_S)
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise TOKEN_REFUSED.error() from exc


class ProofMaker:
    """Signs proofs with the key of a program."""

    def __init__(self, key: SigningKey, *, clock: Clock, ids: IdFactory) -> None:
        self._key = key
        self._clock = clock
        self._ids = ids

    def make(self, method: str, url: str, token: str | None = None) -> str:
        """One proof for one request."""
        head = ProofHead(
            typ=PROOF_TYPE,
            alg=ALGORITHM,
            jwk=ProofJwk(kty="OKP", crv="Ed25519", x=base64url_encode(self._key.public.raw)),
        )
        claims = ProofClaims(
            jti=str(self._ids.new()),
            htm=method,
            htu=url.partition("?")[0],
            iat=self._clock.now_ns() // NS_PER_S,
            ath=None if token is None else token_hash(token),
        )
        signed = ".".join(base64url_encode(msgspec.json.encode(part)) for part in (head, claims))
        return f"{signed}.{base64url_encode(self._key.sign(signed.encode('ascii')))}"


def token_hash(token: str) -> str:
    """`ath`: which token a proof goes with."""
    return base64url_encode(sha256(token.encode("utf-8", "replace")))


def _checked(text: str, target: Target, now_s: int) -> Proof:
    if len(text) > MAX_PROOF_BYTES:
        raise ValueError("too large")
    head_part, claims_part, signature_part = text.split(".")
    head = msgspec.convert(strict_json(base64url_decode(head_part)), ProofHead)
    if (head.typ, head.alg) != (PROOF_TYPE, ALGORITHM):
        raise ValueError("another kind of token")
    key = _key(head.jwk)
    signed = f"{head_part}.{claims_part}".encode("ascii")
    if not key.verify(base64url_decode(signature_part), signed):
        raise ValueError("not signed by its key")
    claims = msgspec.convert(strict_json(base64url_decode(claims_part)), ProofClaims)
    _require_made_for(claims, target, now_s)
    thumbprint = key.thumbprint()
    use = base64url_encode(sha256(f"{thumbprint}\0{claims.jti}".encode()))
    return Proof(thumbprint=thumbprint, use=use)


def _key(jwk: ProofJwk) -> VerifyKey:
    raw = base64url_decode(jwk.x)
    if (jwk.kty, jwk.crv, len(raw)) != ("OKP", "Ed25519", 32):
        raise ValueError("another kind of key")
    return VerifyKey(raw)


def _require_made_for(claims: ProofClaims, target: Target, now_s: int) -> None:
    if not 0 < len(claims.jti) <= MAX_ID_CHARS:
        raise ValueError("no id of a sensible length")
    if not now_s - PROOF_LIFETIME_S - LEEWAY_S <= claims.iat <= now_s + LEEWAY_S:
        raise ValueError("not made now")
    if claims.htm != target.method or not _same_address(claims.htu, target):
        raise ValueError("made for another request")
    if claims.ath != (None if target.token is None else token_hash(target.token)):
        raise ValueError("made for another token")


def _same_address(htu: str, target: Target) -> bool:
    """Equal after RFC 3986 normalisation of scheme, host and port; a path has one spelling."""
    given, wanted = urlsplit(htu), urlsplit(f"//{target.host}")
    if given.scheme.lower() != "https" or given.query or given.fragment or "@" in given.netloc:
        return False
    return (given.hostname, given.port or _DEFAULT_PORT, given.path) == (
        wanted.hostname,
        wanted.port or _DEFAULT_PORT,
        target.path,
    )
