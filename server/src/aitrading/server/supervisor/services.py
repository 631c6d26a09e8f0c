"""Our own processes as the plan runs them: Python services and the demo client."""

import os
import sys
from pathlib import Path

from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.engines.http_probe import HttpTarget, http_status
from aitrading.server.engines.process import Launch
from aitrading.server.supervisor.bundles import BundleWriter, ServiceNeeds
from aitrading.server.supervisor.environment import inherited_environment
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.own_report import own_report

HTTP_OK = 200
READY_PATH = "/health/ready"
LIVE_PATH = "/health/live"
STOP_TIMEOUT_S = 15.0
ISOLATED_PYTHON = (sys.executable, "-I", "-m")
"""Neither the current folder nor PYTHON* variables reach what is run."""


def python_launch(home: Home, module: str, *arguments: str) -> Launch:
    """A short program of ours: one module with its arguments."""
    return Launch(
        command=(*ISOLATED_PYTHON, module, *arguments),
        environment=inherited_environment(os.environ),
        folder=home.root,
        module=module,
    )


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
            module=self._needs.module if self._interpreter == ISOLATED_PYTHON else None,
        )

    async def ready(self) -> bool:
        """Ask the service on the socket the edge uses."""
        if not self._socket.exists():
            return False
        return await http_status(HttpTarget(socket=self._socket), READY_PATH) == HTTP_OK

    async def alive(self) -> bool:
        """Whether its event loop turns: any answer will do."""
        return await http_status(HttpTarget(socket=self._socket), LIVE_PATH) is not None

    async def told(self) -> PeerReport | None:
        """What the service says of itself and its components."""
        return await own_report(HttpTarget(socket=self._socket))

    async def settle(self) -> None:
        """Nothing to do: a ready service is usable."""
