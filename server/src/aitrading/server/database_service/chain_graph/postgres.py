"""The graph in PostgreSQL, walked by recursive queries."""

from typing import Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.core.kit.errors import FieldValue
from aitrading.server.database_service.chain_graph.port import (
    MAX_DEPTH,
    ChainGraph,
    LostNode,
    Narrow,
    Origin,
    StoredChain,
    edges_of,
)
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Row

_SQL: Final = Queries.load(__package__ or "", "graph.sql")


class PostgresChainGraph(ChainGraph):
    """Needs nothing but the pool of the database service."""

    def __init__(self, pool: PostgresPool, audit: AuditTrail) -> None:
        self._pool = pool
        self._audit = audit

    @property
    @override
    def kind(self) -> str:
        return "postgres"

    @override
    async def save(self, chain: ChainDefinition, origin: Origin, *, by: str = "") -> None:
        edges = [(chain.name, edge.source, edge.target, edge.kind) for edge in edges_of(chain)]
        text = msgspec.json.encode(chain).decode()
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["save_definition"], chain.name, origin, chain.description, text)
            await tx.execute(_SQL["forget_edges"], chain.name)
            await tx.execute_many(_SQL["save_edge"], edges)
            if by:
                await self._audit.add(
                    tx, _event(by, AuditAction.CHAIN_SAVED, chain.name, hops=len(chain.hops))
                )

    @override
    async def remove(self, chain: str, *, by: str = "") -> bool:
        async with self._pool.platform_tx() as tx:
            removed = await tx.execute(_SQL["remove"], chain) > 0
            if removed and by:
                await self._audit.add(tx, _event(by, AuditAction.CHAIN_REMOVED, chain))
            return removed

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
        async with self._pool.platform_read() as tx:
            return await tx.fetch(_SQL[query], *arguments)


def _event(by: str, action: AuditAction, chain: str, **details: FieldValue) -> AuditEvent:
    return AuditEvent(actor=by, action=action, subject=f"chain:{chain}", details=details)
