"""Passwords of people: Argon2id, the same work whether or not the person exists.

Hashing is heavy on purpose, so it runs in threads behind a bulkhead: a flood of logins queues and
is then refused; it never starves the rest of the service.
"""

import asyncio
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from aitrading.core.infrastructure.resilience.bulkhead import Bulkhead
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.encoding import base64url_encode
from aitrading.server.authority.common_passwords import is_easily_guessed

MIN_PASSWORD_CHARS: Final = 15
"""NIST SP 800-63B-4: the length for a password that is the only factor."""
MAX_PASSWORD_CHARS: Final = 256
GENERATED_PASSWORD_BYTES: Final = 15
HASHING_LIMIT: Final = 2
HASHING_QUEUE_LIMIT: Final = 32

PASSWORD_TOO_WEAK = ErrorSpec(
    code="PASSWORD_TOO_WEAK",
    category=Category.DENIED,
    message="The password is not accepted: {reason}.",
    why="It is the only factor of this login, so it must resist guessing.",
    remedy="Use a sentence of several words, at least 15 characters, without your own name; or "
    "let a password manager make one.",
    http_status=422,
    severity=Severity.DEBUG,
)


@dataclass(frozen=True, kw_only=True)
class Argon2Cost:
    """How much work one guess costs; about 0.1 s and 64 MiB on a 2026 server core."""

    memory_kib: int = 64 * 1024
    passes: int = 2
    lanes: int = 1


class PasswordHasher:
    """Hashes and verifies; at most `HASHING_LIMIT` at once."""

    def __init__(self, bulkhead: Bulkhead, cost: Argon2Cost | None = None) -> None:
        chosen = cost or Argon2Cost()
        self._bulkhead = bulkhead
        self._argon2 = Argon2(
            time_cost=chosen.passes,
            memory_cost=chosen.memory_kib,
            parallelism=chosen.lanes,
            type=Type.ID,
        )
        self._nobody: Final = (
            f"$argon2id$v=19$m={chosen.memory_kib},t={chosen.passes},p={chosen.lanes}"
            f"${'A' * 22}${'A' * 43}"
        )

    async def hash(self, password: Secret[str]) -> str:
        """The text to store; raises `BULKHEAD_FULL` when too many wait."""
        async with self._bulkhead.slot():
            return await asyncio.to_thread(self._argon2.hash, normalised(password))

    async def verify(self, password: Secret[str], stored: str | None) -> bool:
        """Whether the password is the stored one; for None (nobody) the work is the same."""
        async with self._bulkhead.slot():
            return await asyncio.to_thread(self._matches, normalised(password), stored)

    def _matches(self, password: str, stored: str | None) -> bool:
        try:
            matches = self._argon2.verify(stored or self._nobody, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False
        return matches and stored is not None


def hashing_bulkhead() -> Bulkhead:
    """The bulkhead of password hashing; the root guards its call site with it."""
    return Bulkhead("password-hashing", limit=HASHING_LIMIT, queue_limit=HASHING_QUEUE_LIMIT)


def require_strong(password: Secret[str], *, login_name: str, names: Iterable[str] = ()) -> None:
    """Raise `PASSWORD_TOO_WEAK` for a password that guessing finds.

    `names` are those of the surroundings: what a guesser who knows the person tries first.
    """
    text = normalised(password)
    if len(text) < MIN_PASSWORD_CHARS:
        raise PASSWORD_TOO_WEAK.error(reason=f"it is shorter than {MIN_PASSWORD_CHARS} characters")
    if len(text) > MAX_PASSWORD_CHARS:
        raise PASSWORD_TOO_WEAK.error(reason=f"it is longer than {MAX_PASSWORD_CHARS} characters")
    if len(set(text)) < MIN_PASSWORD_CHARS // 2:
        raise PASSWORD_TOO_WEAK.error(reason="it repeats the same few characters")
    local_part = login_name.partition("@")[0].casefold()
    if local_part and local_part in text.casefold():
        raise PASSWORD_TOO_WEAK.error(reason="it contains your login name")
    if is_easily_guessed(text, (login_name, *names)):
        raise PASSWORD_TOO_WEAK.error(
            reason="it is made of the commonest passwords, names and digits alone"
        )


def generate_password(randomness: Randomness) -> Secret[str]:
    """A password of 120 random bits."""
    return Secret(base64url_encode(randomness.token(GENERATED_PASSWORD_BYTES)))


def normalised(password: Secret[str]) -> str:
    """One spelling for letters that can be typed in several ways (NFC), cut off nowhere."""
    return unicodedata.normalize("NFC", password.reveal())
