"""The event bus against the bare client library on the same server, in the same minute.

Publish and receive are CPU time of this process per event, since wall time would measure how the
server shares the machine with us. Both sides carry the same bytes; rounds alternate, and the
median of the rounds counts.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import Event, EventEnvelope, seal, subject_of
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import IdFactory, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.kit.bus_nats import NatsBus
from aitrading.server.kit.nats_connection import NatsConnection
from aitrading.server.testing.engines import RunningNats, running_nats

ROUNDS: Final = 5
LONG_FACTOR: Final = 10
EVENTS: Final = 10_000
REQUESTS: Final = 1_500
DURABLE_EVENTS: Final = 2_000
DURABLE_IN_FLIGHT: Final = 64
TENANT: Final = TenantId(UUID(int=1))
ECHO: Final = "ait.bench.echo"


class Fact(Event, frozen=True, kw_only=True):
    """An event of ordinary size."""

    NAME: ClassVar[str] = "bench.fact"

    symbol: str = "EURUSD"
    first: int = 1
    last: int = 100


class StoredFact(Fact, frozen=True, kw_only=True):
    """The same, kept on disk before `publish` returns."""

    NAME: ClassVar[str] = "bench.stored_fact"
    DURABLE: ClassVar[bool] = True


class Question(Event, frozen=True, kw_only=True):
    """A request."""

    NAME: ClassVar[str] = "bench.question"

    number: int


class Answer(msgspec.Struct, frozen=True):
    """Its reply."""

    number: int


@dataclass
class Bench:
    """A publishing and a listening side; the bare floor uses the same two connections."""

    publisher: NatsBus
    listener: NatsBus
    sending: Client
    receiving: Client
    ids: IdFactory
    factor: int

    def sealed(self, event: Event) -> bytes:
        """The bytes our bus would send."""
        return seal(event, event_id=self.ids.new(), tenant=TENANT, trace=None, now_ns=1)


async def run(*, long: bool = False) -> dict[str, float | None]:
    """Measure; the figures' names begin with `bus.`."""
    with tempfile.TemporaryDirectory(prefix="ait-bench-") as folder:
        async with running_nats(Path(folder)) as nats, _bench(nats, long=long) as bench:
            return {
                **await _publish(bench),
                **await _receive(bench),
                **await _requests(bench),
                **await _durable(bench),
            }


@asynccontextmanager
async def _bench(nats: RunningNats, *, long: bool) -> AsyncGenerator[Bench]:
    clock = SystemClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    buses: list[tuple[NatsBus, NatsConnection]] = []
    async with AsyncExitStack() as stack:
        for service in ("data-bridge", "trading-engine"):
            errors = ErrorHandler(
                clock=clock,
                randomness=SystemRandomness(),
                metrics=Metrics(),
                resilience=ResilienceRegistry(),
            )
            connection = NatsConnection(
                nats.access(service), nats.tls(service), clock=clock, errors=errors
            )
            await connection.start()
            stack.push_async_callback(connection.stop)
            bus = NatsBus(connection, clock=clock, ids=ids, errors=errors, events=[StoredFact])
            await bus.start()
            stack.push_async_callback(bus.stop)
            buses.append((bus, connection))
        (publisher, sending), (listener, receiving) = buses
        yield Bench(
            publisher=publisher,
            listener=listener,
            sending=sending.client,
            receiving=receiving.client,
            ids=ids,
            factor=LONG_FACTOR if long else 1,
        )


async def _publish(bench: Bench) -> dict[str, float | None]:
    count = EVENTS * bench.factor
    event = Fact()
    data = bench.sealed(event)
    subject = subject_of(Fact, TENANT)

    async def ours() -> None:
        for _ in range(count):
            await bench.publisher.publish(event, tenant=TENANT)
        await bench.sending.flush()

    async def bare() -> None:
        for _ in range(count):
            await bench.sending.publish(subject, data)
        await bench.sending.flush()

    return _compared("publish", *await _rounds(ours, bare, count))


async def _receive(bench: Bench) -> dict[str, float | None]:
    count = EVENTS * bench.factor
    subject = subject_of(Fact, TENANT)
    batch = [bench.sealed(Fact(first=number)) for number in range(count)]
    arrived = _Countdown()

    async def ours(_: Fact, __: EventEnvelope) -> None:
        arrived.one()

    async def bare(_: Msg) -> None:
        arrived.one()

    async def send() -> None:
        for data in batch:
            await bench.sending.publish(subject, data)
        await bench.sending.flush()

    async def through_bus() -> None:
        subscription = await bench.listener.subscribe(Fact, ours)
        await arrived.expect(count, send)
        await subscription.close()

    async def through_library() -> None:
        subscription = await bench.receiving.subscribe(subject, cb=bare)
        await bench.receiving.flush()
        await arrived.expect(count, send)
        await subscription.unsubscribe()

    sending_us, _ = await _rounds(send, send, count)
    bus_us, library_us = await _rounds(through_bus, through_library, count)
    return _compared("receive", bus_us - sending_us, library_us - sending_us)


async def _requests(bench: Bench) -> dict[str, float | None]:
    count = REQUESTS * bench.factor
    question = Question(number=1)
    data = bench.sealed(question)
    reply = msgspec.json.encode(Answer(1))

    async def answer(question: Question, _: EventEnvelope) -> Answer:
        return Answer(question.number)

    async def echo(message: Msg) -> None:
        await message.respond(reply)

    async def ours() -> None:
        await bench.publisher.request(question, Answer, tenant=TENANT)

    async def bare() -> None:
        await bench.sending.request(ECHO, data)

    await bench.listener.respond(Question, answer)
    await bench.receiving.subscribe(ECHO, cb=echo)
    await bench.receiving.flush()
    bus, library = await _latencies(ours, count), await _latencies(bare, count)
    return {
        "bus.request_p50_us": bus[49],
        "bus.request_p99_us": bus[98],
        "bus.request_floor_p50_us": library[49],
        "bus.request_floor_p99_us": library[98],
        "bus.request_ratio": _ratio(bus[49], library[49]),
    }


async def _durable(bench: Bench) -> dict[str, float | None]:
    count = DURABLE_EVENTS * bench.factor
    subject = subject_of(StoredFact, TENANT)
    data = bench.sealed(StoredFact())
    jetstream = bench.sending.jetstream()

    async def ours() -> None:
        await bench.publisher.publish(StoredFact(), tenant=TENANT)

    async def bare() -> None:
        await jetstream.publish(subject, data, headers={"Nats-Msg-Id": str(bench.ids.new())})

    bus = await _per_second(ours, count)
    library = await _per_second(bare, count)
    return {
        "bus.durable_per_s": bus,
        "bus.durable_floor_per_s": library,
        "bus.durable_ratio": _ratio(bus, library),
    }


class _Countdown:
    """Waits until as many have arrived as were announced."""

    def __init__(self) -> None:
        self._left = 0
        self._done = asyncio.Event()

    def one(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._done.set()

    async def expect(self, count: int, send: Callable[[], Awaitable[None]]) -> None:
        self._left = count
        self._done.clear()
        await send()
        await self._done.wait()


async def _rounds(
    ours: Callable[[], Awaitable[None]], bare: Callable[[], Awaitable[None]], count: int
) -> tuple[float, float]:
    """Median CPU microseconds per item of both, measured in turns."""
    ours_us: list[float] = []
    bare_us: list[float] = []
    for _ in range(ROUNDS):
        for work, results in ((ours, ours_us), (bare, bare_us)):
            started = time.process_time_ns()
            await work()
            results.append((time.process_time_ns() - started) / 1_000 / count)
    return statistics.median(ours_us), statistics.median(bare_us)


async def _latencies(call: Callable[[], Awaitable[None]], count: int) -> list[float]:
    """The 99 percentiles of the time of one call after another, in microseconds."""
    samples_us: list[float] = []
    for _ in range(count):
        started = time.perf_counter_ns()
        await call()
        samples_us.append((time.perf_counter_ns() - started) / 1_000)
    return statistics.quantiles(samples_us, n=100)


async def _per_second(call: Callable[[], Awaitable[None]], count: int) -> float:
    """Calls per second with `DURABLE_IN_FLIGHT` under way at any time."""

    async def worker() -> None:
        for _ in range(count // DURABLE_IN_FLIGHT):
            await call()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(DURABLE_IN_FLIGHT):
            group.create_task(worker())
    return count // DURABLE_IN_FLIGHT * DURABLE_IN_FLIGHT / (time.perf_counter() - started)


def _compared(name: str, ours_us: float, bare_us: float) -> dict[str, float | None]:
    return {
        f"bus.{name}_us": ours_us,
        f"bus.{name}_floor_us": bare_us,
        f"bus.{name}_ratio": _ratio(ours_us, bare_us),
    }


def _ratio(value: float, floor: float) -> float | None:
    return value / floor if floor > 0 else None
