"""What every bus adapter does with a message: check, deduplicate, handle, count, answer.

Adapters move bytes; the promises of `event_bus` about handling are kept here, once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

import msgspec

from aitrading.core.infrastructure.bus_errors import BUS_EVENT_TOO_LARGE, BUS_REQUEST_FAILED
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import (
    MAX_EVENT_BYTES,
    BusStatistics,
    Event,
    EventEnvelope,
    Handler,
    IdempotentHandler,
    Responder,
    open_envelope,
)
from aitrading.core.infrastructure.resilience import Timeouts, Watchdog
from aitrading.core.infrastructure.tracing import RequestTracer, SpanKind
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.logging.optimized_log_router import bind_context
from aitrading.core.protocol.tracecontext import TraceContext

HANDLER_LIMIT_S: Final = Timeouts.NORMAL
MAX_INBOX_MESSAGES: Final = 65_536
FIRST_REDELIVERY_S: Final = 0.25
MAX_REDELIVERY_S: Final = 5.0

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")


@dataclass
class BusCounters:
    """The numbers behind `BusStatistics`, kept by an adapter."""

    connected: bool = False
    connected_since_ns: int | None = None
    reconnects: int = 0
    published: int = 0
    publish_failed: int = 0
    received: int = 0
    duplicates: int = 0
    rejected: int = 0
    dropped: int = 0
    handler_failed: int = 0
    redelivered: int = 0
    given_up: int = 0

    def snapshot(self, *, subscriptions: int) -> BusStatistics:
        """The numbers as they are now."""
        return BusStatistics(**asdict(self), subscriptions=subscriptions)


class Outcome(Enum):
    """What became of a delivered message."""

    HANDLED = auto()
    REJECTED = auto()
    FAILED = auto()


class Intake(Generic[E]):
    """The receiving side of one subscription."""

    def __init__(
        self,
        event_type: type[E],
        handler: Handler[E],
        *,
        counters: BusCounters,
        errors: ErrorHandler,
        tracer: RequestTracer | None = None,
    ) -> None:
        self._event_type = event_type
        self._tracer = tracer
        self._handler = IdempotentHandler(handler)
        self._counters = counters
        self._errors = errors
        self._patience = Watchdog(HANDLER_LIMIT_S, what=f"the handler of {event_type.NAME}")

    async def take(self, subject: str, data: bytes) -> Outcome:
        """Handle one message; errors are classified, never raised."""
        self._counters.received += 1
        try:
            event, envelope = open_envelope(data, self._event_type, subject)
        except AitradingError as exc:
            self._counters.rejected += 1
            self._errors.classify(exc)
            return Outcome.REJECTED
        return await self._handle(event, envelope)

    async def _handle(self, event: E, envelope: EventEnvelope) -> Outcome:
        if self._handler.has_handled(envelope.id):
            self._counters.duplicates += 1
            return Outcome.HANDLED
        try:
            with self._patience, _following(self._tracer, envelope):
                await self._handler(event, envelope)
        except Exception as exc:  # noqa: BLE001 - a failing handler must not end the subscription
            self._counters.handler_failed += 1
            self._errors.classify(exc, tenant=str(envelope.tenant) if envelope.tenant else None)
            return Outcome.FAILED
        return Outcome.HANDLED


class RemoteError(msgspec.Struct, frozen=True, kw_only=True):
    """A responder's refusal as it travels."""

    code: str
    category: Category
    message: str
    remedy: str
    http_status: int


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a responder sends back: an answer or an error."""

    answer: msgspec.Raw = msgspec.Raw(b"null")
    error: RemoteError | None = None


class Answering(Generic[E, R]):
    """The receiving side of one responder."""

    def __init__(
        self,
        event_type: type[E],
        responder: Responder[E, R],
        *,
        counters: BusCounters,
        errors: ErrorHandler,
        tracer: RequestTracer | None = None,
    ) -> None:
        self._event_type = event_type
        self._tracer = tracer
        self._responder = responder
        self._counters = counters
        self._errors = errors
        self._patience = Watchdog(HANDLER_LIMIT_S, what=f"the responder to {event_type.NAME}")

    async def answer(self, subject: str, data: bytes) -> bytes:
        """Give the encoded reply; an error of the responder becomes an error reply."""
        self._counters.received += 1
        try:
            event, envelope = open_envelope(data, self._event_type, subject)
            with self._patience, _following(self._tracer, envelope):
                answer = await self._responder(event, envelope)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the asker must get an answer
            self._counters.handler_failed += 1
            return self._refusal(exc)
        reply = _encoder.encode(Reply(answer=msgspec.Raw(_encoder.encode(answer))))
        if len(reply) > MAX_EVENT_BYTES:
            return self._refusal(
                BUS_EVENT_TOO_LARGE.error(
                    event=f"answer to {self._event_type.NAME}",
                    size_bytes=len(reply),
                    limit_bytes=MAX_EVENT_BYTES,
                )
            )
        return reply

    def _refusal(self, exc: Exception) -> bytes:
        record = self._errors.classify(exc)
        if not isinstance(exc, AitradingError):
            exc = BUS_REQUEST_FAILED.error(
                command=self._event_type.NAME, fingerprint=record.fingerprint
            )
        error = RemoteError(
            code=exc.code,
            category=exc.spec.category,
            message=exc.message,
            remedy=exc.spec.remedy,
            http_status=exc.spec.http_status,
        )
        return _encoder.encode(Reply(error=error))


@contextlib.contextmanager
def _following(tracer: RequestTracer | None, envelope: EventEnvelope) -> Generator[None]:
    """What a handler does for a request of somebody else belongs to that request's trace."""
    asked = TraceContext.parse(envelope.trace) if envelope.trace is not None else None
    if tracer is None or asked is None:
        yield
        return
    here = TraceContext(asked.trace_id, tracer.span_id(), asked.sampled)
    tenant = str(envelope.tenant) if envelope.tenant else None
    with (
        bind_context(trace=here),
        tracer.follow(SpanKind.EVENT, envelope.type, here, parent=asked.span_id, tenant=tenant),
    ):
        yield


def open_reply(data: bytes, reply_type: type[R], command: type[Event]) -> R:
    """Decode an answer; raises the responder's error under its own code."""
    try:
        reply = _reply_decoder.decode(data)
        if reply.error is None:
            return msgspec.json.decode(reply.answer, type=reply_type)
    except msgspec.DecodeError as exc:
        raise BUS_REQUEST_FAILED.error(command=command.NAME, fingerprint="bad reply") from exc
    raise rebuilt_error(reply.error, command)


def rebuilt_error(error: RemoteError, command: type[Event]) -> AitradingError:
    """The responder's error as an exception on this side, its message as it was."""
    spec = ErrorSpec(
        code=error.code,
        category=error.category,
        message=error.message.replace("{", "{{").replace("}", "}}"),
        why=f"The service that answers {command.NAME} refused.",
        remedy=error.remedy,
        http_status=error.http_status,
    )
    return spec.error(command=command.NAME)


def redelivery_delay_s(deliveries: int) -> float:
    """How long a failed durable event rests before its next delivery (1 = after the first)."""
    return min(MAX_REDELIVERY_S, FIRST_REDELIVERY_S * 2 ** min(deliveries - 1, 10))


class Inbox(Generic[T]):
    """Messages that arrived and wait for their subscription; bounded, the newest is refused."""

    def __init__(self, limit: int = MAX_INBOX_MESSAGES) -> None:
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._arrived = asyncio.Event()

    def put(self, item: T) -> bool:
        """Append; False when there is no room."""
        if len(self._waiting) >= self._limit:
            return False
        self._waiting.append(item)
        self._arrived.set()
        return True

    async def take(self) -> T:
        """The oldest message, when there is one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()


class Worker(Generic[T]):
    """Takes one item after the other and works on it, until it is closed."""

    def __init__(
        self, take: Callable[[], Awaitable[T]], work: Callable[[T], Awaitable[None]]
    ) -> None:
        self._take = take
        self._work = work
        self._working = asyncio.Lock()
        self._closing = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Work until closed; an error of `take` or `work` is the end and passes through."""
        self._task = asyncio.current_task()
        while not self._closing:
            item = await self._take()
            async with self._working:
                await self._work(item)

    async def close(self) -> None:
        """Let the running work finish, then end; work may close its own worker."""
        self._closing = True
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        async with self._working:
            task.cancel()
        await asyncio.wait([task])


_encoder: Final = msgspec.json.Encoder()
_reply_decoder: Final = msgspec.json.Decoder(Reply)


def require_durable(event_type: type[Event]) -> None:
    """Refuse a stored position for events that are not stored."""
    if not event_type.DURABLE:
        raise ValueError(f"{event_type.NAME} is not DURABLE: it has no stored position")


def require_transient(event_type: type[Event]) -> None:
    """Refuse to ask with an event that a stream would take for a publication."""
    if event_type.DURABLE:
        raise ValueError(f"{event_type.NAME} is DURABLE: publish it instead of asking")
