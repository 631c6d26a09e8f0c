"""The hardening of this process, whatever its system; as a program, it tells how it would stand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from aitrading.client.security.confinement import (
    SWITCHED_OFF,
    WorkerNeeds,
    client_confinement,
    worker_confinement,
)
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


def confine(home: Path, *, enabled: bool) -> tuple[Standing, ...]:
    """Shut the client in its home, where the system can; before it starts threads or children."""
    if sys.platform != "linux":
        return ()
    return enforce_all(client_confinement(home, why_not="" if enabled else SWITCHED_OFF))


def worker_measures(job: str, needs: WorkerNeeds) -> tuple[Measure, ...]:
    """What ties a worker to the client that started it, and what it gives up besides."""
    if sys.platform == "linux":
        from aitrading.client.security.linux_security import (  # noqa: PLC0415 - its
            worker_measures_of_linux,
        )

        return (*worker_measures_of_linux(), *worker_confinement(needs))
    return job_measures(job)


def harden_worker(job: str, needs: WorkerNeeds) -> tuple[Standing, ...]:
    """Tie this worker to the client, over what `harden` does; `job` is the name of its job."""
    return enforce_all(worker_measures(job, needs))


def harden_a_child(home: Path, *, confined: bool) -> list[dict[str, Any]]:
    """How a fresh worker of this installation would stand; leaves this process as it is."""
    with worker_job() as job:
        done = subprocess.run(  # noqa: S603 - this very interpreter and module
            [sys.executable, "-I", "-m", __name__, job, str(home), "confined" if confined else ""],
            capture_output=True, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    standings: list[dict[str, Any]] = json.loads(done.stdout)
    return standings


def _main(job: str, home: str, confined: str) -> None:
    stand = (
        *harden(),
        *confine(Path(home), enabled=bool(confined)),
        *harden_worker(job, WorkerNeeds(all="" if confined else SWITCHED_OFF)),
    )
    json.dump([standing.as_dict() for standing in stand], sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
