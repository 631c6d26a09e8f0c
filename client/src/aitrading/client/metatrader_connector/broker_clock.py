"""How far the broker's clock is ahead of UTC; no terminal tells, so it is inferred.

A tick that has just arrived carries the broker's time of now. The difference to UTC, rounded to a
quarter of an hour, is the offset; what the rounding removes is the tick's age and the machine's
clock error, and must be small. One arrival is enough at the start; a known offset changes only
when several arrivals in a row agree, so a stale tick does not move it.
"""

from dataclasses import dataclass
from typing import Final

STEP_S: Final = 15 * 60
TOLERANCE_MS: Final = 60_000
LOWEST_S: Final = -12 * 3_600
HIGHEST_S: Final = 14 * 3_600
AGREEING_ARRIVALS: Final = 3


@dataclass
class BrokerClock:
    """The offset as far as it is known; `offset_s` is None until something is known."""

    offset_s: int | None = None
    is_configured: bool = False
    _candidate_s: int | None = None
    _agreeing: int = 0

    def arrived(self, event_ms: int, utc_ms: int) -> None:
        """Learn from a tick that was not there a moment ago."""
        offset_s = infer_offset_s(event_ms, utc_ms)
        if offset_s is None or self.is_configured:
            return
        if offset_s == self.offset_s:
            self._candidate_s, self._agreeing = None, 0
            return
        self._agreeing = self._agreeing + 1 if offset_s == self._candidate_s else 1
        self._candidate_s = offset_s
        if self.offset_s is None or self._agreeing >= AGREEING_ARRIVALS:
            self.offset_s = offset_s
            self._candidate_s, self._agreeing = None, 0


def infer_offset_s(event_ms: int, utc_ms: int) -> int | None:
    """The offset one fresh tick suggests, or None when it is not plausible."""
    difference_ms = event_ms - utc_ms
    offset_s = round(difference_ms / (STEP_S * 1_000)) * STEP_S
    if abs(difference_ms - offset_s * 1_000) > TOLERANCE_MS:
        return None
    return offset_s if LOWEST_S <= offset_s <= HIGHEST_S else None
