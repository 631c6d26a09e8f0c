"""A process notices that work waits in it, grants less, tells it once, and grants all again."""

from typing import Any
from uuid import UUID

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import LimitsChanged
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId, UserId
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.core.testing.seeded import SeededRandomness
from aitrading.server.kit.cache.in_process import InProcessCache
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.limit_levels import Device, LevelName, LimitKind, LimitLevels
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.load_announcer import LoadAnnouncer
from aitrading.server.kit.load_meter import LoadMeter, StoreWaits
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.policy import limits_policy

POLICY = limits_policy().load
LATE_S = POLICY.overloaded_ms / 1_000
COUNTED = [kind for kind in LimitKind if kind is not LimitKind.EXEMPT]
TENANT = TenantId(UUID(int=7))


class Caller:
    tenant = TENANT
    user = UserId(UUID(int=1))
    rates: RateClaims = NO_RATES


class Bundle:
    service, instance = "bridge", "1"


class Room:
    """One process, with a clock of the test's."""

    def __init__(self) -> None:
        self.clock, self.broker, self.metrics = ManualClock(), MemoryBroker(), Metrics()
        randomness = SeededRandomness()
        ids = SystemIdFactory(self.clock, randomness)
        self.errors = ErrorHandler(
            clock=self.clock,
            randomness=randomness,
            metrics=self.metrics,
            resilience=ResilienceRegistry(),
        )
        self.bus = MemoryBus(
            self.broker, clock=self.clock, ids=ids, errors=self.errors, name="bridge"
        )
        self.waits = StoreWaits()
        self.meter = LoadMeter(self.waits, metrics=self.metrics, clock=self.clock)
        self.levels = LimitLevels(LimitSettings, load=self.meter)
        cache = Cache(LIMITS, InProcessCache(self.clock), self.clock, ids)
        self.limits = RateLimits(
            cache, cache, levels=self.levels, client=None, errors=self.errors,
            metrics=self.metrics, clock=self.clock,
        )  # fmt: skip

    def seconds(self, number: int, *, loop_s: float = 0.0, stores_s: float = 0.0) -> None:
        for _ in range(number):
            self.meter.judge(loop_s, stores_s)

    def numbers(self) -> dict[tuple[LevelName, LimitKind], int]:
        """Of every level and kind."""
        person = [self.levels.of_person(Caller(), kind, "192.0.2.1") for kind in COUNTED]
        device = self.levels.of_device(Device(TENANT, DeviceId(UUID(int=2))), "192.0.2.1")
        further = [
            device,
            self.levels.of_trading_account(TENANT, "a"),
            self.levels.of_account("somebody"),
        ]
        return {
            (level.name, level.kind): level.per_minute
            for levels in (*person, *further)
            for level in levels
        }


def test_every_level_keeps_its_floor_and_what_trades_keeps_the_whole() -> None:
    room = Room()
    whole = room.numbers()
    room.seconds(100, stores_s=10 * LATE_S)
    assert room.meter.step == len(POLICY.shares) - 1
    for (name, kind), number in room.numbers().items():
        assert number == whole[name, kind] * POLICY.floors[kind] // 100 > 0, (name, kind)
    steady = (LimitKind.TRADING, LimitKind.LINKS, LimitKind.HEALTH, LimitKind.HOST)
    assert {POLICY.floors[kind] for kind in steady} == {100}
    room.seconds(len(POLICY.shares) * POLICY.lower_after_s)
    assert room.numbers() == whole


@async_test
async def test_an_answer_tells_the_number_that_holds_now() -> None:
    room = Room()

    async def told(kind: LimitKind) -> int:
        standing = await room.limits.admit(Caller(), kind, address="192.0.2.1")
        assert standing is not None
        return standing.per_minute

    reading, trading = await told(LimitKind.GENERAL), await told(LimitKind.TRADING)
    room.seconds(POLICY.raise_after_s, loop_s=LATE_S)
    assert await told(LimitKind.GENERAL) == reading * POLICY.shares[1] // 100
    assert await told(LimitKind.TRADING) == trading
    text = room.metrics.render().decode()
    assert 'aitrading_limit_share{kind="general"} 0.7' in text
    assert f'aitrading_load_wait_s{{where="loop"}} {LATE_S}' in text
    room.seconds(POLICY.lower_after_s)
    assert await told(LimitKind.GENERAL) == reading


class Neighbour(Caller):
    tenant = TenantId(UUID(int=8))


@async_test
async def test_a_noisy_organisation_shrinks_before_its_neighbours() -> None:
    room = Room()
    noisy, quiet = Caller(), Neighbour()

    async def told(caller: Caller) -> int:
        standing = await room.limits.admit(caller, LimitKind.GENERAL, address="192.0.2.1")
        assert standing is not None
        return standing.per_minute

    async def second(loop_s: float) -> tuple[int, int]:
        """Of much work and of little; whoever is refused goes on asking all the same."""
        for _ in range(50):
            room.levels.note(room.levels.of_person(noisy, LimitKind.GENERAL, "")[1])
        room.seconds(1, loop_s=loop_s)
        return await told(noisy), await told(quiet)

    whole = await told(noisy)
    assert await told(quiet) == whole
    last = (len(POLICY.shares) - 1) * POLICY.raise_after_s
    shrinking = [await second(LATE_S) for _ in range(last)]
    floor = whole * POLICY.floors[LimitKind.GENERAL] // 100
    assert shrinking[-1] == (floor, whole)
    assert {number for _, number in shrinking} == {whole}
    helpless = [await second(LATE_S) for _ in range(last)]
    assert helpless[-1] == (floor, floor), "it was not the noisy one, or not alone"
    for _ in range(len(POLICY.shares) * POLICY.lower_after_s):
        back = await second(0)
    assert back == (whole, whole)


@async_test
async def test_orders_and_links_make_nobody_loud() -> None:
    room = Room()
    await room.limits.admit(Neighbour(), LimitKind.GENERAL)
    for _ in range(50):
        await room.limits.admit(Caller(), LimitKind.TRADING)
    room.seconds(POLICY.raise_after_s, loop_s=LATE_S)
    assert room.meter.share(LimitKind.GENERAL, TENANT) == 100
    assert room.meter.share(LimitKind.GENERAL, Neighbour.tenant) == POLICY.shares[1]


@async_test
async def test_it_measures_by_itself_how_long_transactions_wait() -> None:
    room = Room()
    await room.meter.start()
    for _ in range(POLICY.raise_after_s + 1):
        room.waits.note(3 * LATE_S)
        await room.clock.advance(1.1)
    assert room.meter.step == 1
    assert room.meter.statistics().wait_ms >= POLICY.overloaded_ms
    await room.clock.advance(2 * POLICY.lower_after_s)
    assert (room.meter.step, room.meter.statistics().since_ns) == (0, None)
    await room.meter.stop()


@async_test
async def test_one_event_tells_the_begin_and_one_the_end_whatever_was_between() -> None:
    room, heard = Room(), list[LimitsChanged]()

    async def hear(event: LimitsChanged, _: EventEnvelope) -> None:
        heard.append(event)

    bundle: Any = Bundle()
    announcer = LoadAnnouncer(room.bus, room.meter, bundle, clock=room.clock, errors=room.errors)
    await room.bus.start()
    await room.bus.subscribe(LimitsChanged, hear)
    await announcer.start()
    await settle()
    for wait_s in (LATE_S, 4 * LATE_S, LATE_S / 2, 0):
        room.seconds(3 * POLICY.lower_after_s * len(POLICY.shares), loop_s=wait_s)
        await room.clock.advance(3)
    assert [(each.reduced, each.ended_ns is None) for each in heard] == [
        (True, True), (False, False),
    ]  # fmt: skip
    end = heard[1]
    assert (end.service, end.percent, end.wait_ms) == (
        "bridge", POLICY.shares[-1], 4 * POLICY.overloaded_ms,
    )  # fmt: skip
    await announcer.stop()
    await room.bus.stop()
