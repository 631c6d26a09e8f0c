"""What only a server of vectors can do wrong, and what moving to one must not lose."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.index_weaviate import (
    COLLECTION,
    WeaviateErrorIndex,
)
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.testing.engines import ThrowawayAuthority
from aitrading.server.testing.weaviate import API_KEY, VERSION, RunningWeaviate, weaviate_missing

pytestmark = [
    pytest.mark.integration,
    pytest.mark.servers,
    pytest.mark.xdist_group("weaviate"),
    pytest.mark.skipif(bool(weaviate_missing()), reason=weaviate_missing()),
]
SPACE = UUID(int=0xE442)
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())


@contextmanager
def index_at(url: str) -> Iterator[WeaviateErrorIndex]:
    index = WeaviateErrorIndex(accept_url(Store.VECTORS, url), IDS)
    try:
        yield index
    finally:
        index.close()


@asynccontextmanager
async def opened(server: RunningWeaviate) -> AsyncIterator[WeaviateErrorIndex]:
    with index_at(server.url) as index:
        yield index


@asynccontextmanager
async def known(postgres: PostgresServer, tenant: TenantId) -> AsyncIterator[PostgresPool]:
    """Three errors in the books of a tenant, indexed nowhere."""
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    try:
        async with pool.tenant_tx(tenant) as tx:
            await tx.execute_many(
                "INSERT INTO errors.errors (fingerprint, code, kind, frames, message, severity,"
                " impact, services, occurrences, first_seen, last_seen)"
                " VALUES ($1, 'X', '', '{}', $2, 'error', 'none', '{t}', 1, now(), now())",
                [
                    (f"{number:016x}", text)
                    for number, text in enumerate(
                        ("the disk is full", "the disk was full", "no such certificate")
                    )
                ],
            )
        yield pool
    finally:
        await pool.stop()


def lookup_in(pool: PostgresPool, index: ErrorIndex) -> ErrorLookup:
    errors = ErrorHandler(
        clock=CLOCK,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
    return ErrorLookup(pool, index, Guards(GuardSettings(), CLOCK, errors))


async def found(lookup: ErrorLookup, tenant: TenantId) -> list[str]:
    return sorted(each.message for each in await lookup.similar_to(tenant, "the disk is full"))


async def code_of(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except AitradingError as exc:
        return exc.code
    return "none"


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> TenantId:
    return TenantId(uuid5(SPACE, request.node.nodeid))


BOTH = ["the disk is full", "the disk was full"]


@async_test
async def test_moving_there_and_back_loses_nothing(
    postgres: PostgresServer, weaviate: RunningWeaviate, tenant: TenantId
) -> None:
    async with known(postgres, tenant) as pool:
        here = PostgresErrorIndex(pool)
        with index_at(weaviate.url) as there:
            for index in (here, there, here):
                assert await found(lookup_in(pool, index), tenant) == BOTH


@async_test
async def test_a_server_that_was_emptied_is_filled_again(
    postgres: PostgresServer, weaviate: RunningWeaviate, tenant: TenantId
) -> None:
    async with known(postgres, tenant) as pool, opened(weaviate) as index:
        lookup = lookup_in(pool, index)
        assert await found(lookup, tenant) == BOTH
        before = await index.mark()
        await index.store.ask("DELETE", f"/v1/schema/{COLLECTION}")
        assert await found(lookup, tenant) == BOTH
        assert await index.mark() != before


@async_test
async def test_a_forgotten_error_takes_nobodys_place(
    postgres: PostgresServer, weaviate: RunningWeaviate, tenant: TenantId
) -> None:
    async with known(postgres, tenant) as pool, opened(weaviate) as index:
        lookup = lookup_in(pool, index)
        assert len(await lookup.similar_to(tenant, "the disk is full", 1)) == 1
        async with pool.tenant_tx(tenant) as tx:
            await tx.execute("DELETE FROM errors.errors WHERE message = 'the disk is full'")
        left = await lookup.similar_to(tenant, "the disk is full", 1)
        assert [each.message for each in left] == ["the disk was full"]
        await lookup.forget(tenant, [f"{1:016x}", f"{9:016x}"])
        assert await lookup.similar_to(tenant, "the disk was full", 5) == []


@async_test
async def test_a_stopped_server_is_said_to_be_stopped_and_then_not_asked(
    postgres: PostgresServer, weaviate: RunningWeaviate, tenant: TenantId
) -> None:
    async with known(postgres, tenant) as pool, opened(weaviate) as index:
        lookup = lookup_in(pool, index)
        weaviate.front.refuse = True
        try:
            codes = [await code_of(lookup.similar_to(tenant, "the disk")) for _ in range(5)]
        finally:
            weaviate.front.refuse = False
        assert codes == ["VECTORS_UNAVAILABLE"] * 3 + ["BREAKER_OPEN"] * 2


@async_test
async def test_nobody_is_asked_who_cannot_prove_who_it_is(
    weaviate: RunningWeaviate, tmp_path: Path
) -> None:
    other = ThrowawayAuthority(tmp_path / "other-ca").issue("weaviate").ca
    stranger = weaviate.url.partition("?")[0] + f"?sslrootcert={other}"
    with index_at(stranger) as index:
        assert await code_of(index.mark()) == "VECTORS_UNAVAILABLE"
    wrong_name = weaviate.url.replace("@localhost", "@127.0.0.2")
    with index_at(wrong_name) as index:
        assert await code_of(index.mark()) == "VECTORS_UNAVAILABLE"


@async_test
async def test_a_wrong_key_is_refused_and_the_right_one_shows_the_version(
    weaviate: RunningWeaviate,
) -> None:
    with index_at(weaviate.url) as index:
        assert await index.version() == VERSION
    wrong = weaviate.url.replace(API_KEY, "guessed")
    with index_at(wrong) as index:
        assert await code_of(index.mark()) == "VECTORS_REJECTED"
