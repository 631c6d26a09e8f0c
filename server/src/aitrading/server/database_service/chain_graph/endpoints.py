"""`/api/v1/chain-graph`: what breaks when something fails, and custom chains."""

from typing import Final

import msgspec

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.core.infrastructure.error_codes import CHAIN_UNKNOWN
from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.chain_graph.errors import (
    CHAIN_DEFINITION_REFUSED,
    CHAIN_PART_UNKNOWN,
    GRAPH_UNAVAILABLE,
)
from aitrading.server.database_service.chain_graph.keeper import ChainKeeper, Impact
from aitrading.server.database_service.chain_graph.port import Narrow, StoredChain
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope

HOST: Final = peers(ADMIN_SERVICE)
_PATH: Final = "/api/v1/chain-graph"
_HOST_PATH: Final = "/internal/v1/admin/chain-graph"
_OF: Final = (
    QueryField(name="of", doc="A service, an engine, or a hop as `chain/hop`.", required=True),
)


class StoredChains(msgspec.Struct, frozen=True, kw_only=True):
    """Every chain that is known, declared and custom."""

    items: list[StoredChain]


class Bottlenecks(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a chain by how many of its hops fail with them."""

    items: list[Narrow]


class ChainEndpoints:
    """Chains describe the installation: everybody may ask, the host's operator may change."""

    def __init__(self, keeper: ChainKeeper) -> None:
        self._keeper = keeper

    @endpoint(
        "GET",
        f"{_PATH}/impact",
        access=scope(Scope.READ),
        summary="What breaks when a service, an engine or a hop fails, and over which way.",
        answer=Impact,
        query=_OF,
        errors=(CHAIN_PART_UNKNOWN, GRAPH_UNAVAILABLE),
    )
    async def impact(self, call: Call) -> Impact:
        """Walks the stored graph."""
        return await self._keeper.impact(call.query("of"))

    @endpoint("GET", f"{_HOST_PATH}/impact", access=HOST, answer=Impact, query=_OF)
    async def impact_for_host(self, call: Call) -> Impact:
        """For the host's administrator."""
        return await self._keeper.impact(call.query("of"))

    @endpoint(
        "GET",
        f"{_PATH}/chains",
        access=scope(Scope.READ),
        summary="Every chain's definition, declared and custom.",
        answer=StoredChains,
        errors=(GRAPH_UNAVAILABLE,),
    )
    async def chains(self, call: Call) -> StoredChains:
        """By name."""
        del call
        return StoredChains(items=await self._keeper.chains())

    @endpoint("GET", f"{_HOST_PATH}/chains", access=HOST, answer=StoredChains)
    async def chains_for_host(self, call: Call) -> StoredChains:
        """By name, for the host's administrator."""
        del call
        return StoredChains(items=await self._keeper.chains())

    @endpoint(
        "GET",
        f"{_HOST_PATH}/bottlenecks/{{chain}}",
        access=HOST,
        answer=Bottlenecks,
        errors=(CHAIN_UNKNOWN,),
    )
    async def bottlenecks(self, call: Call) -> Bottlenecks:
        """The parts that take most of a chain with them."""
        return Bottlenecks(items=await self._keeper.bottlenecks(call.path("chain")))

    @endpoint(
        "POST",
        f"{_HOST_PATH}/chains",
        access=HOST,
        body=ChainDefinition,
        answer=StoredChain,
        errors=(CHAIN_DEFINITION_REFUSED,),
    )
    async def save(self, call: Call) -> StoredChain:
        """Add or replace a custom chain."""
        chain = await call.json(ChainDefinition)
        await self._keeper.save(chain, HOST_ACTOR)
        return StoredChain(origin="custom", definition=chain)

    @endpoint(
        "DELETE",
        f"{_HOST_PATH}/chains/{{chain}}",
        access=HOST,
        errors=(CHAIN_UNKNOWN, CHAIN_DEFINITION_REFUSED),
    )
    async def remove(self, call: Call) -> None:
        """Take a custom chain away."""
        await self._keeper.remove(call.path("chain"), HOST_ACTOR)
