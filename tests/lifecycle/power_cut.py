"""Cuts the power of a whole platform, again and again: `python power_cut.py FOLDER CUTS SEED`.

Run in a mount namespace of its own, as root. The home lies on an ext4 in a file, with the client's
journal in it; FS_IOC_SHUTDOWN drops whatever the disk had not confirmed. Then every process is
killed, the file system is mounted again and the platform has to start by itself.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from harness.platform import Platform, ports_of, running_platform, wait_until
from power_loss import Disk

from aitrading.server.supervisor.leftovers import read_children

IMAGE_BYTES = 2 << 30
RUN_S = 8.0
START_TIMEOUT_S = 60


def main(folder: Path, cuts: int, seed: int) -> dict[str, int]:
    """Give what was counted; raises when something was lost or did not start."""
    walk = random.Random(seed)  # noqa: S311 - replayable
    disk = Disk(folder, IMAGE_BYTES)
    ports_of(disk.mount().parent / "home")
    disk.unmount()
    seen = 0
    for _ in range(cuts):
        seen = live(disk, seen, walk)
    home = disk.mount().parent / "home"
    with running_platform(home) as platform:
        stored = complete(platform, seen)
    disk.unmount()
    return {"cuts": cuts, "ticks": stored}


def live(disk: Disk, seen: int, walk: random.Random) -> int:
    """Run until something new is stored and a little longer, then cut the power."""
    home = disk.mount().parent / "home"
    with running_platform(home) as platform:
        complete(platform, seen)
        time.sleep(walk.uniform(0, RUN_S))
        stored = len(platform.history("EURUSD"))
        children = [record.process for record in read_children(home / "run" / "children.json")]
        disk.cut_power()
        platform.process.kill()
        platform.process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: not any(child.alive for child in children), what="the end of all")
    disk.unmount()
    return stored


def complete(platform: Platform, seen: int) -> int:
    """Wait for a tick that is newer than all seen; every one before it has to be there, once."""
    stored = wait_until(
        lambda: (found := platform.history("EURUSD")) and len(found) > seen and found,
        what="new ticks after the start",
        timeout_s=START_TIMEOUT_S,
    )
    if stored != [*range(1, len(stored) + 1)]:
        raise AssertionError(f"after {seen} ticks: {stored[:5]} … {stored[-5:]}")
    return len(stored)


if __name__ == "__main__":
    place, cuts, seed = sys.argv[1:]
    print(json.dumps(main(Path(place), int(cuts), int(seed))))  # noqa: T201
