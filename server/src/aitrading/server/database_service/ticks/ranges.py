"""Sets of sequence numbers as ranges: what is stored, and what is not."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MAX_RANGES: Final = 1_024
"""Most ranges kept per stream; beyond it the oldest holes are closed and never filled."""
_PAIR: Final = re.compile(r"\[(\d+),(\d+)\)")


@dataclass(frozen=True, slots=True)
class SequenceRanges:
    """An immutable set of numbers; `pairs` are inclusive, ascending and never touch."""

    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "SequenceRanges":
        """Read PostgreSQL's `int8multirange`, for example `{[1,101),[205,300)}`."""
        return cls(tuple((int(first), int(end) - 1) for first, end in _PAIR.findall(text)))

    def render(self) -> str:
        """Write for `parse` and for PostgreSQL."""
        return "{" + ",".join(f"[{first},{last + 1})" for first, last in self.pairs) + "}"

    @property
    def last(self) -> int:
        """The highest number; 0 for the empty set."""
        return self.pairs[-1][1] if self.pairs else 0

    def holes(self) -> list[tuple[int, int]]:
        """What is missing between 1 and `last`."""
        edges = [(0, 0), *self.pairs]
        return [
            (before[1] + 1, after[0] - 1)
            for before, after in pairwise(edges)
            if before[1] + 1 < after[0]
        ]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of [first, last] that are not in the set."""
        found: list[tuple[int, int]] = []
        start = bisect_left(self.pairs, first, key=lambda pair: pair[1])
        for low, high in self.pairs[start:]:
            if low > last:
                break
            if first < low:
                found.append((first, low - 1))
            first = high + 1
        if first <= last:
            found.append((first, last))
        return found

    def with_range(self, first: int, last: int) -> "SequenceRanges":
        """The set with [first, last] added."""
        start = bisect_left(self.pairs, first - 1, key=lambda pair: pair[1])
        end = bisect_right(self.pairs, last + 1, key=lambda pair: pair[0])
        for low, high in self.pairs[start:end]:
            first, last = min(first, low), max(last, high)
        return SequenceRanges((*self.pairs[:start], (first, last), *self.pairs[end:]))

    def with_ranges(self, ranges: Iterable[tuple[int, int]]) -> "SequenceRanges":
        """The set with all of these added."""
        result = self
        for first, last in ranges:
            result = result.with_range(first, last)
        return result

    def bounded(self, limit: int = MAX_RANGES) -> "SequenceRanges":
        """At most `limit` ranges: the oldest holes count as stored from now on."""
        if len(self.pairs) <= limit:
            return self
        excess = len(self.pairs) - limit
        merged = (self.pairs[0][0], self.pairs[excess][1])
        return SequenceRanges((merged, *self.pairs[excess + 1 :]))


def runs_of(sequences: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges."""
    runs: list[tuple[int, int]] = []
    for sequence in sequences:
        if runs and runs[-1][1] + 1 == sequence:
            runs[-1] = (runs[-1][0], sequence)
        else:
            runs.append((sequence, sequence))
    return runs
