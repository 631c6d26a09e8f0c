"""Definitions in PostgreSQL, walks in a graph server: what the server loses is filled again.

PostgreSQL keeps the truth, so a backup is whole, and moving to a server or away from it loses
nothing. The server is behind after a start, after any failure of its own, and after a write that
reached only PostgreSQL; it is brought up before it is asked anything.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.server.database_service.chain_graph.port import (
    ChainGraph,
    LostNode,
    Narrow,
    Origin,
    ServedChainGraph,
    StoredChain,
)


class MirroredChainGraph(ChainGraph):
    """Two stores as one; a walk never answers from a graph that is known to be behind."""

    def __init__(self, truth: ChainGraph, walker: ServedChainGraph) -> None:
        self._truth = truth
        self._walker = walker
        self._behind = True
        self._filling = asyncio.Lock()

    @property
    @override
    def kind(self) -> str:
        return self._walker.kind

    @property
    def walker(self) -> ServedChainGraph:
        """For `doctor`."""
        return self._walker

    @override
    async def save(self, chain: ChainDefinition, origin: Origin, *, by: str = "") -> None:
        await self._truth.save(chain, origin, by=by)
        self._behind = True
        await self._catch_up()

    @override
    async def remove(self, chain: str, *, by: str = "") -> bool:
        removed = await self._truth.remove(chain, by=by)
        self._behind = True
        await self._catch_up()
        return removed

    @override
    async def chains(self) -> list[StoredChain]:
        return await self._truth.chains()

    @override
    async def nodes(self) -> list[str]:
        async with self._walking():
            return await self._walker.nodes()

    @override
    async def impact(self, node: str) -> list[LostNode]:
        async with self._walking():
            return await self._walker.impact(node)

    @override
    async def path(self, source: str, target: str) -> list[str]:
        async with self._walking():
            return await self._walker.path(source, target)

    @override
    async def bottlenecks(self, chain: str) -> list[Narrow]:
        async with self._walking():
            return await self._walker.bottlenecks(chain)

    @asynccontextmanager
    async def _walking(self) -> AsyncGenerator[None]:
        await self._catch_up()
        try:
            yield
        except BaseException:
            self._behind = True
            raise

    async def _catch_up(self) -> None:
        """Make the server's chains those of PostgreSQL; changes nothing that is right."""
        async with self._filling:
            if not self._behind:
                return
            self._behind = False  # before reading: what is saved meanwhile counts as behind again
            try:
                await self._bring_up()
            except BaseException:
                self._behind = True
                raise

    async def _bring_up(self) -> None:
        await self._walker.prepare()
        there = {stored.definition.name: stored for stored in await self._walker.chains()}
        for stored in await self._truth.chains():
            if there.pop(stored.definition.name, None) != stored:
                await self._walker.save(stored.definition, stored.origin)
        for foreign in there:
            await self._walker.remove(foreign)
