"""Every forgery gets the one refusal; a genuine token passes, here and in a second library."""

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.certificates import ServiceIdentity
from aitrading.core.security.claims import Scope, UserClaims
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.jwt_manager import (
    MAX_CACHED_TOKENS,
    JwtVerifier,
    StaticKeySet,
    VerifiedToken,
)
from aitrading.core.security.token_binding import Shown
from aitrading.core.testing.manual_clock import ManualClock

KEY = SigningKey.generate()
OTHER_KEY = SigningKey.generate()
SERVICE_KEY = SigningKey.generate()
KID = KEY.public.thumbprint()
START_S = 1_700_000_000
LIFE_S = 900
HEADER: dict[str, Any] = {"alg": "EdDSA", "typ": "at+jwt", "kid": KID}
CLAIMS: dict[str, Any] = {
    "iss": "aitrading",
    "sub": str(UUID(int=1)),
    "aud": "aitrading-api",
    "exp": START_S + LIFE_S,
    "nbf": START_S,
    "iat": START_S,
    "jti": str(UUID(int=2)),
    "sid": str(UUID(int=3)),
    "tid": str(UUID(int=4)),
    "scope": "read trade",
    "acr": "pwd",
    "auth_time": START_S,
    "ent_v": 7,
}
SERVICE_HEADER = {"alg": "EdDSA", "typ": "svc+jwt", "kid": "data-bridge"}
SERVICE_CLAIMS: dict[str, Any] = {
    "iss": "data-bridge",
    "sub": "data-bridge",
    "aud": "database-service",
    "exp": START_S + 60,
    "nbf": START_S,
    "iat": START_S,
    "jti": str(UUID(int=5)),
}
Signer = Callable[[bytes], bytes]


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64url_encode(raw)


def compact(header: object, claims: object, sign: Signer = KEY.sign) -> str:
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{base64url_encode(sign(signed.encode()))}"


def genuine(**changes: Any) -> str:
    return compact(HEADER, {**CLAIMS, **changes})


def verifier(clock: ManualClock | None = None) -> JwtVerifier:
    return JwtVerifier(
        clock=clock or ManualClock(START_S * NS_PER_S),
        user_keys=StaticKeySet({KID: KEY.public}),
        service_keys=StaticKeySet({"data-bridge": SERVICE_KEY.public, KID: KEY.public}),
    )


def refusal_of(token: str) -> str:
    with pytest.raises(AitradingError) as caught:
        verifier().verify_user(token)
    assert caught.value.fields == {}
    return caught.value.code


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


def doubled(text: bytes, name: str) -> bytes:
    value = json.dumps(json.loads(text)[name]).encode()
    return text[:-1] + b', "' + name.encode() + b'": ' + value + b"}"


def hs256_with_the_public_key() -> str:
    def sign(message: bytes) -> bytes:
        return hmac.new(KEY.public.raw, message, hashlib.sha256).digest()

    return compact({**HEADER, "alg": "HS256"}, CLAIMS, sign)


def other_spelling_of_the_signature() -> str:
    """The same bytes in base64 with other spare bits, which lenient decoders accept."""
    token = genuine()
    head, _, signature = token.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(signature[-1]) ^ 1]
    twin = signature[:-1] + last
    padded = twin + "=" * (-len(twin) % 4)
    assert base64.urlsafe_b64decode(padded) == base64url_decode(signature)
    return f"{head}.{twin}"


RAW_CLAIMS = json.dumps(CLAIMS).encode()
FORGERIES: dict[str, str] = {
    "empty": "",
    "not a token": "hello",
    "two parts": genuine().rpartition(".")[0],
    "four parts": genuine() + ".x",
    "signature stripped": genuine().rpartition(".")[0] + ".",
    "signature of another key": compact(HEADER, CLAIMS, OTHER_KEY.sign),
    "alg none": compact({**HEADER, "alg": "none"}, CLAIMS, lambda _: b""),
    "alg None": compact({**HEADER, "alg": "None"}, CLAIMS),
    "alg missing": compact({"typ": "at+jwt", "kid": KID}, CLAIMS),
    "alg Ed25519, the name Envoy refuses": compact({**HEADER, "alg": "Ed25519"}, CLAIMS),
    "HS256 with the public key": hs256_with_the_public_key(),
    "kid missing": compact({"alg": "EdDSA", "typ": "at+jwt"}, CLAIMS),
    "kid unknown": compact({**HEADER, "kid": "x"}, CLAIMS),
    "kid is a path": compact({**HEADER, "kid": "../../etc/passwd"}, CLAIMS),
    "kid is SQL": compact({**HEADER, "kid": "' or 1=1 --"}, CLAIMS),
    "kid of another type": compact({**HEADER, "kid": 7}, CLAIMS),
    "embedded jwk": compact(
        {**HEADER, "jwk": OTHER_KEY.public.public_jwk("x")}, CLAIMS, OTHER_KEY.sign
    ),
    "jku": compact({**HEADER, "jku": "https://evil.example/jwks"}, CLAIMS),
    "x5u": compact({**HEADER, "x5u": "https://evil.example/x"}, CLAIMS),
    "crit b64": compact({**HEADER, "crit": ["b64"], "b64": False}, CLAIMS),
    "zip": compact({**HEADER, "zip": "DEF"}, CLAIMS),
    "typ missing": compact({"alg": "EdDSA", "kid": KID}, CLAIMS),
    "typ JWT": compact({**HEADER, "typ": "JWT"}, CLAIMS),
    "typ of a service token": compact({**HEADER, "typ": "svc+jwt"}, CLAIMS),
    "header member twice": compact(doubled(json.dumps(HEADER).encode(), "alg"), CLAIMS),
    "claim twice": compact(HEADER, doubled(RAW_CLAIMS, "sub")),
    "claim twice with escapes": compact(HEADER, RAW_CLAIMS[:-1] + rb', "\u0073ub": "x"}'),
    "other spelling of the signature": other_spelling_of_the_signature(),
    "padding": genuine() + "=",
    "standard alphabet": genuine().replace("-", "+").replace("_", "/") + "+",
    "space inside": genuine().replace(".", ". ", 1),
    "line end": genuine() + "\n",
    "not ASCII": genuine() + "é",
    "surrogate": genuine() + "\ud800",
    "not UTF-8": compact(HEADER, RAW_CLAIMS[:-1] + b', "x": "\xff"}'),
    "not JSON": compact(HEADER, b"{"),
    "a JSON list": compact(HEADER, [CLAIMS]),
    "deeply nested": compact(HEADER, b"[" * 1400),
    "too large": genuine(padding="x" * 4096),
    "NaN": compact(HEADER, RAW_CLAIMS[:-1] + b', "x": NaN}'),
    "exp is 1e999": compact(HEADER, RAW_CLAIMS.replace(str(START_S + 900).encode(), b"1e999")),
    "exp is a string": genuine(exp=str(START_S + LIFE_S)),
    "exp is a float": genuine(exp=float(START_S + LIFE_S)),
    "exp is a list": genuine(exp=[START_S + LIFE_S]),
    "exp is true": genuine(exp=True),
    "exp is huge": genuine(exp=10**30, iat=10**30 - LIFE_S),
    "exp missing": compact(HEADER, without("exp")),
    "lives longer than 15 minutes": genuine(exp=START_S + LIFE_S + 1),
    "lives shorter": genuine(exp=START_S + 60),
    "expired": genuine(iat=START_S - 1000, nbf=START_S - 1000, exp=START_S - 100),
    "not yet valid": genuine(nbf=START_S + 60),
    "from the future": genuine(iat=START_S + 60, nbf=START_S, exp=START_S + 60 + LIFE_S),
    "wrong issuer": genuine(iss="evil"),
    "issuer missing": compact(HEADER, without("iss")),
    "wrong audience": genuine(aud="database-service"),
    "audience list": genuine(aud=["aitrading-api", "x"]),
    "audience missing": compact(HEADER, without("aud")),
    "subject missing": compact(HEADER, without("sub")),
    "subject not canonical": genuine(sub=str(UUID(int=0xABC)).upper()),
    "tenant missing": compact(HEADER, without("tid")),
    "tenant no id": genuine(tid="1"),
    "session missing": compact(HEADER, without("sid")),
    "scope of an unknown name": genuine(scope="read root"),
    "scope list": genuine(scope=["admin"]),
    "cnf unknown": genuine(cnf={"kid": "x"}),
    "cnf empty": genuine(cnf={}),
    "cnf of two things": genuine(cnf={"jkt": "x", "ses#S256": "y"}),
    "cnf null": genuine(cnf={"x5t#S256": None}),
    "bound to a key without a proof": genuine(cnf={"jkt": "x"}),
    "bound to a session, as bearer": genuine(cnf={"ses#S256": "x"}),
    "bound to a certificate that was not shown": genuine(cnf={"x5t#S256": "abc"}),
    "service token": compact(SERVICE_HEADER, SERVICE_CLAIMS, SERVICE_KEY.sign),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
def test_every_forgery_gets_the_same_answer(forgery: str) -> None:
    assert refusal_of(forgery) == "TOKEN_REFUSED"


def test_a_genuine_token_is_proof() -> None:
    token = verifier().verify_user(genuine())
    assert token.tenant == UUID(int=4)
    assert token.user == UUID(int=1)
    assert token.session == UUID(int=3)
    assert token.scopes == {Scope.READ, Scope.TRADE}
    assert token.expires_ns == (START_S + LIFE_S) * NS_PER_S
    assert token.entitlement_version == 7
    with pytest.raises(AitradingError) as caught:
        token.require(Scope.ADMIN)
    assert caught.value.code == "SCOPE_MISSING"


def test_claims_of_a_later_version_are_ignored() -> None:
    assert verifier().verify_user(genuine(later="yes"))


def test_a_second_library_agrees_on_genuine_tokens() -> None:
    key = OKPKey.import_key(KEY.public.public_jwk(KID))  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        seen = jws.deserialize_compact(genuine(), key, algorithms=["EdDSA"])
    assert json.loads(seen.payload) == CLAIMS


def test_only_the_verifier_makes_proof() -> None:
    claims = UserClaims(**CLAIMS)
    with pytest.raises(TypeError, match="only JwtVerifier"):
        VerifiedToken(claims, proof=object())


@pytest.mark.parametrize(
    ("moved_s", "accepted"), [(-6, False), (-5, True), (904, True), (905, False)]
)
def test_time_is_checked_with_five_seconds_of_leeway(moved_s: int, *, accepted: bool) -> None:
    clock = ManualClock((START_S + moved_s) * NS_PER_S)
    if accepted:
        assert verifier(clock).verify_user(genuine())
        return
    with pytest.raises(AitradingError):
        verifier(clock).verify_user(genuine())


def test_a_remembered_token_still_expires() -> None:
    clock = ManualClock(START_S * NS_PER_S)
    checker, token = verifier(clock), genuine()
    assert checker.verify_user(token)
    clock.step_wall(1000)
    with pytest.raises(AitradingError):
        checker.verify_user(token)


def test_a_remembered_token_stays_bound_to_its_certificate() -> None:
    checker, token = verifier(), genuine(cnf={"x5t#S256": "mine"})
    assert checker.verify_user(token, Shown(certificate_sha256="mine")).binding is not None
    for shown in (None, "", "another"):
        with pytest.raises(AitradingError):
            checker.verify_user(token, Shown(certificate_sha256=shown))


def test_the_memory_of_tokens_is_bounded() -> None:
    checker = verifier()
    first = genuine(jti=str(UUID(int=10**6)))
    checker.verify_user(first)
    checker._users.update({str(n): checker._users[first] for n in range(MAX_CACHED_TOKENS)})
    while len(checker._users) > MAX_CACHED_TOKENS:
        checker._users.popitem()
    checker.verify_user(genuine())
    assert len(checker._users) == MAX_CACHED_TOKENS


@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=5))
def test_no_changed_character_is_accepted(position: int, bit: int) -> None:
    token = genuine()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    index = position % len(token)
    if token[index] == ".":
        return
    changed = alphabet[alphabet.index(token[index]) ^ (1 << bit)]
    assert refusal_of(token[:index] + changed + token[index + 1 :]) == "TOKEN_REFUSED"


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    assert refusal_of(text) == "TOKEN_REFUSED"


def service_token(key: SigningKey = SERVICE_KEY, **changes: Any) -> str:
    return compact(SERVICE_HEADER, {**SERVICE_CLAIMS, **changes}, key.sign)


def test_a_service_token_names_its_caller() -> None:
    caller = verifier().verify_service(service_token(), "database-service")
    assert caller == ServiceIdentity(name="data-bridge")


SERVICE_FORGERIES: dict[str, str] = {
    "for another service": service_token(aud="api-gateway"),
    "in the name of another": service_token(iss="api-gateway", sub="api-gateway"),
    "with another subject": service_token(sub="api-gateway"),
    "of a key that is not the caller's": service_token(KEY),
    "of a user key under its kid": compact(
        {**SERVICE_HEADER, "kid": KID}, SERVICE_CLAIMS, KEY.sign
    ),
    "living longer than a minute": service_token(exp=START_S + 61),
    "expired": service_token(iat=START_S - 70, nbf=START_S - 70, exp=START_S - 10),
    "a user's token": genuine(),
    "audience list": service_token(aud=["database-service"]),
}


@pytest.mark.parametrize("forgery", SERVICE_FORGERIES.values(), ids=SERVICE_FORGERIES.keys())
def test_every_forged_service_token_is_refused(forgery: str) -> None:
    with pytest.raises(AitradingError) as caught:
        verifier().verify_service(forgery, "database-service")
    assert caught.value.code == "TOKEN_REFUSED"


def test_a_remembered_service_token_is_still_checked_for_its_audience() -> None:
    checker, token = verifier(), service_token()
    checker.verify_service(token, "database-service")
    with pytest.raises(AitradingError):
        checker.verify_service(token, "api-gateway")


def test_a_key_set_reads_what_is_published() -> None:
    document = json.dumps({"keys": [KEY.public.public_jwk(KID)]}).encode()
    found = StaticKeySet.from_jwks(document).find(KID)
    assert found is not None
    assert found.raw == KEY.public.raw
