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
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.infrastructure.metrics import Metrics, Reading
from aitrading.core.infrastructure.tracing import TracePart
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.checks import is_sound
from aitrading.server.database_service.traces.edge_log import edge_parts
from aitrading.server.database_service.traces.metrics import DROPPED, HELD, KEPT, PASSED
from aitrading.server.database_service.traces.sampling import FAILED, HeldTrace, owned, worth
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.kit.database_errors import DATABASE_REJECTED
from aitrading.server.kit.log_tail import LogTail
from aitrading.server.kit.tenancy import PLATFORM

ROUND_S: Final = 0.5
FORGET_EVERY_S: Final = 3_600
MINUTE_S: Final = 60
MAX_WRITTEN_AT_ONCE: Final = 200
MAX_OWNERS_COUNTED: Final = 10_000
MAX_REMEMBERED: Final = 2_000
"""Kept traces that are known when a part of them comes late."""
MAX_REMEMBERED_SPANS: Final = 100_000
"""Spans of those whose organisation is known."""
_log = get_logger(__name__)


class TraceCollector(LoopingComponent):
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
        super().__init__("trace-collector", on_error=errors.classify)
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
        self._remembered_spans = 0
        self._spans = 0
        self._unwritten: dict[TenantId, deque[TracePart]] = {}
        self._unwritten_spans = 0
        self._kept_this_minute: dict[tuple[TenantId, bool], int] = {}
        self._minute = 0
        self._dropped = 0
        self._dropped_at_ns: int | None = None
        self._forgot_ns: int | None = None
        self._subscription: Subscription | None = None
        metrics.add_source(self._readings)

    @property
    @override
    def state(self) -> ComponentState:
        """DEGRADED for a minute after a trace was dropped for want of room or of the store."""
        if self._state is ComponentState.HEALTHY and self._dropped_at_ns is not None:
            since_ns = self._clock.monotonic_ns() - self._dropped_at_ns
            if since_ns < MINUTE_S * NS_PER_S:
                return ComponentState.DEGRADED
        return super().state

    @override
    async def start(self) -> None:
        self._edge.begin()
        self._subscription = await self._bus.respond(CollectTraces, self._on_collect, scope=None)
        self._tasks.keep(self._work_for_ever, name="work", clock=self._clock)
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
            "remembered_spans": self._remembered_spans,
            "unwritten_spans": self._unwritten_spans,
            "dropped": self._dropped,
            "edge_log_bytes_skipped": self._edge.skipped_bytes,
        }

    def take(self, part: TracePart) -> None:
        """Hold a part; never waits."""
        held = self._held.get(part.trace_id)
        if held is None:
            held = self._recall(part.trace_id)
            held.since_ns = self._clock.monotonic_ns()
            self._held[part.trace_id] = held
        held.add(part)
        self._spans += len(part.spans)
        settings = self._settings
        because = worth(part, share=settings.share, slow_ms=settings.slow_ms)
        if because is not None and (held.because is None or because == FAILED):
            held.because = because
        self._make_room()

    def collect(self, event: CollectTraces) -> TracesCollected:
        """Hold what a process hands in; what no process of ours would is counted, and no more."""
        for part in event.parts:
            if is_sound(part):
                self.take(part)
            else:
                self._metrics.increment(DROPPED, because="invalid")
        for trace_id in event.lost:
            held = self._held.get(trace_id)
            if held is not None and held.because != FAILED:
                self._let_go(trace_id, held)
        return TracesCollected(parts=len(event.parts))

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
                self._spans -= held.waiting_spans
                if held.because is None:
                    self._metrics.increment(PASSED)
                else:
                    self._remember(trace_id, held)
        await self._write()

    def _remember(self, trace_id: str, held: HeldTrace) -> None:
        self._kept[trace_id] = held
        self._remembered_spans += held.known_spans
        while len(self._kept) > MAX_REMEMBERED or self._remembered_spans > MAX_REMEMBERED_SPANS:
            _, oldest = self._kept.popitem(last=False)
            self._remembered_spans -= oldest.known_spans

    def _recall(self, trace_id: str) -> HeldTrace:
        """With what it had of its limits, so that no trace gets them twice."""
        held = self._kept.pop(trace_id, None)
        if held is None:
            return HeldTrace()
        self._remembered_spans -= held.known_spans
        return held

    async def _on_collect(self, event: CollectTraces, _: EventEnvelope) -> TracesCollected:
        return self.collect(event)

    def _settle(self, held: HeldTrace, *, finally_: bool) -> None:
        """Hand on what has an owner to be written."""
        for tenant, parts in owned(held, finally_=finally_).items():
            owner = PLATFORM if tenant is None else TenantId(UUID(tenant))
            self._spans -= sum(len(part.spans) for part in parts)
            if self._admit(owner, held):
                self._hand_on(owner, held, parts)

    def _hand_on(self, owner: TenantId, held: HeldTrace, parts: list[TracePart]) -> None:
        was_spent = owner in held.spent
        fitting = held.within_budget(owner, parts)
        if owner in held.spent and not was_spent:
            self._metrics.increment(DROPPED, because="trace")
        if fitting:
            self._unwritten.setdefault(owner, deque()).extend(fitting)
            self._unwritten_spans += sum(len(part.spans) for part in fitting)

    def _admit(self, owner: TenantId, held: HeldTrace) -> bool:
        """Count each trace once with each owner; when it turns out to have failed, as such."""
        failed = held.because == FAILED
        if held.admitted.get((owner, False)):
            return True
        if (owner, failed) in held.admitted:
            return held.admitted[owner, failed]
        minute = self._clock.monotonic_ns() // (MINUTE_S * NS_PER_S)
        if minute != self._minute or len(self._kept_this_minute) > MAX_OWNERS_COUNTED:
            self._minute, self._kept_this_minute = minute, {}
        settings = self._settings
        limit = settings.failed_per_minute if failed else settings.per_minute
        count = self._kept_this_minute.get((owner, failed), 0) + 1
        admitted = held.admitted[owner, failed] = count <= limit
        if admitted:
            self._kept_this_minute[owner, failed] = count
            self._metrics.increment(KEPT, because=held.because or "")
        else:
            # A limit that does what it is for: counted, and no fault of this component.
            self._metrics.increment(DROPPED, because="minute")
        return admitted

    def _make_room(self) -> None:
        """Let go of the oldest of which nothing is known yet, then of any that did not fail."""
        if self._spans <= self._settings.held_spans:
            return
        for giving_way in (_is_undecided, _did_not_fail, _is_any):
            for trace_id, held in list(self._held.items()):
                if self._spans <= self._settings.held_spans * 9 // 10:
                    return
                if held.waiting and giving_way(held):
                    self._let_go(trace_id, held)

    def _let_go(self, trace_id: str, held: HeldTrace) -> None:
        """Of what waits; one that is kept stays known, with what it had of its limits."""
        self._spans -= held.waiting_spans
        lost, held.waiting = held.waiting, []
        if held.because is None:
            del self._held[trace_id]
            self._metrics.increment(PASSED)
        elif lost:
            self._note_dropped("held")

    async def _write(self) -> None:
        for owner, parts in list(self._unwritten.items()):
            while parts:
                some = [parts.popleft() for _ in range(min(len(parts), MAX_WRITTEN_AT_ONCE))]
                try:
                    await self._book.keep(owner, some)
                except AitradingError as exc:
                    if not _is_final(exc):
                        # Not classified: the store's own users say that it is away.
                        parts.extendleft(reversed(some))
                        _log.debug("traces wait to be written: %s", exc.message)
                        self._bound_unwritten()
                        break
                    _log.warning("parts of traces were refused by the store: %s", exc.message)
                    self._metrics.increment(DROPPED, because="invalid")
                self._unwritten_spans -= sum(len(part.spans) for part in some)
            if not parts:
                self._unwritten.pop(owner, None)

    def _bound_unwritten(self) -> None:
        """Whoever has most waiting loses its oldest."""
        while self._unwritten_spans > self._settings.held_spans:
            largest = max(self._unwritten.values(), key=len)
            self._unwritten_spans -= len(largest.popleft().spans)
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


def _is_undecided(held: HeldTrace) -> bool:
    return held.because is None


def _did_not_fail(held: HeldTrace) -> bool:
    return held.because != FAILED


def _is_any(_: HeldTrace) -> bool:
    return True


def _is_final(refusal: AitradingError) -> bool:
    """Whether the same parts would be refused for ever."""
    return refusal.spec.category is Category.DENIED or refusal.spec is DATABASE_REJECTED
