"""Telling the platform when limits shrink and when they are whole again: one event for each."""

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import LimitsChanged
from aitrading.core.kit.clock import Clock
from aitrading.server.kit.announcer import Announcer
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.load_meter import Episode, LoadMeter


class LoadAnnouncer(Announcer[Episode]):
    """Of the first step of an overload, and of its end.

    The steps between are told by the end: how long it lasted, and how little was left.
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
        super().__init__("load-announcer", bus, clock=clock, errors=errors)
        self._meter = meter
        self._bundle = bundle

    @override
    def look(self) -> Episode | None:
        return self._meter.episode

    @override
    def is_news(self, seen: Episode) -> bool:
        told = self.told
        return told is None or (told.began_ns, told.is_over) != (seen.began_ns, seen.is_over)

    @override
    def event(self, seen: Episode) -> LimitsChanged:
        return LimitsChanged(
            service=self._bundle.service,
            instance=self._bundle.instance,
            reduced=not seen.is_over,
            percent=seen.percent,
            wait_ms=round(seen.wait_ms),
            began_ns=seen.began_ns,
            ended_ns=seen.ended_ns,
        )
