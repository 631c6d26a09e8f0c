"""A disk that is full while a segment is stored: told by its name, and every tick there once."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitrading.server.engines.os_user import mount_namespace_allowed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.geteuid() != 0 or not mount_namespace_allowed(), reason="needs a mount of its own"
    ),
]
CHILD = Path(__file__).with_name("full_disk_child.py")
ROWS = 2_000


@pytest.fixture
def place() -> Iterator[Path]:
    """Its mounts are in a namespace that ends with the child."""
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("store", "code"),
    [
        ("clickhouse", "CLICKHOUSE_OUT_OF_RESOURCES"),
        ("postgres", "DATABASE_OUT_OF_RESOURCES"),
    ],
)
def test_a_full_disk_loses_and_doubles_no_tick(store: str, code: str, place: Path) -> None:
    done = subprocess.run(
        ["unshare", "-m", sys.executable, str(CHILD), store, str(place)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found = json.loads(done.stdout)
    assert found["codes"] == [code, code]
    assert found["before"][3] == ROWS
    assert (found["inserted"], found["repeated"]) == (ROWS, True)
    assert found["after"] == [3 * ROWS, 3 * ROWS, 1, 3 * ROWS]
    assert found["mark"] == [3 * ROWS, 0]
