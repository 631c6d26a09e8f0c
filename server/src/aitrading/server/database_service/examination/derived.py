"""The probes of the two stores that hold nothing of their own: error vectors and the graph."""

from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition, Hop, HopKind
from aitrading.core.infrastructure.error_embedding import ErrorFeatures, embed
from aitrading.server.database_service.chain_graph.arangodb import ArangoChainGraph
from aitrading.server.database_service.chain_graph.port import (
    ChainGraph,
    LostNode,
    hop_node,
    part_node,
)
from aitrading.server.database_service.examination.port import Identity, StoreProbe
from aitrading.server.database_service.examination.probes import DOCTOR, SQL, VECTOR_ROW
from aitrading.server.database_service.known_errors.index import ErrorIndex
from aitrading.server.database_service.known_errors.index_postgres import PostgresErrorIndex
from aitrading.server.database_service.known_errors.index_weaviate import (
    TESTED_VERSION,
    WeaviateErrorIndex,
)
from aitrading.server.kit.postgres import PostgresPool

_VECTOR: Final = embed(ErrorFeatures(message="what the doctor writes to read it back"))
_CHAIN: Final = ChainDefinition(
    name="doctor",
    description="Written by an examination, and deleted by it.",
    hops=(Hop(name="only", service="doctor", kind=HopKind.CALL),),
)
_LOST: Final = [LostNode(distance=1, node=hop_node("doctor", "only"))]


class VectorsProbe(StoreProbe):
    """A vector of a tenant of its own; PostgreSQL wants the error it belongs to beside it."""

    store = "error vectors"

    def __init__(self, index: ErrorIndex, pool: PostgresPool) -> None:
        self._index = index
        self._pool = pool
        self.connects = isinstance(index, WeaviateErrorIndex)

    @override
    async def connect(self) -> None:
        if isinstance(self._index, WeaviateErrorIndex):
            await self._index.store.connect()

    @override
    async def authenticate(self) -> Identity:
        if isinstance(self._index, WeaviateErrorIndex):
            version = await self._index.version()
            verified = version == TESTED_VERSION
            note = "" if verified else f"UNVERIFIED: tested against Weaviate {TESTED_VERSION}."
            return Identity(adapter=f"Weaviate {version}", verified=verified, note=note)
        assert isinstance(self._index, PostgresErrorIndex)  # noqa: S101 - there are two adapters
        await self._index.start()
        return Identity(adapter=f"PostgreSQL, {self._index.search}", verified=True)

    @override
    async def write(self) -> None:
        async with self._pool.tenant_tx(DOCTOR) as tx:
            await tx.execute(SQL["write"], VECTOR_ROW, "the doctor's vector")
        await self._index.mark()
        await self._index.put(DOCTOR, {VECTOR_ROW: _VECTOR})

    @override
    async def read(self) -> None:
        self.require(await self._nearest() == [VECTOR_ROW], "another vector")

    @override
    async def delete(self) -> None:
        await self._index.remove(DOCTOR, [VECTOR_ROW])
        async with self._pool.tenant_tx(DOCTOR) as tx:
            await tx.execute(SQL["delete"], VECTOR_ROW)
        self.require(await self._nearest() == [], "the vector is still there")

    async def _nearest(self) -> list[str]:
        found = await self._index.nearest(DOCTOR, _VECTOR, 1)
        return [each.fingerprint for each in found]


class GraphProbe(StoreProbe):
    """A chain with one hop."""

    store = "chains' graph"

    def __init__(self, graph: ChainGraph, server: ArangoChainGraph | None) -> None:
        self._graph = graph
        self._server = server
        self.connects = server is not None

    @override
    async def connect(self) -> None:
        if self._server is not None:
            await self._server.store.connect()

    @override
    async def authenticate(self) -> Identity:
        if self._server is None:
            await self._graph.nodes()
            return Identity(adapter="PostgreSQL, recursive queries", verified=True)
        version = await self._server.version()
        note = "UNVERIFIED: no ArangoDB could be run; only recorded requests are tested."
        return Identity(adapter=f"ArangoDB {version}", verified=False, note=note)

    @override
    async def write(self) -> None:
        await self._graph.save(_CHAIN, "custom")

    @override
    async def read(self) -> None:
        self.require(await self._graph.impact(part_node("doctor")) == _LOST, "another impact")

    @override
    async def delete(self) -> None:
        self.require(await self._graph.remove("doctor"), "the chain was gone")
        self.require(await self._graph.impact(part_node("doctor")) == [], "the chain is there")
