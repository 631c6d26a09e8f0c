"""The part `market-monitor`: the rules over the ticks that the connector took anyway."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from aitrading.client.market_monitor.open_alerts import Key, OpenAlerts
from aitrading.client.market_monitor.watch import Change, Watch
from aitrading.core.domain.alert_rules import parse_rules
from aitrading.core.domain.market import TickArray
from aitrading.core.domain.market_hours import shipped_hours
from aitrading.core.domain.sessions import MarketNow, MarketState
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.device_settings import MarketMonitorSettings
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import Clock, now_ms
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import IdFactory
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.device_notes import AlertNote

PERIOD_S: Final = 1.0
NEWEST_MAX: Final = 50
WAITING_MAX: Final = 1_000
ALERTS: Final = Metric(
    name="aitrading_client_alerts_total",
    kind=MetricKind.COUNTER,
    help="Alerts about prices that began.",
    labels=("what",),
)

_log = get_logger(__name__)


class TickTap(Protocol):
    """Where ticks pass; `TickJournal` calls it with what it has stored."""

    observers: list[Callable[[str, TickArray], None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertView:
    """An alert as the client's page shows it."""

    symbol: str
    rule: str
    value: str
    raised: bool
    at_ms: int


class MarketMonitor:
    """Judges each batch of ticks as it passes, and silence once a second.

    Nothing is asked of the terminal. What changes is told once: to the log, to the page, and
    through `tell` to the server.
    """

    def __init__(
        self,
        tap: TickTap,
        config: ConfigManager,
        tell: Callable[[AlertNote], Awaitable[object]],
        kept: OpenAlerts,
        *,
        clock: Clock,
        ids: IdFactory,
        metrics: Metrics,
    ) -> None:
        self.newest: deque[AlertView] = deque(maxlen=NEWEST_MAX)
        self._tap = tap
        self._config = config
        self._tell = tell
        self._kept = kept
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._watches: dict[str, list[Watch]] = {}
        self._alerts: dict[Key, AlertNote] = {}
        self._changes: deque[Change] = deque(maxlen=WAITING_MAX)
        self._gone: list[AlertNote] = []
        self._hours: dict[str, MarketNow | None] = {}
        self._since_ms = now_ms(clock)
        self._ticks = 0
        self._state = ComponentState.HEALTHY

    @property
    def state(self) -> ComponentState:
        """HEALTHY: what it watches may be silent, but not the watching."""
        return self._state

    @property
    def open_alerts(self) -> list[AlertView]:
        """What is wrong now."""
        return [_view(note) for note in self._alerts.values()]

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        return {
            "symbols": ", ".join(self._watches),
            "rules": sum(len(watches) for watches in self._watches.values()),
            "ticks": self._ticks,
            "open_alerts": len(self._alerts),
        }

    async def run(self) -> None:
        """Watch for ever; rules that change count from the next second on."""
        self._alerts = await asyncio.to_thread(self._kept.load)
        for note in self._alerts.values():
            await self._tell(note)
        settings = self._config.get(MarketMonitorSettings)
        self._arrange(settings)
        self._tap.observers.append(self.on_rows)
        try:
            while True:
                current = self._config.get(MarketMonitorSettings)
                if current != settings:
                    settings = current
                    self._arrange(settings)
                self._look_at_time()
                while self._gone:  # nobody asks for these any more
                    await self._ended(self._gone.pop())
                while self._changes:
                    await self._told(self._changes.popleft())
                await self._clock.sleep(PERIOD_S)
        finally:
            self._tap.observers.remove(self.on_rows)

    def on_rows(self, symbol: str, rows: TickArray) -> None:
        """Ticks that were just stored; quick, it runs in their way."""
        watches = self._watches.get(symbol)
        if watches is None:
            return
        self._ticks += len(rows)
        whole = rows[(rows["bid"] > 0) & (rows["ask"] > 0)]
        if not len(whole):
            return
        at_ms = now_ms(self._clock)
        for watch in watches:
            self._note(watch.on_ticks(whole, at_ms))

    def _arrange(self, settings: MarketMonitorSettings) -> None:
        """Watch what the settings say; a rule that stays keeps what it knows."""
        known = {
            (watch.symbol, watch.rule): watch
            for watches in self._watches.values()
            for watch in watches
        }
        rules = parse_rules(settings.thresholds)
        self._watches = {
            symbol: [
                known.pop((symbol, rule), None) or Watch(rule, symbol)
                for rule in rules
                if rule.applies_to(symbol)
            ]
            for symbol in settings.pairs
        }
        watched = {
            (watch.symbol, watch.rule.text): watch
            for watches in self._watches.values()
            for watch in watches
        }
        for key, note in self._alerts.items():
            if watch := watched.get(key):
                watch.raised, watch.began_ms = True, note.at_ms  # of an earlier run, or already so
        self._gone = [note for key, note in self._alerts.items() if key not in watched]

    def _look_at_time(self) -> None:
        at_ms = now_ms(self._clock)
        for symbol, watches in self._watches.items():
            is_open = self._is_open(symbol, at_ms // 1_000)
            for watch in watches:
                self._note(watch.on_time(at_ms, is_open=is_open, since_ms=self._since_ms))

    def _is_open(self, symbol: str, utc_s: int) -> bool:
        """Whether ticks are due: not while the market is closed; of unknown hours, always."""
        known = self._hours.get(symbol)
        if known is None or not known.holds_at(utc_s):
            calendar = shipped_hours().calendar(symbol)
            known = calendar.at(utc_s) if calendar else None
            self._hours[symbol] = known
        return known is None or known.state is not MarketState.CLOSED

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self._changes.append(change)

    async def _told(self, change: Change) -> None:
        key = (change.symbol, change.rule.text)
        known = self._alerts.get(key)
        if change.raised == (known is not None):
            return
        value = format(change.value.normalize(), "f")
        if known is not None:
            await self._ended(known, value=value, at_ms=change.at_ms)
            return
        note = AlertNote(
            id=self._ids.new(),
            symbol=change.symbol,
            rule=change.rule.text,
            what=str(change.rule.what),
            value=value,
            at_ms=change.at_ms,
            raised=True,
        )
        self._alerts[key] = note
        await self._save()
        self._metrics.increment(ALERTS, what=note.what)
        _log.warning("alert", symbol=note.symbol, rule=note.rule, value=note.value)
        await self._say(note)

    async def _ended(
        self, known: AlertNote, *, value: str | None = None, at_ms: int | None = None
    ) -> None:
        note = msgspec.structs.replace(
            known,
            raised=False,
            value=value or known.value,
            at_ms=now_ms(self._clock) if at_ms is None else at_ms,
        )
        _log.info("alert ended", symbol=note.symbol, rule=note.rule, value=note.value)
        await self._say(note)
        self._alerts.pop((note.symbol, note.rule), None)
        await self._save()

    async def _say(self, note: AlertNote) -> None:
        self.newest.appendleft(_view(note))
        await self._tell(note)

    async def _save(self) -> None:
        """Before a beginning is told and after an end is: the next run tells what is open again.

        A beginning that was told twice, and an end that was, are one: both carry the same id.
        """
        await asyncio.to_thread(self._kept.save, dict(self._alerts))


def _view(note: AlertNote) -> AlertView:
    return AlertView(
        symbol=note.symbol,
        rule=note.rule,
        value=note.value,
        raised=note.raised,
        at_ms=note.at_ms,
    )
