"""ChainGraph: what is lost when a part fails, over which way, and where a chain is narrow.

Nodes are `part/<service or engine>` and `hop/<chain>/<hop>`; an edge says that the target is lost
when the source fails. A chain may have cycles.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from aitrading.core.infrastructure.chain_registry import ChainDefinition, feeders_of

MAX_HOPS: Final = 64
MAX_DEPTH: Final = MAX_HOPS + 1
"""Hops are fed within their chain only, so no shortest way is longer."""
Origin = Literal["declared", "custom"]


class Edge(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """When `source` fails, `target` is lost."""

    source: str
    target: str
    kind: Literal["does", "needed-by", "feeds"]


class StoredChain(msgspec.Struct, frozen=True, kw_only=True):
    """A definition and where it comes from."""

    origin: Origin
    definition: ChainDefinition


class LostNode(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A node that is lost, and over how many edges."""

    distance: int
    node: str


class Narrow(msgspec.Struct, frozen=True, kw_only=True):
    """A part whose failure takes that many hops of a chain."""

    part: str
    hops_lost: int


class ChainGraph(ABC):
    """A port; every adapter passes one contract suite. Raises the store's own typed error."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What keeps the graph."""

    @abstractmethod
    async def save(self, chain: ChainDefinition, origin: Origin, *, by: str = "") -> None:
        """Add or replace a chain with all its edges, wholly or not at all.

        Done for somebody (`by`), the store that keeps the truth commits an audit event with the
        change; so it does for `remove`. A server that only walks leaves none.
        """

    @abstractmethod
    async def remove(self, chain: str, *, by: str = "") -> bool:
        """Take a chain away; False when there is none of that name."""

    @abstractmethod
    async def chains(self) -> list[StoredChain]:
        """Every chain, by name."""

    @abstractmethod
    async def nodes(self) -> list[str]:
        """Every node, by name."""

    @abstractmethod
    async def impact(self, node: str) -> list[LostNode]:
        """Everything that is lost with a node, nearest first, without the node itself."""

    @abstractmethod
    async def path(self, source: str, target: str) -> list[str]:
        """A shortest way a failure takes, both ends included; empty when there is none."""

    @abstractmethod
    async def bottlenecks(self, chain: str) -> list[Narrow]:
        """The parts of a chain, the one that takes most hops with it first."""


class ServedChainGraph(ChainGraph):
    """A graph in a server of its own, which may be empty or have been emptied."""

    @abstractmethod
    async def prepare(self) -> None:
        """Make what chains are kept in, where it is missing."""


def part_node(name: str) -> str:
    """The node of a service or engine."""
    return f"part/{name}"


def hop_node(chain: str, hop: str) -> str:
    """The node of a hop."""
    return f"hop/{chain}/{hop}"


def edges_of(chain: ChainDefinition) -> list[Edge]:
    """The chain as edges, each once, in order."""
    return sorted(set(_edges(chain)))


def _edges(chain: ChainDefinition) -> Iterator[Edge]:
    for at, hop in enumerate(chain.hops):
        here = hop_node(chain.name, hop.name)
        yield Edge(source=part_node(hop.service), target=here, kind="does")
        for needed in hop.needs:
            yield Edge(source=part_node(needed), target=here, kind="needed-by")
        for feeder in feeders_of(chain, at):
            yield Edge(source=hop_node(chain.name, feeder), target=here, kind="feeds")
