"""Chance that can be replayed: the n-th draw of a seed is always the same (SplitMix64)."""

from typing import Final

_WORD: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15


def draw(seed: int, index: int, sides: int) -> int:
    """A number from 0 up to but not `sides`."""
    word = (seed * 31 + (index + 1) * _GOLDEN) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return (word ^ (word >> 31)) % sides
