"""Our own processes as the plan runs them: Python services and the demo client."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from aitrading.server.engines.http_probe import HttpTarget, http_status
from aitrading.server.engines.process import Launch
from aitrading.server.supervisor.bundles import BundleWriter, ServiceNeeds
from aitrading.server.supervisor.home import Home

HTTP_OK = 200
READY_PATH = "/health/ready"
STOP_TIMEOUT_S = 15.0
ISOLATED_PYTHON = (sys.executable, "-I", "-m")
"""Neither the current folder nor PYTHON* variables reach what is run."""
_PASSED_ON = ("PATH", "HOME", "USER", "TMPDIR", "SSL_CERT_FILE", "COVERAGE_PROCESS_START")
_PASSED_ON_PREFIXES = ("AITRADING_", "COVERAGE_")


class ServiceProgram:
    """`python -m <service>` with its bundle."""

    def __init__(
        self,
        needs: ServiceNeeds,
        *,
        home: Home,
        socket: Path,
        bundles: BundleWriter,
        interpreter: tuple[str, ...] = ISOLATED_PYTHON,
    ) -> None:
        self._interpreter = interpreter
        self._needs = needs
        self._home = home
        self._socket = socket
        self._bundles = bundles
        self._bundle: Path | None = None

    async def prepare(self) -> None:
        """Write the bundle of a new instance."""
        self._socket.unlink(missing_ok=True)
        self._bundle = self._bundles.write(self._needs)

    def launch(self) -> Launch:
        """One process; it finds everything else in its bundle."""
        return Launch(
            command=(*self._interpreter, self._needs.module),
            environment={
                **inherited_environment(os.environ),
                "AITRADING_HOME": str(self._home.root),
                "AITRADING_BUNDLE": str(self._bundle),
            },
            folder=self._home.root,
            controlled=True,
            stop_timeout_s=STOP_TIMEOUT_S,
        )

    async def ready(self) -> bool:
        """Ask the service on the socket the edge uses."""
        if not self._socket.exists():
            return False
        return await http_status(HttpTarget(socket=self._socket), READY_PATH) == HTTP_OK

    async def settle(self) -> None:
        """Nothing to do: a ready service is usable."""


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that children of our own may see."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {**kept, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}
