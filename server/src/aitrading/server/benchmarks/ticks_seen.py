"""How late a subscriber sees a tick of the terminal: twenty symbols, 5,000 ticks a second."""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

from aitrading.core.kit.clock import SystemClock
from aitrading.server.benchmarks.installation import Installation
from aitrading.server.benchmarks.twin_client import enrol, running_client

TICKS_PER_S: Final = 5_000
SYMBOLS: Final = 20
WARM_S: Final = 3.0
SECONDS: Final = 8.0
FIRST_TIMEOUT_S: Final = 30.0


class _Quote(msgspec.Struct):
    time: str = ""
    symbol: str = ""
    type: str = ""
    sequence: int = 0


EVERY_TICK: Final = b'{"type":"subscribe","every_tick":true}'
_decode: Final = msgspec.json.Decoder(_Quote).decode


@dataclass
class Board:
    """What subscribers were told: how old each tick was, and the newest sequence of each symbol."""

    is_open: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)
    late_ns: list[int] = field(default_factory=list[int])
    sequences: dict[str, int] = field(default_factory=dict[str, int])
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that was told."""
        return frozenset(self.sequences)

    def told(self, text: bytes) -> None:
        """Somebody read a message."""
        now_ns = self.clock.now_ns()
        quote = _decode(text)
        if quote.type != "quote":
            return
        self.came.set()
        self.sequences[quote.symbol] = quote.sequence
        if self.is_open:
            event_ns = round(datetime.fromisoformat(quote.time).timestamp() * 1_000) * 1_000_000
            self.late_ns.append(now_ns - event_ns)


class _Person(WSListener):
    def __init__(self, board: Board) -> None:
        self._board = board

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._board.told(frame.get_payload_as_bytes())


async def seen_late_ns(installation: Installation, factor: int) -> list[int]:
    """Ages of ticks at the moment they were seen; a tick's time is rounded down to milliseconds."""
    home = installation.folder / "market"
    code = await asyncio.to_thread(installation.invitation, "market")
    await asyncio.to_thread(enrol, home, code, installation.port)
    market = {
        "TERMINAL_SIM_SYMBOLS": "*",
        "TERMINAL_SIM_TICKS_PER_S": str(TICKS_PER_S / SYMBOLS),
    }
    board = Board()
    transport = await watching(installation, board, 2)
    transport.send(WSMsgType.TEXT, EVERY_TICK)
    with running_client(home, market):
        async with asyncio.timeout(FIRST_TIMEOUT_S):
            await board.came.wait()
        await asyncio.sleep(WARM_S)
        board.is_open = True
        board.came.clear()
        await asyncio.sleep(SECONDS * factor)
        async with asyncio.timeout(FIRST_TIMEOUT_S):
            await board.came.wait()
        board.is_open = False
    transport.disconnect()
    return board.late_ns


async def watching(installation: Installation, board: Board, number: int) -> WSTransport:
    """A person who reads everything that the organisation's stream tells."""
    trust = ssl.create_default_context(cafile=str(installation.trust))
    token = installation.token(number)
    transport, _ = await ws_connect(
        lambda: _Person(board),
        f"wss://127.0.0.1:{installation.port}/api/v1/stream",
        ssl_context=trust,
        server_hostname="localhost",
        extra_headers={"Host": "localhost", "Authorization": f"Bearer {token}"},
    )
    return transport
