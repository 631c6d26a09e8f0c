"""ClickHouse's HTTPS interface in front of the engine of the `chdb` wheel.

What the adapter for servers is tested on where no ClickHouse server can be had. It does not know
`KILL QUERY`, and it runs the statements of one connection in their order.
"""

import base64
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from typing_extensions import override

from aitrading.server.database_service.clickhouse.chdb_module import load_engine
from aitrading.server.testing.engines import ThrowawayAuthority

USER: Final = "app"
PASSWORD: Final = "p/w @"  # noqa: S105 # pragma: allowlist secret
QUOTED: Final = quote(PASSWORD, safe="")
_SETTINGS: Final = {
    ("insert_deduplicate", "0"): "SET insert_deduplicate = 0",
    ("deduplicate_insert", "disable"): "SET deduplicate_insert = 'disable'",
}

_OF_STATEMENTS: Final = {"max_execution_time", "additional_table_filters"}
"""Settings that come with each statement."""


@dataclass
class FrontState:
    """One running front: how to reach it, what it was asked, and what it shall do wrong."""

    engine: Any
    data: str
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Each statement in order, without values."""
    hang_up_after_inserts: int = 0
    """So many inserts are carried out and then not answered: the connection ends."""


class _Front(BaseHTTPRequestHandler):
    """Speaks ClickHouse's HTTP interface in front of one engine."""

    protocol_version = "HTTP/1.1"
    front: FrontState

    @override
    def setup(self) -> None:
        super().setup()
        self.connection_to_engine = self.front.engine.connect(self.front.data)

    @override
    def finish(self) -> None:
        self.connection_to_engine.close()
        super().finish()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            answer, status, number = self._run(body), 200, ""
        except ConnectionAbortedError:
            self.close_connection = True
            return
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
        self.front.asked.append(asked.get("query") or body.decode())
        if "query" in asked:
            _insert(connection, asked, body)
            if self.front.hang_up_after_inserts:
                self.front.hang_up_after_inserts -= 1
                raise ConnectionAbortedError
            return b""
        sql, _, output = body.decode().partition(" FORMAT ")
        if sql.startswith("KILL QUERY"):
            return b""  # the front runs one statement after the other: nothing is left running
        for name in sorted(_OF_STATEMENTS & asked.keys()):
            connection.query(" ".join(("SET", name, "=", asked[name])))
        values = {name[6:]: value for name, value in asked.items() if name.startswith("param_")}
        return bytes(connection.query(sql, output or "RowBinary", params=values).bytes())


@contextmanager
def running_clickhouse_front(folder: Path) -> Generator[FrontState]:
    """A ClickHouse reached by HTTPS, over an engine in this process."""
    files = ThrowawayAuthority(folder / "ca").issue("clickhouse")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.private_key)
    state = FrontState(engine=load_engine(), data=str(folder / "data"))
    handler = type("ThisFront", (_Front,), {"front": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.server_address[1]
            state.url = f"https://{USER}:{QUOTED}@127.0.0.1:{port}?sslrootcert={files.ca}"
            yield state
        finally:
            server.shutdown()
            thread.join()


def _insert(connection: Any, asked: dict[str, str], body: bytes) -> None:
    """The engine's streaming insert takes settings of its connection only."""
    for name, value in sorted(asked.items()):
        if (name, value) in _SETTINGS:
            connection.query(_SETTINGS[name, value])
    stream = connection.send_insert(asked["query"].removesuffix(" FORMAT Native"), "Native")
    connection.insert_append(stream, body)
    connection.insert_done(stream)
