"""Fills a real ext4 file system with a spool and looks what becomes of it.

As root: `unshare -m --propagation private python full_disk.py FOLDER`. Prints what happened.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.file_keys import some_file_keys

IMAGE_BYTES = 8 << 20
RECORD_BYTES = 30_000
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
KEYS = some_file_keys()


def payload_of(position: int) -> bytes:
    return position.to_bytes(8, "little") * (RECORD_BYTES // 8)


async def open_spool(folder: Path, *, preallocate: bool) -> Spool:
    limits = SpoolLimits(segment_bytes=500_000, preallocate=preallocate)
    return await Spool.open(folder, limits=limits, clock=CLOCK, ids=IDS, keys=KEYS)


async def fill(spool: Spool) -> str:
    while True:
        try:
            await spool.append([payload_of(spool.next_position)])
        except AitradingError as error:
            return error.code


async def intact(spool: Spool) -> bool:
    position = spool.first_position
    while records := await spool.read(position):
        if any(bytes(one.payload) != payload_of(one.position) for one in records):
            return False
        position = records[-1].position + 1
    return position == spool.next_position


def take_the_rest(ballast: Path) -> None:
    """Whatever is left, down to the last block."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))


async def story(mount_point: Path, *, preallocate: bool) -> dict[str, object]:
    folder = mount_point / "spool"
    async with await open_spool(folder, preallocate=preallocate) as spool:
        refused = [await fill(spool), await fill(spool)]
        held = spool.durable_position
        readable = await intact(spool)
        listed = len(spool.sealed())
    take_the_rest(mount_point / "ballast")
    async with await open_spool(folder, preallocate=preallocate) as spool:
        after_restart = (spool.durable_position, await intact(spool))
        refused.append(await fill(spool))
        await spool.delete_through(spool.sealed()[-1].last_position)
        more = spool.durable_position
        refused.append(await fill(spool))
        went_on = spool.durable_position - more
        readable_again = await intact(spool)
    (mount_point / "ballast").unlink()
    return {
        "refused": sorted(set(refused)),
        "held": held,
        "sealed": listed,
        "readable": readable and readable_again,
        "restart_kept_everything": after_restart == (held, True),
        "went_on": went_on,
    }


def main(folder: Path) -> list[dict[str, object]]:
    image, mount_point = folder / "disk.img", folder / "disk"
    mount_point.mkdir()
    stories = []
    for preallocate in (False, True):
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mount_point], check=True)
        try:
            stories.append(asyncio.run(story(mount_point, preallocate=preallocate)))
        finally:
            subprocess.run(["umount", mount_point], check=True)
    return stories


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
