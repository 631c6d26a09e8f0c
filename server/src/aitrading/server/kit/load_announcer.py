"""Telling the platform when limits shrink and when they are whole again: one event for each."""

from typing import Final

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import LimitsChanged
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.load_meter import Episode, LoadMeter

LOOK_EVERY_S: Final = 1.0
_Told = tuple[int, bool]


class LoadAnnouncer:
    """Publishes `LimitsChanged` within a second of the first step, and of the end.

    The steps between are told by the end: how long it lasted, and how little was left. While the
    bus is away it tries again; what began and ended meanwhile is told as ended.
    """

    def __init__(
        self,
        bus: EventBus,
        meter: LoadMeter,
        bundle: ServiceBundle,
        *,
        clock: Clock,
        errors: ErrorHandler,
    ) -> None:
        self.name = "load-announcer"
        self.depends_on = ("bus",)
        self.critical = False
        self.state = ComponentState.NEW
        self._bus = bus
        self._meter = meter
        self._bundle = bundle
        self._clock = clock
        self._errors = errors
        self._told: _Told | None = None
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
            episode = self._meter.episode
            if episode is not None and self._told != _told(episode):
                await self._announce(episode)

    async def _announce(self, episode: Episode) -> None:
        event = LimitsChanged(
            service=self._bundle.service,
            instance=self._bundle.instance,
            reduced=episode.ended_ns is None,
            percent=episode.percent,
            wait_ms=round(episode.wait_ms),
            began_ns=episode.began_ns,
            ended_ns=episode.ended_ns,
        )
        try:
            await self._bus.publish(event)
        except AitradingError as exc:
            self._errors.classify(exc)
        else:
            self._told = _told(episode)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
        self.state = ComponentState.FAILED


def _told(episode: Episode) -> _Told:
    return episode.began_ns, episode.ended_ns is None
