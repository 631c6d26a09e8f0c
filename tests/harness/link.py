"""Devices that behave badly, or much, on the bridge's own socket, as the edge would let them in."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from picows import WSHandshakeError

from aitrading.core.infrastructure.segment_codecs import open_segment
from aitrading.core.protocol.error_codes import LINK_OVERLOADED
from aitrading.core.protocol.ingest import decode_record
from aitrading.core.protocol.link.events import Established, PeerClosed
from aitrading.core.protocol.segment import read_segment
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.file_sealing import FileKeys
from aitrading.core.testing.eventually import eventually
from aitrading.server.personal_data.file_keys import FILES_FOLDER, FileKeyFolder
from aitrading.server.testing.probe_device import Device, GreetingRefusedError, declared, ticks

BATCH = 4_000
NONSENSE = bytes(range(64))
END_TIMEOUT_S = 15.0
LET_IN_TIMEOUT_S = 60.0
COME_AGAIN_S = 0.2


async def malformed(socket: Path, identity: DeviceIdentity, *, times: int) -> None:
    """Connect and send nonsense, until the server hangs up each time."""
    for _ in range(times):
        device = Device(identity)
        await device.connect(socket)
        device.raw(NONSENSE)
        await asyncio.wait_for(device.ended.wait(), END_TIMEOUT_S)


async def refused_greetings(socket: Path, identity: DeviceIdentity, *, times: int) -> list[str]:
    """Connect and greet in order; gives the codes with which the server declined."""
    return [await _greet(socket, identity) for _ in range(times)]


async def _greet(socket: Path, identity: DeviceIdentity) -> str:
    device = Device(identity)
    try:
        await device.connect(socket, declared())
    except WSHandshakeError as exc:
        return str(exc)
    try:
        await eventually(
            lambda: device.of(PeerClosed) or device.of(Established), timeout_s=END_TIMEOUT_S
        )
    finally:
        await _hang_up(device)
    return device.of(PeerClosed)[0].notice.code if device.of(PeerClosed) else "accepted"


async def _let_in(socket: Path, identity: DeviceIdentity, *, symbol: str) -> Device:
    """Come as often as the server says that it cannot take anybody now, like every client."""
    deadline = time.monotonic() + LET_IN_TIMEOUT_S
    while True:
        device = Device(identity)
        try:
            await device.open(socket, declared(symbol=symbol))
        except GreetingRefusedError as exc:
            if exc.code != LINK_OVERLOADED.code or time.monotonic() > deadline:
                raise
            await asyncio.sleep(COME_AGAIN_S)
        else:
            return device


async def _hang_up(device: Device) -> None:
    device.cut()
    await asyncio.wait_for(device.ended.wait(), END_TIMEOUT_S)


async def fill(
    socket: Path, identity: DeviceIdentity, block: Callable[[], None]
) -> dict[str, Any]:
    """Send ticks, once the way on is blocked, until the server ends the link; tells how it did."""
    device = await _let_in(socket, identity, symbol="FILL")
    block()
    sent = device.durable()
    deadline = time.monotonic() + END_TIMEOUT_S
    while not device.of(PeerClosed) and not device.ended.is_set() and time.monotonic() < deadline:
        if device.session.room() >= BATCH:
            sent = device.send(ticks(BATCH, first=sent + 1))
        await asyncio.sleep(0)
    await _hang_up(device)
    return {
        "code": [one.notice.code for one in device.of(PeerClosed)],
        "sent": sent,
        "acknowledged": device.acknowledged.get(1, 0),
    }


async def fill_segments(
    socket: Path, identity: DeviceIdentity, block: Callable[[], None], folder: Path
) -> None:
    """Send small batches, once the way on is blocked, until two segments hold nothing else."""
    device = await _let_in(socket, identity, symbol="SEGMENTS")
    block()

    async def another() -> bool:
        first = device.session.next_sequence(1)
        await device.until_acknowledged(device.send(ticks(10, first=first)))
        found = await asyncio.to_thread(segments, folder)
        return sum(is_all_of(path, identity) for path in found[1:-1]) > 1

    await eventually(another, timeout_s=END_TIMEOUT_S, what="segments of one device")
    await _hang_up(device)


def segments(folder: Path) -> list[Path]:
    """The files of a spool, oldest first."""
    return sorted(folder.glob("*.seg"))


def is_all_of(segment: Path, identity: DeviceIdentity) -> bool:
    """Whether a sealed segment holds ticks of one tenant only."""
    folder = FileKeyFolder(segment.parents[2] / "keys" / FILES_FOLDER, environment="development")
    keys = FileKeys(folder.in_order)
    records = read_segment(open_segment(segment.read_bytes(), keys)).records
    return {decode_record(one.payload).header.tenant for one in records} == {identity.tenant}
