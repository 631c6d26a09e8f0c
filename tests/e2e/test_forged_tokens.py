"""The attack list over a running platform: wrong tokens that even the real key signed open nothing."""

import json
from typing import Any

import pytest
from harness.platform import Platform, wait_until

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.server.authority.installation import initialise

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
PATHS = ("/api/v1/auth/me", "/api/v1/quotes", "/api/v1/risk", "/api/v1/ticks?symbol=EURUSD")
STRANGER = SigningKey.generate()


class Forger:
    """Signs what a thief of the key, or a careless issuer, could sign."""

    def __init__(self, platform: Platform) -> None:
        clock = SystemClock()
        ids = SystemIdFactory(clock, SystemRandomness())
        self._signer = initialise(platform.home, clock, ids).stage_user_key()
        head, claims, _ = platform.token("demo/viewer").split(".")
        self.head: dict[str, Any] = json.loads(base64url_decode(head))
        self.claims: dict[str, Any] = json.loads(base64url_decode(claims))
        self.head["kid"] = self._signer.public.thumbprint()

    def made(self, head: Any = None, claims: Any = None, key: SigningKey | None = None) -> str:
        texts = [
            each if isinstance(each, bytes) else json.dumps(each).encode()
            for each in (head or self.head, claims or self.claims)
        ]
        signed = ".".join(base64url_encode(text) for text in texts)
        return f"{signed}.{base64url_encode((key or self._signer).sign(signed.encode()))}"


def attacks(forger: Forger) -> dict[str, str]:
    head, claims = forger.head, forger.claims
    raw = json.dumps(claims).encode()
    heads = {
        "typ JWT": {**head, "typ": "JWT"},
        "typ of a service": {**head, "typ": "svc+jwt"},
        "no typ": {key: value for key, value in head.items() if key != "typ"},
        "alg none": {**head, "alg": "none"},
        "alg HS256": {**head, "alg": "HS256"},
        "alg ES256": {**head, "alg": "ES256"},
        "crit": {**head, "crit": ["b64"], "b64": False},
        "jwk": {**head, "jwk": STRANGER.public.public_jwk("x")},
        "jku": {**head, "jku": "https://evil.example/jwks"},
        "x5u": {**head, "x5u": "https://evil.example/x"},
        "kid is a path": {**head, "kid": "../../keys"},
        "kid of a service": {**head, "kid": "data-bridge"},
        "alg twice": json.dumps(head).encode()[:-1] + b', "alg": "EdDSA"}',
    }
    bodies = {
        "16 minutes": {**claims, "exp": claims["iat"] + 960},
        "one minute": {**claims, "exp": claims["iat"] + 60},
        "expired": {**claims, **{k: claims[k] - 2_000 for k in ("exp", "iat", "nbf")}},
        "not yet": {**claims, "nbf": claims["nbf"] + 600},
        "exp as text": {**claims, "exp": str(claims["exp"])},
        "exp as float": {**claims, "exp": claims["exp"] + 0.5},
        "sub as number": {**claims, "sub": 7},
        "audience list": {**claims, "aud": [claims["aud"], "x"]},
        "unknown scope": {**claims, "scope": "read root"},
        "sub twice": raw[:-1] + b', "sub": "' + claims["sub"].encode() + b'"}',
        "tid twice, escaped": raw[:-1] + rb', "\u0074id": "x"}',
        "bound to nothing shown": {**claims, "cnf": {"jkt": "x"}},
        "deep": raw[:-1] + b', "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        "oversized": {**claims, "padding": "x" * 4_096},
    }
    made = {name: forger.made(head=each) for name, each in heads.items()}
    made |= {name: forger.made(claims=each) for name, each in bodies.items()}
    genuine = forger.made()
    return made | {
        "stranger's key": forger.made(key=STRANGER),
        "stripped": genuine.rpartition(".")[0] + ".",
        "padding": genuine + "=",
        "space": genuine.replace(".", ". ", 1),
        "four parts": genuine + ".x",
    }


def test_no_attack_of_the_list_opens_any_service(platform: Platform) -> None:
    forger = Forger(platform)
    genuine = {"authorization": f"Bearer {forger.made()}"}
    for path in PATHS:  # the control: with nothing wrong it opens, so each refusal has its reason
        wait_until(
            lambda path=path: (
                platform.request("GET", path, person=None, headers=genuine)[0] in {200, 404}
            ),
            what=path,
        )
    opened = []
    for name, token in attacks(forger).items():
        for path in PATHS:
            headers = {"authorization": f"Bearer {token}"}
            status, _ = platform.request("GET", path, person=None, headers=headers)
            if status not in {400, 401, 403, 431}:
                opened.append((name, path, status))
    assert opened == []
