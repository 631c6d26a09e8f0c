"""Vectors that were not written by us: no foreign token becomes one, and every signature is judged.

`AITRADING_WYCHEPROOF` names the folder with `json_web_signature_test.json` and `ed25519_test.json`
(github.com/C2SP/wycheproof, `testvectors_v1`).
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import VerifyKey
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.security.jwt_manager import JwtVerifier, KeySet
from aitrading.core.testing.manual_clock import ManualClock

VARIABLE = "AITRADING_WYCHEPROOF"


def groups(name: str) -> list[dict[str, Any]]:
    folder = os.environ.get(VARIABLE)
    if folder is None or not (Path(folder) / name).is_file():
        pytest.skip(f"{VARIABLE} names no folder with {name}")
    found: list[dict[str, Any]] = json.loads((Path(folder) / name).read_bytes())["testGroups"]
    return found


class AnyKid(KeySet):
    """One key, whatever a header calls it."""

    def __init__(self, key: VerifyKey) -> None:
        self._key = key

    def find(self, kid: str) -> VerifyKey | None:  # noqa: ARG002 - that is the point
        return self._key


def test_every_ed25519_signature_is_judged_as_published() -> None:
    judged = 0
    for group in groups("ed25519_test.json"):
        key = VerifyKey(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            assert key.verify(signature, message) is (case["result"] == "valid"), case
            judged += 1
    assert judged > 100


def test_no_foreign_token_is_an_access_token() -> None:
    tried = 0
    for group in groups("json_web_signature_test.json"):
        jwk = group.get("public") or group.get("private") or {}
        raw = base64url_decode(jwk["x"]) if jwk.get("crv") == "Ed25519" else bytes(32)
        keys = AnyKid(VerifyKey(raw))
        verifier = JwtVerifier(clock=ManualClock(), user_keys=keys, service_keys=keys)
        for case in group["tests"]:
            text = case["jws"] if isinstance(case["jws"], str) else json.dumps(case["jws"])
            with pytest.raises(AitradingError) as refused:
                verifier.verify_user(text)
            assert (refused.value.code, refused.value.fields) == ("TOKEN_REFUSED", {}), case
            tried += 1
    assert tried > 300
