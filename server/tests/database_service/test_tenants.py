"""Tenant A with B's ids in every position of every operation: nothing seen, nothing changed."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

import pytest

from aitrading.core.domain.instruments import StreamKey
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.ticks.port import PageQuestion, Position, Which
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.database_service.ticks.reader import TicksQuestion
from aitrading.server.database_service.ticks.rendering import LATEST_MS

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
Payload = Callable[..., bytes]
EVERYTHING = SequenceRanges()
NASTY = ("' OR 1=1 --", "EURUSD'", "{tenant:UUID}", "%", "\\", "EURUSD\x00", " ", "é" * 64)


def question(symbol: str = "EURUSD", **changes: Any) -> TicksQuestion:
    plain = {"stream": None, "from_ms": 0, "to_ms": LATEST_MS, "limit": 1_000, "after": None}
    return TicksQuestion(symbol=symbol, **(plain | changes))


async def code_of(attempt: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


async def dump(world: Any, tenant: TenantId) -> list[tuple[object, ...]]:
    """Everything PostgreSQL has of a tenant's streams, as the tenant sees it."""
    async with world.pool.tenant_read(tenant) as tx:
        return [
            tuple(row.values())
            for table in ("market.streams", "market.tick_marks")
            for row in await tx.fetch(f"SELECT * FROM {table} ORDER BY 2")  # noqa: S608
        ]


@async_test
async def test_a_segment_that_crosses_changes_nothing_for_anybody(
    every_world: Any, tenants: Tenants, payload: Payload
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        streams = {tenant: await w.open(tenant) for tenant in tenants}
        await w.send(beta, streams[beta], 1, 10)
        before = await dump(w, alpha), await dump(w, beta)
        honest = payload(alpha, streams[alpha], 1, 10)
        for crossing in (
            [payload(alpha, streams[beta], 11, 10)],
            [payload(beta, streams[alpha], 11, 10)],
            [honest, payload(alpha, streams[beta], 11, 10)],
            [payload(alpha, streams[beta], 11, 10), honest],
            [payload(TenantId(UUID(int=0)), streams[beta], 11, 10)],
            [payload(alpha, UUID(int=0), 11, 10)],
        ):
            assert await code_of(w.intake.take(*w.segment(*crossing))) == "SEGMENT_QUARANTINED"
        assert (await dump(w, alpha), await dump(w, beta)) == before
        for tenant, stream in itertools.product(tenants, streams.values()):
            rows = 10 if (tenant, stream) == (beta, streams[beta]) else 0
            assert (await w.counts(tenant, stream))[0] == rows


@async_test
async def test_a_stream_of_somebody_else_cannot_be_opened_or_read(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        stream = await w.open(beta)
        await w.send(beta, stream, 1, 10)
        before = await dump(w, beta)
        device = uuid5(beta, "device")
        assert (await w.book.marks(alpha, device)).marks == ()
        own = StreamKey(
            tenant=alpha, device=device, broker="Demo", login=7, symbol="EURUSD", epoch=1
        ).stream_id()
        assert own != stream
        assert await dump(w, beta) == before


@async_test
async def test_reading_with_the_ids_of_somebody_else_gives_nothing(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        theirs = await w.open(beta)
        await w.send(beta, theirs, 1, 10)
        assert await code_of(w.reader.page(alpha, question())) == "SYMBOL_UNKNOWN"
        assert await w.reader.newest_quotes(alpha) == []

        own = await w.open(alpha)
        await w.send(alpha, own, 1, 3)
        assert await code_of(w.reader.page(alpha, question(stream=theirs))) == "SYMBOL_UNKNOWN"
        forged = Position(event_ms=0, stream=theirs, sequence=0)
        page = await w.reader.page(alpha, question(after=forged))
        assert {tick.stream for tick in page.items} == {own}
        assert [quote.stream for quote in await w.reader.newest_quotes(alpha)] == [own]


@async_test
async def test_the_store_itself_asks_for_the_tenant(every_world: Any, tenants: Tenants) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        theirs = await w.open(beta)
        await w.send(beta, theirs, 1, 10)
        for which in Which:
            asked = PageQuestion(
                tenant=alpha, streams=[theirs], from_ms=0, to_ms=LATEST_MS, limit=99, which=which
            )
            assert len(await w.store.page(asked)) == 0
        assert len(await w.store.rows_at(alpha, {theirs: 1})) == 0
        assert len(await w.store.rows_at(beta, {theirs: 1})) == 1
        assert len(await w.store.newest(alpha, {theirs: 10})) == 0
        assert await w.store.orphans((alpha, theirs), EVERYTHING) == []
        assert await w.store.orphans((beta, theirs), EVERYTHING) == [(1, 10)]


@async_test
async def test_a_symbol_is_a_value_and_never_a_statement(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        await w.send(beta, await w.open(beta), 1, 10)
        for symbol in NASTY:
            with pytest.raises(AitradingError) as caught:
                await w.reader.page(alpha, question(symbol))
            assert caught.value.code in {"SYMBOL_UNKNOWN", "INSTRUMENT_MALFORMED"}, symbol
