"""Cuts the power of the embedded PostgreSQL: `python postgres_power_cut.py FOLDER CUTS COMMIT`.

COMMIT is `on`, as the platform commits, or `off`: the control, which must lose. Run in a mount
namespace of its own, as root; FS_IOC_SHUTDOWN drops whatever the disk had not confirmed.
"""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import asyncpg
from power_loss import Disk

from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.proc import descendants
from aitrading.server.kit.postgres_mapping import CONNECTION_FAULTS
from aitrading.server.testing.engines import running_postgres

IMAGE_BYTES = 512 << 20
WRITERS = 4
ROWS_BEFORE_CUT = 200
TABLE = "CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE IF NOT EXISTS s.t (id bigserial PRIMARY KEY)"


async def connect(engine: Any) -> Any:
    access = engine.access("migrator")
    connection: Any = await cast("Any", asyncpg).connect(
        host=access.host,
        port=access.port,
        database=access.database,
        user=access.user,
        password=access.password,
    )
    await connection.execute("SET ROLE aitrading_owner")
    return connection


async def write_for_ever(connection: Any, acknowledged: set[int]) -> None:
    try:
        while True:
            row = await connection.fetchval("INSERT INTO s.t DEFAULT VALUES RETURNING id")
            acknowledged.add(row)
    except (asyncpg.PostgresError, *CONNECTION_FAULTS):
        connection.terminate()


async def live(folder: Path, disk: Disk, commit: str, acknowledged: set[int]) -> int:
    """Look for what was acknowledged, write more, cut the power; gives how much was lost."""
    async with running_postgres(folder) as engine:
        connection = await connect(engine)
        await connection.execute(TABLE)
        kept = {row["id"] for row in await connection.fetch("SELECT id FROM s.t")}
        await connection.close()
        lost = acknowledged - kept
        acknowledged.clear()
        pid = int((folder / "postgres/18/data/postmaster.pid").read_text().split()[0])
        writers = [await connect(engine) for _ in range(WRITERS)]
        for writer in writers:
            await writer.execute(f"SET synchronous_commit = {commit}")
        async with asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(write_for_ever(writer, acknowledged))
            await eventually(lambda: len(acknowledged) >= ROWS_BEFORE_CUT, what="rows")
            disk.cut_power()
            promised = set(acknowledged)
            for each in {pid, *descendants(pid)}:
                kill(each)
    acknowledged.clear()
    acknowledged.update(promised)
    return len(lost)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main(folder: Path, cuts: int, commit: str) -> dict[str, int]:
    """Give the cuts and the acknowledged rows that were lost."""
    disk = Disk(folder, IMAGE_BYTES)
    acknowledged: set[int] = set()
    lost = 0
    for _ in range(cuts + 1):
        home = disk.mount().parent / "home"
        home.mkdir(exist_ok=True)
        lost += asyncio.run(live(home, disk, commit, acknowledged))
        disk.unmount()
    return {"cuts": cuts, "lost": lost}


if __name__ == "__main__":
    place, cuts, commit = sys.argv[1:]
    print(json.dumps(main(Path(place), int(cuts), commit)))  # noqa: T201
