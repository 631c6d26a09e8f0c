"""The adapter for ArangoDB: no server could be had, so what it sends is held against recordings.

A difference is a change of what goes over the wire: look the new form up in ArangoDB's HTTP
documentation, then write the file anew with `AITRADING_RECORD=1`.
"""

import os
import re
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from aitrading.core.infrastructure.chain_registry import ChainDefinition, Hop, HopKind
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.database_service.chain_graph.arangodb import ArangoChainGraph
from aitrading.server.database_service.chain_graph.port import (
    LostNode,
    Narrow,
    StoredChain,
)
from aitrading.server.testing.recorded import Exchange, Replay, read_recording, replaying

RECORDING = Path(__file__).parent / "recordings" / "arangodb.http"
CHAIN = ChainDefinition(
    name="small",
    description="Two hops.",
    hops=(
        Hop(name="first", service="client", kind=HopKind.CALL),
        Hop(name="second", service="bridge", kind=HopKind.CALL, needs=("nats",)),
    ),
)
DOING = (
    *("version", "collection", "collection", "collection"),
    *("begin", "save_definition", "forget_edges", "save_nodes", "save_edges", "commit"),
    *("chains", "nodes", "nodes, the second batch", "impact", "path", "bottlenecks"),
    *("begin", "forget_definition", "forget_edges", "commit"),
)


@asynccontextmanager
async def a_graph(
    folder: Path, exchanges: Iterable[Exchange]
) -> AsyncIterator[tuple[ArangoChainGraph, Replay]]:
    with replaying(folder, list(exchanges)) as replay:
        url = f"https://app:p%2Fw@localhost:{replay.port}/trading?sslrootcert={replay.ca}"
        graph = ArangoChainGraph(accept_url(Store.GRAPH, url))
        try:
            yield graph, replay
        finally:
            graph.close()


@async_test
async def test_it_sends_what_is_recorded_and_understands_what_is_documented(
    tmp_path: Path,
) -> None:
    recorded = read_recording(RECORDING)
    async with a_graph(tmp_path, recorded) as (graph, replay):
        assert await graph.version() == "3.12.4"
        await graph.prepare()
        await graph.save(CHAIN, "custom")
        assert await graph.chains() == [StoredChain(origin="custom", definition=CHAIN)]
        assert await graph.nodes() == [
            "hop/small/first",
            "hop/small/second",
            "part/bridge",
            "part/client",
            "part/nats",
        ]
        assert await graph.impact("part/client") == [
            LostNode(distance=1, node="hop/small/first"),
            LostNode(distance=2, node="hop/small/second"),
        ]
        way = ["part/client", "hop/small/first", "hop/small/second"]
        assert await graph.path("part/client", "hop/small/second") == way
        assert await graph.bottlenecks("small") == [
            Narrow(part="client", hops_lost=2),
            Narrow(part="bridge", hops_lost=1),
            Narrow(part="nats", hops_lost=1),
        ]
        assert await graph.remove("small") is True
    if os.environ.get("AITRADING_RECORD"):
        fresh = zip(DOING, replay.asked, recorded, strict=True)
        written = [
            Exchange(name=name, request=asked, status=old.status, answer=old.answer)
            for name, asked, old in fresh
        ]
        RECORDING.write_text("".join(map(str, written)))
    assert [each.name for each in recorded] == list(DOING)
    for asked, exchange in zip(replay.asked, recorded, strict=True):
        assert asked == exchange.request, exchange.name


@async_test
async def test_a_stand_in_that_is_gone_leaves_no_thread_that_reads_for_ever(
    tmp_path: Path,
) -> None:
    before = set(threading.enumerate())
    async with a_graph(tmp_path, read_recording(RECORDING)) as (graph, _):
        await graph.version()
    await eventually(lambda: set(threading.enumerate()) <= before | executor(), what="the end")


def executor() -> set[threading.Thread]:
    """The event loop's own helpers stay until it is closed."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}


def test_every_value_travels_as_a_bind_variable() -> None:
    bodies = [each.request.partition("\n\n")[2] for each in read_recording(RECORDING)]
    queries = [msgspec.json.decode(body) for body in bodies if '"query"' in body]
    assert len(queries) == 11
    for asked in queries:
        assert not re.search("small|client|custom|aitrading", asked["query"])
        assert set(re.findall(r"@(@?\w+)", asked["query"])) == set(asked["bindVars"])


def answer(status: int, body: str = "{}") -> Exchange:
    return Exchange(name="", request="", status=status, answer=body)


BEGUN = answer(201, '{"code":201,"error":false,"result":{"id":"77","status":"running"}}')
DONE = answer(201, '{"result":[],"hasMore":false}')


@async_test
async def test_a_save_that_fails_is_aborted_wholly(tmp_path: Path) -> None:
    refused = answer(
        409, '{"error":true,"code":409,"errorNum":1200,"errorMessage":"write-write conflict"}'
    )
    async with a_graph(tmp_path, [BEGUN, DONE, refused, answer(200)]) as (graph, replay):
        with pytest.raises(AitradingError) as caught:
            await graph.save(CHAIN, "custom")
        assert caught.value.code == "GRAPH_REJECTED"
        assert replay.asked[-1].startswith("DELETE /_db/trading/_api/transaction/77 ")


@async_test
async def test_what_is_not_an_answer_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    cases = [
        (answer(401, '{"error":true,"errorNum":11}'), "GRAPH_REJECTED"),
        (answer(404, '{"error":true,"errorNum":1228}'), "GRAPH_REJECTED"),
        (answer(503, ""), "GRAPH_UNAVAILABLE"),
        (answer(200, "<html>"), "GRAPH_REJECTED"),
        (answer(201, '{"result":[{"node":5}]}'), "GRAPH_REJECTED"),
    ]
    async with a_graph(tmp_path, [given for given, _ in cases]) as (graph, _):
        for _, code in cases:
            with pytest.raises(AitradingError) as caught:
                await graph.impact("part/client")
            assert caught.value.code == code
