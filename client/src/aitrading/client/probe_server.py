"""Health and metrics of the client on the loopback interface."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from typing_extensions import override

from aitrading.client.errors import PROBE_PORT_TAKEN
from aitrading.core.infrastructure.health import HealthRegistry, probe_app
from aitrading.core.infrastructure.health.probes import AsgiApp
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics

LOOPBACK: Final = "127.0.0.1"
DRAIN_S: Final = 1


class ProbeServer:
    """Answers `/health/live`, `/health/ready`, `/health` and `/metrics`."""

    def __init__(self, port: int, health: HealthRegistry, metrics: Metrics) -> None:
        self.name = "probes"
        self.port = port
        self.app: AsgiApp = probe_app(health, metrics)
        """What answers; to be replaced before the start."""
        self._tasks = TaskSet(self.name)
        self._server: _Server | None = None
        self._state = ComponentState.NEW

    @property
    def state(self) -> ComponentState:
        """What it is doing now."""
        return self._state

    async def start(self) -> None:
        """Listen; raises `PROBE_PORT_TAKEN`. `port` is the real one afterwards."""
        listening = _bind(self.port)
        self.port = listening.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self.app, log_config=None, log_level="warning", access_log=False, lifespan="off", ws="none",
                timeout_graceful_shutdown=DRAIN_S,
            )
        )  # fmt: skip
        self._tasks.start(self._server.serve([listening]), name="http")
        await self._server.listening.wait()
        self._state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Stop answering."""
        self._state = ComponentState.STOPPING
        if self._server is not None:
            self._server.should_exit = True
            await self._server.ended.wait()
        await self._tasks.close()
        self._state = ComponentState.STOPPED


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the process belongs to somebody else."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.ended = asyncio.Event()

    @override
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.listening.set()
            self.ended.set()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    @override
    def capture_signals(self) -> Generator[None]:
        yield


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, port))
    except OSError as exc:
        bound.close()
        raise PROBE_PORT_TAKEN.error(port=port) from exc
    return bound
