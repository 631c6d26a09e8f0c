"""Sharing chain measurements: each process publishes its own every second, some merge all."""

from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainRegistry
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import ChainMeasured
from aitrading.core.infrastructure.reporting import Reporter
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError

REPORT_EVERY_S: Final = 1.0


class ChainReporter(Reporter):
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
        super().__init__("chain-reporter", every_s=REPORT_EVERY_S, clock=clock, errors=errors)
        self._bus = bus
        self._chains = chains
        self._errors = errors
        self._merges = merges
        self._subscription: Subscription | None = None

    @override
    async def start(self) -> None:
        """Subscribe, then report for ever."""
        if self._merges:
            self._subscription = await self._bus.subscribe(ChainMeasured, self._on_measured)
        await super().start()

    @override
    async def stop(self) -> None:
        """Report a last time; what is not published then is lost to the others."""
        await super().stop()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    @override
    async def report(self) -> None:
        for event in self._chains.drain():
            try:
                await self._bus.publish(event)
            except AitradingError as exc:
                self._errors.classify(exc)

    async def _on_measured(self, event: ChainMeasured, _envelope: EventEnvelope) -> None:
        self._chains.merge(event)
