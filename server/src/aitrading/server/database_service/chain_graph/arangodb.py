"""The graph in ArangoDB, walked by AQL traversals; every value is a bind variable.

UNVERIFIED: no server could be had. What it sends is compared with recordings made after
https://docs.arangodb.com/stable/develop/http-api/ and answers are taken as described there.
"""

import base64
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.chain_registry import ChainDefinition
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import StoreTarget
from aitrading.server.database_service.chain_graph.errors import (
    GRAPH_REJECTED,
    GRAPH_UNAVAILABLE,
)
from aitrading.server.database_service.chain_graph.port import (
    MAX_DEPTH,
    LostNode,
    Narrow,
    Origin,
    ServedChainGraph,
    StoredChain,
    edges_of,
)
from aitrading.server.database_service.https_store import HttpsStore, StoreErrors
from aitrading.server.kit.queries import Queries

T = TypeVar("T")
CHAINS: Final = "aitrading_chains"
NODES: Final = "aitrading_chain_nodes"
EDGES: Final = "aitrading_chain_edges"
MAX_BATCHES: Final = 1_000
_DOCUMENTS, _EDGES = 2, 3
_COLLECTIONS: Final = {CHAINS: _DOCUMENTS, NODES: _DOCUMENTS, EDGES: _EDGES}
_BATCH: Final = 1_000
_EXISTS: Final = frozenset({409})
_NO_HEADERS: Final[Mapping[str, str]] = {}
_AQL: Final = Queries.load(__package__ or "", "arangodb.aql")


class _Cursor(msgspec.Struct, frozen=True, rename="camel"):
    result: list[msgspec.Raw] = []
    has_more: bool = False
    id: str = ""


class _Transaction(msgspec.Struct, frozen=True):
    id: str


class _Begun(msgspec.Struct, frozen=True):
    result: _Transaction


class _Version(msgspec.Struct, frozen=True):
    version: str


class ArangoChainGraph(ServedChainGraph):
    """Speaks the HTTP API over TLS 1.3 with user and password.

    Nodes are documents whose keys are their names with `:` for `/`, which a key cannot hold.
    """

    def __init__(self, target: StoreTarget) -> None:
        password = target.password.reveal() if target.password else ""
        login = base64.b64encode(f"{target.user or 'root'}:{password}".encode()).decode()
        errors = StoreErrors(unavailable=GRAPH_UNAVAILABLE, rejected=GRAPH_REJECTED)
        self._store = HttpsStore(target, errors, authorization=f"Basic {login}")
        self._api = f"/_db/{quote(target.database or 'aitrading', safe='')}/_api"

    @property
    @override
    def kind(self) -> str:
        return "arangodb"

    @property
    def store(self) -> HttpsStore:
        """For `doctor`."""
        return self._store

    async def version(self) -> str:
        """What the server calls itself; also proves that it accepts the login."""
        answer = await self._store.ask("GET", f"{self._api}/version")
        return self._store.decode(answer, _Version).version

    @override
    async def prepare(self) -> None:
        for name, kind in _COLLECTIONS.items():
            body = {"name": name, "type": kind}
            await self._store.ask("POST", f"{self._api}/collection", body, accept=_EXISTS)

    @override
    async def save(self, chain: ChainDefinition, origin: Origin, *, by: str = "") -> None:
        edges = [
            {
                "_from": f"{NODES}/{_key(edge.source)}",
                "_to": f"{NODES}/{_key(edge.target)}",
                "chain": chain.name,
                "kind": edge.kind,
            }
            for edge in edges_of(chain)
        ]
        nodes = sorted({_key(n) for edge in edges_of(chain) for n in (edge.source, edge.target)})
        definition = {"origin": origin, "definition": chain}
        async with self._transaction() as within:
            one = {"chain": chain.name}
            await self._run("save_definition", {"@chains": CHAINS, **one, **definition}, within)
            await self._run("forget_edges", {"@edges": EDGES, **one}, within)
            await self._run("save_nodes", {"@nodes": NODES, "nodes": nodes}, within)
            await self._run("save_edges", {"@edges": EDGES, "new": edges}, within)

    @override
    async def remove(self, chain: str, *, by: str = "") -> bool:
        async with self._transaction() as within:
            gone = await self._run(
                "forget_definition", {"@chains": CHAINS, "chain": chain}, within
            )
            await self._run("forget_edges", {"@edges": EDGES, "chain": chain}, within)
        return bool(gone)

    @override
    async def chains(self) -> list[StoredChain]:
        return await self._rows("chains", {"@chains": CHAINS}, StoredChain)

    @override
    async def nodes(self) -> list[str]:
        return sorted(_name(key) for key in await self._rows("nodes", {"@edges": EDGES}, str))

    @override
    async def impact(self, node: str) -> list[LostNode]:
        found = await self._rows(
            "impact",
            {"@nodes": NODES, "@edges": EDGES, "source": _id(node), "depth": MAX_DEPTH},
            LostNode,
        )
        return sorted(LostNode(distance=each.distance, node=_name(each.node)) for each in found)

    @override
    async def path(self, source: str, target: str) -> list[str]:
        ends = {"source": _id(source), "target": _id(target)}
        found = await self._rows("path", {"@nodes": NODES, "@edges": EDGES, **ends}, str)
        return [_name(key) for key in found]

    @override
    async def bottlenecks(self, chain: str) -> list[Narrow]:
        found = await self._rows(
            "bottlenecks",
            {"@nodes": NODES, "@edges": EDGES, "chain": chain, "depth": MAX_DEPTH},
            Narrow,
        )
        named = [
            Narrow(part=_name(each.part).partition("/")[2], hops_lost=each.hops_lost)
            for each in found
        ]
        return sorted(named, key=lambda each: (-each.hops_lost, each.part))

    def close(self) -> None:
        """Hang up."""
        self._store.close()

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Mapping[str, str]]:
        """A stream transaction; gives the header that puts a query into it."""
        body = {"collections": {"write": [CHAINS, NODES, EDGES]}}
        answer = await self._store.ask("POST", f"{self._api}/transaction/begin", body)
        number = self._store.decode(answer, _Begun).result.id
        path = f"{self._api}/transaction/{number}"
        try:
            yield {"x-arango-trx-id": number}
        except BaseException:
            # What cannot be aborted now the server ends by itself after a minute of silence.
            with contextlib.suppress(AitradingError):
                await self._store.ask("DELETE", path)
            raise
        await self._store.ask("PUT", path)

    async def _rows(self, query: str, binds: Mapping[str, object], kind: type[T]) -> list[T]:
        try:
            return [msgspec.json.decode(row, type=kind) for row in await self._run(query, binds)]
        except msgspec.MsgspecError as exc:
            raise GRAPH_REJECTED.error(reason=f"its answer is unknown: {exc}") from exc

    async def _run(
        self,
        query: str,
        binds: Mapping[str, object],
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> list[msgspec.Raw]:
        """Every row, batch by batch."""
        body: dict[str, Any] = {"query": _AQL[query], "bindVars": binds, "batchSize": _BATCH}
        where = f"{self._api}/cursor"
        cursor = await self._cursor(where, body, headers)
        rows = [*cursor.result]
        for _ in range(MAX_BATCHES):
            if not cursor.has_more:
                break
            cursor = await self._cursor(f"{where}/{cursor.id}", None, headers)
            rows += cursor.result
        return rows

    async def _cursor(self, where: str, body: object, headers: Mapping[str, str]) -> _Cursor:
        answer = await self._store.ask("POST", where, body, headers=headers)
        return self._store.decode(answer, _Cursor)


def _key(node: str) -> str:
    return node.replace("/", ":")


def _name(key: str) -> str:
    return key.replace(":", "/")


def _id(node: str) -> str:
    return f"{NODES}/{_key(node)}"
