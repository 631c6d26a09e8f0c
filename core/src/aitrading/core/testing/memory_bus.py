"""The event bus inside one process: the twin of NATS for tests and simulations.

A `MemoryBroker` stands for the server and can be stopped and started; each `MemoryBus` stands
for one service's connection to it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.bus_errors import BUS_NO_RESPONDER, BUS_UNAVAILABLE
from aitrading.core.infrastructure.bus_intake import (
    Answering,
    BusCounters,
    Inbox,
    Intake,
    Outcome,
    Worker,
    open_reply,
    redelivery_delay_s,
    require_durable,
    require_transient,
)
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import (
    EVERYWHERE,
    MAX_DELIVERIES,
    BusStatistics,
    Event,
    EventBus,
    Handler,
    Responder,
    Scope,
    Subscription,
    seal,
    subject_of,
)
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.resilience import time_limit
from aitrading.core.infrastructure.tracing import RequestTracer, SpanKind, span
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId

MAX_STORED_IDS: Final = 100_000

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)


@dataclass
class _Message:
    subject: str
    data: bytes
    reply: "asyncio.Future[bytes] | None" = None
    deliveries: int = 0


@dataclass
class _Durable:
    """What was published since the first subscription of that name and is not done yet."""

    pattern: str
    pending: deque[_Message] = field(default_factory=deque[_Message])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryBroker:
    """Routes between the buses of one event loop."""

    def __init__(self) -> None:
        self._online = asyncio.Event()
        self._online.set()
        self._listeners: dict[Inbox[_Message], str] = {}
        self._responders: dict[Inbox[_Message], str] = {}
        self._durables: dict[str, _Durable] = {}
        self._stored_ids: OrderedDict[UUID, None] = OrderedDict()
        self._on_return: list[Callable[[], None]] = []

    @property
    def is_online(self) -> bool:
        """Whether it takes messages."""
        return self._online.is_set()

    def stop(self) -> None:
        """Refuse everything; what is durable stays."""
        self._online.clear()

    def start(self) -> None:
        """Take messages again and let the buses come back."""
        if not self.is_online:
            self._online.set()
            for come_back in self._on_return:
                come_back()

    async def wait_online(self) -> None:
        """Return when messages are taken."""
        await self._online.wait()

    def on_return(self, come_back: Callable[[], None]) -> None:
        """Call this after each `start` that followed a `stop`."""
        self._on_return.append(come_back)

    def publish(self, subject: str, data: bytes, *, durable_id: UUID | None) -> int:
        """Hand to everybody who listens; give how many inboxes had no room."""
        if durable_id is not None and not self._store(subject, data, durable_id):
            return 0
        return sum(
            not inbox.put(_Message(subject, data))
            for inbox, pattern in self._listeners.items()
            if _matches(pattern, subject)
        )

    def request(self, message: _Message) -> bool:
        """Hand to one responder, in turn; False when there is none."""
        for inbox, pattern in self._responders.items():
            if _matches(pattern, message.subject) and inbox.put(message):
                self._responders[inbox] = self._responders.pop(inbox)
                return True
        return False

    def listen(self, pattern: str, inbox: Inbox[_Message]) -> Callable[[], None]:
        """Route to the inbox until the returned function is called."""
        self._listeners[inbox] = pattern
        return lambda: self._forget(self._listeners, inbox)

    def respond(self, pattern: str, inbox: Inbox[_Message]) -> Callable[[], None]:
        """Route requests to the inbox until the returned function is called."""
        self._responders[inbox] = pattern
        return lambda: self._forget(self._responders, inbox)

    def durable(self, name: str, pattern: str) -> _Durable:
        """The stored position of that name, made at the first call."""
        return self._durables.setdefault(f"{name} {pattern}", _Durable(pattern))

    def _store(self, subject: str, data: bytes, event_id: UUID) -> bool:
        if event_id in self._stored_ids:
            return False
        self._stored_ids[event_id] = None
        if len(self._stored_ids) > MAX_STORED_IDS:
            self._stored_ids.popitem(last=False)
        for durable in self._durables.values():
            if _matches(durable.pattern, subject):
                durable.pending.append(_Message(subject, data))
                durable.arrived.set()
        return True

    @staticmethod
    def _forget(routes: dict[Inbox[_Message], str], inbox: Inbox[_Message]) -> None:
        routes.pop(inbox, None)


class MemoryBus(EventBus):
    """One service's connection to the broker."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        clock: Clock,
        ids: IdFactory,
        errors: ErrorHandler,
        name: str = "bus",
        tracer: RequestTracer | None = None,
    ) -> None:
        self.name = name
        self._tracer = tracer
        self._broker = broker
        self._clock = clock
        self._ids = ids
        self._errors = errors
        self._counters = BusCounters()
        self._tasks = TaskSet(name, on_error=lambda _, exc: errors.classify(exc) and None)
        self._state = ComponentState.NEW
        self._open = 0

    @property
    def state(self) -> ComponentState:
        """DEGRADED while the broker is stopped."""
        if self._state is ComponentState.HEALTHY and not self._broker.is_online:
            return ComponentState.DEGRADED
        return self._state

    async def start(self) -> None:
        """Connect."""
        self._broker.on_return(self._come_back)
        self._counters.connected_since_ns = self._clock.now_ns()
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """End every subscription."""
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    @override
    async def publish(
        self,
        event: Event,
        *,
        tenant: TenantId | None = None,
        trace: str | None = None,
        event_id: UUID | None = None,
    ) -> UUID:
        event_id = event_id or self._ids.new()
        with span(SpanKind.PUBLISH, event.NAME) as step:
            trace, now_ns = trace or step.traceparent, self._clock.now_ns()
            data = seal(event, event_id=event_id, tenant=tenant, trace=trace, now_ns=now_ns)
            self._require_online()
            self._counters.published += 1
            durable_id = event_id if event.DURABLE else None
            subject = subject_of(type(event), tenant)
            self._counters.dropped += self._broker.publish(subject, data, durable_id=durable_id)
            await asyncio.sleep(0)
        return event_id

    @override
    async def subscribe(
        self,
        event_type: type[E],
        handler: Handler[E],
        *,
        scope: Scope = EVERYWHERE,
        durable: str | None = None,
    ) -> Subscription:
        intake = Intake(
            event_type,
            handler,
            counters=self._counters,
            errors=self._errors,
            tracer=self._tracer,
        )
        pattern = subject_of(event_type, scope)
        if durable is None:
            inbox = Inbox[_Message]()

            async def take(message: _Message) -> None:
                await intake.take(message.subject, message.data)

            return self._work(inbox.take, take, self._broker.listen(pattern, inbox))
        require_durable(event_type)
        position = _Position(self._broker.durable(durable, pattern), intake, self._counters)
        return self._work(self._paced(position), position.deliver, lambda: None)

    @override
    async def request(
        self,
        command: Event,
        reply_type: type[R],
        *,
        tenant: TenantId | None = None,
        trace: str | None = None,
        timeout_s: float = 5.0,
    ) -> R:
        require_transient(type(command))
        with span(SpanKind.PUBLISH, command.NAME) as step:
            return await self._ask(
                command, reply_type, tenant, trace or step.traceparent, timeout_s
            )

    async def _ask(
        self,
        command: Event,
        reply_type: type[R],
        tenant: TenantId | None,
        trace: str | None,
        timeout_s: float,
    ) -> R:
        now_ns = self._clock.now_ns()
        data = seal(command, event_id=self._ids.new(), tenant=tenant, trace=trace, now_ns=now_ns)
        self._require_online()
        reply = asyncio.get_running_loop().create_future()
        message = _Message(subject_of(type(command), tenant), data, reply)
        self._counters.published += 1
        if not self._broker.request(message):
            raise BUS_NO_RESPONDER.error(command=command.NAME)
        async with time_limit(timeout_s, what=command.NAME):
            return open_reply(await reply, reply_type, type(command))

    @override
    async def respond(
        self, event_type: type[E], responder: Responder[E, R], *, scope: Scope = EVERYWHERE
    ) -> Subscription:
        answering = Answering(
            event_type,
            responder,
            counters=self._counters,
            errors=self._errors,
            tracer=self._tracer,
        )
        inbox = Inbox[_Message]()

        async def answer(message: _Message) -> None:
            data = await answering.answer(message.subject, message.data)
            if message.reply is not None and not message.reply.done():
                message.reply.set_result(data)

        pattern = subject_of(event_type, scope)
        return self._work(inbox.take, answer, self._broker.respond(pattern, inbox))

    @override
    def statistics(self) -> BusStatistics:
        self._counters.connected = self.state is ComponentState.HEALTHY
        return self._counters.snapshot(subscriptions=self._open)

    def _paced(self, position: "_Position") -> Callable[[], Awaitable[None]]:
        async def due() -> None:
            await position.wait(self._clock)
            await self._broker.wait_online()

        return due

    def _work(
        self,
        take: Callable[[], Awaitable[Any]],
        work: Callable[[Any], Awaitable[None]],
        forget: Callable[[], None],
    ) -> "_Running":
        worker = Worker(take, work)
        self._tasks.start(worker.run(), name="subscription")
        self._open += 1
        return _Running(worker, forget, self._closed_one)

    def _closed_one(self) -> None:
        self._open -= 1

    def _come_back(self) -> None:
        self._counters.reconnects += 1
        self._counters.connected_since_ns = self._clock.now_ns()

    def _require_online(self) -> None:
        if self.state is not ComponentState.HEALTHY:
            self._counters.publish_failed += 1
            raise BUS_UNAVAILABLE.error(problem=f"the bus is {self.state}")


class _Running(Subscription):
    def __init__(
        self, worker: Worker[Any], forget: Callable[[], None], on_closed: Callable[[], None]
    ) -> None:
        self._worker = worker
        self._forget = forget
        self._on_closed = on_closed
        self._closed = False

    @override
    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._forget()
        await self._worker.close()
        self._on_closed()


class _Position:
    """One member of a durable subscription: delivers the head until it is done or given up."""

    def __init__(self, durable: _Durable, intake: Intake[Any], counters: BusCounters) -> None:
        self._durable = durable
        self._intake = intake
        self._counters = counters

    async def wait(self, clock: Clock) -> None:
        """Return when the head is due."""
        while not self._durable.pending:
            self._durable.arrived.clear()
            await self._durable.arrived.wait()
        deliveries = self._durable.pending[0].deliveries
        if deliveries:
            await clock.sleep(redelivery_delay_s(deliveries))

    async def deliver(self, _: None) -> None:
        """Try the head once."""
        async with self._durable.turn:
            if not self._durable.pending:
                return
            head = self._durable.pending[0]
            head.deliveries += 1
            self._counters.redelivered += head.deliveries > 1
            outcome = await self._intake.take(head.subject, head.data)
            if outcome is Outcome.FAILED and head.deliveries < MAX_DELIVERIES:
                return
            self._counters.given_up += outcome is Outcome.FAILED
            self._durable.pending.popleft()


def _matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(
        token in {"*", found} for token, found in zip(wanted, given, strict=True)
    )
