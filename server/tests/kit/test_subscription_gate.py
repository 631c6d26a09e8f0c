"""An answer about a subscription is remembered for a minute, and not beyond a change or an expiry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID, uuid5

import pytest
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.events import SubscriptionChanged
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.subscription import SubscriptionState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.kit.subscription_gate import (
    MAX_REMEMBERED,
    REMEMBERED_S,
    SubscriptionGate,
    SubscriptionSource,
)
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer

TENANT: Final = TenantId(UUID(int=1))
ANN, BOB = UserId(UUID(int=2)), UserId(UUID(int=3))


class Source(SubscriptionSource):
    """Answers as a test wants it, and counts."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.state = SubscriptionState.ACTIVE
        self.lives_s: float | None = None
        self.asked = 0
        self.held: asyncio.Event | None = None

    @override
    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        self.asked += 1
        state = self.state
        if self.held is not None:
            await self.held.wait()
        ends = None if self.lives_s is None else timedelta(seconds=self.lives_s)
        return SubscriptionAnswer(
            user=user,
            state=state,
            active=state is SubscriptionState.ACTIVE,
            tier="pro",
            expires_at=None if ends is None else now_utc(self.clock) + ends,
            features=(),
            version=1,
        )


class Gate:
    """The gate, what it asks, and who tells it of changes."""

    def __init__(self, clock: ManualClock, bus: MemoryBus) -> None:
        self.clock, self.bus, self.source = clock, bus, Source(clock)
        self.gate = SubscriptionGate(source=self.source, bus=bus, clock=clock)

    async def code(self, user: UserId = ANN, tenant: TenantId = TENANT) -> str:
        token: Any = SimpleNamespace(tenant=tenant, user=user)
        try:
            await self.gate.require(token)
        except AitradingError as exc:
            return exc.code
        return ""

    async def changed(self, user: UserId | None = None, tenant: TenantId = TENANT) -> None:
        await self.bus.publish(SubscriptionChanged(user=user, version=2), tenant=tenant)
        await settle()


@asynccontextmanager
async def a_gate() -> AsyncIterator[Gate]:
    clock = ManualClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    bus = MemoryBus(MemoryBroker(), clock=clock, ids=ids, errors=errors)
    await bus.start()
    made = Gate(clock, bus)
    await made.gate.start()
    yield made
    await made.gate.stop()
    await bus.stop()


@async_test
async def test_an_answer_counts_for_a_minute() -> None:
    async with a_gate() as made:
        assert [await made.code() for _ in range(3)] == [""] * 3
        assert made.source.asked == 1
        made.source.state = SubscriptionState.PAUSED
        await made.clock.advance(REMEMBERED_S - 1)
        assert await made.code() == ""
        await made.clock.advance(1)
        assert await made.code() == "SUBSCRIPTION_INACTIVE"
        assert await made.code() == "SUBSCRIPTION_INACTIVE"
        assert made.source.asked == 2


@async_test
async def test_a_change_acts_at_once_and_only_on_whom_it_concerns() -> None:
    async with a_gate() as made:
        await made.code(ANN)
        await made.code(BOB)
        await made.changed(tenant=TenantId(UUID(int=99)))
        await made.changed(user=BOB)
        made.source.state = SubscriptionState.PAUSED
        await eventually(made, BOB, "SUBSCRIPTION_INACTIVE")
        assert await made.code(ANN) == ""
        await made.changed()
        await eventually(made, ANN, "SUBSCRIPTION_INACTIVE")


@async_test
async def test_an_answer_from_before_a_change_is_not_remembered() -> None:
    async with a_gate() as made:
        made.source.held = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(made.code())
            await settle()
            made.source.state = SubscriptionState.PAUSED
            await made.changed()
            await settle()
            made.source.held.set()
        assert first.result() == ""
        assert await made.code() == "SUBSCRIPTION_INACTIVE"


@async_test
async def test_an_expiry_within_the_minute_is_seen() -> None:
    async with a_gate() as made:
        made.source.lives_s = 10
        await made.code()
        made.source.state = SubscriptionState.EXPIRED
        await made.clock.advance(11)
        assert await made.code() == "SUBSCRIPTION_INACTIVE"


@async_test
async def test_what_is_remembered_is_bounded() -> None:
    async with a_gate() as made:
        for number in range(MAX_REMEMBERED + 5):
            await made.code(UserId(uuid5(TENANT, str(number))))
        assert len(made.gate._known) == MAX_REMEMBERED


async def eventually(made: Gate, user: UserId, code: str) -> None:
    """A change travels over the bus; turns of the loop, not time, bring it."""
    for _ in range(10):
        if await made.code(user) == code:
            return
        await settle()
    pytest.fail(f"never {code}")
