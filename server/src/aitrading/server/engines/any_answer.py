"""Whether a server answers anything at all: what tells "not yet" from a process that hangs."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANSWER_TIMEOUT_S: Final = 5.0
POSTGRES_GREETING: Final = (8).to_bytes(4, "big") + (80_877_103).to_bytes(4, "big")
"""Asks for TLS: answered before any login, while it recovers or is full too, and logged nowhere."""
NATS_GREETING: Final = b""
"""The server speaks first."""
VALKEY_GREETING: Final = b"PING\r\n"
"""Refused without a login, and `LOADING` while it reads its files: both are answers."""
ENVOY_GREETING: Final = b"GET /ready HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class AnyAnswer:
    """Connects as a stranger, says `greeting`, and is content with the first byte of any answer.

    With `begins`, only an answer that begins so counts.

    The kernel accepts connections for a process that hangs; only the process itself can answer.
    """

    greeting: bytes
    socket: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    timeout_s: float = ANSWER_TIMEOUT_S
    begins: bytes = b""

    async def __call__(self) -> bool:
        """True when it answered within the time."""
        try:
            async with asyncio.timeout(self.timeout_s):
                reader, writer = await self._connect()
                try:
                    writer.write(self.greeting)
                    answer = await reader.read(1)
                    return bool(answer) and answer.startswith(self.begins)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(str(self.socket))
        return await asyncio.open_connection(self.host, self.port)
