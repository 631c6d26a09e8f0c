"""Writes of one moment leave together: the head of an answer and its body in one system call.

uvicorn writes them apart, and the event loop sends the first at once: two calls here, two reads at
the edge, for every answer.
"""

import asyncio
from typing import Any, Final

AT_ONCE_BYTES: Final = 64 * 1024
"""More than this waits for nothing: who streams has to feel how fast the other side reads."""


class OneWrite:
    """In front of a transport; anything but writing and closing is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send with whatever else is written before the loop goes on."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes >= AT_ONCE_BYTES:
            self._send()

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))
