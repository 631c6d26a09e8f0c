"""Cuts the power of a real ext4 file system under a working spool, again and again.

As root: `unshare -m --propagation private python power_loss.py FOLDER POINTS SEED MODE`. MODE
`sync` is the spool as it ships; `control` leaves out `fdatasync` and must lose data, else this
test could not see a loss. The file system lives in a file behind a loop device; FS_IOC_SHUTDOWN
without a log flush drops everything the disk had not confirmed, as a power cut does.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from aitrading.core.infrastructure.files import sync_data
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.segment import read_segment
from aitrading.core.testing.file_keys import some_file_keys

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
IMAGE_BYTES = 64 << 20
UNMOUNT_TRIES = 3_000
KEPT_POSITIONS = 300
LIMITS = [
    SpoolLimits(segment_bytes=60_000, segment_age_ms=20, preallocate=preallocate)
    for preallocate in (False, True)
]
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
KEYS = some_file_keys()


@dataclass
class Tally:
    """What all power cuts together did."""

    points: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    returned_from_deletion: int = 0
    torn: int = 0
    quarantined: int = 0
    mid_write: int = 0


class Disk:
    """One ext4 in a file."""

    def __init__(self, folder: Path, image_bytes: int = IMAGE_BYTES) -> None:
        self._image, self._mount_point = str(folder / "disk.img"), folder / "disk"
        self._mount_point.mkdir()
        with Path(self._image).open("wb") as file:
            file.truncate(image_bytes)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True)

    def mount(self) -> Path:
        subprocess.run(["mount", "-o", "loop", self._image, self._mount_point], check=True)
        return self._mount_point / "spool"

    def cut_power(self) -> None:
        descriptor = os.open(self._mount_point, os.O_RDONLY)
        fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, NO_LOG_FLUSH)
        os.close(descriptor)

    def unmount(self) -> None:
        """Wait for the loop device to go too: mounting it again would give back the dead disk."""
        for _ in range(UNMOUNT_TRIES):
            if self._mount_point.is_mount():
                subprocess.run(["umount", self._mount_point], check=False)
            elif not self._loop_devices():
                return
            time.sleep(0.01)
        raise RuntimeError("the file system stays in use")

    def _loop_devices(self) -> str:
        command = ["losetup", "--associated", self._image]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Campaign:
    """Lives of one spool on one disk, each ended by a power cut."""

    def __init__(self, folder: Path, seed: int, *, durable: bool) -> None:
        self.tally = Tally()
        self._disk = Disk(folder)
        self._random = random.Random(seed)  # noqa: S311 - replayable
        self._sync = sync_data if durable else ignore
        self._written: dict[int, bytes] = {}
        self._acknowledged = 0
        self._deleted = 0
        self._counter = 0

    def run(self, points: int) -> Tally:
        for _ in range(points):
            folder = self._disk.mount()
            try:
                asyncio.run(self._live(folder))
            finally:
                self._disk.unmount()
            self.tally.points += 1
        asyncio.run(self._inspect(self._disk.mount()))
        self._disk.unmount()
        return self.tally

    async def _inspect(self, folder: Path) -> None:
        async with await self._open(folder) as spool:
            await self._check(spool)

    async def _open(self, folder: Path) -> Spool:
        limits = self._random.choice(LIMITS)
        return await Spool.open(
            folder, limits=limits, clock=CLOCK, ids=IDS, keys=KEYS, sync=self._sync
        )

    async def _live(self, folder: Path) -> None:
        spool = await self._open(folder)
        await self._check(spool)
        age = asyncio.ensure_future(spool.maintain())
        end_ns = CLOCK.monotonic_ns() + self._random.randrange(40_000_000)
        while CLOCK.monotonic_ns() < end_ns:
            self._append(spool)
            if self._random.random() < 0.02:
                await spool.delete_through(self._acknowledged - KEPT_POSITIONS)
                self._deleted = spool.first_position - 1
            await asyncio.sleep(self._random.choice([0, 0, 0.0002, 0.002]))
            self._acknowledged = spool.durable_position
        self.tally.mid_write += spool.next_position - 1 > spool.durable_position
        self._acknowledged = spool.durable_position
        self._disk.cut_power()
        age.cancel()
        with contextlib.suppress(asyncio.CancelledError, AitradingError):
            await age
        await spool.close()

    def _append(self, spool: Spool) -> None:
        payloads = []
        for step in range(self._random.randint(1, 4)):
            self._counter += 1
            size = self._random.choice([0, 10, 100, 2_488, 20_000])
            payload = struct.pack("<Q", self._counter) + self._random.randbytes(size)
            self._written[spool.next_position + step] = payload
            payloads.append(payload)
        spool.append_nowait(payloads)

    async def _check(self, spool: Spool) -> None:
        tally, found = self.tally, {}
        tally.torn += bool(spool.recovery.torn_bytes)
        tally.quarantined += len(spool.recovery.quarantined)
        position = spool.first_position
        while records := await spool.read(position):
            found.update({one.position: bytes(one.payload) for one in records})
            position = records[-1].position + 1
        for segment in spool.sealed():
            read_segment(await spool.read_segment(segment))
        promised = range(self._deleted + 1, self._acknowledged + 1)
        tally.acknowledged += len(promised)
        tally.lost += sum(place not in found for place in promised)
        tally.wrong += sum(self._written[place] != payload for place, payload in found.items())
        tally.doubled += len(found) - len(set(found.values()))
        tally.returned_from_deletion += sum(place <= self._deleted for place in found)
        self._acknowledged = spool.durable_position
        self._deleted = min(self._deleted, spool.next_position - 1)


def ignore(_descriptor: int) -> None:
    """What a spool without durability would do."""


if __name__ == "__main__":
    place, points, seed, mode = sys.argv[1:]
    campaign = Campaign(Path(place), int(seed), durable=mode == "sync")
    print(json.dumps(asdict(campaign.run(int(points)))))  # noqa: T201
