"""The whole way of ticks: from a terminal's history to a count in the database.

A client with its spool reads twenty symbols' recorded day from a twin, sends it through the edge,
and the clock stops when the last tick of every symbol can be read; then the day's certificates are
held against what was recorded. A second device does the same while its wire is cut and the bridge
is killed. The floor is one process that takes the same rows over TLS, makes them durable and inserts
them in bulk. Last, a market of 5,000 ticks a second is watched: how late is each tick seen?
"""

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
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

from aitrading.core.domain.market import ROW_BYTES
from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.protocol.ingest import IngestHeader, encode_header
from aitrading.server.benchmarks.day_reader import Certificate, DayReader
from aitrading.server.benchmarks.floor_server import floor_server
from aitrading.server.benchmarks.installation import (
    BRIDGE,
    Installation,
    platform_state,
    running_installation,
)
from aitrading.server.benchmarks.real_ticks import NOT_GIVEN
from aitrading.server.benchmarks.relay import relay_to
from aitrading.server.benchmarks.store import real_bytes_per_tick
from aitrading.server.benchmarks.ticks_floor import END
from aitrading.server.benchmarks.ticks_seen import seen_late_ns
from aitrading.server.benchmarks.twin_client import (
    LAST_MS,
    PENDING,
    TAKEN,
    TwinClient,
    enrol,
    recorded_days,
    replaying,
    running_client,
    yesterday,
)
from aitrading.server.testing.probe_device import framed, ticks

SYMBOLS: Final = tuple(f"BENCH{number:02d}" for number in range(20))
TICKS: Final = 100_000
"""Of each symbol."""
FAULTY_TICKS: Final = 20_000
LONG_FACTOR: Final = 5
BATCH_TICKS: Final = 100
POLL_S: Final = 0.05
BUFFERED_BYTES: Final = 1 << 15
WRITE_BYTES: Final = 1 << 18
TIME_LIMIT_S: Final = 120.0
SETTINGS: Final = {
    "gateway.requests_burst": "100000",
    "gateway.login_burst": "1000",
    "stream.conflation_ms": "0",
}
REASONS: Final = {
    "ticks.bytes_per_tick": NOT_GIVEN,
}
logging.getLogger("picows").setLevel(logging.ERROR)
"""The floor's sender fills its buffer on purpose; each time would be a line."""
on_loop: Final = uvloop.run
Figures = dict[str, float | None]


async def run(*, long: bool = False) -> Figures:
    """Throughput, faults, floor, and how late a tick is seen."""
    factor = LONG_FACTOR if long else 1
    bytes_per_tick = await real_bytes_per_tick()
    with running_installation(SETTINGS) as installation:
        reader = DayReader(installation=installation, day=yesterday(installation.clock))
        per_s = await _end_to_end(reader, TICKS * factor)
        lost, doubled = await _with_faults(reader, FAULTY_TICKS * factor)
        floor_per_s = await _floor(installation, TICKS * factor)
        late_ns = await seen_late_ns(installation, factor)
    return {
        "ticks.end_to_end_per_s": round(per_s),
        "ticks.floor_per_s": round(floor_per_s),
        "ticks.ratio_to_floor": round(per_s / floor_per_s, 3),
        "ticks.lost": float(lost),
        "ticks.doubled": float(doubled),
        "ticks.visible_p50_ms": round(float(np.percentile(late_ns, 50)) / 1e6, 2),
        "ticks.visible_p99_ms": round(float(np.percentile(late_ns, 99)) / 1e6, 2),
        "ticks.bytes_per_tick": bytes_per_tick,
    }


async def _end_to_end(reader: DayReader, count: int) -> float:
    """Ticks a second, from the moment before the client has its first."""
    clock, total = reader.installation.clock, count * len(SYMBOLS)
    home, environ = await asyncio.to_thread(
        _prepared, reader, "fast", SYMBOLS, count, reader.installation.port
    )
    with running_client(home, environ) as client:
        began_ns = await _first_tick(client)
        await _until(lambda: client.metric(TAKEN) >= total)
        waiting = list(SYMBOLS)
        while waiting:
            await _until(lambda: reader.has_tick_from(waiting[-1], LAST_MS))
            waiting.pop()
        took_s = (clock.monotonic_ns() - began_ns) / NS_PER_S
        missing, more = await _compared(reader, SYMBOLS, count)
    if missing or more:
        raise RuntimeError(f"{missing} ticks are missing, {more} are too many")
    return total / took_s


async def _first_tick(client: TwinClient) -> int:
    """The moment, of the monotonic clock, at which the client was last seen without a tick."""
    clock, seen_ns = client.clock, [client.clock.monotonic_ns()]

    def has_ticks() -> bool:
        asked_ns = clock.monotonic_ns()
        if client.metric(TAKEN) > 0:
            return True
        seen_ns[0] = asked_ns
        return False

    await _until(has_ticks)
    return seen_ns[0]


async def _with_faults(reader: DayReader, count: int) -> tuple[int, int]:
    """Lost and doubled while the wire is cut twice and the bridge is killed between."""
    installation = reader.installation
    symbols = tuple(f"{symbol}F" for symbol in SYMBOLS)
    async with relay_to(installation.port) as relay:
        home, environ = await asyncio.to_thread(
            _prepared, reader, "cut", symbols, count, relay.port
        )
        with running_client(home, environ) as client:
            await _until(lambda: client.metric(PENDING) > 0 or client.metric(TAKEN) > 0)
            for _ in range(2):
                connections = relay.connections
                relay.cut()
                await _until(lambda before=connections: relay.connections > before)
                await _until(lambda: _is_killed(installation))
            return await _compared(reader, symbols, count)


def _is_killed(installation: Installation) -> bool:
    """Kill the bridge that runs now; one that was killed a moment ago is not there to be killed."""
    pid = platform_state(installation.home).services[BRIDGE].pid
    if pid is None:
        return False
    os.kill(pid, signal.SIGKILL)
    return True


def _prepared(
    reader: DayReader, name: str, symbols: tuple[str, ...], count: int, port: int
) -> tuple[Path, dict[str, str]]:
    """An enrolled home and the settings with which its twin has the recorded day."""
    installation = reader.installation
    folder, home = installation.folder / f"{name}-days", installation.folder / name
    recorded_days(folder, symbols, count, reader.day)
    enrol(home, installation.invitation(name), port)
    spool = {"CLIENT_SPOOL_BATCH_TICKS": str(BATCH_TICKS), "CLIENT_SPOOL_LIMIT_MB": "2000"}
    return home, replaying(folder, reader.day) | spool


async def _compared(reader: DayReader, symbols: tuple[str, ...], count: int) -> tuple[int, int]:
    """Ticks that are missing and that are too many, by the certificates of the day."""
    lost = doubled = 0
    for symbol in symbols:
        await _until(lambda symbol=symbol: _is_settled(reader.certificate(symbol), count))
        found = reader.certificate(symbol)
        stored = found.stored if found else 0
        lost, doubled = lost + max(0, count - stored), doubled + max(0, stored - count)
    return lost, doubled


def _is_settled(found: Certificate | None, count: int) -> bool:
    """The device has told its whole count, and what is stored has the same digest."""
    return found is not None and found.counted >= count and found.agrees


async def _until(holds: Callable[[], bool]) -> None:
    clock = SystemClock()
    async with asyncio.timeout(TIME_LIMIT_S):
        while not await asyncio.to_thread(_safely, holds):
            await clock.sleep(POLL_S)


def _safely(holds: Callable[[], bool]) -> bool:
    """A process that starts, or one that was killed a moment ago, does not answer yet."""
    try:
        return holds()
    except OSError:
        return False


class _Answer(WSListener):
    def __init__(self) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.said.done():
            self.said.set_result(frame.get_payload_as_bytes())


async def _floor(installation: Installation, count: int) -> float:
    """Ticks a second of the one process, until all are stored."""
    total = count * len(SYMBOLS)
    folder = installation.folder / "floor"
    folder.mkdir()
    module, answer = "aitrading.server.benchmarks.ticks_floor", _Answer()
    packed = list(_records(installation, count))
    with floor_server(module, installation, str(folder)) as (port, _):
        context = ssl.create_default_context(cafile=str(installation.trust))
        transport, _listener = await ws_connect(
            lambda: answer,
            f"wss://127.0.0.1:{port}/",
            ssl_context=context,
            server_hostname="localhost",
        )
        began_ns = installation.clock.monotonic_ns()
        for part in packed:
            transport.underlying_transport.write(part)
            while transport.underlying_transport.get_write_buffer_size() > BUFFERED_BYTES:
                await installation.clock.sleep(0.001)
        transport.send(WSMsgType.TEXT, END)
        async with asyncio.timeout(TIME_LIMIT_S):
            stored = int(await answer.said)
        took_s = (installation.clock.monotonic_ns() - began_ns) / NS_PER_S
        transport.disconnect()
    if stored != total:
        raise RuntimeError(f"the floor stored {stored} of {total}")
    return total / took_s


def _records(installation: Installation, count: int) -> Generator[bytes]:
    """The same number of rows in the same batches, several in one write."""
    rows = ticks(count).tobytes()
    for number, _ in enumerate(SYMBOLS):
        part = bytearray()
        for first in range(0, count, BATCH_TICKS):
            batch = rows[first * ROW_BYTES : (first + BATCH_TICKS) * ROW_BYTES]
            header = IngestHeader(
                tenant=installation.tenant,
                stream=UUID(int=number),
                first_sequence=first + 1,
                count=len(batch) // ROW_BYTES,
                receive_ns=installation.clock.now_ns(),
                broker_offset_s=0,
                trace_id=bytes(16),
                span_id=bytes(8),
                row_bytes=ROW_BYTES,
            )
            part += framed(encode_header(header) + batch)
            if len(part) > WRITE_BYTES:
                yield bytes(part)
                part.clear()
        yield bytes(part)
