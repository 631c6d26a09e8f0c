"""Randomness that a seed replays."""

import random

from typing_extensions import override

from aitrading.core.kit.randomness import Randomness


class SeededRandomness(Randomness):
    """Deterministic and predictable: for tests, simulations and generators only."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 # nosec B311 - predictable on purpose

    @override
    def token(self, size_bytes: int) -> bytes:
        return self._random.randbytes(size_bytes)

    @override
    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
