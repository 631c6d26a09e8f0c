"""The demo client as the plan runs it: seeded and enrolled first, then a client like any other."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aitrading.server.api_gateway.health.peer_report import PeerReport
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.http_probe import HttpTarget, http_status
from aitrading.server.engines.process import Launch, run_to_end
from aitrading.server.supervisor.admin_client import AdminFailure, rebuilt
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.demo.report import DemoReport
from aitrading.server.supervisor.environment import inherited_environment
from aitrading.server.supervisor.errors import DEMO_FAILED
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.own_report import own_report
from aitrading.server.supervisor.services import HTTP_OK, READY_PATH, python_launch

NAME = "demo-client"
SEED_TIMEOUT_S = 60.0
ENROL_TIMEOUT_S = 30.0
_SEED = "aitrading.server.supervisor.demo.seed"


@dataclass(frozen=True, kw_only=True)
class DemoSetup:
    """Where the demo client lives and whom it talks to."""

    home: Home
    url: str
    port: int
    """Where the client itself answers about its health."""


class DemoProgram:
    """Seeds the demo through the APIs, enrols the client, runs it with the simulated terminal."""

    def __init__(
        self, setup: DemoSetup, births: Births, seeded: Callable[[DemoReport], None]
    ) -> None:
        self._setup = setup
        self._births = births
        self._seeded = seeded
        self._done = False

    async def prepare(self) -> None:
        """Seed once per start; enrol when the client has no identity yet."""
        if self._done:
            return
        self._setup.home.demo_client.mkdir(mode=0o700, exist_ok=True)
        report = await self._seed(enrol=self._enrolled_at() != self._setup.url)
        if report.enrolment_code is not None:
            await self._enrol(report.enrolment_code)
            replace_private(self._marker, self._setup.url.encode(), durable=True)
        self._done = True
        self._seeded(report)

    def launch(self) -> Launch:
        """The client with its simulated terminal."""
        return self._client("run", "--terminal", "sim")

    async def ready(self) -> bool:
        """Ask the client itself: ready means linked to the server."""
        return await http_status(self._target, READY_PATH) == HTTP_OK

    async def told(self) -> PeerReport | None:
        """What the client says of itself."""
        return await own_report(self._target)

    async def settle(self) -> None:
        """Nothing to do."""

    @property
    def _target(self) -> HttpTarget:
        return HttpTarget(host="127.0.0.1", port=self._setup.port)

    @property
    def _marker(self) -> Path:
        """Holds the address the client was enrolled at; another address means enrolling again."""
        return self._setup.home.demo_client / "enrolled"

    def _enrolled_at(self) -> str | None:
        try:
            return self._marker.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    async def _seed(self, *, enrol: bool) -> DemoReport:
        home, choice = self._setup.home, "enrol" if enrol else "keep"
        launch = python_launch(home, _SEED, str(home.root), choice)
        code, said = await self._births.run_to_end(launch, timeout_s=SEED_TIMEOUT_S)
        try:
            if code != 0:
                raise rebuilt(msgspec.json.decode(said, type=AdminFailure))
            return msgspec.json.decode(said, type=DemoReport)
        except msgspec.MsgspecError:
            raise DEMO_FAILED.error(step="seeding", detail=said.strip()[-500:]) from None

    async def _enrol(self, enrolment_code: str) -> None:
        launch = self._client("enroll", enrolment_code, "--server", self._setup.url, "--replace")
        code, said = await run_to_end(launch, timeout_s=ENROL_TIMEOUT_S)
        if code != 0:
            raise DEMO_FAILED.error(step="enrolling its client", detail=said.strip()[-500:])

    def _client(self, *arguments: str) -> Launch:
        folder = self._setup.home.demo_client
        return Launch(
            command=(
                sys.executable,
                "-I",
                "-m",
                "aitrading.client",
                *arguments,
                "--home",
                str(folder),
            ),
            environment={
                **inherited_environment(os.environ),
                "AITRADING_CONNECTOR_PROBE_PORT": str(self._setup.port),
            },
            folder=folder,
        )
