"""The hardening of this process, whatever its system; as a program, it tells how it would stand."""

import json
import subprocess
import sys
from typing import Any, Final

from aitrading.client.security.measures import Measure, Standing, enforce_all
from aitrading.client.security.windows_security import windows_measures

TIMEOUT_S: Final = 20.0


def measures_here() -> tuple[Measure, ...]:
    """What this system offers."""
    if sys.platform == "linux":
        from aitrading.client.security.linux_security import linux_measures  # noqa: PLC0415 - its

        return linux_measures()
    return windows_measures()


def harden() -> tuple[Standing, ...]:
    """Set and read back everything; for the whole life of this process."""
    return enforce_all(measures_here())


def harden_a_child() -> list[dict[str, Any]]:
    """How a fresh process of this installation would stand; leaves this one as it is."""
    done = subprocess.run(  # noqa: S603 - this very interpreter and module
        [sys.executable, "-I", "-m", __name__],
        capture_output=True, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    standings: list[dict[str, Any]] = json.loads(done.stdout)
    return standings


if __name__ == "__main__":
    json.dump([standing.as_dict() for standing in harden()], sys.stdout)
