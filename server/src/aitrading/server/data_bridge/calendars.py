"""Which market is open now, in the words of the organisation that asks."""

from collections.abc import Callable
from typing import Final

from typing_extensions import override

from aitrading.core.domain.market_hours import MarketHours, shipped_hours
from aitrading.core.domain.sessions import NO_CALENDAR, MarketNow
from aitrading.core.domain.symbols import Canonical
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.data_bridge.ports import TickStore
from aitrading.server.kit.calendar_settings import CalendarSettings, CalendarWords

REFRESH_S: Final = 10.0
"""How long a change of an organisation's words may take to act."""
SYMBOLS_MAX: Final = 50_000
"""Answers remembered; beyond it all are forgotten and computed again."""

_log = get_logger(__name__)


class Calendars(LoopingComponent):
    """Answers from memory; what an organisation says is asked of the database service in between.

    While that is away the last known words hold. Words that are not understood change nothing.
    """

    def __init__(self, store: TickStore, config: ConfigManager, clock: Clock) -> None:
        super().__init__("calendars")
        self.on_change: Callable[[TenantId], None] = lambda _: None
        """Told of an organisation whose words changed."""
        self._store = store
        self._config = config
        self._clock = clock
        self._words: dict[TenantId, CalendarWords] = {}
        self._hours: dict[TenantId, MarketHours] = {}
        self._answers: dict[tuple[TenantId, str], MarketNow] = {}

    @override
    async def start(self) -> None:
        """Follow the organisations' words from now on."""
        self._tasks.keep(self._follow, name="follow", clock=self._clock)
        self._state = ComponentState.HEALTHY

    def now(self, tenant: TenantId, symbol: str) -> MarketNow:
        """Whether the symbol's market is open; unknown without a calendar."""
        now_s = self._clock.now_ns() // NS_PER_S
        known = self._answers.get((tenant, symbol))
        if known is not None and known.holds_at(now_s):
            return known
        calendar = self._hours_of(tenant).calendar(symbol)
        answer = calendar.at(now_s) if calendar else NO_CALENDAR
        if len(self._answers) >= SYMBOLS_MAX:
            self._answers.clear()
        self._answers[tenant, symbol] = answer
        return answer

    def canonical(self, tenant: TenantId, symbol: str) -> Canonical | None:
        """What the symbol stands for."""
        return self._hours_of(tenant).canonical(symbol)

    def is_unwanted(self, tenant: TenantId, symbol: str) -> bool:
        """The symbol stands for nothing known, and the organisation believes only what it knows."""
        hours = self._hours_of(tenant)
        return self._words[tenant].quarantine_unknown and hours.canonical(symbol) is None

    def _hours_of(self, tenant: TenantId) -> MarketHours:
        hours = self._hours.get(tenant)
        if hours is None:
            self._take(tenant, self._config.get(CalendarSettings).words)
            hours = self._hours[tenant]
        return hours

    def _take(self, tenant: TenantId, words: CalendarWords) -> None:
        before = self._words.get(tenant)
        if words == before:
            return
        self._words[tenant] = words
        try:
            hours = shipped_hours().changed(
                symbols=words.symbols, sessions=words.sessions, closures=words.closures
            )
        except AitradingError as exc:
            _log.warning("a trading calendar was not understood", tenant=str(tenant), error=exc)
            hours = self._hours.get(tenant, shipped_hours())
        self._hours[tenant] = hours
        for key in [key for key in self._answers if key[0] == tenant]:
            del self._answers[key]
        if before is not None:
            self.on_change(tenant)

    async def refresh(self) -> None:
        """Ask for the words of every organisation that was asked about."""
        for tenant in tuple(self._hours):
            try:
                self._take(tenant, await self._store.calendar(tenant))
            except AitradingError as exc:
                _log.warning("the calendar of an organisation was not read", error=exc.code)

    async def _follow(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(REFRESH_S)
