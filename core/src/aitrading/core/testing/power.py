"""Cutting the power of a file system: what it needs, and mounts that nobody else sees."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

NEEDED: Final = ("unshare", "mount", "umount", "losetup", "mkfs.ext4")
OWN_MOUNTS: Final = ("unshare", "-m", "--propagation", "private")
ERROR_CHARS: Final = 3_000


def why_no_power_cut() -> str:
    """Why the power cannot be cut here; empty when it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "cutting the power of a file system needs root (mount, FS_IOC_SHUTDOWN)"
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        return f"these tools are missing: {', '.join(missing)}"
    trial = subprocess.run(  # noqa: S603 - tools of the system, named here
        [*OWN_MOUNTS, "losetup", "-f"], check=False, capture_output=True, text=True
    )
    return f"no loop device: {trial.stderr.strip()}" if trial.returncode else ""


def in_own_mounts(
    script: Path, *arguments: str, timeout_s: float, modules: Sequence[Path] = ()
) -> Any:
    """What a program tells as JSON; its mounts end with it. `modules` are folders it imports from."""
    done = subprocess.run(  # noqa: S603 - a program of ours
        [*OWN_MOUNTS, sys.executable, str(script), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, modules))},
    )
    if done.returncode:
        raise AssertionError(done.stderr[-ERROR_CHARS:])
    return json.loads(done.stdout)
