"""Halts trading while something it stands on is missing, and says what."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.call_sites import CallSite
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EVERYWHERE, EventBus, Subscription
from aitrading.core.infrastructure.events import FeedStateChanged
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.trading_engine.call_sites import BUS_HALT, DATABASE_HALT
from aitrading.server.trading_engine.errors import ENGINE_BUS_LOST
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.trading_switch import TradingSwitch

LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """Something trading stands on: how to see that it holds, and the halt when it does not."""

    reason: str
    site: CallSite
    probe: Callable[[], Awaitable[None]]


class EngineGuard(LoopingComponent):
    """Looks at bus and database each second; halts on the first failure, resumes by itself."""

    def __init__(
        self,
        *,
        bus: EventBus,
        pool: PostgresPool,
        feeds: FeedWatch,
        switch: TradingSwitch,
        errors: ErrorHandler,
        clock: Clock,
    ) -> None:
        super().__init__("engine-guard", on_error=self._failed)
        self.depends_on = ("bus", pool.name)
        self._bus = bus
        self._pool = pool
        self._feeds = feeds
        self._switch = switch
        self._errors = errors
        self._clock = clock
        self._foundations = (
            Foundation(reason="bus", site=BUS_HALT, probe=self._probe_bus),
            Foundation(reason="database", site=DATABASE_HALT, probe=self._probe_database),
        )
        self._subscription: Subscription | None = None

    @override
    async def start(self) -> None:
        """Follow the feeds and look from now on."""
        self._subscription = await self._bus.subscribe(
            FeedStateChanged, self._feeds.on_change, scope=EVERYWHERE
        )
        self._tasks.keep(self._look_for_ever, name="look", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Look no more; what was halted stays halted."""
        await self._tasks.close()
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
        self._state = ComponentState.STOPPED

    async def look(self) -> None:
        """Test every foundation once."""
        for foundation in self._foundations:
            try:
                await foundation.probe()
            except AitradingError as exc:
                await self._halt(foundation, exc)
            else:
                self._resume(foundation)

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            self._switch.clear(self.name)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _halt(self, foundation: Foundation, exc: AitradingError) -> None:
        self._switch.halt(foundation.reason, exc.message)
        await self._errors.halt(foundation.site, exc.code)

    def _resume(self, foundation: Foundation) -> None:
        self._switch.clear(foundation.reason)
        self._errors.resume(foundation.site)

    async def _probe_bus(self) -> None:
        if not self._bus.statistics().connected:
            self._feeds.forget_all()
            raise ENGINE_BUS_LOST.error()

    async def _probe_database(self) -> None:
        async with self._pool.platform_read() as tx:
            await tx.fetch_value("SELECT 1")

    def _failed(self, exc: Exception) -> None:
        """Who cannot look does not know that anything holds."""
        self._errors.classify(exc)
        self._switch.halt(self.name, "bus and database cannot be looked at; it is tried again")
