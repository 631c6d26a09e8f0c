"""Keeps the graph what the release declares, and answers questions about it."""

import re
from typing import ClassVar, Final

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition, feeders_of
from aitrading.core.infrastructure.chains import ALL_CHAINS
from aitrading.core.infrastructure.error_codes import CHAIN_UNKNOWN
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.chain_graph.errors import (
    CHAIN_DEFINITION_REFUSED,
    CHAIN_PART_UNKNOWN,
)
from aitrading.server.database_service.chain_graph.port import (
    MAX_HOPS,
    ChainGraph,
    LostNode,
    Narrow,
    StoredChain,
    hop_node,
    part_node,
)
from aitrading.server.database_service.guards import Guards

MAX_CHAINS: Final = 200
MAX_NEEDS: Final = 32
MAX_WAYS: Final = 100
"""Of one answer; hops beyond it are named without the way to them."""
RETRY_S: Final = 5.0
DECLARED: Final = "declared"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)


class LostHop(msgspec.Struct, frozen=True, kw_only=True):
    """A hop that is lost; at distance 1 it is broken itself, further away it starves."""

    chain: str
    hop: str
    distance: int
    way: tuple[str, ...]


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What breaks when a part fails."""

    part: str
    chains: tuple[str, ...]
    lost: tuple[LostHop, ...]


class ChainKeeper(LoopingComponent):
    """Every question goes through the breaker of the graph's store.

    A store that is down at the start is filled when it answers; the service runs meanwhile.
    """

    critical: ClassVar[bool] = False
    depends_on: ClassVar[tuple[str, ...]] = ("postgres-schema",)

    def __init__(
        self, graph: ChainGraph, guards: Guards, clock: Clock, errors: ErrorHandler
    ) -> None:
        super().__init__("chain-graph", on_error=errors.classify)
        self._graph = graph
        self._guards = guards
        self._clock = clock
        self._errors = errors

    @override
    async def start(self) -> None:
        self._state = ComponentState.DEGRADED
        self._tasks.keep(self._fill_until_done, name="fill", clock=self._clock)

    async def fill(self) -> None:
        """Write the declared chains, and take away those of an earlier release."""
        with self._guards.graph.guard():
            stored = await self._graph.chains()
            wanted = {chain.name for chain in ALL_CHAINS}
            for old in stored:
                if old.origin == DECLARED and old.definition.name not in wanted:
                    await self._graph.remove(old.definition.name)
            for chain in ALL_CHAINS:
                if StoredChain(origin=DECLARED, definition=chain) not in stored:
                    await self._graph.save(chain, DECLARED)

    async def chains(self) -> list[StoredChain]:
        """Every chain, by name."""
        with self._guards.graph.guard():
            return await self._graph.chains()

    async def save(self, chain: ChainDefinition, by: str) -> None:
        """Add or replace a custom chain, audited; raises `CHAIN_DEFINITION_REFUSED`."""
        if problem := _problem(chain):
            raise CHAIN_DEFINITION_REFUSED.error(chain=chain.name[:63], reason=problem)
        with self._guards.graph.guard():
            stored = await self._graph.chains()
            replaces = any(each.definition.name == chain.name for each in stored)
            if len(stored) >= MAX_CHAINS and not replaces:
                reason = f"there are {MAX_CHAINS} chains already"
                raise CHAIN_DEFINITION_REFUSED.error(chain=chain.name, reason=reason)
            await self._graph.save(chain, "custom", by=by)

    async def remove(self, chain: str, by: str) -> None:
        """Take a custom chain away, audited; raises `CHAIN_UNKNOWN` or `CHAIN_DEFINITION_REFUSED`."""
        if chain in {each.name for each in ALL_CHAINS}:
            raise CHAIN_DEFINITION_REFUSED.error(chain=chain, reason="it belongs to this release")
        with self._guards.graph.guard():
            if not await self._graph.remove(chain, by=by):
                raise CHAIN_UNKNOWN.error(chain=chain[:63], suggestion=".")

    async def impact(self, part: str) -> Impact:
        """What breaks when a service, an engine or the hop `chain/hop` fails.

        Raises `CHAIN_PART_UNKNOWN`.
        """
        with self._guards.graph.guard():
            node = await self._node(part)
            found = [e for e in await self._graph.impact(node) if e.node.startswith("hop/")]
            lost = [
                await self._lost_hop(node, each, told=at < MAX_WAYS)
                for at, each in enumerate(found)
            ]
        chains = tuple(sorted({hop.chain for hop in lost}))
        return Impact(part=part, chains=chains, lost=tuple(lost))

    async def bottlenecks(self, chain: str) -> list[Narrow]:
        """The parts of a chain by how much of it fails with them; raises `CHAIN_UNKNOWN`."""
        with self._guards.graph.guard():
            narrow = await self._graph.bottlenecks(chain)
        if not narrow:
            raise CHAIN_UNKNOWN.error(chain=chain[:63], suggestion=".")
        return narrow

    async def _node(self, part: str) -> str:
        chain, slash, hop = part.partition("/")
        node = hop_node(chain, hop) if slash else part_node(part)
        known = await self._graph.nodes()
        if node not in known:
            parts = ", ".join(each.partition("/")[2] for each in known if "part/" in each)
            raise CHAIN_PART_UNKNOWN.error(part=part[:130], known=parts)
        return node

    async def _lost_hop(self, node: str, lost: LostNode, *, told: bool) -> LostHop:
        _, chain, hop = lost.node.split("/", 2)
        way = tuple(await self._graph.path(node, lost.node)) if told else ()
        return LostHop(chain=chain, hop=hop, distance=lost.distance, way=way)

    async def _fill_until_done(self) -> None:
        while True:
            try:
                await self.fill()
            except AitradingError as exc:
                self._errors.classify(exc)
                await self._clock.sleep(RETRY_S)
            else:
                self._state = ComponentState.HEALTHY
                return


def _problem(chain: ChainDefinition) -> str:
    """Why a definition cannot be kept; empty when it can."""
    if chain.name in {each.name for each in ALL_CHAINS}:
        return "it belongs to this release"
    if not 1 <= len(chain.hops) <= MAX_HOPS or len(chain.description) > 500:  # noqa: PLR2004
        return f"it has {len(chain.hops)} hops or a description of {len(chain.description)}"
    hops = [hop.name for hop in chain.hops]
    if len(set(hops)) != len(hops):
        return "two hops have one name"
    feeders = {feeder for at in range(len(hops)) for feeder in feeders_of(chain, at)}
    if foreign := sorted(feeders - set(hops)):
        return f"no hop is named {foreign[0][:63]}"
    needs = [need for hop in chain.hops for need in hop.needs]
    names = {chain.name, *hops, *(hop.service for hop in chain.hops), *needs}
    if any(len(hop.needs) > MAX_NEEDS for hop in chain.hops):
        return f"a hop has more than {MAX_NEEDS} needs"
    odd = sorted(name[:63] for name in names if not _NAME.fullmatch(name))
    return f"{odd[0]!r} is no name of small letters, digits and hyphens" if odd else ""
