"""Certificates and service keys of one start, issued while the engines are coming up."""

import asyncio
import base64
import hashlib
from pathlib import Path

import msgspec

from aitrading.server.supervisor.admin_client import AdminFailure, rebuilt
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.errors import IDENTITIES_FAILED
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.services import python_launch

ISSUE_TIMEOUT_S = 30.0
_MODULE = "aitrading.server.supervisor.issue"
_PEM_BEGIN = b"-----BEGIN CERTIFICATE-----"
_PEM_END = b"-----END CERTIFICATE-----"


class Identities:
    """Opens the installation's authority, making it at the first start, and issues for 24 hours."""

    def __init__(self, home: Home, environment: str, births: Births) -> None:
        self._home = home
        self._births = births
        self._environment = environment
        self._issued = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def wait(self) -> None:
        """Wait until every identity of this start is on disk."""
        await self._issued.wait()

    async def issue_first(self, names: tuple[str, ...]) -> None:
        """Issue what this start needs; lets those go on who wait for it."""
        await self.issue(names)
        self._issued.set()

    async def issue(self, names: tuple[str, ...]) -> None:
        """Write a fresh identity for each name; raises the authority's own errors."""
        await self._run("start", names)

    async def renew(self, names: tuple[str, ...]) -> None:
        """Write the next certificate for each name; token keys stay."""
        await self._run("renew", names)

    async def withdraw(self, names: tuple[str, ...]) -> None:
        """Publish the token key of each name no longer."""
        await self._run("withdraw", names)

    async def _run(self, occasion: str, names: tuple[str, ...]) -> None:
        place, environment = str(self._home.root), self._environment
        launch = python_launch(self._home, _MODULE, occasion, place, environment, *names)
        # Each reads the published keys, changes them and writes them: two at once lose a key.
        async with self._one_at_a_time:
            code, said = await self._births.run_to_end(launch, timeout_s=ISSUE_TIMEOUT_S)
        if code != 0:
            raise _refusal(said)

    def edge_fingerprint(self) -> str | None:
        """What a person compares before trusting the edge's authority; None before it exists."""
        return certificate_fingerprint(self._home.trust / "edge-ca.pem")


def certificate_fingerprint(path: Path) -> str | None:
    """SHA-256 over the DER form of the first certificate of a PEM file."""
    try:
        pem = path.read_bytes()
    except OSError:
        return None
    body = pem.partition(_PEM_BEGIN)[2].partition(_PEM_END)[0]
    return hashlib.sha256(base64.b64decode(body)).hexdigest()


def _refusal(said: str) -> Exception:
    try:
        return rebuilt(msgspec.json.decode(said, type=AdminFailure))
    except msgspec.MsgspecError:
        return IDENTITIES_FAILED.error(detail=said.strip()[-500:])
