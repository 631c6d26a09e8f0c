"""Reported errors are kept per tenant, recognised, and resolved with an audit record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.infrastructure.error_backlog import MAX_WAITING
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.error_reporter import ErrorReporter
from aitrading.core.infrastructure.events import ErrorSeen, ErrorsSeen
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError, Impact, Severity
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import settle
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.catalogue import ErrorCatalogue
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.database_service.known_errors.recorder import ErrorRecorder
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.idempotency import IdempotentWrites, Write
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM

pytestmark = pytest.mark.integration
SPACE = UUID(int=0xE441)


@dataclass
class Desk:
    """A process that reports, and the room that keeps."""

    errors: ErrorHandler
    reporter: ErrorReporter
    recorder: ErrorRecorder
    catalogue: ErrorCatalogue
    lookup: ErrorLookup
    broker: MemoryBroker
    bus: MemoryBus
    replay: Replay

    async def happen(self, exc: Exception, tenant: TenantId | None, times: int = 1) -> str:
        """Let an error happen and reach the store; gives its fingerprint."""
        for _ in range(times):
            record = self.errors.classify(exc, tenant=str(tenant) if tenant else None)
        await self.reporter.report()
        owner = tenant or PLATFORM

        async def kept() -> bool:
            await self.recorder.flush()
            page = await self.catalogue.page(owner, 500, None)
            return record.fingerprint in {each.fingerprint for each in page.items}

        await eventually(kept, what="the error to be kept")
        return record.fingerprint


@asynccontextmanager
async def a_desk(postgres: PostgresServer) -> AsyncIterator[Desk]:
    clock = SystemClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    errors = ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    broker = MemoryBroker()
    bus = MemoryBus(broker, clock=clock, ids=ids, errors=errors)
    await bus.start()
    guards = Guards(GuardSettings(), clock, errors)
    lookup = ErrorLookup(pool, PostgresErrorIndex(pool), guards)
    reporter = ErrorReporter(bus, errors, clock=clock, service="data-bridge", instance="1")
    replay = Replay(pool, errors, ids)
    recorder = ErrorRecorder(bus, replay, lookup, guards, clock, ids, errors, Metrics())
    await recorder.start()
    await reporter.start()
    try:
        catalogue = ErrorCatalogue(
            pool,
            lookup,
            guards,
            clock,
            ids,
            IdempotentWrites(replay),
            AuditTrail(clock=clock, ids=ids),
        )
        yield Desk(errors, reporter, recorder, catalogue, lookup, broker, bus, replay)
    finally:
        await reporter.stop()
        await recorder.stop()
        await bus.stop()
        await pool.stop()


@pytest.fixture
def two(request: pytest.FixtureRequest) -> tuple[TenantId, TenantId]:
    name = request.node.nodeid
    return TenantId(uuid5(SPACE, f"{name}/a")), TenantId(uuid5(SPACE, f"{name}/b"))


async def code_of(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except AitradingError as exc:
        return exc.code
    return "none"


def writing(tenant: TenantId, actor: str) -> Write:
    """A request of its own."""
    return Write(tenant=tenant, actor=actor, key=token_hex(8), request=b"a request")


@async_test
async def test_repeats_fold_and_no_tenant_sees_anothers(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    alpha, beta = two
    async with a_desk(postgres) as desk:
        key = await desk.happen(OSError(28, "No space left", "/var/lib/alpha/secret"), alpha, 3)
        await desk.happen(OSError(28, "No space left", "/var/lib/other"), alpha, 2)
        mine = await desk.catalogue.page(alpha, 10, None)
        assert [(e.fingerprint, e.code, e.services) for e in mine.items] == [
            (key, "DISK_FULL", ["data-bridge"])
        ]
        assert "secret" not in mine.items[0].message
        await eventually(lambda: counted(desk, alpha, 5), what="five")
        for other in (beta, PLATFORM):
            assert key not in {
                e.fingerprint for e in (await desk.catalogue.page(other, 500, None)).items
            }
            assert await code_of(desk.catalogue.details(other, key)) == "ERROR_NOT_SEEN"
            author = (other, "user:x")
            assert (
                await code_of(desk.catalogue.resolve(writing(*author), key, "n"))
                == "ERROR_NOT_SEEN"
            )
        assert await desk.lookup.similar_to(beta, "no space left") == []


async def counted(desk: Desk, tenant: TenantId, times: int) -> bool:
    await desk.recorder.flush()
    return await kept(desk, tenant) == times


async def kept(desk: Desk, tenant: TenantId) -> int:
    return (await desk.catalogue.page(tenant, 1, None)).items[0].occurrences


@async_test
async def test_a_repeated_note_is_kept_once_and_its_key_is_good_for_nothing_else(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    async with a_desk(postgres) as desk:
        error = await desk.happen(LookupError("the quote of row 7 is missing"), two[0])
        once = writing(two[0], "user:x")
        again = [await desk.catalogue.resolve(once, error, "Restart it.") for _ in range(2)]
        assert again[0] == again[1]
        assert (await desk.catalogue.details(two[0], error)).resolutions == [again[0]]
        other = replace(once, request=b"another request")
        refused = await code_of(desk.catalogue.resolve(other, error, "Wait."))
        assert refused == "IDEMPOTENCY_KEY_REUSED"
        gone = writing(two[0], "user:x")
        for _ in range(2):
            await desk.catalogue.delete(gone, error, again[0].id)


@async_test
async def test_a_new_error_is_told_what_is_like_it_and_what_solved_that(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    alpha, beta = two
    async with a_desk(postgres) as desk:
        first = await desk.happen(LookupError("the quote of row 7 is missing"), alpha)
        author = (alpha, "user:x")
        kept = await desk.catalogue.resolve(writing(*author), first, "Reload the symbols.")
        second = await desk.happen(KeyError("the quote of column 9 is missing"), alpha)
        assert second != first

        def told() -> bool:
            return any(record.similar for record in desk.errors.latest())

        await eventually(told, what="the reporter to be told")
        record = next(r for r in desk.errors.latest() if r.fingerprint == second)
        assert record.similar[0].fingerprint == first
        assert record.similar[0].resolutions == ("Reload the symbols.",)
        shown = await desk.catalogue.details(alpha, second)
        assert shown.similar[0].fingerprint == first

        stranger = (beta, "user:y")
        for call in (
            desk.catalogue.change(writing(*stranger), first, kept.id, "mine now"),
            desk.catalogue.delete(writing(*stranger), first, kept.id),
        ):
            assert await code_of(call) == "RESOLUTION_UNKNOWN"
        changed = await desk.catalogue.change(
            writing(*author), first, kept.id, "Restart the bridge."
        )
        assert (changed.note, changed.id) == ("Restart the bridge.", kept.id)
        await desk.catalogue.delete(writing(*author), first, kept.id)
        assert (await desk.catalogue.details(alpha, first)).resolutions == []
        rows = postgres.as_superuser(
            "SELECT action, actor FROM audit.pending"  # noqa: S608 - our own id
            f" WHERE tenant_id = '{alpha}' ORDER BY occurred_at, id"
        )
        assert [row["action"] for row in rows] == [
            "errors.resolution_added",
            "errors.resolution_changed",
            "errors.resolution_deleted",
        ]


@async_test
async def test_pages_follow_each_other_without_a_gap(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    kinds = (LookupError, KeyError, IndexError, ValueError, TypeError)
    async with a_desk(postgres) as desk:
        keys = {await desk.happen(kind("gone"), two[0]) for kind in kinds}
        found, cursor = [], None
        while True:
            page = await desk.catalogue.page(two[0], 2, cursor)
            found += [each.fingerprint for each in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert (len(found), set(found)) == (5, keys)
        assert await code_of(desk.catalogue.page(two[0], 2, "x' OR 1")) == "REQUEST_INVALID"


@async_test
async def test_errors_wait_while_the_bus_is_lost(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    async with a_desk(postgres) as desk:
        desk.broker.stop()
        for _ in range(2):
            desk.errors.classify(ZeroDivisionError("x"), tenant=str(two[0]))
            await desk.reporter.report()
        assert len(desk.errors.backlog) >= 1
        desk.broker.start()
        await desk.happen(ZeroDivisionError("x"), two[0])
        await eventually(lambda: counted(desk, two[0], 3), what="all three")


@async_test
async def test_what_nobody_foresaw_loses_no_error_and_hinders_no_other_organisation(
    postgres: PostgresServer,
    two: tuple[TenantId, TenantId],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_desk(postgres) as desk:
        ill, well = two
        write = desk.replay.run

        async def odd(owner: TenantId, *args: Any, **more: Any) -> Any:
            if owner == ill:
                raise OSError(5, "Input/output error")
            return await write(owner, *args, **more)

        monkeypatch.setattr(desk.replay, "run", odd)
        for tenant in (ill, well, ill):
            desk.errors.classify(ZeroDivisionError("x"), tenant=str(tenant))
        await desk.reporter.report()
        await settle()
        with pytest.raises(OSError, match="Input/output"):
            await desk.recorder.flush()
        assert await kept(desk, well) == 1
        monkeypatch.undo()
        await desk.recorder.flush()
        assert await counted(desk, ill, 2)
        assert desk.recorder.not_kept == 0


@async_test
async def test_an_error_is_counted_once_although_it_could_not_be_compared(
    postgres: PostgresServer,
    two: tuple[TenantId, TenantId],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_desk(postgres) as desk:

        async def odd(*_: Any, **__: Any) -> Any:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(desk.lookup, "similar", odd)
        desk.errors.classify(ZeroDivisionError("x"), tenant=str(two[0]))
        await desk.reporter.report()
        await settle()
        with pytest.raises(OSError, match="Input/output"):
            await desk.recorder.flush()
        await desk.recorder.flush()
        assert await counted(desk, two[0], 1)


@async_test
async def test_errors_without_room_are_counted(postgres: PostgresServer) -> None:
    async with a_desk(postgres) as desk:
        seen = ErrorSeen(
            code="X", fingerprint="f", severity=Severity.ERROR, impact=Impact.NONE, kind="k",
            frames=(), message="", count=3, first_seen_ns=1, last_seen_ns=1, trace_id=None,
        )  # fmt: skip
        many = [msgspec.structs.replace(seen, fingerprint=str(n)) for n in range(MAX_WAITING + 2)]
        await desk.recorder._tasks.close()
        await desk.bus.publish(
            ErrorsSeen(service="one", instance="1", errors=tuple(many)), tenant=None
        )
        await eventually(lambda: desk.recorder.not_kept == 6, what="the two kinds")
        desk.recorder._waiting.clear()


@async_test
async def test_errors_are_reported_after_a_report_that_nobody_foresaw_to_fail(
    postgres: PostgresServer,
    two: tuple[TenantId, TenantId],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_desk(postgres) as desk:

        async def odd(*_: Any, **__: Any) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(desk.bus, "publish", odd)
            for tenant in two:
                desk.errors.classify(ZeroDivisionError("x"), tenant=str(tenant))
            with pytest.raises(OSError, match="Input/output"):
                await desk.reporter.report()
        await desk.reporter.report()
        for tenant in two:
            await eventually(lambda tenant=tenant: counted(desk, tenant, 1), what="both")


@async_test
async def test_a_service_that_reports_for_the_first_time_disturbs_no_writing(
    postgres: PostgresServer, two: tuple[TenantId, TenantId]
) -> None:
    async with a_desk(postgres) as desk:
        desk.errors.classify(ZeroDivisionError("x"), tenant=str(two[0]))
        await desk.reporter.report()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(desk.recorder.flush())
            await settle()
            assert not writing.done()
            await desk.bus.publish(ErrorsSeen(service="another", instance="1", errors=()))
            await settle()
            assert not writing.done()
        await eventually(lambda: counted(desk, two[0], 1), what="the error to be kept")
