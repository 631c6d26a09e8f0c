"""Randomness as a dependency, so that a seed replays a run."""

import random
import secrets
from typing import Protocol

from typing_extensions import override


class Randomness(Protocol):
    """Where jitter, ids and keys come from."""

    def token(self, size_bytes: int) -> bytes:
        """Unpredictable bytes, good enough for a key."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A float in [low, high]; for jitter and generators, never for secrets."""
        ...


class SystemRandomness(Randomness):
    """The operating system's generator."""

    def __init__(self) -> None:
        self._jitter = random.SystemRandom()

    @override
    def token(self, size_bytes: int) -> bytes:
        return secrets.token_bytes(size_bytes)

    @override
    def uniform(self, low: float, high: float) -> float:
        return self._jitter.uniform(low, high)
