"""Telling the platform when this service becomes better or worse."""

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import ServiceStateChanged
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import Clock
from aitrading.server.kit.announcer import Announcer


class StateAnnouncer(Announcer[ComponentState]):
    """Of each change of the overall health."""

    def __init__(
        self, bus: EventBus, health: HealthRegistry, *, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("state-announcer", bus, clock=clock, errors=errors)
        self._health = health

    @override
    def look(self) -> ComponentState:
        return self._health.state()

    @override
    def event(self, seen: ComponentState) -> ServiceStateChanged:
        return ServiceStateChanged(
            service=self._health.service,
            instance=self._health.instance,
            previous=self.told,
            state=seen,
        )
