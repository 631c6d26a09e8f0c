"""Exchanges over HTTPS as a file tells them, for servers that cannot be had.

A file is a list of exchanges: the request byte by byte (line ends of its head written as LF) and
the answer its documentation promises. The server gives the answers in order and keeps what it was
really sent, so that a test can hold one against the other.

    === what it is for
    POST /_api/cursor HTTP/1.1
    host: HOST
    ...

    {"query": ...}
    --- 201
    {"result": [], "hasMore": false}
"""

import re
import ssl
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Final

from typing_extensions import override

from aitrading.server.testing.engines import ThrowawayAuthority

HOST: Final = "server.example.com:8529"
"""Stands for the address of the stand-in, whose port is another each time."""
_EXCHANGE: Final = re.compile(
    r"^=== (?P<name>.*?)\n(?P<request>.*?)\n--- (?P<status>\d+)\n(?P<answer>.*?)(?=^===|\Z)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One question and its answer."""

    name: str
    request: str
    status: int
    answer: str

    @override
    def __str__(self) -> str:
        return f"=== {self.name}\n{self.request}\n--- {self.status}\n{self.answer}\n"


def read_recording(path: Path) -> list[Exchange]:
    """The exchanges of a file, in order."""
    return [
        Exchange(
            name=match["name"],
            request=match["request"],
            status=int(match["status"]),
            answer=match["answer"].strip(),
        )
        for match in _EXCHANGE.finditer(path.read_text("utf-8"))
    ]


@dataclass
class Replay:
    """A running stand-in."""

    port: int
    ca: Path
    asked: list[str] = field(default_factory=list)
    """Each request as it came, in the form of a recording."""


@contextmanager
def replaying(folder: Path, exchanges: Sequence[Exchange]) -> Generator[Replay]:
    """Answer in order over TLS 1.3; beyond the last exchange everything is a 500."""
    files = ThrowawayAuthority(folder / "recorded-ca").issue("recorded")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(files.certificate, files.private_key)
    with ThreadingTCPServer(("127.0.0.1", 0), _Replayed) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        replay = Replay(port=int(server.server_address[1]), ca=files.ca)
        server.RequestHandlerClass = type(
            "ThisReplay", (_Replayed,), {"replay": replay, "exchanges": list(exchanges)}
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield replay
        finally:
            server.shutdown()
            thread.join()


class _Replayed(StreamRequestHandler):
    """One kept connection."""

    replay: Replay
    exchanges: list[Exchange]

    @override
    def handle(self) -> None:
        while head := self._head():
            length = re.search(rb"content-length: (\d+)\r\n", head)
            body = self.rfile.read(int(length[1]) if length else 0)
            text = f"{head.decode().replace(chr(13), '')}\n{body.decode()}".rstrip("\n")
            at = len(self.replay.asked)
            self.replay.asked.append(text.replace(f"localhost:{self.replay.port}", HOST))
            known = self.exchanges[at] if at < len(self.exchanges) else None
            answer = known.answer.encode() if known else b""
            status = known.status if known else 500
            self.wfile.write(
                b"HTTP/1.1 %d Recorded\r\ncontent-length: %d\r\n\r\n" % (status, len(answer))
            )
            self.wfile.write(answer)

    def _head(self) -> bytes:
        """The lines of a request's head; nothing when the connection ended, even within it."""
        head = b""
        while (line := self.rfile.readline()) != b"\r\n":
            if not line:
                return b""
            head += line
        return head
