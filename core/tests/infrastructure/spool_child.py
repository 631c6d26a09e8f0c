"""Appends numbered records to a spool until it is killed; prints each durable position.

Record n says n, so whoever reads the spool later can tell a lost one from a doubled one.
"""

import asyncio
import random
import sys
from pathlib import Path

from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.file_sealing import FileKeys

LIMITS = SpoolLimits(segment_bytes=20_000, segment_age_ms=5)


def payload_of(position: int) -> bytes:
    return position.to_bytes(8, "little") * (1 + position % 97)


async def main(folder: Path) -> None:
    clock = SystemClock()
    spool = await Spool.open(
        folder,
        limits=LIMITS,
        clock=clock,
        ids=SystemIdFactory(clock, SystemRandomness()),
        keys=FileKeys(lambda: [Secret(bytes(range(32)))]),
    )
    spool.on_durable = lambda position: print(position, flush=True)  # noqa: T201
    choose = random.Random()  # noqa: S311
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spool.maintain())
        while True:
            first = spool.next_position
            count = choose.randint(1, 5)
            spool.append_nowait([payload_of(first + step) for step in range(count)])
            if choose.random() < 0.02:
                await spool.delete_through(spool.durable_position - 500)
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
