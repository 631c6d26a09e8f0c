"""How long to wait before the terminal is asked again."""

from dataclasses import dataclass, field
from typing import Final

from aitrading.core.kit.clock import NS_PER_MS

GROWTH: Final = 1.5
REST: Final = 0.5
"""The terminal is left alone at least this share of the time that its last answers took."""
MS_PER_S: Final = 1_000


@dataclass
class PollPace:
    """Short intervals while ticks come; each question in vain makes the next one longer.

    A tick in a quiet market is noticed at most `longest_ms` late; one that follows another within
    `shortest_ms` never waits longer than that, unless asking and storing take longer themselves.
    """

    shortest_ms: int
    longest_ms: int
    _interval_ms: float = field(init=False)

    def __post_init__(self) -> None:
        self._interval_ms = self.shortest_ms

    def note(self, *, found: bool) -> None:
        """Learn whether the last question brought anything."""
        longest_ms = max(self.shortest_ms, self.longest_ms)
        self._interval_ms = (
            self.shortest_ms if found else min(longest_ms, self._interval_ms * GROWTH)
        )

    def pause_s(self, took_ns: int) -> float:
        """The pause after a question that took this long, with the storing of what it brought."""
        took_ms = took_ns / NS_PER_MS
        return max(self._interval_ms - took_ms, took_ms * REST) / MS_PER_S
