"""The graph in PostgreSQL, walked by recursive queries."""

from typing import Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.server.database_service.chain_graph.port import (
    MAX_DEPTH,
    ChainGraph,
    LostNode,
    Narrow,
    Origin,
    StoredChain,
    edges_of,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Row

_SQL: Final = Queries.load(__package__ or "", "graph.sql")


class PostgresChainGraph(ChainGraph):
    """Needs nothing but the pool of the database service."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    @property
    @override
    def kind(self) -> str:
        return "postgres"

    @override
    async def save(self, chain: ChainDefinition, origin: Origin) -> None:
        edges = [(chain.name, edge.source, edge.target, edge.kind) for edge in edges_of(chain)]
        text = msgspec.json.encode(chain).decode()
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["save_definition"], chain.name, origin, chain.description, text)
            await tx.execute(_SQL["forget_edges"], chain.name)
            await tx.execute_many(_SQL["save_edge"], edges)

    @override
    async def remove(self, chain: str) -> bool:
        async with self._pool.platform_tx() as tx:
            return await tx.execute(_SQL["remove"], chain) > 0

    @override
    async def chains(self) -> list[StoredChain]:
        rows = await self._rows("chains")
        return [
            StoredChain(
                origin=row["origin"],
                definition=msgspec.json.decode(row["definition"], type=ChainDefinition),
            )
            for row in rows
        ]

    @override
    async def nodes(self) -> list[str]:
        return [row["node"] for row in await self._rows("nodes")]

    @override
    async def impact(self, node: str) -> list[LostNode]:
        rows = await self._rows("impact", node, MAX_DEPTH)
        return [LostNode(distance=row["distance"], node=row["node"]) for row in rows]

    @override
    async def path(self, source: str, target: str) -> list[str]:
        return [row["node"] for row in await self._rows("path", source, MAX_DEPTH, target)]

    @override
    async def bottlenecks(self, chain: str) -> list[Narrow]:
        rows = await self._rows("bottlenecks", chain)
        return [
            Narrow(part=row["part"].partition("/")[2], hops_lost=row["hops_lost"]) for row in rows
        ]

    async def _rows(self, query: str, *arguments: object) -> list[Row]:
        async with self._pool.platform_tx() as tx:
            return await tx.fetch(_SQL[query], *arguments)
