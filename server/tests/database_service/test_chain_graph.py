"""One contract for every ChainGraph, judged by a plain walk over the same edges."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import (
    ChainDefinition,
    ChainRegistry,
    Hop,
    HopKind,
)
from aitrading.core.infrastructure.chains import ALL_CHAINS, MARKET_DATA_CHAIN
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.database_service.chain_graph import keeper as keeper_module
from aitrading.server.database_service.chain_graph.errors import GRAPH_UNAVAILABLE
from aitrading.server.database_service.chain_graph.keeper import ChainKeeper
from aitrading.server.database_service.chain_graph.mirrored import MirroredChainGraph
from aitrading.server.database_service.chain_graph.port import (
    ChainGraph,
    LostNode,
    ServedChainGraph,
    edges_of,
    hop_node,
    part_node,
)
from aitrading.server.database_service.chain_graph.postgres import PostgresChainGraph
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.settings import GuardSettings
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.audit_trail import AuditTrail
from aitrading.server.kit.postgres import PostgresPool

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
PARTS = ("p0", "p1", "p2", "p3")
HOPS = tuple(f"h{number}" for number in range(7))


class Walker(PostgresChainGraph, ServedChainGraph):
    """A server's place in the mirror, taken by a store that can be had; away when told so."""

    away = False

    @override
    async def prepare(self) -> None:
        if self.away:
            raise GRAPH_UNAVAILABLE.error(reason="the test took it away")


@asynccontextmanager
async def a_store(
    postgres: PostgresServer, database: str, kind: type[PostgresChainGraph] = PostgresChainGraph
) -> AsyncIterator[PostgresChainGraph]:
    pool = PostgresPool(postgres.access("database", database), application="test")
    await pool.start()
    try:
        graph = kind(pool, AuditTrail(clock=CLOCK, ids=SystemIdFactory(CLOCK, SystemRandomness())))
        for stored in await graph.chains():
            await graph.remove(stored.definition.name)
        yield graph
    finally:
        await pool.stop()


@asynccontextmanager
async def a_graph(postgres: PostgresServer, where: tuple[str, str]) -> AsyncIterator[ChainGraph]:
    """PostgreSQL alone, or with a server that walks for it."""
    truth, walks = where
    async with a_store(postgres, truth) as graph:
        if not walks:
            yield graph
            return
        async with a_store(postgres, walks, Walker) as walker:
            assert isinstance(walker, Walker)
            yield MirroredChainGraph(graph, walker)


@pytest.fixture(scope="module")
def two_databases(postgres_server: PostgresServer, migrate: object) -> tuple[str, str]:
    names = postgres_server.empty_database(), postgres_server.empty_database()
    for name in names:
        migrate(name)  # type: ignore[operator]
    return names


@pytest.fixture(scope="module", params=["postgres", "mirrored"])
def database(request: pytest.FixtureRequest, two_databases: tuple[str, str]) -> tuple[str, str]:
    return (two_databases[0], "" if request.param == "postgres" else two_databases[1])


def walked(chains: Iterable[ChainDefinition], source: str) -> dict[str, int]:
    """Every node that is lost with `source`, and how far away: breadth first, by hand."""
    following: dict[str, set[str]] = {}
    for chain in chains:
        for edge in edges_of(chain):
            following.setdefault(edge.source, set()).add(edge.target)
    distances, waiting = {source: 0}, deque([source])
    while waiting:
        here = waiting.popleft()
        for target in following.get(here, ()):
            if target not in distances:
                distances[target] = distances[here] + 1
                waiting.append(target)
    del distances[source]
    return distances


@st.composite
def chain_of(draw: st.DrawFn, name: str) -> ChainDefinition:
    names = HOPS[: draw(st.integers(1, len(HOPS)))]
    some = st.lists(st.sampled_from(names), max_size=3, unique=True)
    return ChainDefinition(
        name=name,
        description="drawn",
        hops=tuple(
            Hop(
                name=hop,
                service=draw(st.sampled_from(PARTS)),
                kind=HopKind.CALL,
                needs=tuple(draw(st.lists(st.sampled_from(PARTS), max_size=2, unique=True))),
                after=draw(st.none() | some.map(tuple)),
            )
            for hop in names
        ),
    )


@given(first=chain_of("first"), second=chain_of("second"))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_wrong_impact_whatever_the_cycles(
    postgres_server: PostgresServer,
    database: tuple[str, str],
    first: ChainDefinition,
    second: ChainDefinition,
) -> None:
    async def compare() -> None:
        async with a_graph(postgres_server, database) as graph:
            for chain in (first, second):
                await graph.save(chain, "custom")
            for node in await graph.nodes():
                expected = walked((first, second), node)
                lost = await graph.impact(node)
                assert {each.node: each.distance for each in lost} == expected
                assert lost == sorted(lost)
                for target, distance in list(expected.items())[:2]:
                    way = await graph.path(node, target)
                    assert (way[0], way[-1], len(way)) == (node, target, distance + 1)
            for chain in (first, second):
                narrow = await graph.bottlenecks(chain.name)
                assert {each.part: each.hops_lost for each in narrow} == {
                    part: len(walked([chain], part_node(part)))
                    for part in {p for hop in chain.hops for p in (hop.service, *hop.needs)}
                }

    asyncio.run(compare())


@async_test
async def test_saving_again_replaces_every_edge_and_removing_takes_all(
    postgres_server: PostgresServer, database: tuple[str, str]
) -> None:
    async with a_graph(postgres_server, database) as graph:
        await graph.save(MARKET_DATA_CHAIN, "declared")
        small = ChainDefinition(
            name=MARKET_DATA_CHAIN.name,
            description="less",
            hops=(Hop(name="only", service="client", kind=HopKind.CALL),),
        )
        await graph.save(small, "custom")
        node = hop_node(small.name, "only")
        assert await graph.impact(part_node("client")) == [LostNode(distance=1, node=node)]
        assert await graph.path(part_node("client"), part_node("nobody")) == []
        assert await graph.remove(small.name) is True
        assert await graph.remove(small.name) is False
        assert await graph.nodes() == []


@async_test
async def test_a_server_that_missed_something_never_answers_before_it_knows(
    postgres_server: PostgresServer, two_databases: tuple[str, str]
) -> None:
    async with (
        a_store(postgres_server, two_databases[0]) as truth,
        a_store(postgres_server, two_databases[1], Walker) as walker,
    ):
        assert isinstance(walker, Walker)
        graph = MirroredChainGraph(truth, walker)
        hop = Hop(name="only", service="client", kind=HopKind.CALL)
        chain = ChainDefinition(name="mine", description="", hops=(hop,))
        lost = [LostNode(distance=1, node=hop_node("mine", "only"))]
        walker.away = True
        assert await code_of(graph.save(chain, "custom")) == "GRAPH_UNAVAILABLE"
        assert await code_of(graph.impact(part_node("client"))) == "GRAPH_UNAVAILABLE"
        walker.away = False
        assert await graph.impact(part_node("client")) == lost
        await walker.save(MARKET_DATA_CHAIN, "declared")
        await walker.remove("mine")
        moved = MirroredChainGraph(truth, walker)  # as after a start with an older server
        assert await moved.impact(part_node("client")) == lost
        walker.away = True
        assert await code_of(moved.remove("mine")) == "GRAPH_UNAVAILABLE"
        walker.away = False
        assert await moved.nodes() == []
        assert await PostgresChainGraph.chains(truth) == []


@async_test
async def test_the_registry_and_the_store_name_the_same_losses(
    postgres_server: PostgresServer, database: tuple[str, str]
) -> None:
    registry = ChainRegistry(clock=ManualClock(), service="test", instance="1")
    registry.define(*ALL_CHAINS)
    async with a_graph(postgres_server, database) as graph:
        keeper = keeper_of(graph)
        await keeper.fill()
        await keeper.fill()
        assert [stored.origin for stored in await keeper.chains()] == ["declared"]
        for part in ("client", "envoy", "data-bridge", "database-service", "postgres"):
            known = {
                hop for lost in registry.impact(part) for hop in (*lost.broken, *lost.starved)
            }
            assert {hop.hop for hop in (await keeper.impact(part)).lost} == known


@async_test
async def test_a_lost_database_takes_no_quotes_with_it(
    postgres_server: PostgresServer, database: tuple[str, str]
) -> None:
    async with a_graph(postgres_server, database) as graph:
        keeper = keeper_of(graph)
        await keeper.fill()
        lost = (await keeper.impact("database-service")).lost
        assert {hop.hop for hop in lost} == {"spool-database", "database-clickhouse"}
        assert lost[0].way == ("part/database-service", "hop/market-data/database-clickhouse")
        most = (await keeper.bottlenecks("market-data"))[0]
        assert (most.part, most.hops_lost) == ("client", 7)


@async_test
async def test_what_no_chain_may_be_is_refused(
    postgres_server: PostgresServer, database: tuple[str, str]
) -> None:
    hop = Hop(name="a", service="s", kind=HopKind.CALL)
    async with a_graph(postgres_server, database) as graph:
        keeper = keeper_of(graph)
        for chain in (
            MARKET_DATA_CHAIN,
            ChainDefinition(name="x", description="", hops=()),
            ChainDefinition(name="x", description="", hops=(hop, hop)),
            ChainDefinition(name="x/y", description="", hops=(hop,)),
            ChainDefinition(
                name="x",
                description="",
                hops=(Hop(name="a", service="s", kind=HopKind.CALL, after=("nobody",)),),
            ),
        ):
            assert await code_of(keeper.save(chain, "test")) == "CHAIN_DEFINITION_REFUSED"
        assert await code_of(keeper.impact("nobody")) == "CHAIN_PART_UNKNOWN"
        assert await code_of(keeper.remove("nobody", "test")) == "CHAIN_UNKNOWN"
        assert await code_of(keeper.remove("market-data", "test")) == "CHAIN_DEFINITION_REFUSED"


@async_test
async def test_a_full_graph_takes_a_new_version_of_a_chain_and_no_new_chain(
    postgres_server: PostgresServer,
    database: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chain(name: str, description: str) -> ChainDefinition:
        hops = (Hop(name="a", service="s", kind=HopKind.CALL),)
        return ChainDefinition(name=name, description=description, hops=hops)

    async with a_graph(postgres_server, database) as graph:
        keeper = keeper_of(graph)
        await keeper.fill()
        await keeper.save(chain("ours", "old"), "test")
        monkeypatch.setattr(keeper_module, "MAX_CHAINS", len(await keeper.chains()))
        await keeper.save(chain("ours", "new"), "test")
        assert await code_of(keeper.save(chain("more", ""), "test")) == "CHAIN_DEFINITION_REFUSED"
        kept = {
            each.definition.name: each.definition.description for each in await keeper.chains()
        }
        assert kept["ours"] == "new"
        assert "more" not in kept


def keeper_of(graph: ChainGraph) -> ChainKeeper:
    errors = error_handler(ManualClock())
    clock = ManualClock()
    return ChainKeeper(graph, Guards(GuardSettings(), clock, errors), clock, errors)


async def code_of(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except AitradingError as exc:
        return exc.code
    return "none"


def error_handler(clock: ManualClock) -> ErrorHandler:
    return ErrorHandler(
        clock=clock,
        randomness=SystemRandomness(),
        metrics=Metrics(),
        resilience=ResilienceRegistry(),
    )
