"""One contract for every ErrorIndex, and how often the right error is among the first three."""

import errno
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.infrastructure.error_dna import dna_of
from aitrading.core.infrastructure.error_embedding import (
    DIMENSIONS,
    ErrorFeatures,
    embed,
    similarity,
)
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.cli.error_codes import catalogue
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.index_weaviate import WeaviateErrorIndex
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.testing.postgres15 import postgres15_missing
from aitrading.server.testing.weaviate import weaviate_missing

pytestmark = pytest.mark.integration
SPACE = UUID(int=0xE440)
ADAPTERS = (
    "pgvector",
    "sql",
    pytest.param(
        "postgres-15",
        marks=[
            pytest.mark.servers,
            pytest.mark.xdist_group("postgres-15"),
            pytest.mark.skipif(bool(postgres15_missing()), reason=postgres15_missing()),
        ],
    ),
    pytest.param(
        "weaviate",
        marks=[
            pytest.mark.servers,
            pytest.mark.xdist_group("weaviate"),
            pytest.mark.skipif(bool(weaviate_missing()), reason=weaviate_missing()),
        ],
    ),
)
PLACES_OF_DISK = [88, 216, 217, 244]
"""Another value means another embedding: count up its VERSION."""


@dataclass
class Opened:
    """An index, and how to make it know of errors before their vectors come."""

    index: ErrorIndex
    pool: PostgresPool

    async def know(self, tenant: TenantId, *fingerprints: str) -> None:
        async with self.pool.tenant_tx(tenant) as tx:
            await tx.execute_many(
                "INSERT INTO errors.errors (fingerprint, code, kind, frames, message, severity,"
                " impact, services, occurrences, first_seen, last_seen)"
                " VALUES ($1, 'X', '', '{}', '', 'error', 'none', '{t}', 1, now(), now())",
                [(fingerprint,) for fingerprint in fingerprints],
            )


@dataclass(frozen=True)
class Place:
    """Which adapter, the PostgreSQL with the errors, and the server of the vectors if any."""

    adapter: str
    access: PostgresAccess
    url: str = ""


@pytest.fixture(scope="module")
def without_pgvector(postgres: PostgresServer, migrate: Callable[[str], None]) -> str:
    """One database for all tests that ask for it; each works with tenants of its own."""
    name = postgres.empty_database()
    migrate(name)
    return name


@pytest.fixture(params=ADAPTERS)
def database(request: pytest.FixtureRequest, postgres: PostgresServer) -> Place:
    """The main database has pgvector; a new one has not, and neither has Debian's server."""
    adapter: str = request.param
    if adapter == "weaviate":
        url = request.getfixturevalue("weaviate").url
        return Place(adapter, postgres.access("database"), url)
    if adapter == "postgres-15":
        return Place("sql", request.getfixturevalue("postgres15").access("database"))
    if adapter == "pgvector":
        return Place(adapter, postgres.access("database"))
    name = request.getfixturevalue("without_pgvector")
    return Place(adapter, postgres.access("database", name))


@asynccontextmanager
async def an_index(place: Place) -> AsyncIterator[Opened]:
    pool = PostgresPool(place.access, application="test")
    await pool.start()
    try:
        if place.url:
            with closing(weaviate_index(place.url)) as index:
                yield Opened(index, pool)
            return
        here = PostgresErrorIndex(pool)
        await here.start()
        assert here.search == place.adapter
        yield Opened(here, pool)
    finally:
        await pool.stop()


def weaviate_index(url: str) -> WeaviateErrorIndex:
    ids = SystemIdFactory(SystemClock(), SystemRandomness())
    return WeaviateErrorIndex(accept_url(Store.VECTORS, url), ids)


@pytest.fixture
def two(request: pytest.FixtureRequest) -> tuple[TenantId, TenantId]:
    name = request.node.nodeid
    return TenantId(uuid5(SPACE, f"{name}/a")), TenantId(uuid5(SPACE, f"{name}/b"))


def vector(text: str) -> tuple[float, ...]:
    return embed(ErrorFeatures(message=text))


def fingerprint(number: int) -> str:
    return f"{number:016x}"


@async_test
async def test_the_nearest_comes_first_with_its_cosine(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    texts = ["the disk is full", "the disk was nearly full", "no such certificate", "a password"]
    async with an_index(database) as it:
        keys = [fingerprint(number) for number in range(4)]
        await it.index.mark()
        await it.know(two[0], *keys)
        await it.index.put(two[0], dict(zip(keys, map(vector, texts), strict=True)))
        asked = vector("disk full")
        found = await it.index.nearest(two[0], asked, 3)
        exact = sorted(
            (
                (-similarity(asked, vector(text)), key)
                for key, text in zip(keys, texts, strict=True)
            )
        )
        assert [each.fingerprint for each in found] == [key for _, key in exact[:3]]
        for each, (negative, _) in zip(found, exact, strict=False):
            assert each.similarity == pytest.approx(-negative, abs=1e-5)


@async_test
async def test_nothing_of_another_tenant_is_found_changed_or_removed(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    alpha, beta = two
    async with an_index(database) as it:
        for tenant, text in ((alpha, "the secret of alpha"), (beta, "something of beta")):
            await it.know(tenant, fingerprint(7))
            await it.index.mark()
            await it.index.put(tenant, {fingerprint(7): vector(text)})
        await it.index.remove(beta, [fingerprint(7)])
        found = await it.index.nearest(alpha, vector("the secret of alpha"), 5)
        assert [(e.fingerprint, round(e.similarity, 3)) for e in found] == [(fingerprint(7), 1.0)]
        assert await it.index.nearest(beta, vector("the secret of alpha"), 5) == []


@async_test
async def test_putting_again_replaces_and_removing_twice_is_harmless(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    async with an_index(database) as it:
        await it.know(two[0], fingerprint(1))
        await it.index.mark()
        for text in ("first", "second"):
            await it.index.put(two[0], {fingerprint(1): vector(text)})
        found = await it.index.nearest(two[0], vector("second"), 1)
        assert found[0].similarity == pytest.approx(1.0, abs=1e-5)
        for _ in range(2):
            await it.index.remove(two[0], [fingerprint(1)])
        assert await it.index.nearest(two[0], vector("second"), 1) == []


@async_test
async def test_equal_ones_come_in_the_order_of_their_fingerprints(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    async with an_index(database) as it:
        keys = [fingerprint(number) for number in (9, 3, 7, 1, 8, 2, 6, 4, 5)]
        await it.know(two[0], *keys)
        await it.index.mark()
        await it.index.put(two[0], {key: vector("the same") for key in keys})
        found = await it.index.nearest(two[0], vector("the same"), 3)
        assert [each.fingerprint for each in found] == sorted(keys)[:3]


@async_test
async def test_the_mark_stays_and_nobody_unknown_is_found(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    async with an_index(database) as it:
        assert await it.index.mark() == await it.index.mark()
        assert (await it.index.mark()).startswith(it.index.kind)
        assert await it.index.nearest(two[0], vector("anything"), 3) == []
        await it.index.remove(two[0], [fingerprint(1)])


@async_test
async def test_recall_at_three_in_the_store_itself(
    database: Place, two: tuple[TenantId, TenantId]
) -> None:
    """The store finds what an exact comparison finds, on the held-out set."""
    known = indexed()
    keys = {fingerprint(number): name for number, name in enumerate(known)}
    some = 12 if database.adapter == "sql" else 1  # plain SQL compares slowly
    async with an_index(database) as it:
        await it.know(two[0], *keys)
        await it.index.mark()
        await it.index.put(two[0], {key: known[name] for key, name in keys.items()})
        hits: list[bool] = []
        for _, right, variant in list(held_out())[::some]:
            found = await it.index.nearest(two[0], embed(variant), 3)
            hits.append(right in {keys[each.fingerprint] for each in found})
    assert len(hits) > 300 / some - 1
    assert sum(hits) / len(hits) >= 0.9


def test_the_vector_is_of_unit_length_and_the_same_everywhere() -> None:
    made = embed(ErrorFeatures(message="Der Fehler 17 in /a/b", code="X_Y", frames=("m:f",)))
    assert len(made) == DIMENSIONS
    assert similarity(made, made) == pytest.approx(1.0)
    assert [place for place, value in enumerate(vector("disk")) if value] == PLACES_OF_DISK
    assert not any(embed(ErrorFeatures(message="")))


FOREIGN: tuple[tuple[str, Callable[[int], Exception], tuple[str, str]], ...] = (
    ("refused", lambda n: ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ('10.0.0.{n}', {n})"), ("asyncio.selector_events:sock_connect", "aitrading.server.kit.peer_connection:open")),
    ("reset", lambda n: ConnectionResetError(errno.ECONNRESET, f"Connection reset by peer {n}"), ("asyncio.streams:read", "aitrading.server.kit.internal_client:request")),
    ("disk", lambda n: OSError(errno.ENOSPC, f"No space left on device: '/var/lib/{n}/spool'"), ("aitrading.core.infrastructure.spool:append", "aitrading.core.infrastructure.files:write")),
    ("readonly", lambda n: OSError(errno.EROFS, f"Read-only file system: '/mnt/{n}'"), ("aitrading.core.infrastructure.files:write_atomically",)),
    ("missing", lambda n: FileNotFoundError(errno.ENOENT, f"No such file or directory: '/run/b{n}.json'"), ("aitrading.server.kit.bundle:load_bundle",)),
    ("forbidden", lambda n: PermissionError(errno.EACCES, f"Permission denied: '/home/{n}/key'"), ("aitrading.server.authority.keys:load",)),
    ("json", lambda n: msgspec.DecodeError(f"JSON is malformed: invalid character (byte {n})"), ("aitrading.server.kit.call:json",)),
    ("field", lambda n: msgspec.ValidationError(f"Expected `int`, got `str` - at `$.items[{n}].volume`"), ("aitrading.server.trading_engine.endpoints:place",)),
    ("unknown-field", lambda n: msgspec.ValidationError(f"Object contains unknown field `f{n}`"), ("aitrading.server.api_gateway.identity.admin_endpoints:create",)),
    ("key", lambda n: KeyError(f"symbol{n}"), ("aitrading.server.data_bridge.feeds:state_of",)),
    ("index", lambda n: IndexError(f"list index {n} out of range"), ("aitrading.server.data_bridge.ingest:take",)),
    ("decode", lambda n: UnicodeDecodeError("utf-8", b"\xff", 0, 1, f"invalid start byte {n}"), ("aitrading.core.protocol.link.frames:decode",)),
    ("memory", lambda n: MemoryError(f"cannot allocate {n} bytes"), ("aitrading.server.database_service.ticks.blocks:columns",)),
    ("assert", lambda n: AssertionError(f"sequence {n} went backwards"), ("aitrading.core.infrastructure.spool_store:seal",)),
    ("eof", lambda n: EOFError(f"stream ended after {n} bytes"), ("asyncio.streams:readexactly", "aitrading.server.kit.valkey:call")),
    ("timeout", lambda n: TimeoutError(f"no answer in {n} s"), ("aitrading.server.kit.postgres:acquire",)),
    ("attribute", lambda n: AttributeError(f"'Quote{n}' object has no attribute 'bid'"), ("aitrading.server.data_bridge.quotes:offer",)),
    ("type", lambda n: TypeError(f"unsupported operand type(s) for +: 'int' and 'str' ({n})"), ("aitrading.core.domain.price:add",)),
    ("zero", lambda n: ZeroDivisionError(f"division by zero in bucket {n}"), ("aitrading.core.infrastructure.latency:quantile",)),
    ("recursion", lambda n: RecursionError(f"maximum recursion depth {n} exceeded"), ("aitrading.core.infrastructure.import_manager:resolve",)),
)  # fmt: skip
OUTER = ("uvicorn.protocols:run", "starlette.routing:app", "aitrading.server.kit.asgi:answer")
REWORDED = {
    "is": "was", "are": "were", "cannot be": "could not be", "does not": "did not",
    "answer": "respond", "wrong": "incorrect", "stopped": "not running", "the": "this",
    "has": "had", "for": "of", "was": "has been", "expected": "wanted", "needs": "requires",
}  # fmt: skip


def foreign(
    make: Callable[[int], Exception], frames: tuple[str, ...], number: int
) -> ErrorFeatures:
    dna = dna_of(make(number))
    return ErrorFeatures(code=dna.code, kind=dna.kind, message=dna.summary, frames=frames)


def held_out() -> Iterator[tuple[str, str, ErrorFeatures]]:
    """(family, key of the right answer, the variant): none of them is in the index as it is."""
    draw = random.Random(11)  # noqa: S311 - repeatable, not secret
    for name, make, frames in FOREIGN:
        yield "one frame more", name, foreign(make, (*OUTER, frames[0], *frames), 90_210)
        yield "one frame fewer", name, foreign(make, (*OUTER, *frames)[1:], 4)
        moved = foreign(make, (), 31_337)
        yield "message alone", name, ErrorFeatures(message=moved.message)
    for entry in catalogue().values():
        words = entry.message.split()
        dropped = [word for word in words if len(words) < 4 or draw.random() > 0.15]
        text = " ".join(dropped)
        for old, new in REWORDED.items():
            text = text.replace(f" {old} ", f" {new} ")
        filled = text.replace("{", "").replace("}", " 17")
        yield (
            "our message reworded, as a person read it",
            entry.code,
            ErrorFeatures(message=filled),
        )


def indexed() -> dict[str, tuple[float, ...]]:
    """Own errors and foreign ones together, as a platform's history has them."""
    index = {name: embed(foreign(make, (*OUTER, *frames), 1)) for name, make, frames in FOREIGN}
    for entry in catalogue().values():
        frames = (*OUTER, f"aitrading.{entry.origin.replace('/', '.')}:refuse")
        own = ErrorFeatures(code=entry.code, kind=entry.code, frames=frames, message=entry.message)
        index[entry.code] = embed(own)
    return index


def test_recall_at_three_on_a_held_out_set(capsys: pytest.CaptureFixture[str]) -> None:
    index = indexed()
    hits: dict[str, list[bool]] = {}
    for family, right, variant in held_out():
        asked = embed(variant)
        best = sorted(index, key=lambda key: -similarity(asked, index[key]))[:3]
        hits.setdefault(family, []).append(right in best)
    everything = [hit for family in hits.values() for hit in family]
    lines = [
        f"recall@3 {sum(found) / len(found):.3f} of {len(found):>3}: {family}"
        for family, found in (*hits.items(), ("all", everything))
    ]
    with capsys.disabled():
        sys.stdout.write("\n  " + "\n  ".join(lines) + "\n")
    assert sum(everything) / len(everything) >= 0.9
    assert all(sum(found) / len(found) >= 0.85 for found in hits.values())
