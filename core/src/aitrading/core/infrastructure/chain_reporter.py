"""Sharing chain measurements: each process publishes its own every second, some merge all."""

from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import ChainMeasured
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError

REPORT_EVERY_S: Final = 1.0


class ChainReporter:
    """Publishes what this process measured; with `merges` it also takes over the others'.

    While the bus is lost, measurements of that time are seen by this process alone.
    """

    def __init__(
        self,
        bus: EventBus,
        chains: ChainRegistry,
        *,
        clock: Clock,
        errors: ErrorHandler,
        merges: bool,
    ) -> None:
        self.name = "chain-reporter"
        self.depends_on = ("bus",)
        self.critical = False
        self._state = ComponentState.NEW
        self._bus = bus
        self._chains = chains
        self._clock = clock
        self._errors = errors
        self._merges = merges
        self._subscription: Subscription | None = None
        self._tasks = TaskSet(self.name, on_error=self._failed)

    @property
    def state(self) -> ComponentState:
        """DEGRADED for a minute after its work failed; it goes on."""
        return self._tasks.judged(self._state)

    async def start(self) -> None:
        """Subscribe, then report for ever."""
        if self._merges:
            self._subscription = await self._bus.subscribe(ChainMeasured, self._on_measured)
        self._tasks.keep(self._report_for_ever, name="report", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop reporting; what was not published yet is lost to the others."""
        self._state = ComponentState.STOPPING
        await self._tasks.close()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()
        self._state = ComponentState.STOPPED

    async def _report_for_ever(self) -> None:
        while True:
            await self._clock.sleep(REPORT_EVERY_S)
            await self._report()

    async def _report(self) -> None:
        for event in self._chains.drain():
            try:
                await self._bus.publish(event)
            except AitradingError as exc:
                self._errors.classify(exc)

    async def _on_measured(self, event: ChainMeasured, _envelope: EventEnvelope) -> None:
        self._chains.merge(event)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
