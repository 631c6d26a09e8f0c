"""Stores ticks while the disk of one store is full, and again when there is space.

Run as `python full_disk_child.py STORE FOLDER`, in a mount namespace of its own; STORE is
`clickhouse` or `postgres`. Prints one JSON object.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

import asyncpg

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.server.engines.postgres import SUPERUSER
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.testing.engines import running_postgres
from aitrading.server.testing.personal_data import runner_for

SIZE: Final = "320m"
ROWS: Final = 2_000
ALPHA: Final = TenantId(UUID(int=0xF011))


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    file = folder / "fill"
    with file.open("wb", buffering=0) as filling:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    filling.write(b"\0" * size)
            except OSError:
                continue
    return file


def load_fixtures() -> Any:
    spec = importlib.util.spec_from_file_location(
        "fixtures", Path(__file__).with_name("conftest.py")
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["fixtures"] = module
    spec.loader.exec_module(module)
    return module


def places(folder: Path) -> tuple[Path, Path]:
    """A small disk that only this process and its children see, and room enough."""
    small, large = folder / "small", folder / "large"
    for place in (small, large):
        place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", small], check=True)
    return small, large


async def run(kind: str, folder: Path) -> dict[str, Any]:
    fixtures = load_fixtures()
    small, large = places(folder)
    alone = kind == "postgres"
    async with running_postgres(small if alone else large) as engine:
        await runner_for(engine.access("migrator")).apply()
        await begin_new_log(engine.access(SUPERUSER))
        async with fixtures.open_world(engine, large if alone else small, alone=alone) as world:
            return await scenario(world, small)


async def begin_new_log(access: PostgresAccess) -> None:
    """A file of PostgreSQL's log is allocated whole: with a new one it is the tables that lack space.

    Were it the log, PostgreSQL would end and come back until there is space.
    """
    connection = await asyncpg.connect(
        host=access.host,
        port=access.port,
        user=access.user,
        password=access.password,
        database=access.database,
    )
    await connection.fetchval("SELECT pg_switch_wal()")
    await connection.close()


async def scenario(world: Any, full: Path) -> dict[str, Any]:
    """Each segment is sent until it is stored, as the bridge does."""
    stream = await world.open(ALPHA)

    def segment(first: int) -> tuple[str, bytes]:
        rows = fixtures_rows(first)
        payload = sys.modules["fixtures"].ingest_payload(
            rows, tenant=ALPHA, stream=stream, first_sequence=first
        )
        return world.segment(payload)

    await world.intake.take(*segment(1))
    waiting = segment(1 + ROWS)
    filled = fill(full)
    codes = [await code_of(world.intake.take(*waiting)) for _ in range(2)]
    before = await world.counts(ALPHA, stream)
    filled.unlink()
    _, outcome = await world.intake.take(*waiting)
    _, again = await world.intake.take(*waiting)
    await world.intake.take(*segment(1 + 2 * ROWS))
    mark = (await world.book.marks(ALPHA, uuid5(ALPHA, "device"))).marks[0]
    return {
        "codes": codes,
        "before": before,
        "inserted": outcome.inserted,
        "repeated": again.repeated,
        "after": await world.counts(ALPHA, stream),
        "mark": (mark.last_sequence, mark.missing),
    }


def fixtures_rows(first: int) -> Any:
    return sys.modules["fixtures"].rows_of(first, ROWS)


async def code_of(attempt: Any) -> str:
    try:
        await attempt
    except AitradingError as exc:
        return exc.code
    return "stored"


if __name__ == "__main__":
    os.umask(0o022)
    print(json.dumps(asyncio.run(run(sys.argv[1], Path(sys.argv[2])))))  # noqa: T201 - for the test
