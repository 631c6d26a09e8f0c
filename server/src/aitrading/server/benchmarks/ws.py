"""How many messages a second the bridge takes and acknowledges, one tick in each.

Fifty devices send through the edge, each what was packed beforehand and in large writes, so that
the sender is not what is measured; a tick counts when it is acknowledged, which is when it is on
disk. Its floor is bare picows with TLS: the same bytes, kept in memory, nothing looked at. Compared
is processor time per message of the bridge, which also checks, spools and hands over to the database
service in that time; `ws.edge_us` is what Envoy adds in front of it.
"""

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

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

from aitrading.core.domain.market import make_batch
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.server.benchmarks.floor_server import floor_server
from aitrading.server.benchmarks.installation import (
    BRIDGE,
    ENVOY,
    Installation,
    running_installation,
)
from aitrading.server.benchmarks.ws_floor import COUNT
from aitrading.server.engines.proc import use_of
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, framed, ticks

CONNECTIONS: Final = 50
MESSAGES: Final = 8_000
"""Of each connection; far below the window, so that no sender waits for an acknowledgement."""
LONG_FACTOR: Final = 4
WRITE_BYTES: Final = 1 << 18
TIME_LIMIT_S: Final = 120.0
US_PER_S: Final = 1_000_000
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class _Sender:
    """One device with everything it will send."""

    device: Device
    packed: tuple[bytes, ...]
    last: int


async def run(*, long: bool = False) -> Figures:
    """Send everything at once and wait until the last tick is acknowledged."""
    messages = MESSAGES * (LONG_FACTOR if long else 1)
    clock = SystemClock()
    with running_installation({"gateway.login_burst": "1000"}) as installation:
        senders = [
            await _ready(installation, number, messages) for number in range(1, CONNECTIONS + 1)
        ]
        total = CONNECTIONS * messages
        bridge_s, edge_s = installation.cpu_s(BRIDGE), installation.cpu_s(ENVOY)
        began_ns = clock.monotonic_ns()
        async with asyncio.timeout(TIME_LIMIT_S), asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(_send(sender))
        took_s = (clock.monotonic_ns() - began_ns) / NS_PER_S
        bridge_us = (installation.cpu_s(BRIDGE) - bridge_s) * US_PER_S / total
        edge_us = (installation.cpu_s(ENVOY) - edge_s) * US_PER_S / total
        floor_us = await _floor_us(installation, senders[0].packed, messages)
        for sender in senders:
            sender.device.cut()
    return {
        "ws.acked_msg_per_s": round(total / took_s),
        "ws.bridge_us": round(bridge_us, 3),
        "ws.edge_us": round(edge_us, 3),
        "ws.floor_us": round(floor_us, 3),
        "ws.ratio_to_picows": round(floor_us / bridge_us, 3),
    }


async def _ready(installation: Installation, number: int, messages: int) -> _Sender:
    """Enrolled, connected, its stream open, its messages packed."""
    enrolled = await asyncio.to_thread(installation.device, f"sender-{number}")
    device = await installation.connected(enrolled, declared())
    return _Sender(device=device, packed=tuple(_packed(device, messages)), last=messages)


def _packed(device: Device, count: int) -> Generator[bytes]:
    """Whole messages together: the answer to a ping may be written between two parts."""
    part = bytearray()
    for message in _messages(device, count):
        part += framed(message)
        if len(part) >= WRITE_BYTES:
            yield bytes(part)
            part.clear()
    yield bytes(part)


def _messages(device: Device, count: int) -> Generator[bytes]:
    rows = ticks(count)
    rows["event_ms"] += np.arange(count) // 100
    for index in range(count):
        first = device.session.next_sequence(1)
        batch = make_batch(
            UUID(int=1),
            first,
            rows[index : index + 1],
            receive_ns=SystemClock().now_ns(),
            broker_offset_s=OFFSET_S,
        )
        device.session.send_ticks(1, batch)
        yield from device.session.outgoing()


async def _send(sender: _Sender) -> None:
    transport = sender.device.transport
    if transport is None:
        raise LookupError("not connected")
    await _write(transport, sender.packed)
    await sender.device.until_acknowledged(sender.last, timeout_s=TIME_LIMIT_S)


async def _write(transport: WSTransport, packed: tuple[bytes, ...]) -> None:
    for part in packed:
        transport.underlying_transport.write(part)
        await asyncio.sleep(0)


class _Counting(WSListener):
    def __init__(self) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.said.set_result(frame.get_payload_as_bytes())


def _always(listener: WSListener) -> Callable[[], WSListener]:
    return lambda: listener


async def _floor_us(installation: Installation, packed: tuple[bytes, ...], messages: int) -> float:
    """Processor time per message of bare picows for as many messages as the bridge took."""
    device = installation.device("floor-client")  # only its trust is needed
    with floor_server("aitrading.server.benchmarks.ws_floor", installation) as (port, pid):
        listeners = [_Counting() for _ in range(CONNECTIONS)]
        transports: list[WSTransport] = []
        for listener in listeners:
            transport, _ = await ws_connect(
                _always(listener),
                f"wss://127.0.0.1:{port}/",
                ssl_context=device.context,
                server_hostname="localhost",
                use_aiofastnet=False,
            )
            transports.append(transport)
        began_s = use_of([pid]).cpu_s
        for transport in transports:
            await _write(transport, packed)
            transport.send(WSMsgType.TEXT, COUNT)
        async with asyncio.timeout(TIME_LIMIT_S):
            counts = [int(await listener.said) for listener in listeners]
        spent_s = use_of([pid]).cpu_s - began_s
        for transport in transports:
            transport.disconnect()
    if counts != [messages] * CONNECTIONS:
        raise RuntimeError(f"the floor counted {sum(counts)} messages")
    return spent_s * US_PER_S / sum(counts)
