"""The power of the whole platform is cut; it starts by itself and has every tick it ever showed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aitrading.core.testing.campaign import first_seed, points, report

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("power_cut.py")
MODULES = (ROOT / "tests", ROOT / "core" / "tests" / "infrastructure")
NEEDED = ("unshare", "mount", "umount", "mkfs.ext4")
QUICK_CUTS = 1
SECONDS_PER_CUT = 60
NAMESPACE = ("unshare", "-m", "--propagation", "private")


def why_not() -> str:
    """Why the power cannot be cut here; empty when it can."""
    if os.geteuid() != 0:
        return "cutting the power of a file system needs root (mount, FS_IOC_SHUTDOWN)"
    if missing := [tool for tool in NEEDED if shutil.which(tool) is None]:
        return f"these tools are missing: {', '.join(missing)}"
    trial = subprocess.run([*NAMESPACE, "losetup", "-f"], check=False, capture_output=True)
    return "there is no loop device" if trial.returncode else ""


REASON = why_not()


@pytest.mark.e2e
@pytest.mark.skipif(bool(REASON), reason=REASON or "it can")
@pytest.mark.timeout(120 + SECONDS_PER_CUT * points(QUICK_CUTS))
def test_the_platform_survives_power_cuts(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *NAMESPACE,
            *(sys.executable, str(PROGRAM), str(tmp_path)),
            *(str(points(QUICK_CUTS)), str(first_seed())),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, MODULES))},
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    tally = json.loads(done.stdout)
    report(tally)
    assert tally["cuts"] == points(QUICK_CUTS)
    assert tally["ticks"] > 0
