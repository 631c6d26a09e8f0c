"""An answer leaves in one piece; what is large does not wait."""

import asyncio
from typing import Any

from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn import Config
from uvicorn.server import ServerState

from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.mtls import MtlsHttpProtocol
from aitrading.server.kit.one_write import AT_ONCE_BYTES, OneWrite

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, each write by itself."""

    def __init__(self) -> None:
        super().__init__({"socket": None})
        self.writes: list[bytes] = []
        self.closed = False

    @override
    def write(self, data: Any) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    @override
    def is_closing(self) -> bool:
        return self.closed

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def pause_reading(self) -> None:
        pass

    @override
    def resume_reading(self) -> None:
        pass

    @override
    def get_write_buffer_size(self) -> int:
        return 17


def served(app: ASGIApp) -> tuple[MtlsHttpProtocol, Wire]:
    """The protocol of a listener with this application, on a wire."""
    config = Config(app, log_config=None, access_log=False)
    config.load()
    protocol, wire = MtlsHttpProtocol(config, ServerState(), {}), Wire()
    protocol.connection_made(wire)
    return protocol, wire


@async_test
async def test_head_and_body_are_one_write() -> None:
    protocol, wire = served(PlainTextResponse("hello"))
    protocol.data_received(REQUEST)
    await eventually(lambda: wire.writes)
    [answer] = wire.writes
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")
    protocol.connection_lost(None)


@async_test
async def test_answers_to_requests_that_came_together_follow_each_other() -> None:
    protocol, wire = served(PlainTextResponse("hello"))
    protocol.data_received(REQUEST * 3)
    await eventually(lambda: b"".join(wire.writes).count(b"hello") == 3)
    assert len(wire.writes) <= 3
    protocol.connection_lost(None)


@async_test
async def test_a_stream_does_not_wait_for_its_end() -> None:
    piece, pieces = b"x" * (AT_ONCE_BYTES // 2), 8

    async def body() -> Any:
        for _ in range(pieces):
            yield piece

    protocol, wire = served(StreamingResponse(body()))
    protocol.data_received(REQUEST)
    await eventually(lambda: b"".join(wire.writes).count(b"x") == pieces * len(piece))
    assert max(map(len, wire.writes)) < 2 * AT_ONCE_BYTES
    protocol.connection_lost(None)


@async_test
async def test_what_was_written_leaves_before_the_close_and_nothing_after_it() -> None:
    wire = Wire()
    held = OneWrite(wire, asyncio.get_running_loop())
    held.write(b"a")
    held.write(b"b")
    assert wire.writes == []
    held.close()
    assert (wire.writes, wire.closed) == ([b"ab"], True)
    held.write(b"late")
    await asyncio.sleep(0)
    assert wire.writes == [b"ab"]


@async_test
async def test_the_rest_is_the_transports_own() -> None:
    held = OneWrite(Wire(), asyncio.get_running_loop())
    assert held.get_write_buffer_size() == 17
