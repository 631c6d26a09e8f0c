"""The floor of `bench ws`: bare picows with TLS. `python -m …ws_floor PORT CERTIFICATE KEY`.

It appends what arrives to memory and answers the text `count` with how many messages there were.
"""

import asyncio
import ssl
import sys
from typing import Final

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

KEPT_BYTES: Final = 1 << 22
COUNT: Final = b"count"


class Floor(WSListener):
    """Takes messages as the bridge's receive path does before it looks into them."""

    def __init__(self) -> None:
        self._count = 0
        self._kept = bytearray()

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            transport.send(WSMsgType.TEXT, str(self._count).encode())
            return
        self._count += 1
        self._kept += frame.get_payload_as_memoryview()
        if len(self._kept) >= KEPT_BYTES:
            self._kept = bytearray()


def _listener(_request: WSUpgradeRequest) -> WSListener:
    return Floor()


async def serve(port: int, certificate: str, key: str) -> None:
    """Serve until the process ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    server = await ws_create_server(_listener, "127.0.0.1", port, ssl=context)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
