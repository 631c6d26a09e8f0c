"""What a process tells about itself again and again, and what happens when it cannot."""

from abc import abstractmethod
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.logging.optimized_log_router import get_logger

DEGRADED_FOR_S: Final = 60

_log = get_logger(__name__)


class Reporter(LoopingComponent):
    """Reports at a steady pace over the bus, and a last time when it ends.

    DEGRADED for a minute after something had to be dropped for want of room as well.
    """

    def __init__(self, name: str, *, every_s: float, clock: Clock, errors: ErrorHandler) -> None:
        super().__init__(name, on_error=errors.classify)
        self.depends_on = ("bus",)
        self.critical = False
        self._clock = clock
        self._every_s = every_s
        self._dropped = 0
        self._dropped_at_ns: int | None = None

    @property
    @override
    def state(self) -> ComponentState:
        if self._state is ComponentState.HEALTHY and self._dropped_at_ns is not None:
            since_ns = self._clock.monotonic_ns() - self._dropped_at_ns
            if since_ns < DEGRADED_FOR_S * NS_PER_S:
                return ComponentState.DEGRADED
        return super().state

    @override
    async def start(self) -> None:
        """Report for ever."""
        self._tasks.keep(self._report_for_ever, name="report", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Report a last time; what is not taken then is lost."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        await self.report()
        self._state = ComponentState.STOPPED

    @abstractmethod
    async def report(self) -> None:
        """Hand over what waits; what nobody takes waits on."""

    def _note_dropped(self, dropped: int, what: str) -> None:
        """So many were dropped since the start: news are logged, and degrade."""
        if dropped > self._dropped:
            _log.warning("%s were dropped: %d", what, dropped - self._dropped)
            self._dropped = dropped
            self._dropped_at_ns = self._clock.monotonic_ns()

    async def _report_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._every_s)
            await self.report()
