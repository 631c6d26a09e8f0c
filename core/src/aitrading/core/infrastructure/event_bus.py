"""The event bus: typed facts between processes, one subject per tenant and kind.

A port with two adapters that pass one contract suite: NATS (`server.kit.bus_nats`) and a twin in
memory (`core.testing.memory_bus`). The bus is transport, never the system of record.

What is promised, by the event's own declaration:

- `DURABLE` events are on disk when `publish` returns, and every durable subscriber gets each of
  them at least once, also those published while it was down. A handler that fails gets the event
  again, up to `MAX_DELIVERIES` times.
- Other events reach the subscribers that are connected, at most once.
- One subscription handles one event at a time, in the order of publication by each publisher;
  a repeated event holds back the ones behind it. A handler has `HANDLER_LIMIT_S` seconds.
- A handler does not see an id again that it has handled (within `MAX_REMEMBERED_IDS`).
- While the bus is lost, `publish` and `request` raise BUS_UNAVAILABLE at once: nothing waits in
  silence. Subscriptions come back by themselves.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import lru_cache
from typing import Any, ClassVar, Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.bus_errors import (
    BUS_BAD_ENVELOPE,
    BUS_EVENT_TOO_LARGE,
    BUS_WRONG_TENANT,
)
from aitrading.core.kit.ids import TenantId

MAX_EVENT_BYTES: Final = 256 * 1024
MAX_REMEMBERED_IDS: Final = 10_000
MAX_DELIVERIES: Final = 5
MAX_CACHED_SUBJECTS: Final = 4_096
SUBJECT_ROOT: Final = "ait"
PLATFORM: Final = "platform"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything that travels on the bus.

    `NAME` is `<domain>.<name>` in the past tense for facts and the imperative for commands.
    A new field needs a default, a changed meaning a new `NAME`; `VERSION` counts the former, so
    that old and new processes read each other.
    """

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    DURABLE: ClassVar[bool] = False


class Everywhere(Enum):
    """The scope of a subscription to all tenants and the platform itself."""

    EVERYWHERE = "*"


EVERYWHERE: Final = Everywhere.EVERYWHERE
Scope = TenantId | Everywhere | None
"""Whose events: one tenant's, everybody's, or (None) those of the platform itself."""

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)


class EventEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """What travels: who, what, when and in which trace; `payload` is the event as JSON."""

    id: UUID
    type: str
    version: int
    tenant: TenantId | None
    trace: str | None
    """W3C `traceparent` of the work that published the event."""
    occurred_ns: int
    payload: msgspec.Raw


Handler = Callable[[E, EventEnvelope], Awaitable[None]]
Responder = Callable[[E, EventEnvelope], Awaitable[R]]


class BusStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the start of the process; shown in health and metrics.

    `published` includes requests, `publish_failed` what was refused because the bus was lost,
    `rejected` messages that were no honest events, `dropped` those an overfull inbox refused.
    """

    connected: bool
    connected_since_ns: int | None
    reconnects: int
    published: int
    publish_failed: int
    received: int
    duplicates: int
    rejected: int
    dropped: int
    handler_failed: int
    redelivered: int
    given_up: int
    subscriptions: int


class Subscription(Protocol):
    """One running subscription."""

    async def close(self) -> None:
        """Stop; a handler that runs now is finished first. Closing twice is harmless."""
        ...


class EventBus(Protocol):
    """Publish, subscribe, ask and answer."""

    async def publish(
        self,
        event: Event,
        *,
        tenant: TenantId | None = None,
        trace: str | None = None,
        event_id: UUID | None = None,
    ) -> UUID:
        """Send an event of a tenant, or of the platform itself (None); give its id.

        With a given `event_id` a repeat is recognised and handled once (durable events are also
        stored once). Raises BUS_UNAVAILABLE or BUS_EVENT_TOO_LARGE.
        """
        ...

    async def subscribe(
        self,
        event_type: type[E],
        handler: Handler[E],
        *,
        scope: Scope = EVERYWHERE,
        durable: str | None = None,
    ) -> Subscription:
        """Handle events of one type; works while the bus is lost, too.

        `durable` names a position that survives this process: instances with the same name share
        the events between them, one at a time. It begins with the first subscription under that
        name. Only for events that are `DURABLE` (ValueError otherwise).
        """
        ...

    async def request(
        self,
        command: Event,
        reply_type: type[R],
        *,
        tenant: TenantId | None = None,
        trace: str | None = None,
        timeout_s: float = 5.0,
    ) -> R:
        """Ask whoever responds to this type and give the answer.

        Raises BUS_NO_RESPONDER, TIMED_OUT, BUS_UNAVAILABLE, the responder's own error under its
        own code, or BUS_REQUEST_FAILED when the responder broke. A `DURABLE` event cannot be a
        request: its stream would answer in place of the responder (ValueError).
        """
        ...

    async def respond(
        self, event_type: type[E], responder: Responder[E, R], *, scope: Scope = EVERYWHERE
    ) -> Subscription:
        """Answer requests of one type, one at a time; instances share them between them."""
        ...

    def statistics(self) -> BusStatistics:
        """Connection and counts."""
        ...


@lru_cache(maxsize=MAX_CACHED_SUBJECTS)
def subject_of(event_type: type[Event], scope: Scope) -> str:
    """`ait.<tenant-uuid or platform>.<domain>.<name>`; `*` in place of the tenant for all."""
    match scope:
        case None:
            owner = PLATFORM
        case Everywhere.EVERYWHERE:
            owner = scope.value
        case _:
            owner = str(scope)
    return f"{SUBJECT_ROOT}.{owner}.{event_type.NAME}"


def seal(
    event: Event, *, event_id: UUID, tenant: TenantId | None, trace: str | None, now_ns: int
) -> bytes:
    """Encode an event in its envelope; raises BUS_EVENT_TOO_LARGE."""
    data = _encoder.encode(
        EventEnvelope(
            id=event_id,
            type=event.NAME,
            version=event.VERSION,
            tenant=tenant,
            trace=trace,
            occurred_ns=now_ns,
            payload=msgspec.Raw(_encoder.encode(event)),
        )
    )
    if len(data) > MAX_EVENT_BYTES:
        raise BUS_EVENT_TOO_LARGE.error(
            event=event.NAME, size_bytes=len(data), limit_bytes=MAX_EVENT_BYTES
        )
    return data


def open_envelope(data: bytes, event_type: type[E], subject: str) -> tuple[E, EventEnvelope]:
    """Decode and check.

    Raises BUS_BAD_ENVELOPE, or BUS_WRONG_TENANT when the subject's owner is not the envelope's.
    """
    try:
        envelope = _decoder.decode(data)
        event: E = _decoder_of(event_type).decode(envelope.payload)
    except msgspec.DecodeError as exc:
        raise BUS_BAD_ENVELOPE.error(subject=subject, problem=str(exc)) from exc
    if subject_of(event_type, envelope.tenant) != subject or envelope.type != event_type.NAME:
        raise BUS_WRONG_TENANT.error(subject=subject, event=envelope.type)
    return event, envelope


class IdempotentHandler:
    """Wraps a handler so that an id which was handled is not handled again.

    An id is remembered after success only: a failed attempt may be repeated. Restarts are
    covered by the handler's own store, in the same transaction as its effect.
    """

    def __init__(self, handler: Handler[Any], *, remember: int = MAX_REMEMBERED_IDS) -> None:
        self._handler = handler
        self._remember = remember
        self._handled: OrderedDict[UUID, None] = OrderedDict()

    def has_handled(self, event_id: UUID) -> bool:
        """Whether this id is among the latest handled ones."""
        return event_id in self._handled

    async def __call__(self, event: Event, envelope: EventEnvelope) -> None:
        """Handle, unless that was done already."""
        if self.has_handled(envelope.id):
            return
        await self._handler(event, envelope)
        self._handled[envelope.id] = None
        if len(self._handled) > self._remember:
            self._handled.popitem(last=False)


@lru_cache(maxsize=MAX_CACHED_SUBJECTS)
def _decoder_of(event_type: type[Event]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(event_type)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(EventEnvelope)
