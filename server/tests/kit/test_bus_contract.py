"""What the event bus promises, asked of NATS itself and of its twin in memory alike."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import (
    MAX_DELIVERIES,
    MAX_EVENT_BYTES,
    Event,
    EventBus,
    EventEnvelope,
)
from aitrading.core.infrastructure.events import ALL_EVENTS, TradingExecuted
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.kit.bus_nats import NatsBus
from aitrading.server.kit.nats_connection import NatsConnection
from aitrading.server.testing.engines import RunningNats, running_nats

NAMESPACE = UUID(int=7)
ALPHA = TenantId(uuid5(NAMESPACE, "alpha"))
BETA = TenantId(uuid5(NAMESPACE, "beta"))


class Noted(Event, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "test.noted"

    number: int
    text: str = ""


class Kept(Event, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "test.kept"
    DURABLE: ClassVar[bool] = True

    number: int


class Ask(Event, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "test.ask"

    number: int


class Answer(msgspec.Struct, frozen=True):
    doubled: int
    text: str = ""


REFUSED = ErrorSpec(
    code="TEST_REFUSED",
    category=Category.DENIED,
    message="The number {number} is refused.",
    why="A test.",
    remedy="None.",
    http_status=409,
)
EVENTS = (*ALL_EVENTS, Noted, Kept)


class World(Protocol):
    """A server that buses connect to."""

    def connect(self, service: str) -> AbstractAsyncContextManager[EventBus]: ...

    async def stop(self) -> None: ...

    async def start(self) -> None: ...


def error_handler() -> ErrorHandler:
    return ErrorHandler(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )


class MemoryWorld:
    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._clock = SystemClock()

    @asynccontextmanager
    async def connect(self, service: str) -> AsyncIterator[EventBus]:
        bus = MemoryBus(
            self._broker,
            clock=self._clock,
            ids=SystemIdFactory(self._clock, SystemRandomness()),
            errors=error_handler(),
            name=service,
        )
        await bus.start()
        try:
            yield bus
        finally:
            await bus.stop()

    async def stop(self) -> None:
        self._broker.stop()

    async def start(self) -> None:
        self._broker.start()


class NatsWorld:
    def __init__(self, nats: RunningNats) -> None:
        self._nats = nats
        self._clock = SystemClock()

    @asynccontextmanager
    async def connect(self, service: str) -> AsyncIterator[EventBus]:
        errors = error_handler()
        connection = NatsConnection(
            self._nats.access(service), self._nats.tls(service), clock=self._clock, errors=errors
        )
        bus = NatsBus(
            connection,
            clock=self._clock,
            ids=SystemIdFactory(self._clock, SystemRandomness()),
            errors=errors,
            events=EVENTS,
        )
        async with AsyncExitStack() as stack:
            await connection.start()
            stack.push_async_callback(connection.stop)
            await bus.start()
            stack.push_async_callback(bus.stop)
            yield bus

    async def stop(self) -> None:
        await self._nats.kill()

    async def start(self) -> None:
        await self._nats.start()


Enter = Callable[[], AbstractAsyncContextManager[World]]


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Enter:
    @asynccontextmanager
    async def memory() -> AsyncIterator[World]:
        yield MemoryWorld()

    @asynccontextmanager
    async def nats() -> AsyncIterator[World]:
        async with running_nats(tmp_path) as server:
            yield NatsWorld(server)

    return memory if request.param == "memory" else nats


class Seen:
    """A handler that remembers, and fails as often as it is told to."""

    def __init__(self, *, fail_times: int = 0) -> None:
        self.events: list[tuple[int, TenantId | None]] = []
        self.envelopes: list[EventEnvelope] = []
        self.attempts = 0
        self._failures_left = fail_times

    async def __call__(self, event: Noted | Kept, envelope: EventEnvelope) -> None:
        self.attempts += 1
        if self._failures_left:
            self._failures_left -= 1
            raise RuntimeError("the handler is told to fail")
        self.events.append((event.number, envelope.tenant))
        self.envelopes.append(envelope)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.events]

    async def until(self, count: int) -> list[int]:
        await eventually(lambda: len(self.events) >= count, what=f"{count} events")
        return self.numbers


@async_test
async def test_event_05_a_published_event_reaches_every_subscriber_with_its_envelope(
    world: Enter,
) -> None:
    async with (
        world() as server,
        server.connect("data-bridge") as publisher,
        server.connect("trading-engine") as one,
        server.connect("api-gateway") as two,
    ):
        seen = [Seen(), Seen()]
        await one.subscribe(Noted, seen[0])
        await two.subscribe(Noted, seen[1])
        trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        event_id = await publisher.publish(Noted(number=1), tenant=ALPHA, trace=trace)
        for each in seen:
            assert await each.until(1) == [1]
            envelope = each.envelopes[0]
            assert (envelope.id, envelope.type) == (event_id, "test.noted")
            assert (envelope.tenant, envelope.trace, envelope.version) == (ALPHA, trace, 1)
            assert envelope.occurred_ns > 0


@async_test
async def test_a_subscriber_sees_its_own_publications(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        seen = Seen()
        await bus.subscribe(Noted, seen)
        await bus.publish(Noted(number=3))
        assert await seen.until(1) == [3]


@async_test
async def test_a_tenant_scope_sees_that_tenant_only(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        alpha, beta, platform, everywhere = Seen(), Seen(), Seen(), Seen()
        await bus.subscribe(Noted, alpha, scope=ALPHA)
        await bus.subscribe(Noted, beta, scope=BETA)
        await bus.subscribe(Noted, platform, scope=None)
        await bus.subscribe(Noted, everywhere)
        await bus.publish(Noted(number=1), tenant=ALPHA)
        await bus.publish(Noted(number=2), tenant=BETA)
        await bus.publish(Noted(number=3))
        assert await everywhere.until(3) == [1, 2, 3]
        assert await alpha.until(1) == [1]
        assert await beta.until(1) == [2]
        assert await platform.until(1) == [3]
        assert everywhere.events == [(1, ALPHA), (2, BETA), (3, None)]


@async_test
async def test_events_of_one_publisher_are_handled_one_at_a_time_in_order(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        running, most, order = 0, 0, []

        async def slow(event: Noted, _: EventEnvelope) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            order.append(event.number)
            running -= 1

        await bus.subscribe(Noted, slow)
        for number in range(200):
            await bus.publish(Noted(number=number))
        await eventually(lambda: len(order) == 200)
        assert order == list(range(200))
        assert most == 1


@async_test
async def test_a_failing_handler_does_not_end_its_subscription(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        seen = Seen(fail_times=1)
        await bus.subscribe(Noted, seen)
        await bus.publish(Noted(number=1))
        await bus.publish(Noted(number=2))
        assert await seen.until(1) == [2]
        assert bus.statistics().handler_failed == 1


@async_test
async def test_an_id_is_handled_once(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        seen = Seen()
        await bus.subscribe(Noted, seen)
        same = uuid5(NAMESPACE, "same")
        for _ in range(3):
            await bus.publish(Noted(number=1), event_id=same)
        await bus.publish(Noted(number=2))
        assert await seen.until(2) == [1, 2]
        assert bus.statistics().duplicates == 2


@async_test
async def test_a_closed_subscription_sees_nothing_more(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        closed, witness = Seen(), Seen()
        subscription = await bus.subscribe(Noted, closed)
        await bus.subscribe(Noted, witness)
        await bus.publish(Noted(number=1))
        await closed.until(1)
        await subscription.close()
        await subscription.close()
        await bus.publish(Noted(number=2))
        await witness.until(2)
        assert closed.numbers == [1]
        assert bus.statistics().subscriptions == 1


@async_test
async def test_closing_lets_the_running_handler_finish(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        entered, leave, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def handler(_: Noted, __: EventEnvelope) -> None:
            entered.set()
            await leave.wait()
            done.set()

        subscription = await bus.subscribe(Noted, handler)
        await bus.publish(Noted(number=1))
        await entered.wait()
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(subscription.close())
            await asyncio.sleep(0)
            assert not closing.done()
            leave.set()
        assert done.is_set()


@async_test
async def test_an_oversized_event_is_refused_before_it_is_sent(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        with pytest.raises(AitradingError, match="BUS_EVENT_TOO_LARGE"):
            await bus.publish(Noted(number=1, text="x" * MAX_EVENT_BYTES))


@async_test
async def test_event_07_a_request_is_answered(world: Enter) -> None:
    async with (
        world() as server,
        server.connect("api-gateway") as asker,
        server.connect("trading-engine") as bus,
    ):

        async def double(ask: Ask, _: EventEnvelope) -> Answer:
            return Answer(ask.number * 2)

        await bus.respond(Ask, double)
        assert await asker.request(Ask(number=21), Answer, tenant=ALPHA) == Answer(42)


@async_test
async def test_a_responder_is_known_as_soon_as_respond_returns(world: Enter) -> None:
    """Many in a row: one in a hundred found nobody while one flush was thought to be enough."""

    async def double(ask: Ask, _: EventEnvelope) -> Answer:
        return Answer(ask.number * 2)

    async with (
        world() as server,
        server.connect("api-gateway") as asker,
        server.connect("trading-engine") as bus,
    ):
        for number in range(800):
            responder = await bus.respond(Ask, double)
            answer = await asker.request(Ask(number=number), Answer, tenant=ALPHA)
            assert answer == Answer(2 * number)
            await responder.close()


@async_test
async def test_responders_share_the_requests(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as asker:
        counts = [0, 0]
        async with (
            server.connect("trading-engine") as one,
            server.connect("database-service") as two,
        ):
            for index, bus in enumerate((one, two)):

                async def count(ask: Ask, _: EventEnvelope, index: int = index) -> Answer:
                    counts[index] += 1
                    return Answer(ask.number)

                await bus.respond(Ask, count)
            for number in range(40):
                await asker.request(Ask(number=number), Answer)
        assert sum(counts) == 40
        assert all(counts)


@async_test
async def test_a_request_nobody_answers_fails_at_once(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as bus:
        async with asyncio.timeout(15):
            with pytest.raises(AitradingError, match="BUS_NO_RESPONDER"):
                await bus.request(Ask(number=1), Answer, timeout_s=30)


@async_test
async def test_a_request_that_takes_too_long_times_out(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as bus:
        release = asyncio.Event()

        async def never(_: Ask, __: EventEnvelope) -> Answer:
            await release.wait()
            return Answer(0)

        await bus.respond(Ask, never)
        with pytest.raises(AitradingError, match="TIMED_OUT"):
            await bus.request(Ask(number=1), Answer, timeout_s=0.05)
        release.set()


@async_test
async def test_a_refusal_reaches_the_asker_under_its_own_code(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as bus:

        async def refuse(ask: Ask, _: EventEnvelope) -> Answer:
            if ask.number == 1:
                raise REFUSED.error(number=1)
            if ask.number == 3:
                return Answer(0, "x" * MAX_EVENT_BYTES)
            raise RuntimeError("a detail that stays inside")

        await bus.respond(Ask, refuse)
        with pytest.raises(AitradingError) as refusal:
            await bus.request(Ask(number=1), Answer)
        assert refusal.value.code == "TEST_REFUSED"
        assert refusal.value.message == "The number 1 is refused."
        assert refusal.value.spec.http_status == 409
        with pytest.raises(AitradingError, match="BUS_EVENT_TOO_LARGE"):
            await bus.request(Ask(number=3), Answer)
        with pytest.raises(AitradingError, match="BUS_REQUEST_FAILED") as broken:
            await bus.request(Ask(number=2), Answer)
        assert "inside" not in str(broken.value)


@async_test
async def test_a_durable_event_cannot_be_a_request(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as bus:
        with pytest.raises(ValueError, match="DURABLE"):
            await bus.request(Kept(number=1), Answer)


@async_test
async def test_a_passing_event_has_no_stored_position(world: Enter) -> None:
    async with world() as server, server.connect("api-gateway") as bus:
        with pytest.raises(ValueError, match="DURABLE"):
            await bus.subscribe(Noted, Seen(), durable="position")


@async_test
async def test_a_durable_subscriber_gets_what_was_published_while_it_was_away(
    world: Enter,
) -> None:
    async with world() as server, server.connect("data-bridge") as publisher:
        before, after = Seen(), Seen()
        async with server.connect("trading-engine") as bus:
            await bus.subscribe(Kept, before, durable="journal")
            await publisher.publish(Kept(number=1), tenant=ALPHA)
            await before.until(1)
        for number in (2, 3):
            await publisher.publish(Kept(number=number), tenant=ALPHA)
        async with server.connect("trading-engine") as bus:
            await bus.subscribe(Kept, after, durable="journal")
            assert await after.until(2) == [2, 3]


@async_test
async def test_durable_positions_are_independent_and_begin_at_their_first_subscription(
    world: Enter,
) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        first, second, passing = Seen(), Seen(), Seen()
        await bus.subscribe(Kept, first, durable="first")
        await bus.subscribe(Kept, passing)
        await bus.publish(Kept(number=1))
        await first.until(1)
        await bus.subscribe(Kept, second, durable="second")
        await bus.publish(Kept(number=2))
        assert await first.until(2) == [1, 2]
        assert await second.until(1) == [2]
        assert await passing.until(2) == [1, 2]


@async_test
async def test_a_failed_durable_event_comes_again_before_the_next_one(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        seen = Seen(fail_times=2)
        await bus.subscribe(Kept, seen, durable="journal")
        for number in (1, 2, 3):
            await bus.publish(Kept(number=number))
        assert await seen.until(3) == [1, 2, 3]
        assert seen.attempts == 5
        assert bus.statistics().redelivered == 2


@async_test
async def test_a_durable_event_that_always_fails_is_given_up_and_the_next_one_comes(
    world: Enter,
) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        seen = Seen(fail_times=MAX_DELIVERIES)
        await bus.subscribe(Kept, seen, durable="journal")
        await bus.publish(Kept(number=1))
        await bus.publish(Kept(number=2))
        assert await seen.until(1) == [2]
        assert seen.attempts == MAX_DELIVERIES + 1
        assert bus.statistics().given_up == 1


@async_test
async def test_a_repeated_durable_publication_is_stored_once(world: Enter) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        one, other = Seen(), Seen()
        await bus.subscribe(Kept, one, durable="one")
        await bus.subscribe(Kept, other, durable="other")
        same = uuid5(NAMESPACE, "outbox row")
        await bus.publish(Kept(number=1), event_id=same)
        await bus.publish(Kept(number=1), event_id=same)
        await bus.publish(Kept(number=2))
        assert await one.until(2) == [1, 2]
        assert await other.until(2) == [1, 2]
        assert one.attempts == other.attempts == 2


@async_test
async def test_instances_with_one_durable_name_share_the_events(world: Enter) -> None:
    async with (
        world() as server,
        server.connect("data-bridge") as publisher,
        server.connect("trading-engine") as one,
        server.connect("trading-engine") as two,
    ):
        seen = [Seen(), Seen()]
        await one.subscribe(Kept, seen[0], durable="journal")
        await two.subscribe(Kept, seen[1], durable="journal")
        for number in range(20):
            await publisher.publish(Kept(number=number))
        await eventually(lambda: sum(len(each.events) for each in seen) >= 20)
        assert sorted(seen[0].numbers + seen[1].numbers) == list(range(20))


@async_test
async def test_event_05_a_trading_event_keeps_its_exact_amounts(world: Enter) -> None:
    async with world() as server, server.connect("trading-engine") as bus:
        received: list[TradingExecuted] = []

        async def handler(event: TradingExecuted, _: EventEnvelope) -> None:
            received.append(event)

        await bus.subscribe(TradingExecuted, handler, scope=ALPHA, durable="audit")
        sent = msgspec.convert(
            {
                "account": str(ALPHA),
                "order": str(BETA),
                "symbol": "EURUSD",
                "side": "buy",
                "volume": "0.10",
                "price": "1.08345",
                "broker_ticket": "42",
                "executed_ns": 1,
            },
            TradingExecuted,
        )
        await bus.publish(sent, tenant=ALPHA)
        await eventually(lambda: received)
        assert received == [sent]
        assert received[0].volume.compare_total(Decimal("0.10")) == 0


@async_test
async def test_event_02_while_the_bus_is_lost_nothing_waits_in_silence_and_all_comes_back(
    world: Enter,
) -> None:
    async with world() as server, server.connect("data-bridge") as bus:
        passing, kept, late = Seen(), Seen(), Seen()
        await bus.subscribe(Noted, passing)
        await bus.subscribe(Kept, kept, durable="journal")
        await server.stop()
        await eventually(lambda: not bus.statistics().connected)
        for event in (Noted(number=1), Kept(number=1)):
            with pytest.raises(AitradingError, match="BUS_UNAVAILABLE"):
                await bus.publish(event)
        with pytest.raises(AitradingError, match="BUS_UNAVAILABLE"):
            await bus.request(Ask(number=1), Answer)
        await bus.subscribe(Noted, late)
        await server.start()
        await eventually(lambda: bus.statistics().connected)
        await bus.publish(Noted(number=2))
        await bus.publish(Kept(number=2))
        assert await passing.until(1) == [2]
        assert await late.until(1) == [2]
        assert await kept.until(1) == [2]
        statistics = bus.statistics()
        assert statistics.reconnects == 1
        assert statistics.subscriptions == 3
        assert statistics.publish_failed == 3
