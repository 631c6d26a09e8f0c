"""Telling the platform when this service becomes better or worse."""

from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import ServiceStateChanged
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError

LOOK_EVERY_S: Final = 1.0


class StateAnnouncer:
    """Publishes `ServiceStateChanged` within a second of each change of the overall health.

    A change that could not be published is published when the bus is back, unless it is past.
    """

    def __init__(
        self, bus: EventBus, health: HealthRegistry, *, clock: Clock, errors: ErrorHandler
    ) -> None:
        self.name = "state-announcer"
        self.depends_on = ("bus",)
        self.critical = False
        self.state = ComponentState.NEW
        self._bus = bus
        self._health = health
        self._clock = clock
        self._errors = errors
        self._told: ComponentState | None = None
        self._tasks = TaskSet(self.name, on_error=self._failed)

    async def start(self) -> None:
        """Look from now on."""
        self._tasks.start(self._announce_for_ever(), name="announce")
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Look no more."""
        await self._tasks.close()
        self.state = ComponentState.STOPPED

    async def _announce_for_ever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            state = self._health.state()
            if state is not self._told:
                await self._announce(state)

    async def _announce(self, state: ComponentState) -> None:
        event = ServiceStateChanged(
            service=self._health.service,
            instance=self._health.instance,
            previous=self._told,
            state=state,
        )
        try:
            await self._bus.publish(event)
        except AitradingError as exc:
            self._errors.classify(exc)
        else:
            self._told = state

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
        self.state = ComponentState.FAILED
