"""The hardening of this process, whatever its system; as a program, it tells how it would stand."""

import json
import subprocess
import sys
from typing import Any, Final

from aitrading.client.security.measures import Measure, Standing, enforce_all
from aitrading.client.security.windows_security import windows_measures
from aitrading.client.security.worker_job import job_measures, worker_job

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


def worker_measures(job: str) -> tuple[Measure, ...]:
    """What ties a worker to the client that started it."""
    if sys.platform == "linux":
        from aitrading.client.security.linux_security import (  # noqa: PLC0415 - its
            worker_measures_of_linux,
        )

        return worker_measures_of_linux()
    return job_measures(job)


def harden_worker(job: str) -> tuple[Standing, ...]:
    """Tie this worker to the client, over what `harden` does; `job` is the name of its job."""
    return enforce_all(worker_measures(job))


def harden_a_child() -> list[dict[str, Any]]:
    """How a fresh worker of this installation would stand; leaves this process as it is."""
    with worker_job() as job:
        done = subprocess.run(  # noqa: S603 - this very interpreter and module
            [sys.executable, "-I", "-m", __name__, job],
            capture_output=True, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    standings: list[dict[str, Any]] = json.loads(done.stdout)
    return standings


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else ""
    stand = (*harden(), *harden_worker(given))
    json.dump([standing.as_dict() for standing in stand], sys.stdout)
