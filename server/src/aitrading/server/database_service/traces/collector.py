"""Takes the parts of traces from every process and keeps the traces that are worth it.

A trace is held for a few seconds, until its parts are there. One part that failed, was refused,
was slow or is in the share is enough: what is known of the trace is written at once, and what
comes later is added. Nothing here is waited for by a request.

What is lost when this service is killed: traces held for less than `hold_s` that were not written,
about half a second's worth of those to be kept. Processes keep what was not confirmed and send it
again; the same part twice is the same part.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import ClassVar, Final
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import CollectTraces, TracesCollected
from aitrading.core.infrastructure.lifecycle import Component, ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics, Reading
from aitrading.core.infrastructure.tracing import TracePart
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.edge_log import edge_parts
from aitrading.server.database_service.traces.metrics import DROPPED, HELD, KEPT, PASSED
from aitrading.server.database_service.traces.sampling import FAILED, HeldTrace, owned, worth
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.kit.log_tail import LogTail
from aitrading.server.kit.tenancy import PLATFORM

ROUND_S: Final = 0.5
FORGET_EVERY_S: Final = 3_600
MINUTE_S: Final = 60
MAX_WRITTEN_AT_ONCE: Final = 200
MAX_OWNERS_COUNTED: Final = 10_000
MAX_REMEMBERED: Final = 2_000
"""Kept traces that are known when a part of them comes late."""
_log = get_logger(__name__)


class TraceCollector(Component):
    """Decides, writes, and counts what it could not keep."""

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("bus", "postgres-schema")

    def __init__(
        self,
        bus: EventBus,
        book: TraceBook,
        edge: LogTail,
        settings: TraceSettings,
        clock: Clock,
        ids: IdFactory,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self._bus = bus
        self._book = book
        self._edge = edge
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._errors = errors
        self._metrics = metrics
        self._held: OrderedDict[str, HeldTrace] = OrderedDict()
        self._kept: OrderedDict[str, HeldTrace] = OrderedDict()
        self._spans = 0
        self._unwritten: dict[TenantId, deque[TracePart]] = {}
        self._unwritten_spans = 0
        self._kept_this_minute: dict[TenantId, int] = {}
        self._minute = 0
        self._dropped = 0
        self._dropped_at_ns: int | None = None
        self._forgot_ns: int | None = None
        self._subscription: Subscription | None = None
        self._tasks = TaskSet("trace-collector", on_error=self._failed)
        self._state = ComponentState.NEW
        metrics.add_source(self._readings)

    @property
    @override
    def name(self) -> str:
        return "trace-collector"

    @property
    @override
    def state(self) -> ComponentState:
        """DEGRADED for a minute after a trace was dropped for want of room or of the store."""
        if self._state is ComponentState.HEALTHY and self._dropped_at_ns is not None:
            since_ns = self._clock.monotonic_ns() - self._dropped_at_ns
            if since_ns < MINUTE_S * NS_PER_S:
                return ComponentState.DEGRADED
        return self._state

    @override
    async def start(self) -> None:
        self._edge.begin()
        self._subscription = await self._bus.respond(CollectTraces, self._on_collect, scope=None)
        self._tasks.start(self._work_for_ever(), name="work")
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        self._state = ComponentState.STOPPING
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()
        await self._tasks.close()
        await self.round(last=True)
        self._edge.close()
        self._state = ComponentState.STOPPED

    def statistics(self) -> dict[str, int]:
        """What is held, what waits for the store, what was dropped since the start."""
        return {
            "held_traces": len(self._held),
            "held_spans": self._spans,
            "unwritten_spans": self._unwritten_spans,
            "dropped": self._dropped,
            "edge_log_bytes_skipped": self._edge.skipped_bytes,
        }

    def take(self, part: TracePart) -> None:
        """Hold a part; never waits."""
        held = self._held.get(part.trace_id)
        if held is None:
            held = self._kept.pop(part.trace_id, None) or HeldTrace()
            held.since_ns = self._clock.monotonic_ns()
            self._held[part.trace_id] = held
        held.add(part)
        self._spans += len(part.spans)
        settings = self._settings
        because = worth(part, share=settings.share, slow_ms=settings.slow_ms)
        if because is not None and (held.because is None or because == FAILED):
            held.because = because
        self._make_room()

    async def round(self, *, last: bool = False) -> None:
        """Write what is to be kept, let go of what is not; never raises for a store that is away."""
        for part in await edge_parts(self._edge, self._ids):
            self.take(part)
        now_ns = self._clock.monotonic_ns()
        over_ns = now_ns - int(self._settings.hold_s * NS_PER_S)
        for trace_id, held in list(self._held.items()):
            over = last or held.since_ns <= over_ns
            if held.because is not None:
                self._settle(held, finally_=over)
            if over:
                del self._held[trace_id]
                self._spans -= sum(len(part.spans) for part in held.waiting)
                if held.because is None:
                    self._metrics.increment(PASSED)
                else:
                    self._remember(trace_id, held)
        await self._write()

    def _remember(self, trace_id: str, held: HeldTrace) -> None:
        self._kept[trace_id] = held
        if len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)

    async def _on_collect(self, event: CollectTraces, _: EventEnvelope) -> TracesCollected:
        for part in event.parts:
            self.take(part)
        for trace_id in event.lost:
            held = self._held.get(trace_id)
            if held is not None and held.because != FAILED:
                self._let_go(trace_id, "held")
        return TracesCollected(parts=len(event.parts))

    def _settle(self, held: HeldTrace, *, finally_: bool) -> None:
        """Hand on what has an owner to be written."""
        for tenant, parts in owned(held, finally_=finally_).items():
            owner = PLATFORM if tenant is None else TenantId(UUID(tenant))
            spans = sum(len(part.spans) for part in parts)
            self._spans -= spans
            if self._admit(owner, held):
                self._unwritten.setdefault(owner, deque()).extend(parts)
                self._unwritten_spans += spans

    def _admit(self, owner: TenantId, held: HeldTrace) -> bool:
        """Count each trace once with each owner; failed ones are kept whatever the count says."""
        if owner in held.admitted:
            return held.admitted[owner]
        minute = self._clock.monotonic_ns() // (MINUTE_S * NS_PER_S)
        if minute != self._minute or len(self._kept_this_minute) > MAX_OWNERS_COUNTED:
            self._minute, self._kept_this_minute = minute, {}
        because = held.because or ""
        count = self._kept_this_minute.get(owner, 0) + (because != FAILED)
        admitted = held.admitted[owner] = because == FAILED or count <= self._settings.per_minute
        if admitted:
            self._kept_this_minute[owner] = count
            self._metrics.increment(KEPT, because=because)
        else:
            # A limit that does what it is for: counted, and no fault of this component.
            self._metrics.increment(DROPPED, because="minute")
        return admitted

    def _make_room(self) -> None:
        """Let go of the oldest traces that are not known to be kept, then of any."""
        if self._spans <= self._settings.held_spans:
            return
        for wanted in (None, "any"):
            for trace_id, held in list(self._held.items()):
                if self._spans <= self._settings.held_spans * 9 // 10:
                    return
                if held.because != FAILED or wanted is not None:
                    self._let_go(trace_id, "held")

    def _let_go(self, trace_id: str, because: str) -> None:
        held = self._held.pop(trace_id)
        self._spans -= sum(len(part.spans) for part in held.waiting)
        self._note_dropped(because)

    async def _write(self) -> None:
        for owner, parts in list(self._unwritten.items()):
            while parts:
                some = [parts.popleft() for _ in range(min(len(parts), MAX_WRITTEN_AT_ONCE))]
                try:
                    await self._book.keep(owner, some)
                except AitradingError as exc:
                    # Not classified: the store's own users say that it is away.
                    parts.extendleft(reversed(some))
                    _log.debug("traces wait to be written: %s", exc.message)
                    self._bound_unwritten(parts)
                    break
                self._unwritten_spans -= sum(len(part.spans) for part in some)
            if not parts:
                self._unwritten.pop(owner, None)

    def _bound_unwritten(self, parts: deque[TracePart]) -> None:
        while parts and self._unwritten_spans > self._settings.held_spans:
            self._unwritten_spans -= len(parts.popleft().spans)
            self._note_dropped("store")

    def _note_dropped(self, because: str) -> None:
        self._dropped += 1
        self._dropped_at_ns = self._clock.monotonic_ns()
        self._metrics.increment(DROPPED, because=because)

    async def _work_for_ever(self) -> None:
        while True:
            await self._clock.sleep(ROUND_S)
            await self.round()
            await self._forget()

    async def _forget(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._forgot_ns is not None and now_ns - self._forgot_ns < FORGET_EVERY_S * NS_PER_S:
            return
        self._forgot_ns = now_ns
        try:
            await self._book.forget()
        except AitradingError as exc:
            self._errors.classify(exc)

    def _readings(self) -> Iterator[Reading]:
        yield Reading(HELD, self._spans)

    def _failed(self, _task: str, exc: Exception) -> None:
        self._errors.classify(exc)
        self._state = ComponentState.FAILED
