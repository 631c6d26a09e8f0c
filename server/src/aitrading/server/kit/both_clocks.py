"""A moment by both clocks: for what one of them, corrected, would let be forgotten or go on.

What ends by the wall clock - a token, a proof - lives longer when that clock is set back. A memory
of it that went by the monotonic clock alone would end first, and let it in again: it lasts until
both say so. What a token opened and nobody looks at again ends as soon as one says so.
"""

from typing import NamedTuple

from aitrading.core.kit.clock import NS_PER_S, Clock


class Until(NamedTuple):
    """Over when both clocks say so."""

    monotonic_ns: int
    wall_ns: int

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Until":
        """So long from now."""
        rest_ns = round(seconds * NS_PER_S)
        return cls(clock.monotonic_ns() + rest_ns, clock.now_ns() + rest_ns)

    def is_over(self, clock: Clock) -> bool:
        """Whether both clocks passed it."""
        return clock.monotonic_ns() > self.monotonic_ns and clock.now_ns() > self.wall_ns


class AtMost(NamedTuple):
    """Over when the first of both clocks says so."""

    monotonic_ns: int
    wall_ns: int

    @classmethod
    def until(cls, clock: Clock, wall_ns: int) -> "AtMost":
        """Until a moment of the wall clock, as far away as it is now."""
        return cls(clock.monotonic_ns() + wall_ns - clock.now_ns(), wall_ns)

    def is_over(self, clock: Clock) -> bool:
        """Whether one of them reached it."""
        return clock.monotonic_ns() >= self.monotonic_ns or clock.now_ns() >= self.wall_ns
