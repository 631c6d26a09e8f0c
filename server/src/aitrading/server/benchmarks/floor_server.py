"""A bare server beside a platform: what a benchmark's figure is held against."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from aitrading.server.benchmarks.installation import Installation
from aitrading.server.supervisor.ports import free_port


@contextmanager
def floor_server(
    module: str, installation: Installation, *arguments: str
) -> Generator[tuple[int, int]]:
    """Run `python -m MODULE PORT CERTIFICATE KEY …`; gives its port and process number.

    The certificate is of the installation's own authority, for the name `localhost`.
    """
    issued = installation.authority.issue_edge(("localhost",))
    pem, key = installation.folder / "floor.crt", installation.folder / "floor.key"
    pem.write_bytes(issued.certificate_pem)
    key.write_bytes(issued.private_key_pem.reveal())
    port = free_port()
    command = [sys.executable, "-I", "-m", module, str(port), str(pem), str(key), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("the floor's server did not start")
            yield port, process.pid
        finally:
            process.terminate()
