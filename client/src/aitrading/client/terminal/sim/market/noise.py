"""Reproducible noise that can be asked for at any moment, in any order.

A random walk needs its whole past; this does not. Values are drawn by hashing their index
(SplitMix64) and octaves of them are added up, which looks like a walk on every scale and gives
the same price for the same moment after any restart.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_TO_UNIT: Final = 1.0 / (1 << 53)
_WORD: Final = (1 << 64) - 1
_MANY: Final = 256
"""More moments than this are worth a loop over the octaves."""


def key_of(*parts: int) -> int:
    """Fold numbers into one 64-bit key; another order makes another key."""
    key = 0
    for part in parts:
        key = int(_mix(np.array([(key * 31 + part) & _WORD], np.uint64))[0])
    return key


def keys_of(keys: Words, part: int) -> Words:
    """`key_of(key, part)` for each of the keys."""
    return _mix(_mix(keys) * np.uint64(31) + np.uint64(part))


def keys_of_each(key: int, parts: NDArray[np.int64]) -> Words:
    """What `key_of` gives when each of the parts is folded into what made the key."""
    return _mix(np.uint64(key * 31 & _WORD) + parts.astype(np.uint64))


def uniform(keys: Words, counts: NDArray[np.int64]) -> Floats:
    """For each key so many numbers in [0, 1), one after the other; the same for the same key."""
    index = np.arange(int(counts.sum()), dtype=np.int64)
    index -= np.repeat(counts.cumsum() - counts, counts)
    return _unit(_mix(index.astype(np.uint64) * _GOLDEN + np.repeat(keys, counts)))


class Octaves:
    """Smooth noise of several wavelengths; amplitudes grow with the root of the wavelength."""

    def __init__(self, key: int, *, shortest_s: float, longest_s: float) -> None:
        count = max(1, 1 + round(np.log2(longest_s / shortest_s)))
        self._periods_s: Floats = shortest_s * np.exp2(np.arange(count))
        self._amplitudes: Floats = np.sqrt(self._periods_s)
        self._keys: Words = _mix(np.arange(count, dtype=np.uint64) + np.uint64(key))

    def at(self, seconds: Floats) -> Floats:
        """The value at each of the moments; about one unit per root of a second."""
        if len(seconds) > _MANY:
            return self._at_many(seconds)
        octaves = self._octaves(
            seconds, self._periods_s[:, None], self._amplitudes[:, None], self._keys[:, None]
        )
        return np.add.accumulate(octaves)[-1]  # one after the other, as for many

    def _at_many(self, seconds: Floats) -> Floats:
        """The same, one octave at a time: a column fits the processor's cache, a table does not."""
        value = np.zeros(len(seconds))
        for octave in zip(self._periods_s, self._amplitudes, self._keys, strict=True):
            value += self._octaves(seconds, *octave)
        return value

    def _octaves(self, seconds: Floats, period_s: Any, amplitude: Any, key: Any) -> Floats:
        phase = seconds / period_s
        cell = np.floor(phase)
        part = phase - cell
        ease = part * part * (3.0 - 2.0 * part)
        left, right = _edges(cell.astype(np.int64), key)
        return (left + (right - left) * ease) * amplitude


def _edges(cell: NDArray[np.int64], key: Any) -> tuple[Floats, Floats]:
    """What was drawn for each cell and for the next; many moments of one cell draw it once."""
    if cell.ndim == 1 and len(cell):
        first = int(cell.min())
        count = int(cell.max()) - first + 2
        if count < len(cell):
            drawn = _lattice(np.arange(first, first + count), key)
            return drawn[cell - first], drawn[cell - first + 1]
    return _lattice(cell, key), _lattice(cell + 1, key)


def _lattice(cell: NDArray[np.int64], key: Any) -> Floats:
    return 2.0 * _unit(_mix(cell.astype(np.uint64) * _GOLDEN ^ key)) - 1.0


def _unit(words: Words) -> Floats:
    return (words >> np.uint64(11)).astype(np.float64) * _TO_UNIT


def _mix(words: Words) -> Words:
    mixed = words + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(31))
