"""TLS 1.3 in front of a server that speaks plain TCP, and nothing else: bytes go through unread."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Final

from typing_extensions import override

from aitrading.server.kit.bundle import TlsFiles
from aitrading.server.testing.engines import ThrowawayAuthority

_CHUNK: Final = 64 * 1024


class TlsFront(ThreadingTCPServer):
    """Listens on a free port of the loopback interface; `refuse` makes it hang up on everybody."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, files: TlsFiles, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Through)
        self.files = files
        self.behind = behind
        self.refuse = False
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(files.certificate, files.private_key)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @override
    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        plain, peer = super().get_request()
        plain.settimeout(10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return self._context.wrap_socket(plain, server_side=True), peer
        except OSError:
            plain.close()
            raise


class _Through(BaseRequestHandler):
    """One connection, both directions."""

    @override
    def handle(self) -> None:
        front = self.server
        assert isinstance(front, TlsFront)  # noqa: S101 - made by it
        if front.refuse:
            return
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", front.behind)) as inner,
        ):
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(front, inner, self.request), daemon=True)
            back.start()
            _pump(front, self.request, inner)
            back.join()


def _pump(front: TlsFront, source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        source.settimeout(None)
        while (data := source.recv(_CHUNK)) and not front.refuse:
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tls_front(folder: Path, behind: int, name: str) -> Generator[TlsFront]:
    """Stand in front of a port of this machine for the time of the block."""
    files = ThrowawayAuthority(folder / f"{name}-ca").issue(name)
    with TlsFront(files, behind) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            front.shutdown()
            thread.join()
