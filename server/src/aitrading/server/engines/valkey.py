"""The embedded Valkey: a Unix socket, one user per service, keys only under its own prefix."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aitrading.core.kit.secret import Secret
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.engines.append_only import cut_unwritten_tail
from aitrading.server.engines.binaries import valkey_binary
from aitrading.server.engines.data_folder import open_data_folder
from aitrading.server.engines.files import write_private
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.process import Launch
from aitrading.server.kit.bundle import ValkeyAccess
from aitrading.server.kit.cache.port import LIMITS
from aitrading.server.policy import cache_policy

NAME = "valkey"
MAJOR = 9
PROBE_USER = "supervisor"
PROBE_TIMEOUT_S = 2.0
MAX_MEMORY_MB = 256

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ValkeyFolders:
    """Where the engine keeps its data, its socket and its users."""

    data_root: Path
    run_folder: Path


class ValkeyEngine:
    """Append-only cache; a service sees keys and channels under `<service>:` and nothing else."""

    name = NAME

    def __init__(
        self, folders: ValkeyFolders, passwords: PasswordStore, *, services: Sequence[str]
    ) -> None:
        self._data_root = folders.data_root
        self._socket = folders.run_folder / "valkey.sock"
        self._acl_file = folders.run_folder / "valkey.acl"
        self._passwords = passwords
        self._services = tuple(services)

    def access(self, service: str) -> ValkeyAccess:
        """How a service logs in."""
        return ValkeyAccess(
            user=service, password=self._password(service).reveal(), socket=self._socket
        )

    async def prepare(self) -> None:
        """Write the users of this release; passwords are stored as digests."""
        open_data_folder(self._data_root, engine=NAME, major=MAJOR)
        if cut := await asyncio.to_thread(cut_unwritten_tail, self._data_root / str(MAJOR)):
            _log.warning("%d bytes that a power cut left unwritten were cut off", cut)
        write_private(self._acl_file, "".join(self._acl_lines()).encode())
        self._socket.unlink(missing_ok=True)

    def launch(self) -> Launch:
        """Everything is on the command line: nothing in it is secret."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "600",
            "aclfile": str(self._acl_file),
            "dir": str(self._data_root / str(MAJOR)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": f"{MAX_MEMORY_MB}mb",
            "maxmemory-policy": "volatile-lru",
            "daemonize": "no",
            "enable-debug-command": "no",
            "enable-module-command": "no",
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        return Launch(
            command=(str(valkey_binary()), *arguments),
            environment={"LC_ALL": "C.UTF-8", "PATH": os.defpath},
            folder=self._data_root / str(MAJOR),
        )

    async def ready(self) -> bool:
        """Log in and ping."""
        if not self._socket.exists():
            return False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._ping()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def settle(self) -> None:
        """Nothing to do: users come from the file."""

    def _acl_lines(self) -> list[str]:
        policy = cache_policy()
        rules = " ".join(policy.service)
        services = [
            f"user {service} on #{self._digest(service)}"
            f" {rules.format(service=service, limits=LIMITS)}\n"
            for service in self._services
        ]
        probe = f"user {PROBE_USER} on #{self._digest(PROBE_USER)} {' '.join(policy.supervisor)}\n"
        return [f"user default {' '.join(policy.nobody)}\n", *services, probe]

    def _digest(self, user: str) -> str:
        return hashlib.sha256(self._password(user).reveal().encode()).hexdigest()

    def _password(self, user: str) -> Secret[str]:
        return self._passwords.get(NAME, user)

    async def _ping(self) -> bool:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            password = self._password(PROBE_USER).reveal()
            writer.write(f"AUTH {PROBE_USER} {password}\r\nPING\r\n".encode())
            answers = [await reader.readuntil(b"\r\n") for _ in range(2)]
            return answers == [b"+OK\r\n", b"+PONG\r\n"]
        finally:
            writer.close()
            await writer.wait_closed()
