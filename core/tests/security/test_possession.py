"""A proof of possession is good for one request of one key; everything else gets one refusal."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.possession import ProofMaker, Target, check_proof, token_hash
from aitrading.core.testing.manual_clock import ManualClock

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
NOW_S = 1_700_000_000
TOKEN = "a.b.c"  # noqa: S105 - of tests
TARGET = Target(method="POST", host="localhost:8000", path="/api/v1/orders", token=TOKEN)
JWK = {"kty": "OKP", "crv": "Ed25519", "x": base64url_encode(KEY.public.raw)}
HEAD: dict[str, Any] = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": JWK}
CLAIMS: dict[str, Any] = {
    "jti": str(UUID(int=1)),
    "htm": "POST",
    "htu": "https://localhost:8000/api/v1/orders",
    "iat": NOW_S,
    "ath": token_hash(TOKEN),
}


def proof(head: Any = None, claims: Any = None, key: SigningKey = KEY) -> str:
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (
        HEAD if head is None else head, CLAIMS if claims is None else claims
    )]  # fmt: skip
    signed = ".".join(base64url_encode(text) for text in texts)
    return f"{signed}.{base64url_encode(key.sign(signed.encode()))}"


def check(text: str, target: Target = TARGET, *, now_s: int = NOW_S) -> str:
    return check_proof(text, target, now_ns=now_s * NS_PER_S).thumbprint


def said(**changes: Any) -> str:
    return proof(claims={key: v for key, v in {**CLAIMS, **changes}.items() if v is not None})


RAW = json.dumps(CLAIMS).encode()
FORGERIES = {
    "empty": "",
    "no token": "hello",
    "signed by another key": proof(key=OTHER),
    "another key inside": proof({**HEAD, "jwk": {**JWK, "x": base64url_encode(OTHER.public.raw)}}),
    "an access token": proof({**HEAD, "typ": "at+jwt"}),
    "no type": proof({"alg": "EdDSA", "jwk": JWK}),
    "alg none": proof({**HEAD, "alg": "none"}),
    "alg HS256": proof({**HEAD, "alg": "HS256"}),
    "the private key inside": proof({**HEAD, "jwk": {**JWK, "d": "AAAA"}}),
    "a symmetric key inside": proof({**HEAD, "jwk": {"kty": "oct", "crv": "", "x": JWK["x"]}}),
    "a key of another curve": proof({**HEAD, "jwk": {**JWK, "crv": "X25519"}}),
    "a short key": proof({**HEAD, "jwk": {**JWK, "x": "AAAA"}}),
    "kid": proof({**HEAD, "kid": "x"}),
    "crit": proof({**HEAD, "crit": ["exp"]}),
    "claim twice": proof(claims=RAW[:-1] + b', "htm": "POST"}'),
    "another method": said(htm="GET"),
    "method in small letters": said(htm="post"),
    "another path": said(htu="https://localhost:8000/api/v1/kill"),
    "another host": said(htu="https://evil.example:8000/api/v1/orders"),
    "another port": said(htu="https://localhost/api/v1/orders"),
    "a port that is none": said(htu="https://localhost:99999999/api/v1/orders"),
    "plain http": said(htu="http://localhost:8000/api/v1/orders"),
    "a user in the address": said(htu="https://x@localhost:8000/api/v1/orders"),
    "a query": said(htu="https://localhost:8000/api/v1/orders?x=1"),
    "another token": said(ath=token_hash("d.e.f")),
    "no token named": said(ath=None),
    "no id": said(jti=None),
    "an empty id": said(jti=""),
    "a long id": said(jti="x" * 129),
    "too old": said(iat=NOW_S - 66),
    "from the future": said(iat=NOW_S + 6),
    "time as text": said(iat=str(NOW_S)),
    "time is NaN": proof(claims=RAW.replace(str(NOW_S).encode(), b"NaN")),
    "too large": said(more="x" * 2_048),
    "deeply nested": proof(claims=b"[" * 1_400),
    "not canonical": proof() + "=",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_every_wrong_proof_gets_the_same_answer(forgery: str) -> None:
    with pytest.raises(AitradingError) as caught:
        check(forgery)
    assert (caught.value.code, caught.value.fields) == ("TOKEN_REFUSED", {})


def test_a_right_proof_tells_its_key_within_its_time() -> None:
    for moved_s in (-5, 0, 65):
        assert check(proof(), now_s=NOW_S + moved_s) == KEY.public.thumbprint()


@pytest.mark.parametrize(
    "htu", ["HTTPS://LOCALHOST:8000/api/v1/orders", "https://localhost:8000/api/v1/orders"]
)
def test_an_address_counts_in_each_of_its_spellings(htu: str) -> None:
    assert check(said(htu=htu))
    standard = replace(TARGET, host="localhost")
    assert check(said(htu="https://localhost:443/api/v1/orders"), standard)
    assert check(
        said(htu="https://localhost/api/v1/orders"), replace(TARGET, host="localhost:443")
    )


def test_a_proof_with_a_token_is_none_for_a_login() -> None:
    login = replace(TARGET, token=None)
    assert check(said(ath=None), login)
    with pytest.raises(AitradingError):
        check(proof(), login)


def test_two_proofs_of_the_maker_are_two_uses() -> None:
    clock = ManualClock(NOW_S * NS_PER_S)
    maker = ProofMaker(KEY, clock=clock, ids=SystemIdFactory(clock, SystemRandomness()))
    made = [maker.make("POST", f"{CLAIMS['htu']}?limit=3", TOKEN) for _ in range(2)]
    first, second = (check_proof(each, TARGET, now_ns=clock.now_ns()) for each in made)
    assert first.thumbprint == second.thumbprint == KEY.public.thumbprint()
    assert first.use != second.use
