"""How many workers there should be: a value that is told what is measured.

It grows by one when a question waits too long, at once when history has no worker at all, and
shrinks by one only when for a while one fewer would have been half idle and nothing waited. So a
burst makes it grow within a second, and a pause between two bursts does not make it shrink.
"""

from dataclasses import dataclass, field
from typing import Final

from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S

ENOUGH_IDLE: Final = 0.5
"""One fewer is enough if it would have been busy for less than this share of its time."""


@dataclass(frozen=True, kw_only=True)
class ScalingRules:
    """Bounds and patience."""

    workers_min: int
    workers_max: int
    grow_after_ms: int
    shrink_after_s: float


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What was measured since the last look."""

    now_ns: int
    oldest_ns: int | None
    """Since when the oldest question waits."""
    lacks_history: bool
    """History waits, and no worker could ever take it."""
    busy_ns: int
    """Time all workers together were asked, since the last look."""


@dataclass
class Scaling:
    """The wanted number of workers; it changes by one at a look."""

    rules: ScalingRules
    wanted: int = field(init=False)
    _looked_ns: int | None = None
    _quiet_since_ns: int | None = None

    def __post_init__(self) -> None:
        self.wanted = self.rules.workers_min

    def look(self, volume: Volume) -> int:
        """Decide, and give the wanted number."""
        elapsed_ns = volume.now_ns - (self._looked_ns or volume.now_ns)
        self._looked_ns = volume.now_ns
        if self._waits_too_long(volume):
            self._quiet_since_ns = None
            self.wanted = min(self.wanted + 1, self.rules.workers_max)
        elif not self._is_one_too_many(volume, elapsed_ns):
            self._quiet_since_ns = None
        else:
            self._shrink_in_time(volume.now_ns)
        return self.wanted

    def _waits_too_long(self, volume: Volume) -> bool:
        if volume.lacks_history:
            return True
        if volume.oldest_ns is None:
            return False
        return volume.now_ns - volume.oldest_ns >= self.rules.grow_after_ms * NS_PER_MS

    def _is_one_too_many(self, volume: Volume, elapsed_ns: int) -> bool:
        fewer = self.wanted - 1
        if fewer < self.rules.workers_min or volume.oldest_ns is not None:
            return False
        return volume.busy_ns <= ENOUGH_IDLE * fewer * elapsed_ns

    def _shrink_in_time(self, now_ns: int) -> None:
        if self._quiet_since_ns is None:
            self._quiet_since_ns = now_ns
        elif now_ns - self._quiet_since_ns >= self.rules.shrink_after_s * NS_PER_S:
            self.wanted -= 1
            self._quiet_since_ns = now_ns
