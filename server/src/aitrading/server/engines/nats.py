"""The embedded NATS server: mutual TLS 1.3, one user per service, JetStream that fsyncs."""

import asyncio
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aitrading.core.kit.secret import Secret
from aitrading.server.engines.binaries import nats_binary
from aitrading.server.engines.data_folder import open_data_folder
from aitrading.server.engines.files import write_private
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.process import Launch
from aitrading.server.kit.bundle import NatsAccess, TlsFiles
from aitrading.server.policy import Machinery, bus_policy, inbox_of, tls_policy

NAME = "nats"
MAJOR = 2
HOST = "127.0.0.1"
PROBE_USER = "supervisor"
PROBE_TIMEOUT_S = 2.0
MAX_MEMORY_MB = 64
MAX_FILE_MB = 2_048
MAX_PAYLOAD_BYTES = 1_048_576
LINE_LIMIT_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class SubjectRights:
    """Subjects of the platform one user may publish and subscribe to."""

    publish: tuple[str, ...] = ("ait.>",)
    subscribe: tuple[str, ...] = ("ait.>",)
    machinery: Machinery | None = None
    """None: all that a service of the house may use of the bus itself."""


@dataclass(frozen=True, kw_only=True)
class NatsSetup:
    """Where the engine runs and who may use it."""

    data_root: Path
    run_folder: Path
    port: int
    server_tls: TlsFiles
    probe_tls: TlsFiles
    """The identity the supervisor probes with."""
    users: Mapping[str, SubjectRights] = field(default_factory=dict[str, SubjectRights])
    """May change; it counts when the configuration is written the next time."""


class NatsEngine:
    """Transport for events; its configuration is written anew at each start."""

    name = NAME

    def __init__(self, setup: NatsSetup, passwords: PasswordStore) -> None:
        self._setup = setup
        self._passwords = passwords
        self._config_file = setup.run_folder / "nats.conf"
        self._folder = setup.data_root / str(MAJOR)

    def access(self, user: str) -> NatsAccess:
        """How a service connects; it presents its own certificate."""
        return NatsAccess(
            url=f"tls://{HOST}:{self._setup.port}",
            user=user,
            password=self._password(user).reveal(),
        )

    async def prepare(self) -> None:
        """Write the configuration; passwords stand in a file of mode 0600."""
        open_data_folder(self._setup.data_root, engine=NAME, major=MAJOR)
        write_private(self._config_file, json.dumps(self._configuration(), indent=1).encode())

    def launch(self) -> Launch:
        """The server reads everything from its configuration file."""
        return Launch(
            command=(str(nats_binary()), "-c", str(self._config_file)),
            environment={"PATH": os.defpath, "GOMAXPROCS": "2", "GOMEMLIMIT": "192MiB"},
            folder=self._folder,
        )

    async def ready(self) -> bool:
        """Connect as a service does: TLS with a client certificate, password, ping."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._ping()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def settle(self) -> None:
        """Nothing to do: streams are made by the services that own them."""

    def _configuration(self) -> dict[str, object]:
        tls = self._setup.server_tls
        return {
            "server_name": "aitrading",
            "listen": f"{HOST}:{self._setup.port}",
            "max_payload": MAX_PAYLOAD_BYTES,
            "jetstream": {
                "store_dir": str(self._folder),
                "max_mem": MAX_MEMORY_MB << 20,
                "max_file": MAX_FILE_MB << 20,
                "sync_interval": "always",
            },
            "tls": {
                "cert_file": str(tls.certificate),
                "key_file": str(tls.private_key),
                "ca_file": str(tls.ca),
                "verify": True,
                "min_version": tls_policy().minimum,
                "curve_preferences": [tls_policy().internal_group],
            },
            "accounts": {
                "PLATFORM": {"jetstream": "enabled", "users": self._users()},
                "SYS": {
                    "users": [{"user": "sys", "password": self._password("sys").reveal()}],
                },
            },
            "system_account": "SYS",
        }

    def _users(self) -> list[dict[str, object]]:
        services = [self._user(name, rights) for name, rights in self._setup.users.items()]
        return [*services, self._user(PROBE_USER, SubjectRights(publish=(), subscribe=()))]

    def _user(self, name: str, rights: SubjectRights) -> dict[str, object]:
        policy = bus_policy()
        machinery = rights.machinery or Machinery(publish=policy.machinery, subscribe=())
        return {
            "user": name,
            "password": self._password(name).reveal(),
            "permissions": {
                "publish": _allowed(
                    rights.publish,
                    (*machinery.publish, f"{policy.registry}.{name}.*"),
                    but=policy.forbidden,
                ),
                "subscribe": _allowed(
                    rights.subscribe,
                    (*machinery.subscribe, f"{inbox_of(name)}.>", f"{policy.registry}.>"),
                ),
            },
        }

    def _password(self, user: str) -> Secret[str]:
        return self._passwords.get(NAME, user)

    async def _ping(self) -> bool:
        reader, writer = await asyncio.open_connection(
            HOST, self._setup.port, limit=LINE_LIMIT_BYTES
        )
        try:
            if not (await reader.readuntil(b"\r\n")).startswith(b"INFO "):
                return False
            await writer.start_tls(self._probe_context(), server_hostname="localhost")
            writer.write(self._connect_line() + b"PING\r\n")
            return await reader.readuntil(b"\r\n") == b"PONG\r\n"
        finally:
            writer.close()

    def _connect_line(self) -> bytes:
        login = {
            "user": PROBE_USER,
            "pass": self._password(PROBE_USER).reveal(),
            "verbose": False,
            "pedantic": False,
            "tls_required": True,
            "name": "supervisor-probe",
            "lang": "python",
            "version": "1",
            "protocol": 1,
        }
        return f"CONNECT {json.dumps(login)}\r\n".encode()

    def _probe_context(self) -> ssl.SSLContext:
        tls = self._setup.probe_tls
        context = ssl.create_default_context(cafile=str(tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(tls.certificate, tls.private_key)
        return context


def _allowed(
    subjects: Sequence[str], machinery: Sequence[str], *, but: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Without platform subjects a user may use none at all, machinery included."""
    if not subjects:
        return {"deny": [">"]}
    return {"allow": [*subjects, *machinery], "deny": [*but]}
