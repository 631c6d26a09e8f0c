"""How long to wait before the terminal is asked again."""

from dataclasses import dataclass, field
from typing import Final

GROWTH: Final = 1.5
MS_PER_S: Final = 1_000


@dataclass
class PollPace:
    """Short pauses while ticks come; each question in vain makes the next pause longer.

    A tick in a quiet market is noticed at most `longest_ms` late; one that follows another within
    `shortest_ms` never waits longer than that.
    """

    shortest_ms: int
    longest_ms: int
    _pause_ms: float = field(init=False)

    def __post_init__(self) -> None:
        self._pause_ms = self.shortest_ms

    def note(self, *, found: bool) -> None:
        """Learn whether the last question brought anything."""
        longest_ms = max(self.shortest_ms, self.longest_ms)
        self._pause_ms = self.shortest_ms if found else min(longest_ms, self._pause_ms * GROWTH)

    @property
    def pause_s(self) -> float:
        """The pause before the next question."""
        return self._pause_ms / MS_PER_S
