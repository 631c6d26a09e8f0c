"""The clock of the simulated terminal: the injected one, faster, elsewhere, or stepped."""

from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock

NS_PER_US: Final = 1_000
STEP_S_MAX: Final = 10 * 365 * 24 * 3_600


class TerminalClock:
    """Market time in microseconds since the epoch, UTC.

    It follows the injected clock, unless it was given a moment to start from and a speed.
    """

    def __init__(self, clock: Clock, *, starts_us: int | None = None, speed: float = 1.0) -> None:
        self._clock = clock
        self._anchor_ns = clock.now_ns()
        self._starts_ns = self._anchor_ns if starts_us is None else starts_us * NS_PER_US
        self._speed = speed
        self._is_plain = starts_us is None and speed == 1.0
        self._stepped_us = 0

    def now_us(self) -> int:
        """Now, steps included."""
        now_ns = self._clock.now_ns()
        if not self._is_plain:
            now_ns = self._starts_ns + round((now_ns - self._anchor_ns) * self._speed)
        return now_ns // NS_PER_US + self._stepped_us

    def step(self, seconds: float) -> None:
        """Jump, as a machine's clock does after a correction; `ValueError` beyond `STEP_S_MAX`."""
        if not abs(seconds) <= STEP_S_MAX:
            raise ValueError(f"a step of {seconds} seconds is longer than {STEP_S_MAX}")
        self._stepped_us += round(seconds * NS_PER_S) // NS_PER_US
