"""Telling the platform of what changed in this process: looked at each second, told until it is out."""

from abc import abstractmethod
from typing import Final, Generic, TypeVar

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import Event, EventBus
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError

LOOK_EVERY_S: Final = 1.0
T = TypeVar("T")


class Announcer(LoopingComponent, Generic[T]):
    """Publishes an event within a second of each change of what it sees; None is nothing to tell.

    A change that could not be published is published when the bus is back, unless it is past.
    """

    def __init__(self, name: str, bus: EventBus, *, clock: Clock, errors: ErrorHandler) -> None:
        super().__init__(name, on_error=errors.classify)
        self.depends_on = ("bus",)
        self.critical = False
        self.told: T | None = None
        """What the platform knows."""
        self._bus = bus
        self._clock = clock
        self._errors = errors

    @abstractmethod
    def look(self) -> T | None:
        """What there is to be known now."""

    @abstractmethod
    def event(self, seen: T) -> Event:
        """How it is told."""

    def is_news(self, seen: T) -> bool:
        """Whether the platform has to be told."""
        return seen != self.told

    @override
    async def start(self) -> None:
        """Look from now on."""
        self._tasks.keep(self._announce_for_ever, name="announce", clock=self._clock)
        self._state = ComponentState.HEALTHY

    async def _announce_for_ever(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            seen = self.look()
            if seen is not None and self.is_news(seen):
                await self._announce(seen)

    async def _announce(self, seen: T) -> None:
        try:
            await self._bus.publish(self.event(seen))
        except AitradingError as exc:
            self._errors.classify(exc)
        else:
            self.told = seen
