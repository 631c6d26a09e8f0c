"""What is kept of traces, for whom, and what is said of those that are not."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

import pytest
from msgspec.structs import replace

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.events import CollectTraces
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.tracing import Outcome, Span, SpanKind, TracePart
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.database_service.traces.book import TraceBook
from aitrading.server.database_service.traces.collector import TraceCollector
from aitrading.server.database_service.traces.edge_log import edge_parts, part_of
from aitrading.server.database_service.traces.errors import TRACE_NOT_KEPT
from aitrading.server.database_service.traces.sampling import (
    MAX_SPANS_KNOWN,
    MAX_SPANS_OF_TRACE,
    worth,
)
from aitrading.server.database_service.traces.settings import TraceSettings
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.log_tail import EDGE_LOG, LogTail
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.tenancy import PLATFORM

pytestmark = pytest.mark.integration
IDS = SystemIdFactory(SystemClock(), SystemRandomness())
NOW_NS: Final = 1_700_000_000 * NS_PER_S
DAY_NS: Final = 86_400 * NS_PER_S


def sampled() -> str:
    return token_hex(12) + "00000000"


def never_sampled() -> str:
    return token_hex(12) + "ffffffff"


def part(
    trace_id: str,
    owner: TenantId | None = None,
    *,
    span: str | None = None,
    parent: str | None = None,
    kind: SpanKind = SpanKind.REQUEST,
    outcome: Outcome = Outcome.OK,
    took_ms: int = 1,
    began_ns: int = NOW_NS,
) -> TracePart:
    """A request with one step."""
    span = span or token_hex(8)
    whole = Span(
        id=span,
        parent=parent,
        kind=kind,
        name="GET gateway" if kind is SpanKind.EDGE else "GET /x",
        began_ns=began_ns,
        took_ns=took_ms * 1_000_000,
        outcome=outcome,
        code=None if outcome is Outcome.OK else "SOME_CODE",
    )
    step = Span(
        id=token_hex(8),
        parent=span,
        kind=SpanKind.DATABASE,
        name="a.b",
        began_ns=began_ns,
        took_ns=1,
    )
    return TracePart(
        trace_id=trace_id,
        service="edge" if kind is SpanKind.EDGE else "gateway",
        spans=(whole, step),
        tenant=str(owner) if owner else None,
    )


@dataclass
class Desk:
    clock: ManualClock
    collector: TraceCollector
    book: TraceBook
    metrics: Metrics
    pool: PostgresPool

    def hand_in(self, *parts: TracePart, lost: tuple[str, ...] = ()) -> None:
        """As a process does."""
        answer = self.collector.collect(CollectTraces(parts=parts, lost=lost))
        assert answer.parts == len(parts)

    async def settle(self) -> None:
        """Let every held trace be decided."""
        await self.clock.advance(10)
        await self.collector.round()

    async def has(self, owner: TenantId, trace_id: str) -> bool:
        try:
            await self.book.one(owner, trace_id)
        except AitradingError as refusal:
            if refusal.spec is not TRACE_NOT_KEPT:
                raise
            return False
        return True

    def told(self, line: str) -> bool:
        return line in self.metrics.render().decode()


@asynccontextmanager
async def a_desk(
    postgres: PostgresServer, folder: Path, settings: TraceSettings | None = None
) -> AsyncGenerator[Desk]:
    clock, metrics = ManualClock(NOW_NS), Metrics()
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=metrics,
        resilience=ResilienceRegistry(),
    )
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    settings = settings or TraceSettings()
    book = TraceBook(pool, Guards(GuardSettings(), clock, errors), clock, settings)
    bus = MemoryBus(MemoryBroker(), clock=clock, ids=IDS, errors=errors)
    edge = LogTail(folder / EDGE_LOG)
    collector = TraceCollector(bus, book, edge, settings, clock, IDS, errors, metrics)
    try:
        yield Desk(clock, collector, book, metrics, pool)
    finally:
        edge.close()
        await pool.stop()


@async_test
async def test_errors_slow_ones_and_the_share_are_kept_and_nothing_else(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner = TenantId(IDS.new())
    failed, refused, slow, ordinary = (never_sampled() for _ in range(4))
    shared = sampled()
    async with a_desk(postgres, tmp_path) as desk:
        for each in (
            part(failed, owner, outcome=Outcome.FAILED),
            part(refused, owner, outcome=Outcome.REFUSED),
            part(slow, owner, took_ms=501),
            part(ordinary, owner),
            part(shared, owner),
        ):
            desk.collector.take(each)
        await desk.settle()
        assert [await desk.has(owner, each) for each in (failed, refused, slow, shared)] == [
            True,
        ] * 4
        assert not await desk.has(owner, ordinary)
        page = await desk.book.page(owner, 10)
        assert [each.outcome for each in page.items[:2]] == [Outcome.FAILED, Outcome.REFUSED]
        assert desk.told('aitrading_traces_kept_total{because="slow"} 1.0')
        assert desk.told("aitrading_traces_passed_total 1.0")
        assert desk.collector.statistics()["held_spans"] == 0


@async_test
async def test_with_no_share_at_all_failed_ones_are_kept_beside_the_limit_of_the_rest(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner = TenantId(IDS.new())
    settings = TraceSettings(share=0.0, per_minute=2)
    async with a_desk(postgres, tmp_path, settings) as desk:
        desk.collector.take(part(sampled(), owner))
        for _ in range(5):
            desk.collector.take(part(never_sampled(), owner, outcome=Outcome.FAILED))
            desk.collector.take(part(never_sampled(), owner, outcome=Outcome.REFUSED))
        await desk.settle()
        page = await desk.book.page(owner, 20)
        outcomes = [each.outcome for each in page.items]
        assert outcomes == [Outcome.FAILED] * 5 + [Outcome.REFUSED] * 2
        assert desk.told('aitrading_traces_dropped_total{because="minute"} 3.0')
        assert desk.collector.statistics()["dropped"] == 0, "who sends nonsense makes nothing ill"


@async_test
async def test_failed_ones_have_a_limit_of_their_own(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    settings = TraceSettings(failed_per_minute=3)
    async with a_desk(postgres, tmp_path, settings) as desk:
        for _ in range(5):
            desk.collector.take(part(never_sampled(), outcome=Outcome.FAILED))
        await desk.settle()
        assert desk.told('aitrading_traces_kept_total{because="failed"} 3.0')
        assert desk.told('aitrading_traces_dropped_total{because="minute"} 2.0')


@async_test
async def test_what_fails_after_it_had_no_place_is_kept_as_a_failed_one(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner = TenantId(IDS.new())
    trace_id = never_sampled()
    async with a_desk(postgres, tmp_path, TraceSettings(per_minute=1)) as desk:
        desk.collector.take(part(never_sampled(), owner, outcome=Outcome.REFUSED))
        desk.collector.take(part(trace_id, owner, outcome=Outcome.REFUSED))
        await desk.collector.round()
        assert not await desk.has(owner, trace_id)
        desk.collector.take(part(trace_id, owner, outcome=Outcome.FAILED))
        await desk.collector.round()
        assert await desk.has(owner, trace_id)


@async_test
async def test_one_id_with_every_request_is_written_up_to_a_limit_and_holds_no_memory(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner, other = TenantId(IDS.new()), TenantId(IDS.new())
    trace_id = never_sampled()
    async with a_desk(postgres, tmp_path) as desk:
        for _ in range(4):
            for _ in range(MAX_SPANS_OF_TRACE // 4):
                edge = token_hex(8)
                desk.collector.take(part(trace_id, owner, parent=edge, outcome=Outcome.REFUSED))
                desk.collector.take(part(trace_id, span=edge, kind=SpanKind.EDGE))
            # Each time it leaves what is held and comes back from what is remembered.
            await desk.settle()
        assert len((await desk.book.one(owner, trace_id)).spans) == MAX_SPANS_OF_TRACE
        assert desk.told('aitrading_traces_dropped_total{because="trace"} 1.0')
        assert desk.collector.statistics()["remembered_spans"] <= MAX_SPANS_KNOWN
        desk.collector.take(part(trace_id, other, outcome=Outcome.REFUSED))
        await desk.settle()
        assert await desk.has(other, trace_id), "whoever copied the id has a limit of their own"


@async_test
async def test_a_part_that_no_process_of_ours_hands_in_is_not_taken_and_ends_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    good = part(never_sampled(), outcome=Outcome.FAILED)
    root = good.root
    bad = [
        replace(good, tenant="nobody"),
        replace(good, tenant=str(TenantId(IDS.new())).upper()),
        replace(good, trace_id="x" * 32),
        replace(good, spans=()),
        replace(good, spans=(root,) * 1_000),
        replace(good, service="x" * 65),
        replace(good, cut=1 << 31),
        *(
            replace(good, spans=(replace(root, **wrong),))
            for wrong in (
                {"id": "y" * 16},
                {"parent": "short"},
                {"fingerprint": ""},
                {"name": "x" * 121},
                {"name": "a\x00b"},
                {"code": "x" * 101},
                {"began_ns": 1 << 63},
                {"took_ns": -1},
            )
        ),
    ]
    async with a_desk(postgres, tmp_path) as desk:
        desk.hand_in(*bad, good)
        assert desk.collector.statistics()["held_spans"] == 2
        assert desk.told(f'aitrading_traces_dropped_total{{because="invalid"}} {len(bad)}.0')
        await desk.settle()
        assert await desk.has(PLATFORM, good.trace_id)


@async_test
async def test_what_the_store_refuses_for_good_is_not_tried_for_ever(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    good, refused = (part(never_sampled(), outcome=Outcome.FAILED) for _ in range(2))
    async with a_desk(postgres, tmp_path) as desk:
        # Past the check: what the store would say to something the check does not know.
        desk.collector.take(replace(refused, service="x" * 65))
        await desk.settle()
        assert desk.collector.statistics()["unwritten_spans"] == 0
        assert desk.told('aitrading_traces_dropped_total{because="invalid"} 1.0')
        desk.collector.take(good)
        await desk.settle()
        assert await desk.has(PLATFORM, good.trace_id)


@async_test
async def test_parts_without_a_name_go_to_whom_they_worked_for(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner, other = TenantId(IDS.new()), TenantId(IDS.new())
    trace_id, edge, call = sampled(), token_hex(8), token_hex(8)
    request = part(trace_id, owner, span=call, parent=edge)
    peer = part(trace_id, parent=request.spans[1].id)
    forged_edge = token_hex(8)
    opened = part(trace_id, span=edge, kind=SpanKind.EDGE)
    async with a_desk(postgres, tmp_path) as desk:
        for each in (
            opened,
            peer,
            request,
            # A stranger continues our span from outside: the edge stands between, and stays theirs.
            part(trace_id, span=forged_edge, parent=call, kind=SpanKind.EDGE),
            part(trace_id, other, parent=forged_edge),
            part(trace_id, parent=token_hex(8)),
        ):
            desk.collector.take(each)
        await desk.settle()
        ours = await desk.book.one(owner, trace_id)
        assert {each.id for each in ours.spans} == {
            span.id for each in (opened, request, peer) for span in each.spans
        }
        assert ours.complete
        theirs = await desk.book.one(other, trace_id)
        assert forged_edge in {each.id for each in theirs.spans}
        rest = await desk.book.one(PLATFORM, trace_id)
        assert len(rest.spans) == 2
        whole = await desk.book.of_everybody(trace_id)
        assert len(whole.spans) >= len(rest.spans)


@async_test
async def test_what_comes_late_is_added_and_twice_is_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner = TenantId(IDS.new())
    trace_id, edge = never_sampled(), token_hex(8)
    request = part(trace_id, owner, parent=edge, outcome=Outcome.FAILED)
    async with a_desk(postgres, tmp_path) as desk:
        desk.collector.take(request)
        await desk.collector.round()
        first = await desk.book.one(owner, trace_id)
        assert (first.complete, first.missing) == (False, [edge])
        await desk.settle()
        desk.collector.take(request)
        desk.collector.take(part(trace_id, span=edge, kind=SpanKind.EDGE))
        await desk.collector.round()
        (summary,) = (await desk.book.page(owner, 10)).items
        assert (summary.name, summary.code, summary.service) == ("GET /x", "SOME_CODE", "gateway")
        later = await desk.book.one(owner, trace_id)
        assert (later.complete, len(later.spans)) == (True, len(first.spans) + 2)


@async_test
async def test_too_much_to_hold_lets_go_of_whole_traces_that_did_not_fail(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner = TenantId(IDS.new())
    failed, refused = never_sampled(), never_sampled()
    async with a_desk(postgres, tmp_path, TraceSettings(held_spans=1_000)) as desk:
        desk.collector.take(part(failed, owner, outcome=Outcome.FAILED))
        desk.collector.take(part(refused, owner, outcome=Outcome.REFUSED))
        for _ in range(600):
            desk.collector.take(part(never_sampled(), owner))
        statistics = desk.collector.statistics()
        assert statistics["held_spans"] <= 1_000
        assert statistics["dropped"] == 0, "of these nobody would have kept one"
        for _ in range(600):
            desk.collector.take(part(sampled(), owner))
        assert desk.collector.statistics()["held_spans"] <= 1_000
        assert desk.collector.statistics()["dropped"] > 0
        await desk.settle()
        assert await desk.has(owner, failed)
        assert not await desk.has(owner, refused)


@async_test
async def test_letting_go_under_pressure_gives_no_trace_its_limits_twice(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    trace_id = never_sampled()
    async with a_desk(postgres, tmp_path, TraceSettings(held_spans=1_000)) as desk:
        for _ in range(2):
            for _ in range(MAX_SPANS_OF_TRACE // 400):
                for _ in range(200):
                    desk.collector.take(part(trace_id, outcome=Outcome.REFUSED))
                await desk.settle()
            desk.hand_in(part(trace_id, outcome=Outcome.REFUSED), lost=(trace_id,))
        assert len((await desk.book.one(PLATFORM, trace_id)).spans) == MAX_SPANS_OF_TRACE


@async_test
async def test_while_the_store_is_away_whoever_has_most_waiting_loses_first(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    quiet, loud = TenantId(IDS.new()), TenantId(IDS.new())
    trace_id = never_sampled()
    async with a_desk(postgres, tmp_path, TraceSettings(held_spans=1_000)) as desk:
        await desk.pool.stop()
        desk.collector.take(part(trace_id, quiet, outcome=Outcome.FAILED))
        await desk.settle()
        for _ in range(3):
            for _ in range(250):
                desk.collector.take(part(never_sampled(), loud, outcome=Outcome.FAILED))
            await desk.settle()
        assert desk.collector.statistics()["unwritten_spans"] <= 1_000
        await desk.pool.start()
        await desk.settle()
        assert await desk.has(quiet, trace_id)


@async_test
async def test_a_store_that_is_away_costs_nothing_but_time(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    owner, trace_id = TenantId(IDS.new()), never_sampled()
    async with a_desk(postgres, tmp_path) as desk:
        await desk.pool.stop()
        desk.collector.take(part(trace_id, owner, outcome=Outcome.FAILED))
        await desk.settle()
        assert desk.collector.statistics()["unwritten_spans"] == 2
        await desk.pool.start()
        await desk.settle()
        assert await desk.has(owner, trace_id)
        assert desk.collector.statistics()["unwritten_spans"] == 0


@async_test
async def test_old_ones_and_too_many_are_forgotten(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    old, new, newest = never_sampled(), never_sampled(), never_sampled()
    async with a_desk(postgres, tmp_path, TraceSettings(keep_traces=100)) as desk:
        await desk.book.keep(PLATFORM, [part(old, began_ns=NOW_NS - 8 * DAY_NS)])
        await desk.book.keep(PLATFORM, [part(new, began_ns=NOW_NS - 6 * DAY_NS)])
        many = [part(never_sampled(), began_ns=NOW_NS + at) for at in range(99_000, 0, -1_000)]
        await desk.book.keep(PLATFORM, [*many, part(newest, began_ns=NOW_NS + DAY_NS)])
        await desk.book.forget()
        assert not await desk.has(PLATFORM, old)
        assert not await desk.has(PLATFORM, new)
        assert await desk.has(PLATFORM, newest)


@async_test
async def test_pages_go_through_all_of_them_once(postgres: PostgresServer, tmp_path: Path) -> None:
    owner = TenantId(IDS.new())
    async with a_desk(postgres, tmp_path) as desk:
        parts = [
            part(never_sampled(), owner, outcome=outcome, began_ns=NOW_NS + at)
            for at, outcome in enumerate(list(Outcome) * 3)
        ]
        await desk.book.keep(owner, parts)
        found: list[str] = []
        cursor = None
        while True:
            page = await desk.book.page(owner, 2, cursor)
            found += [each.trace_id for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(found) == sorted(each.trace_id for each in parts)
        only = await desk.book.page(owner, 50, outcome=Outcome.REFUSED)
        assert {each.outcome for each in only.items} == {Outcome.REFUSED}
        assert not (await desk.book.page(owner, 50, least_ms=5)).items


def record(**fields: object) -> bytes:
    given: dict[str, object] = {
        "method": "GET",
        "status": 200,
        "details": "via_upstream",
        "duration_ms": 7,
        "upstream": "database-service",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-00",
        **fields,
    }
    return json.dumps(
        {
            "ts": "2026-11-28T17:36:23.509811Z",
            "logger": "access",
            "trace_id": "a" * 32,
            "fields": given,
        }
    ).encode()


def test_a_record_of_the_edge_is_its_part_of_the_trace() -> None:
    found = part_of(record(), IDS)
    assert found is not None
    assert (found.root.id, found.root.took_ns, found.root.parent) == ("b" * 16, 7_000_000, None)
    assert (found.root.outcome, found.root.kind) == (Outcome.OK, SpanKind.EDGE)
    assert found.tenant is None
    known = part_of(record(tenant="a3d0c1de-0000-4000-8000-000000000001"), IDS)
    assert known is not None
    assert known.tenant == "a3d0c1de-0000-4000-8000-000000000001"
    assert (odd := part_of(record(tenant="-"), IDS)) is not None
    assert odd.tenant is None
    refused = part_of(record(status=401, details="jwt_authn_access_denied{x}"), IDS)
    assert refused is not None
    assert refused.root.id != "b" * 16, "the header was the caller's own"
    assert refused.root.code == "EDGE_JWT_AUTHN_ACCESS_DENIED"
    down = part_of(record(status=503, details="upstream_reset_before_response_started{x}"), IDS)
    assert down is not None
    assert (down.root.id, down.root.outcome) == ("b" * 16, Outcome.FAILED)
    left = part_of(record(status=0, details="downstream_remote_disconnect"), IDS)
    assert left is not None
    assert (left.root.outcome, left.root.code) == (Outcome.REFUSED, "CANCELLED")
    stayed = part_of(record(status=101, duration_ms=3_600_000), IDS)
    assert stayed is not None
    assert (stayed.root.kind, stayed.root.outcome) == (SpanKind.CONNECTION, Outcome.OK)
    assert worth(stayed, share=0, slow_ms=1_000) is None, "long is not slow"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json with traceparent",
        b'{"traceparent": ',
        record(traceparent=17),
        record(duration_ms="x"),
        record().replace(b"2026-11-28T17:36:23.509811Z", b"yesterday"),
        record().replace(b"access", b"main"),
        record(traceparent=None).replace(b"a" * 32, b"0" * 32),
    ],
)
def test_any_other_line_is_no_part_of_a_trace(line: bytes) -> None:
    assert part_of(line, IDS) is None


@async_test
async def test_the_edges_log_is_followed_across_its_rotation(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "envoy.log"
    file.write_bytes(record() + b"\n")
    edge = LogTail(file)
    edge.begin()
    assert not await edge_parts(edge, IDS), "what was there before is not read"
    with file.open("ab") as log:
        log.write(record(duration_ms=1) + b"\n" + record(duration_ms=2)[:40])
        log.flush()
        assert [each.root.took_ns for each in await edge_parts(edge, IDS)] == [1_000_000]
        log.write(record(duration_ms=2)[40:] + b"\n")
    file.rename(file.with_name("envoy.log.1"))
    file.write_bytes(record(duration_ms=3) + b"\n")
    found = [each.root.took_ns for _ in range(3) for each in await edge_parts(edge, IDS)]
    assert found == [2_000_000, 3_000_000]
    edge.close()
