"""No private key and no live secret is in the repository; one that is planted is found."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_BODY: Final = rb"[A-Za-z0-9+/=\s\\n]{40,}"
SECRETS: Final = {
    "private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----" + _BODY),
    "private JWK": re.compile(rb'"d"\s*:\s*"[A-Za-z0-9_-]{43,}"'),
    "age key": re.compile(rb"AGE-SECRET-" + rb"KEY-1[A-Z0-9]{50,}"),
    "cloud key": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "forge token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20,})\b"),
    "login in a URL": re.compile(
        rb"\b(?:postgres|postgresql|redis|rediss|nats|tls|amqp)://[a-z]+:[A-Za-z0-9]{24,}@"
    ),
}
DASHES: Final = b"-" * 5
BODY: Final = b"MC4CAQAwBQYDK2VwBCIEIGt0ZXN0a2V5dGVzdGtleXRlc3RrZXk"
KEY_FILES: Final = re.compile(r"\.(key|p12|pfx|jks|keystore|kdbx)$|(^|/)id_(rsa|ed25519|ecdsa)$")


def found_in(content: bytes) -> list[str]:
    return [name for name, pattern in SECRETS.items() if pattern.search(content)]


def test_nothing_committed_is_a_secret() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    paths = [path for path in listed.split("\0") if path]
    if not paths:
        pytest.skip("not a git checkout: nothing tells what is committed")
    assert not [path for path in paths if KEY_FILES.search(path)]
    files = [ROOT / path for path in paths if (ROOT / path).is_file()]
    guilty = {str(path): names for path in files if (names := found_in(path.read_bytes()))}
    assert not guilty


@pytest.mark.parametrize(
    "planted",
    [
        DASHES + b"BEGIN PRIVATE KEY" + DASHES + b"\n" + BODY,
        DASHES + b"BEGIN OPENSSH PRIVATE KEY" + DASHES + b"\n" + BODY,
        b'{"kty": "OKP", "d"' + b': "' + b"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg" + b'"}',
        b"AGE-SECRET-" + b"KEY-1" + b"Q" * 58,
        b"AKIA" + b"ABCDEFGHIJKLMNOP",
        b"ghp_" + b"a1B2" * 9,
        b"postgres://app:" + b"0123456789abcdef" * 2 + b"@db",
    ],
)
def test_a_planted_secret_is_found(planted: bytes) -> None:
    assert found_in(b"x = 1\n" + planted)
