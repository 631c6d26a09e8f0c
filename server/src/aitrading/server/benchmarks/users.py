"""How late a quote is for two thousand people who watch at once.

One device sends four symbols; everybody holds an authenticated WebSocket through the edge and is
told all four, conflated to so many a second. Measured is the time from the device's write to a
person's read, both in this process; its bid carries the number of the quote. `users.floor_p99_ms`
is the same with a tenth of the people, in the same run: what is not the crowd's.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,  # pyright: ignore[reportUnknownVariableType]
)
from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_MS, NS_PER_S, SystemClock
from aitrading.server.benchmarks.installation import (
    BRIDGE,
    ENVOY,
    Installation,
    running_installation,
)
from aitrading.server.testing.probe_device import Device, declared, ticks

SYMBOLS: Final = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD")
PEOPLE: Final = 2_000
FLOOR_PEOPLE: Final = 200
PEOPLE_PER_ADDRESS: Final = 200
CONFLATION_MS: Final = 200
"""Five quotes a second and symbol."""
SENT_EVERY_S: Final = 0.05
SECONDS: Final = 10
LONG_FACTOR: Final = 6
CONNECTING_AT_ONCE: Final = 50
FIRST_BID: Final = 100_000
SETTINGS: Final = {
    "stream.conflation_ms": str(CONFLATION_MS),
    "gateway.requests_burst": "100000",
    "gateway.login_burst": "1000",
    "limits.streams_max": str(PEOPLE),
}
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


class _Quote(msgspec.Struct):
    bid: str = ""
    symbol: str = ""
    type: str = ""


_decode: Final = msgspec.json.Decoder(_Quote).decode


@dataclass
class _Board:
    """When each quote was sent, and how late everybody was told."""

    sent_ns: dict[str, list[int]] = field(
        default_factory=lambda: {symbol: list[int]() for symbol in SYMBOLS}
    )
    late_ns: list[int] = field(default_factory=list[int])
    is_open: bool = False
    clock: SystemClock = field(default_factory=SystemClock)

    def told(self, text: bytes) -> None:
        """Somebody read a message."""
        now_ns = self.clock.monotonic_ns()
        quote = _decode(text)
        if self.is_open and quote.type == "quote" and quote.symbol in self.sent_ns:
            number = int(quote.bid.replace(".", "")) - FIRST_BID
            sent = self.sent_ns[quote.symbol]
            if 0 <= number < len(sent):
                self.late_ns.append(now_ns - sent[number])


class _Person(WSListener):
    def __init__(self, board: _Board) -> None:
        self._board = board

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._board.told(frame.get_payload_as_bytes())


async def run(*, long: bool = False) -> Figures:
    """A tenth of the people, then all of them."""
    seconds = SECONDS * (LONG_FACTOR if long else 1)
    with running_installation(SETTINGS) as installation:
        board = _Board()
        enrolled = await asyncio.to_thread(installation.device, "feed")
        streams = [declared(handle, symbol) for handle, symbol in enumerate(SYMBOLS, start=1)]
        device = await installation.connected(enrolled, *streams)
        people = await _connected(installation, board, range(FLOOR_PEOPLE))
        floor = await _watched(device, board, seconds / 2)
        people += await _connected(installation, board, range(FLOOR_PEOPLE, PEOPLE))
        bridge_s, edge_s = installation.cpu_s(BRIDGE), installation.cpu_s(ENVOY)
        crowd = await _watched(device, board, seconds)
        bridge_s = installation.cpu_s(BRIDGE) - bridge_s
        edge_s = installation.cpu_s(ENVOY) - edge_s
        staying = sum(not person.is_disconnected for person in people)
        for person in people:
            person.disconnect()
        device.cut()
    return {
        "users.people": float(staying),
        "users.quotes_per_s": round(len(crowd) / seconds),
        "users.quote_p50_ms": _percentile(crowd, 50),
        "users.quote_p99_ms": _percentile(crowd, 99),
        "users.floor_p99_ms": _percentile(floor, 99),
        "users.bridge_us_per_quote": round(bridge_s * 1e6 / max(1, len(crowd)), 3),
        "users.edge_us_per_quote": round(edge_s * 1e6 / max(1, len(crowd)), 3),
    }


async def _connected(
    installation: Installation, board: _Board, numbers: Sequence[int]
) -> list[WSTransport]:
    trust = ssl.create_default_context(cafile=str(installation.trust))
    limit = asyncio.Semaphore(CONNECTING_AT_ONCE)
    url = f"wss://127.0.0.1:{installation.port}/api/v1/stream"

    async def connect(number: int) -> WSTransport:
        token = installation.token(number)
        async with limit:
            transport, _ = await ws_connect(
                lambda: _Person(board),
                url,
                ssl_context=trust,
                server_hostname="localhost",
                local_addr=(_address(number), 0),
                extra_headers={"Host": "localhost", "Authorization": f"Bearer {token}"},
                websocket_handshake_timeout=30,
            )
            return transport

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(connect(number)) for number in numbers]
    return [task.result() for task in tasks]


def _address(number: int) -> str:
    """An address of this machine: from one, so many may not connect at once."""
    return f"127.0.0.{2 + number // PEOPLE_PER_ADDRESS}"


async def _watched(device: Device, board: _Board, seconds: float) -> list[int]:
    """Send quotes for so long; how late each was told to whom, in nanoseconds."""
    board.is_open = True
    clock = board.clock
    ends_ns = clock.monotonic_ns() + round(seconds * NS_PER_S)
    while clock.monotonic_ns() < ends_ns:
        for handle, symbol in enumerate(SYMBOLS, start=1):
            row = ticks(1)
            row["bid"] = FIRST_BID + len(board.sent_ns[symbol])
            row["ask"] = row["bid"] + 7
            board.sent_ns[symbol].append(clock.monotonic_ns())
            device.send(row, handle=handle)
        await asyncio.sleep(SENT_EVERY_S)
    await asyncio.sleep(2 * CONFLATION_MS / 1_000)
    board.is_open = False
    late, board.late_ns = board.late_ns, []
    return late


def _percentile(late_ns: list[int], percent: int) -> float | None:
    if not late_ns:
        return None
    return round(float(np.percentile(late_ns, percent)) / NS_PER_MS, 2)
