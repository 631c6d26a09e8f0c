"""Codes of authenticator apps: RFC 6238 over RFC 4226, with the parameters that every app knows.

Pure: a secret and a time give a code; which code was used already is the database's to know.
"""

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import quote

from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret

STEP_S: Final = 30
DIGITS: Final = 6
WINDOW_STEPS: Final = 1
"""A phone's clock may be this many steps off, either way."""
SECRET_BYTES: Final = 20
"""RFC 4226, 4: the length of the digest."""
ISSUER: Final = "aitrading"


def generate_secret(randomness: Randomness) -> Secret[str]:
    """A secret of 160 bits in the spelling that people can type (base 32)."""
    return Secret(base64.b32encode(randomness.token(SECRET_BYTES)).decode())


def code_at(secret: Secret[str], step: int, *, digits: int = DIGITS) -> str:
    """The code of one step of `STEP_S` seconds since the epoch."""
    key = base64.b32decode(secret.reveal())
    digest = hmac.new(key, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def normalised(code: str) -> str:
    """A code as it counts: apps show it in two groups, and people type it so."""
    return "".join(code.split())


def matching_step(secret: Secret[str], code: str, now_s: int) -> int | None:
    """The step whose code this is, looked for around now; None when it is none of them.

    All steps of the window are tried, so that the time tells nothing.
    """
    now = now_s // STEP_S
    steps = range(max(0, now - WINDOW_STEPS), now + WINDOW_STEPS + 1)
    given = code.encode()
    found = [step for step in steps if hmac.compare_digest(code_at(secret, step).encode(), given)]
    return found[-1] if found else None


def provisioning_uri(secret: Secret[str], *, account: str) -> str:
    """What an app reads from a QR code; `account` tells logins apart in the app."""
    label = quote(f"{ISSUER}:{account}", safe="")
    return (
        f"otpauth://totp/{label}?secret={secret.reveal()}&issuer={ISSUER}"
        f"&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )
