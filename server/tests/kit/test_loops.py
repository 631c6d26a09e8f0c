"""Work without an end goes on after a round that failed, and its owner says so for a minute."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

import pytest

from aitrading.core.infrastructure.chain_reporter import ChainReporter
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import AGAIN_FIRST_S, AILING_S, ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.identity.housekeeping import Housekeeping
from aitrading.server.database_service.backups.watch import BackupWatch
from aitrading.server.database_service.bars.keeper import BarKeeper
from aitrading.server.database_service.bars.settings import BarSettings
from aitrading.server.database_service.cache.quotes import QuoteCache
from aitrading.server.database_service.chain_graph.keeper import ChainKeeper
from aitrading.server.database_service.metrics_history.keeper import HistoryKeeper
from aitrading.server.database_service.metrics_history.settings import HistorySettings
from aitrading.server.database_service.ticks.tidier import Tidier
from aitrading.server.kit.load_meter import LoadMeter, StoreWaits
from aitrading.server.kit.state_announcer import StateAnnouncer
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.guard import EngineGuard
from aitrading.server.trading_engine.kill_audit import KillAudit
from aitrading.server.trading_engine.trading_switch import TradingSwitch


class Nothing:
    """Stands where a loop's work would go on to; the work of these rounds is another."""

    name = "nothing"
    platform = None

    async def close(self) -> None:
        return None


NOTHING: Any = Nothing()
Make = Callable[[ManualClock, ErrorHandler], Any]


@dataclass(frozen=True)
class Loop:
    """A component, which of its methods is a round, and the longest time to the next one."""

    make: Make
    round: str
    period_s: float
    quiet: tuple[str, ...] = ()
    """What else a round calls."""


LOOPS = {
    "announcer": Loop(
        lambda clock, errors: StateAnnouncer(NOTHING, NOTHING, clock=clock, errors=errors),
        "look", 1,
    ),
    "backup watch": Loop(
        lambda clock, errors: BackupWatch(NOTHING, Metrics(), clock, errors), "look", 60
    ),
    "bars": Loop(
        lambda clock, errors: BarKeeper(
            NOTHING, NOTHING, NOTHING, NOTHING, BarSettings(), clock, errors, Metrics()
        ),
        "keep", 60, ("_everybody",),
    ),
    "chain graph": Loop(
        lambda clock, errors: ChainKeeper(NOTHING, NOTHING, clock, errors), "fill", 5
    ),
    "chain reporter": Loop(
        lambda clock, errors: ChainReporter(
            NOTHING, NOTHING, clock=clock, errors=errors, merges=False
        ),
        "report", 1,
    ),
    "history": Loop(
        lambda clock, errors: HistoryKeeper(
            NOTHING, NOTHING, NOTHING, HistorySettings(), clock, errors, Metrics()
        ),
        "round", 60, ("_forget",),
    ),
    "housekeeping": Loop(
        lambda clock, errors: Housekeeping(NOTHING, clock=clock, on_error=errors.classify),
        "clean", 3_600,
    ),
    "kill audit": Loop(
        lambda clock, errors: KillAudit(
            switches=NOTHING, pool=NOTHING, audit=NOTHING, errors=errors, clock=clock
        ),
        "look", 1,
    ),
    "load": Loop(
        lambda clock, _: LoadMeter(StoreWaits(), metrics=Metrics(), clock=clock), "judge", 1.1
    ),
    "quotes": Loop(lambda clock, errors: QuoteCache(NOTHING, NOTHING, errors, clock), "flush", 1),
    "tidier": Loop(lambda clock, errors: Tidier(NOTHING, NOTHING, clock, errors), "tidy", 3_600),
}  # fmt: skip


class Rounds:
    """Counts the rounds; the first one fails as nobody foresaw."""

    def __init__(self) -> None:
        self.done = 0

    def take(self, *_: object) -> None:
        self.done += 1
        if self.done == 1:
            raise ZeroDivisionError("nobody foresaw this")

    async def take_async(self, *_: object) -> None:
        self.take()


async def _quiet(*_: object) -> None:
    return None


def handler(clock: ManualClock) -> ErrorHandler:
    return ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@async_test
async def test_a_round_that_fails_is_followed_by_others_and_the_state_comes_back(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, rounds = ManualClock(), Rounds()
    component = loop.make(clock, handler(clock))
    is_async = iscoroutinefunction(getattr(component, loop.round))
    monkeypatch.setattr(component, loop.round, rounds.take_async if is_async else rounds.take)
    for name in loop.quiet:
        monkeypatch.setattr(component, name, _quiet)
    await component.start()
    try:
        step_s = min(10, loop.period_s / 100)
        while not rounds.done and clock.monotonic_ns() <= loop.period_s * NS_PER_S:
            await clock.advance(step_s)
        assert (rounds.done, component.state) == (1, ComponentState.DEGRADED)
        await clock.advance(AGAIN_FIRST_S + max(AILING_S, loop.period_s))
        assert rounds.done >= 2
        assert component.state is ComponentState.HEALTHY
    finally:
        await component.stop()
    assert component.state is ComponentState.STOPPED


class OddPool:
    """A database that fails once, in a way that no driver declares."""

    name = "postgres"

    def __init__(self) -> None:
        self.rounds = Rounds()

    @asynccontextmanager
    async def platform_read(self) -> AsyncIterator[Any]:
        self.rounds.take()
        yield self

    async def fetch_value(self, _: str) -> int:
        return 1


class OddBus:
    """A bus that is there and has nothing to tell."""

    connected = True

    async def subscribe(self, *_: object, **__: object) -> "OddBus":
        return self

    def statistics(self) -> "OddBus":
        return self

    async def close(self) -> None:
        return None


@async_test
async def test_a_guard_that_cannot_look_halts_trading_until_it_can_again() -> None:
    clock, switch = ManualClock(), TradingSwitch()
    pool, bus = OddPool(), OddBus()
    pool_of_any: Any = pool
    bus_of_any: Any = bus
    guard = EngineGuard(
        bus=bus_of_any, pool=pool_of_any, feeds=FeedWatch(), switch=switch,
        errors=handler(clock), clock=clock,
    )  # fmt: skip
    await guard.start()
    try:
        await clock.advance(0.5)
        assert {each.name for each in switch.reasons} == {"engine", "engine-guard"}
        assert guard.state is ComponentState.DEGRADED
        await clock.advance(AGAIN_FIRST_S)
        assert {each.name for each in switch.reasons} == {"engine"}
        await clock.advance(AILING_S)
        assert guard.state is ComponentState.HEALTHY
        assert pool.rounds.done > 1
    finally:
        await guard.stop()
