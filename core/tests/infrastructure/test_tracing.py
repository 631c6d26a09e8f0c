"""Parts of traces: recorded, bounded, reported, and put together without making anything up."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.infrastructure.error_dna import dna_of
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import (
    ChainMeasured,
    CollectTraces,
    TracesCollected,
)
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.trace_reporter import TraceReporter
from aitrading.core.infrastructure.tracing import (
    Outcome,
    RequestTracer,
    Span,
    SpanKind,
    TraceBacklog,
    TracePart,
    assemble,
    current_traceparent,
    span,
)
from aitrading.core.infrastructure.tracing.tracer import MAX_SPANS
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus

CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
REFUSAL = ErrorSpec(code="NO", category=Category.DENIED, message="No.", why="", remedy="")
TRACE = "0af7651916cd43dd8448eb211c80319c"  # pragma: allowlist secret


def a_tracer(limit_spans: int = 1_000) -> tuple[RequestTracer, TraceBacklog]:
    backlog = TraceBacklog(limit_spans)
    return RequestTracer(service="here", clock=CLOCK, ids=IDS, backlog=backlog), backlog


def a_part(
    number: int = 1, outcome: Outcome = Outcome.OK, trace_id: str = TRACE, steps: int = 0
) -> TracePart:
    spans = tuple(
        Span(
            id=f"{number * 1_000 + at:016x}",
            parent=None if at == 0 else f"{number * 1_000:016x}",
            kind=SpanKind.REQUEST if at == 0 else SpanKind.DATABASE,
            name="x",
            began_ns=number,
            took_ns=1,
            outcome=outcome if at == 0 else Outcome.OK,
        )
        for at in range(steps + 1)
    )
    return TracePart(trace_id=trace_id, service="here", spans=spans)


def only(backlog: TraceBacklog) -> TracePart:
    (part,) = backlog.take(1_000)
    return part


def test_steps_belong_to_the_request_that_runs() -> None:
    tracer, backlog = a_tracer()
    trace = TraceContext.start(IDS)
    with tracer.follow(SpanKind.REQUEST, "GET /x", trace, parent="00f067aa0ba902b7") as part:
        part.tenant = "t"
        assert current_traceparent() == str(trace)
        with span(SpanKind.DATABASE, "orders.all"):
            pass
        with span(SpanKind.CALL, "GET peer") as call:
            pass
    kept = only(backlog)
    whole, query, called = kept.spans
    assert (kept.trace_id, kept.tenant, kept.service) == (trace.trace_id, "t", "here")
    assert (whole.id, whole.parent, whole.name) == (trace.span_id, "00f067aa0ba902b7", "GET /x")
    assert {query.parent, called.parent} == {whole.id}
    assert call.traceparent == f"00-{trace.trace_id}-{called.id}-01"
    assert whole.took_ns >= query.took_ns
    assert current_traceparent() is None


def test_nothing_is_recorded_where_nothing_is_followed() -> None:
    with span(SpanKind.DATABASE, "orders.all") as step:
        assert step.traceparent is None
    tracer = RequestTracer(service="here", clock=CLOCK, ids=IDS)
    with tracer.follow(SpanKind.REQUEST, "GET /x", TraceContext.start(IDS)):
        assert current_traceparent() is None


@async_test
async def test_requests_that_run_together_keep_their_steps_apart() -> None:
    tracer, backlog = a_tracer()
    inside = asyncio.Barrier(2)

    async def request(name: str) -> None:
        with tracer.follow(SpanKind.REQUEST, name, TraceContext.start(IDS)):
            await inside.wait()
            with span(SpanKind.DATABASE, f"{name}.step"):
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b"):
            tasks.create_task(request(name))
    parts = backlog.take(100)
    assert {(part.root.name, part.spans[1].name) for part in parts} == {
        ("a", "a.step"),
        ("b", "b.step"),
    }


@async_test
async def test_a_step_that_outlives_its_request_is_nobodys() -> None:
    tracer, backlog = a_tracer()
    go_on = asyncio.Event()

    async def late() -> None:
        with span(SpanKind.DATABASE, "late"):
            await go_on.wait()

    async with asyncio.TaskGroup() as tasks:
        with tracer.follow(SpanKind.REQUEST, "x", TraceContext.start(IDS)):
            tasks.create_task(late())
            await asyncio.sleep(0)
        go_on.set()
    assert len(only(backlog).spans) == 1


@pytest.mark.parametrize(
    ("failure", "outcome", "code"),
    [
        (REFUSAL.error(), Outcome.REFUSED, "NO"),
        (ValueError("x"), Outcome.FAILED, "UNEXPECTED"),
        (asyncio.CancelledError(), Outcome.REFUSED, "CANCELLED"),
    ],
)
def test_how_it_ended_is_told(failure: BaseException, outcome: Outcome, code: str) -> None:
    tracer, backlog = a_tracer()
    with (
        pytest.raises(type(failure)),
        tracer.follow(SpanKind.REQUEST, "x", TraceContext.start(IDS)),
    ):
        raise failure
    root = only(backlog).root
    assert root.outcome is outcome
    assert root.code == (dna_of(failure).code if outcome is Outcome.FAILED else code)
    assert root.fingerprint == (dna_of(failure).fingerprint if outcome is Outcome.FAILED else None)


def test_a_part_with_too_many_steps_says_so() -> None:
    tracer, backlog = a_tracer()
    with tracer.follow(SpanKind.REQUEST, "x", TraceContext.start(IDS)):
        for _ in range(MAX_SPANS + 5):
            with span(SpanKind.DATABASE, "x"):
                pass
    part = only(backlog)
    assert (len(part.spans), part.cut) == (MAX_SPANS + 1, 5)
    assert not assemble([part]).complete


def test_a_full_backlog_drops_whole_parts_that_did_not_fail_and_counts_them() -> None:
    backlog = TraceBacklog(limit_spans=30)
    backlog.add(a_part(1, Outcome.FAILED, steps=9))
    for number in range(2, 8):
        backlog.add(a_part(number, trace_id=f"{number:032x}", steps=9))
    assert (backlog.dropped, backlog.dropped_failed, backlog.spans) == (4, 0, 30)
    assert backlog.take_lost() == tuple(f"{number:032x}" for number in range(2, 6))
    assert [part.root.began_ns for part in backlog.take(100)] == [1, 6, 7]
    for number in range(5):
        backlog.add(a_part(number, Outcome.FAILED, steps=9))
    assert (backlog.dropped_failed, len(backlog)) == (2, 3)


@async_test
async def test_what_the_collector_does_not_confirm_waits_and_drops_are_visible() -> None:
    broker = MemoryBroker()
    metrics = Metrics()
    errors = ErrorHandler(
        clock=CLOCK,
        randomness=SystemRandomness(),
        metrics=metrics,
        resilience=ResilienceRegistry(),
    )
    tracer, backlog = a_tracer(limit_spans=20)
    bus = MemoryBus(broker, clock=CLOCK, ids=IDS, errors=errors, tracer=tracer)
    await bus.start()
    reporter = TraceReporter(bus, tracer, clock=CLOCK, errors=errors, metrics=metrics)
    await reporter.start()
    backlog.add(a_part(1, steps=9))
    await reporter.report()
    assert len(backlog) == 1, "nobody answers yet"
    backlog.add(a_part(2, steps=9))
    backlog.add(a_part(3, steps=9))
    await reporter.report()
    assert reporter.state is ComponentState.DEGRADED
    assert reporter.statistics()["parts_dropped"] == 1
    assert 'aitrading_trace_parts_dropped_total{outcome="other"} 1.0' in metrics.render().decode()
    taken: list[TracePart] = []

    async def collect(event: CollectTraces, _: EventEnvelope) -> TracesCollected:
        taken.extend(event.parts)
        return TracesCollected(parts=len(event.parts))

    await bus.respond(CollectTraces, collect, scope=None)

    async def arrived() -> bool:
        return [part.root.began_ns for part in taken] == [2, 3]

    await eventually(arrived, what="the parts")
    await reporter.stop()
    await bus.stop()


def test_what_is_put_back_stays_the_oldest() -> None:
    backlog = TraceBacklog(limit_spans=30)
    for number in range(1, 4):
        backlog.add(a_part(number, trace_id=f"{number:032x}", steps=9))
    taken = backlog.take(20)
    backlog.add(a_part(4, trace_id=f"{4:032x}", steps=9))
    backlog.put_back(taken, lost=("a" * 32,))
    assert backlog.take_lost() == ("a" * 32, f"{1:032x}")
    assert [part.root.began_ns for part in backlog.take(100)] == [2, 3, 4]


@async_test
async def test_a_report_that_fails_or_is_cancelled_loses_neither_parts_nor_what_was_lost() -> None:
    errors = ErrorHandler(
        clock=CLOCK,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    tracer, backlog = a_tracer(limit_spans=10)
    bus = MemoryBus(MemoryBroker(), clock=CLOCK, ids=IDS, errors=errors)
    await bus.start()
    reporter = TraceReporter(bus, tracer, clock=CLOCK, errors=errors, metrics=Metrics())
    backlog.add(a_part(1, trace_id="a" * 32, steps=9))
    backlog.add(a_part(2, trace_id="b" * 32, steps=9))
    await reporter.report()
    assert len(backlog) == 1, "nobody answers yet"
    asked, go_on, told = asyncio.Event(), asyncio.Event(), list[CollectTraces]()

    async def collect(event: CollectTraces, _: EventEnvelope) -> TracesCollected:
        asked.set()
        await go_on.wait()
        told.append(event)
        return TracesCollected(parts=len(event.parts))

    await bus.respond(CollectTraces, collect, scope=None)
    async with asyncio.TaskGroup() as tasks:
        report = tasks.create_task(reporter.report())
        await asked.wait()
        report.cancel()
    assert len(backlog) == 1
    go_on.set()
    await reporter.report()
    assert [(len(each.parts), each.lost) for each in told] == [(1, ("a" * 32,))] * 2
    await bus.stop()


@async_test
async def test_a_handler_is_a_child_of_who_published() -> None:
    errors = ErrorHandler(
        clock=CLOCK,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    tracer, backlog = a_tracer()
    bus = MemoryBus(MemoryBroker(), clock=CLOCK, ids=IDS, errors=errors, tracer=tracer)
    await bus.start()

    async def handle(_: ChainMeasured, envelope: EventEnvelope) -> None:
        with span(SpanKind.DATABASE, "inside"):
            assert envelope.trace is not None

    await bus.subscribe(ChainMeasured, handle)
    with tracer.follow(SpanKind.REQUEST, "x", TraceContext.start(IDS)):
        await bus.publish(ChainMeasured(chain="x", service="s", instance="1", hops=()))

    async def both() -> bool:
        return len(backlog) == 2

    await eventually(both, what="the part of the handler")
    request, event = sorted(backlog.take(100), key=lambda part: part.root.kind is SpanKind.EVENT)
    assert event.root.parent == request.spans[1].id
    assert (event.trace_id, event.spans[1].name) == (request.trace_id, "inside")
    assert assemble([event, request]).complete
    await bus.stop()


@st.composite
def some_parts(draw: st.DrawFn) -> list[TracePart]:
    """A trace as it happens: a tree of parts, of which any may be missing, in any order."""
    number = draw(st.integers(1, 8))
    parts: list[TracePart] = []
    for at in range(number):
        spans = [
            Span(
                id=f"{at + 1:04x}{step:012x}",
                parent=f"{at + 1:04x}{0:012x}" if step else None,
                kind=SpanKind.DATABASE if step else SpanKind.REQUEST,
                name="x",
                began_ns=draw(st.integers(0, 50)),
                took_ns=draw(st.integers(0, 50)),
                outcome=draw(st.sampled_from(Outcome)),
            )
            for step in range(draw(st.integers(1, 4)))
        ]
        if parts:
            caller = draw(st.sampled_from(draw(st.sampled_from(parts)).spans))
            spans[0] = Span(
                id=spans[0].id,
                parent=caller.id,
                kind=SpanKind.REQUEST,
                name="x",
                began_ns=spans[0].began_ns,
                took_ns=spans[0].took_ns,
                outcome=spans[0].outcome,
            )
        parts.append(TracePart(trace_id=TRACE, service=f"s{at}", spans=tuple(spans)))
    return parts


def ids_of(parts: Sequence[TracePart]) -> set[str]:
    return {each.id for part in parts for each in part.spans}


@given(some_parts(), st.data())
def test_any_parts_in_any_order_show_what_is_there_and_say_what_is_missing(
    parts: list[TracePart], data: st.DataObject
) -> None:
    arrived = data.draw(st.lists(st.sampled_from(parts), max_size=12))
    trace = assemble(arrived)
    known = ids_of(arrived)
    shown = [line.span.id for line in trace.lines]
    assert sorted(shown) == sorted(known), "each span once, none made up"
    named = {each.parent for part in arrived for each in part.spans if each.parent is not None}
    assert set(trace.missing) == named - known
    assert trace.complete == (named <= known)
    assert trace == assemble(list(reversed(arrived))), "the order of arrival says nothing"
    for at, line in enumerate(trace.lines):
        assert line.offset_ns >= 0
        assert line.offset_ns + line.span.took_ns <= trace.took_ns
        assert line.orphan == (line.span.parent is not None and line.span.parent not in known)
        if line.depth:
            before = [each for each in trace.lines[:at] if each.span.id == line.span.parent]
            assert [each.depth for each in before] == [line.depth - 1]
    assert trace.outcome.rank == max((part.outcome.rank for part in arrived), default=0)


def test_spans_that_name_each_other_in_a_circle_are_still_shown() -> None:
    def one(name: str, parent: str) -> TracePart:
        at = Span(id=name, parent=parent, kind=SpanKind.CALL, name="x", began_ns=0, took_ns=1)
        return TracePart(trace_id=TRACE, service="s", spans=(at,))

    trace = assemble([one("a", "b"), one("b", "a"), one("c", "c")])
    assert sorted(line.span.id for line in trace.lines) == ["a", "b", "c"]
