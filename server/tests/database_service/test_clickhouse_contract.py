"""One contract, two ways to ClickHouse: the engine in the process, and a server over HTTPS.

The server here is the same engine behind a small HTTPS front that speaks ClickHouse's interface;
the adapter on a real ClickHouse server belongs to `make test-servers`.
"""

import asyncio
import base64
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import numpy as np
import pytest

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.clickhouse.chdb_module import load_engine
from aitrading.server.database_service.clickhouse.embedded import (
    EmbeddedClickHouse,
    EngineLimits,
)
from aitrading.server.database_service.clickhouse.native import (
    Column,
    encode_block,
    uuid_columns,
)
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import ServedClickHouse, ServerLimits
from aitrading.server.testing.engines import ThrowawayAuthority

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("kind", ["embedded", "served"])]
NUMBER = np.dtype([("n", "<u8")])
SPACE = UUID(int=5)
USER, PASSWORD = "app", "p/w @"  # pragma: allowlist secret
QUOTED = quote(PASSWORD, safe="")
TOKEN = "spool-1:0a"  # noqa: S105 - marks a block
MAKE_TABLE = """
CREATE TABLE t.numbers (id UUID, n UInt64) ENGINE = MergeTree ORDER BY n
SETTINGS non_replicated_deduplication_window = 100
"""


class Front(BaseHTTPRequestHandler):
    """Speaks ClickHouse's HTTP interface in front of one engine."""

    protocol_version = "HTTP/1.1"
    engine: Any = None
    data = ""

    def setup(self) -> None:
        super().setup()
        self.connection_to_engine = self.engine.connect(self.data)

    def finish(self) -> None:
        self.connection_to_engine.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            answer, status, number = self._run(body), 200, ""
        except RuntimeError as exc:
            answer, status = str(exc).encode(), 500
            number = str(exc).partition("Code: ")[2].partition(".")[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if number:
            self.send_header("X-ClickHouse-Exception-Code", number)
        self.end_headers()
        self.wfile.write(answer)

    def _run(self, body: bytes) -> bytes:
        asked = dict(parse_qsl(urlsplit(self.path).query))
        connection = self.connection_to_engine
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {credentials}":
            raise RuntimeError("Code: 516. Authentication failed")
        if "query" in asked:
            into = asked["query"].removesuffix(" FORMAT Native")
            token = asked["insert_deduplication_token"]
            stream = connection.send_insert(
                f"{into} SETTINGS insert_deduplication_token = '{token}'", "Native"
            )
            connection.insert_append(stream, body)
            connection.insert_done(stream)
            return b""
        sql = body.decode().removesuffix(" FORMAT RowBinary")
        limit = asked.get("max_execution_time")
        suffix = f" SETTINGS max_execution_time = {limit}" if limit else ""
        values = {name[6:]: value for name, value in asked.items() if name.startswith("param_")}
        return bytes(connection.query(sql + suffix, "RowBinary", params=values).bytes())


@contextmanager
def https_front(folder: Path) -> Iterator[str]:
    """Gives the URL of a running front."""
    files = ThrowawayAuthority(folder / "ca").issue("clickhouse")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.private_key)
    handler = type("ThisFront", (Front,), {"engine": load_engine(), "data": str(folder / "data")})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.server_address[1]
            yield f"https://{USER}:{QUOTED}@127.0.0.1:{port}?sslrootcert={files.ca}"
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def engine_of(kind: str, folder: Path) -> AsyncIterator[ClickHouseEngine]:
    if kind == "embedded":
        async with started(EmbeddedClickHouse(folder, limits=EngineLimits(read_timeout_s=1))) as e:
            yield e
        return
    with https_front(folder) as url:
        target = accept_url(Store.CLICKHOUSE, url)
        limits = ServerLimits(read_timeout_s=1)
        async with started(ServedClickHouse(target, limits=limits)) as e:
            yield e


@asynccontextmanager
async def started(engine: ClickHouseEngine) -> AsyncIterator[ClickHouseEngine]:
    await engine.start()
    try:
        assert engine.state is ComponentState.HEALTHY
        await engine.execute("CREATE DATABASE IF NOT EXISTS t ENGINE = Atomic")
        yield engine
    finally:
        await engine.stop()
        assert engine.state is ComponentState.STOPPED


def block(first: int, number: int) -> bytes:
    ids = uuid_columns([SPACE]).repeat(number, axis=0)
    numbers = np.arange(first, first + number, dtype="<u8")
    return encode_block([Column("id", "UUID", ids), Column("n", "UInt64", numbers)], number)


async def total(engine: ClickHouseEngine) -> int:
    rows = await engine.select(
        "SELECT count() AS n FROM t.numbers WHERE id = {id:UUID}",
        NUMBER,
        {"id": SPACE},
        after_writes=True,
    )
    return int(rows["n"][0])


async def code_of(attempt: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await attempt
    return caught.value.code


@async_test
async def test_a_token_is_taken_once(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
        for token in ("a:1", "a:1", "b/2"):
            await engine.insert("t.numbers (id, n)", block(1, 1_000), token=token)
        assert await total(engine) == 2_000


@pytest.mark.parametrize("token", ["", "a'b", "a b", "x" * 121, "ä"])
@async_test
async def test_a_strange_token_is_a_mistake(token: str, kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        with pytest.raises(ValueError, match="token"):
            await engine.insert("t.numbers (id, n)", block(1, 1), token=token)


@async_test
async def test_values_travel_beside_the_statement(kind: str, tmp_path: Path) -> None:
    nasty = "it's \\ \t a {x:UInt64} -- \n end"
    async with engine_of(kind, tmp_path) as engine:
        rows = await engine.select(
            "SELECT toUInt64(length({s:String})) AS n, toUInt64(arraySum({a:Array(UInt64)})),"
            " toUInt64(length({u:Array(UUID)})), toUInt64({i:Int64} = -5)",
            np.dtype([("n", "<u8"), ("sum", "<u8"), ("ids", "<u8"), ("minus", "<u8")]),
            {"s": nasty, "a": [1, 2, 3], "u": [SPACE, SPACE], "i": -5},
        )
        assert rows[0].tolist() == (len(nasty), 6, 2, 1)
        empty = await engine.select(
            "SELECT toUInt64(length({a:Array(UInt64)})) AS n", NUMBER, {"a": []}
        )
        assert empty["n"][0] == 0


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nonsense FROM", "CLICKHOUSE_REJECTED"),
        ("SELECT n FROM t.absent", "CLICKHOUSE_REJECTED"),
        ("SELECT sum(sipHash64(number)) AS n FROM numbers(100000000000)", "CLICKHOUSE_TOO_SLOW"),
    ],
)
@async_test
async def test_failures_are_typed(sql: str, code: str, kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        assert await code_of(engine.select(sql, NUMBER)) == code
        assert (await engine.select("SELECT toUInt64(1) AS n", NUMBER))["n"][0] == 1


@async_test
async def test_a_damaged_block_stores_nothing(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
        damaged = block(1, 1_000)[:-7]
        into = "t.numbers (id, n)"
        assert await code_of(engine.insert(into, damaged, token=TOKEN)) == "CLICKHOUSE_REJECTED"
        assert await total(engine) == 0
        await engine.insert(into, block(1, 10), token=TOKEN)
        assert await total(engine) == 10


@async_test
async def test_the_schema_is_applied_once(kind: str, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / (
        "src/aitrading/server/database_service/migrations/clickhouse"
    )
    async with engine_of(kind, tmp_path) as engine:
        schema = ClickHouseSchema(engine, folder)
        applied = await schema.apply()
        assert applied[0] == "0001_ticks.sql"
        assert await schema.apply() == []


@async_test
async def test_a_stopped_engine_says_so(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        await engine.execute(MAKE_TABLE)
    if kind == "embedded":
        assert await code_of(engine.execute("SELECT 1")) == "CLICKHOUSE_UNAVAILABLE"


@async_test
async def test_readers_do_not_wait_for_each_other(kind: str, tmp_path: Path) -> None:
    async with engine_of(kind, tmp_path) as engine:
        slow = "SELECT toUInt64(sleepEachRow(0.5)) AS n FROM numbers(1)"
        async with asyncio.TaskGroup() as group:
            sleeper = group.create_task(engine.select(slow, NUMBER))
            await engine.select("SELECT toUInt64(1) AS n", NUMBER)
            assert not sleeper.done()
