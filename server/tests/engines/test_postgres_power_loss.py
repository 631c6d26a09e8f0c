"""What PostgreSQL acknowledged survives a power cut; a control that does not wait for the disk must lose."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("postgres_power_cut.py")
DISK = Path(__file__).parents[3] / "core/tests/infrastructure"
"""Where the disk that can be cut is made."""
CUTS = 2
NEEDED = ("unshare", "mount", "umount", "mkfs.ext4")


def why_not() -> str:
    """Why the power cannot be cut here; empty when it can."""
    if os.geteuid() != 0:
        return "cutting the power of a file system needs root (mount, FS_IOC_SHUTDOWN)"
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        return f"these tools are missing: {', '.join(missing)}"
    trial = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "losetup", "-f"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"no loop device: {trial.stderr.strip()}" if trial.returncode else ""


REASON = why_not()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(REASON), reason=REASON or "it can"),
]


def lost_rows(folder: Path, commit: str) -> int:
    done = subprocess.run(
        [
            *("unshare", "-m", "--propagation", "private"),
            *(sys.executable, str(SCRIPT), str(folder), str(CUTS), commit),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(DISK)},
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return int(json.loads(done.stdout)["lost"])


def test_no_acknowledged_row_is_lost_and_the_control_loses_some(tmp_path: Path) -> None:
    for commit in ("on", "off"):
        (tmp_path / commit).mkdir()
    assert lost_rows(tmp_path / "off", "off") > 0, "without a loss here, nothing is proved below"
    assert lost_rows(tmp_path / "on", "on") == 0
