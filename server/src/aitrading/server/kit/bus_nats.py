"""The event bus over NATS: core subjects for passing facts, one stream for durable ones.

Durable subscriptions are push consumers of the stream `EVENTS` with one unacknowledged event at
a time: order is kept over repeats, instances take turns, and a process that dies in the middle
leaves the event to the next after `ACK_WAIT_S`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from typing_extensions import override

from aitrading.core.infrastructure.bus_errors import BUS_NO_RESPONDER
from aitrading.core.infrastructure.bus_intake import (
    Answering,
    BusCounters,
    Intake,
    open_reply,
    require_durable,
    require_transient,
)
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import (
    EVERYWHERE,
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
from aitrading.core.infrastructure.events import ALL_EVENTS
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.resilience.errors import TIMED_OUT
from aitrading.core.infrastructure.tracing import RequestTracer, SpanKind, span
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.server.kit.bus_nats_routes import (
    STREAM,
    DurableRoute,
    PassingRoute,
    RespondingRoute,
    Route,
)
from aitrading.server.kit.cancellation import cancellation_kept
from aitrading.server.kit.nats_connection import (
    NATS_ERRORS,
    NatsConnection,
    unavailable,
    until_known,
)

STREAM_MAX_AGE_S: Final = 7 * 86_400
STREAM_MAX_BYTES: Final = 512 << 20
DUPLICATE_WINDOW_S: Final = 120
STORE_TIMEOUT_S: Final = 5.0
MSG_ID_HEADER: Final = "Nats-Msg-Id"

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)


class NatsBus(EventBus):
    """One service's event bus on its NATS connection; `events` are the types it knows."""

    def __init__(
        self,
        connection: NatsConnection,
        *,
        clock: Clock,
        ids: IdFactory,
        errors: ErrorHandler,
        events: Sequence[type[Event]] = ALL_EVENTS,
        name: str = "bus",
        tracer: RequestTracer | None = None,
    ) -> None:
        self._tracer = tracer
        self.name = name
        self.depends_on = (connection.name,)
        self._connection = connection
        self._clock = clock
        self._ids = ids
        self._errors = errors
        self._durable_subjects = sorted(
            subject_of(event, EVERYWHERE) for event in events if event.DURABLE
        )
        self._counters = BusCounters()
        self._tasks = TaskSet(name, on_error=lambda _, exc: errors.classify(exc) and None)
        self._routes: set[Route] = set()
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """That of the connection, once started."""
        if self._state is ComponentState.HEALTHY:
            return self._connection.state
        return self._state

    async def start(self) -> None:
        """Make the stream, on a started connection; raises BUS_UNAVAILABLE when it is lost."""
        self._connection.on_connected(self._set_up)
        try:
            await self._set_up(self._connection.client)
        except NATS_ERRORS as exc:
            raise unavailable(exc) from exc
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """End every subscription; running handlers finish first."""
        self._state = ComponentState.STOPPING
        for route in list(self._routes):
            await self._close(route)
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
            trace = trace or step.traceparent
            now_ns = self._clock.now_ns()
            data = seal(event, event_id=event_id, tenant=tenant, trace=trace, now_ns=now_ns)
            await self._send(event, subject_of(type(event), tenant), data, event_id)
        self._counters.published += 1
        return event_id

    async def _send(self, event: Event, subject: str, data: bytes, event_id: UUID) -> None:
        client = self._live_client()
        try:
            with cancellation_kept():
                if event.DURABLE:
                    await _store(client, subject, data, event_id)
                else:
                    await client.publish(subject, data)
        except NATS_ERRORS as exc:
            self._counters.publish_failed += 1
            raise unavailable(exc) from exc

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
        subject = subject_of(event_type, scope)
        if durable is None:
            return await self._open(PassingRoute(subject, intake, self._counters))
        require_durable(event_type)
        return await self._open(DurableRoute(subject, durable, intake, self._counters))

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
        client = self._live_client()
        self._counters.published += 1
        try:
            with cancellation_kept():
                reply = await client.request(
                    subject_of(type(command), tenant), data, timeout=timeout_s
                )
        except NoRespondersError as exc:
            raise BUS_NO_RESPONDER.error(command=command.NAME) from exc
        except NatsTimeoutError as exc:
            raise TIMED_OUT.error(what=command.NAME, limit_s=timeout_s) from exc
        except NATS_ERRORS as exc:
            raise unavailable(exc) from exc
        return open_reply(reply.data, reply_type, type(command))

    @override
    async def respond(
        self, event_type: type[E], responder: Responder[E, R], *, scope: Scope = EVERYWHERE
    ) -> Subscription:
        require_transient(event_type)
        answering = Answering(
            event_type,
            responder,
            counters=self._counters,
            errors=self._errors,
            tracer=self._tracer,
        )
        return await self._open(
            RespondingRoute(subject_of(event_type, scope), answering, self._counters)
        )

    @override
    def statistics(self) -> BusStatistics:
        self._counters.connected = self._connection.is_connected
        self._counters.connected_since_ns = self._connection.connected_since_ns
        self._counters.reconnects = self._connection.reconnects
        return self._counters.snapshot(subscriptions=len(self._routes))

    def _live_client(self) -> Client:
        if not self._connection.is_connected:
            self._counters.publish_failed += 1
        return self._connection.client

    async def _open(self, route: Route) -> Subscription:
        self._routes.add(route)
        for name, work in route.background():
            self._tasks.start(work, name=name)
        if self._connection.is_connected:
            await self._attach(route)
        return _Running(route, self._close)

    async def _attach(self, route: Route) -> None:
        client = self._connection.client
        try:
            await route.attach(client)
            await until_known(client)
        except NATS_ERRORS as exc:
            if client.is_connected:
                await self._close(route)
                raise unavailable(exc) from exc

    async def _set_up(self, client: Client) -> None:
        await _ensure_stream(client, self._durable_subjects)
        for route in list(self._routes):
            await route.attach(client)
        await until_known(client)

    async def _close(self, route: Route) -> None:
        if route in self._routes:
            self._routes.discard(route)
            await route.close()


class _Running(Subscription):
    def __init__(self, route: Route, end: Callable[[Route], Awaitable[None]]) -> None:
        self._route = route
        self._end = end

    @override
    async def close(self) -> None:
        await self._end(self._route)


async def _store(client: Client, subject: str, data: bytes, event_id: UUID) -> None:
    """Return when the event is on disk."""
    await client.jetstream().publish(
        subject, data, timeout=STORE_TIMEOUT_S, headers={MSG_ID_HEADER: str(event_id)}
    )


async def _ensure_stream(client: Client, subjects: list[str]) -> None:
    """Make the stream, or widen it: subjects another release stores are kept."""
    jetstream = client.jetstream()
    try:
        info = await jetstream.stream_info(STREAM)
    except NotFoundError:
        await jetstream.add_stream(_stream_of(subjects))
        return
    stored = info.config.subjects or []
    if missing := set(subjects) - set(stored):
        await jetstream.update_stream(_stream_of(sorted({*stored, *missing})))


def _stream_of(subjects: list[str]) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=subjects,
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        max_age=STREAM_MAX_AGE_S,
        max_bytes=STREAM_MAX_BYTES,
        duplicate_window=DUPLICATE_WINDOW_S,
    )
