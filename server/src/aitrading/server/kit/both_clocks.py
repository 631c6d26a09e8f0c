"""A moment by both clocks: for what must not be forgotten because one of them was corrected.

What ends by the wall clock - a token, a proof - lives longer when that clock is set back. A memory
of it that went by the monotonic clock alone would end first, and let it in again.
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
