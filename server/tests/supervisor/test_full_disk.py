"""A disk that is full, for real: a small file system of its own in a private mount namespace."""

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
AITRADING = Path(sys.executable).with_name("aitrading")
TOYS = Path(__file__).with_name("toys.py")

REFUSED = """
mount -t tmpfs -o size=300m tmpfs "$1"
exec "$2" up --home "$1/home" --set gateway.port=0
"""
FILLED = """
set -e
mount -t tmpfs -o size=600m tmpfs "$1"
"$4" "$3" "$1/home" well well > "$1/ready" 2> "$1/said" &
while ! grep -q True "$1/ready"; do kill -0 $!; sleep 0.05; done
dd if=/dev/zero of="$1/fill" bs=1M 2> /dev/null || true
kill -9 "$("$4" -c 'import json,sys; print(json.load(open(sys.argv[1]))[0]["pid"])' "$1/home/run/children.json")"
sleep 2
"$2" status --json --home "$1/home" || true
kill -TERM $!
wait $!
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        yield Path(folder)


def in_own_namespace(script: str, *words: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_start_on_a_nearly_full_disk_is_refused(place: Path) -> None:
    done = in_own_namespace(REFUSED, place, AITRADING)
    assert done.returncode == 3
    assert "DISK_SPACE_LOW" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_is_told_and_ends_nothing(place: Path) -> None:
    done = in_own_namespace(FILLED, place, AITRADING, TOYS, sys.executable)
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert any("DISK_SPACE_LOW" in warning for warning in state["warnings"])
    assert state["ready"], "the killed child came back on a full disk"
