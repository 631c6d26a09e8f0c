"""The real engines for tests and benchmarks: started in a folder, gone at the end.

Works as root and as an ordinary user. Each manager yields how to reach its engine::

    async with running_postgres(tmp_path) as postgres:
        access = postgres.access("migrator")  # host, port, database, user, password

    async with running_nats(tmp_path) as nats:
        access, files = nats.access("data-bridge"), nats.tls("data-bridge")
"""

import ctypes
import signal
import ssl
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import nats
from nats.aio.client import Client

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import (
    Issuer,
    LeafSpec,
    Purpose,
    TlsKey,
    Validity,
    create_ca,
    issue_leaf,
)
from aitrading.server.engines.base import Engine, wait_until_ready
from aitrading.server.engines.files import write_private
from aitrading.server.engines.nats import NatsEngine, NatsSetup, SubjectRights
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import MAJOR, PostgresEngine, PostgresFolders
from aitrading.server.engines.postgres import NAME as POSTGRES
from aitrading.server.engines.process import Process, start_process
from aitrading.server.engines.valkey import ValkeyEngine, ValkeyFolders
from aitrading.server.kit.bundle import NatsAccess, TlsFiles
from aitrading.server.supervisor.ports import free_port

START_TIMEOUT_S = 120.0
"""An engine that many tests share fails all of them when it does not start."""
CERTIFICATE_LIFE_S = 86_400
_IPC_RMID = 0
_SEGMENT_LINE = 6
"""Of `postmaster.pid`: key and number of the segment."""
SERVICES = ("api-gateway", "data-bridge", "database-service", "trading-engine")


@asynccontextmanager
async def running(engine: Engine, folder: Path) -> AsyncGenerator[Process]:
    """Run any engine for the time of the block; its output goes to `folder/<name>.log`."""
    await engine.prepare()
    with (folder / f"{engine.name}.log").open("ab", buffering=0) as log:
        process = start_process(engine.launch(), log.write)
        try:
            await wait_until_ready(engine, process, SystemClock(), timeout_s=START_TIMEOUT_S)
            await engine.settle()
            yield process
        finally:
            await process.stop()


@asynccontextmanager
async def running_postgres(folder: Path) -> AsyncGenerator[PostgresEngine]:
    """PostgreSQL with the platform's roles and database; `access(role)` tells how to log in."""
    with socket_folder() as sockets:
        engine = PostgresEngine(
            PostgresFolders(data_root=folder / "postgres", socket_folder=sockets / "pg"),
            _passwords(folder),
        )
        try:
            async with running(engine, folder):
                yield engine
        finally:
            release_shared_memory(folder)


def release_shared_memory(root: Path) -> None:
    """Give back the segment of a killed PostgreSQL, which is started no more, below this folder.

    It is the lock on the data folder, 56 bytes until the machine restarts; Linux has 4096 of them,
    and the next server in the same folder would take it over.
    """
    try:
        told = (root / POSTGRES / str(MAJOR) / "data" / "postmaster.pid").read_text()
    except OSError:
        return  # it stopped in order, or never ran
    _, segment = told.splitlines()[_SEGMENT_LINE].split()
    ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)


@asynccontextmanager
async def running_valkey(
    folder: Path, services: Sequence[str] = SERVICES
) -> AsyncGenerator[ValkeyEngine]:
    """Valkey with a user per service; `access(service)` tells how to log in."""
    with socket_folder() as sockets:
        engine = ValkeyEngine(
            ValkeyFolders(data_root=folder / "valkey", run_folder=sockets),
            _passwords(folder),
            services=services,
        )
        async with running(engine, folder):
            yield engine


class RunningNats:
    """A NATS server together with the authority its users get certificates from.

    It can be killed and started again on the same port and data.
    """

    def __init__(self, engine: NatsEngine, authority: "ThrowawayAuthority", folder: Path) -> None:
        self.engine = engine
        self._authority = authority
        self._folder = folder
        self._block = AsyncExitStack()
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it, or start it again; returns when clients can log in."""
        self._process = await self._block.enter_async_context(running(self.engine, self._folder))

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it orderly; harmless when it has ended."""
        self._process = None
        await self._block.aclose()

    def access(self, user: str) -> NatsAccess:
        """URL, user and password."""
        return self.engine.access(user)

    def tls(self, name: str) -> TlsFiles:
        """A client certificate made for this run."""
        return self._authority.issue(name)

    async def client(self, user: str) -> Client:
        """The bare library, logged in as a service; what is refused it says to nobody."""

        async def ignored(_: Exception) -> None: ...

        files, access = self.tls(user), self.access(user)
        context = ssl.create_default_context(cafile=str(files.ca))
        context.load_cert_chain(files.certificate, files.private_key)
        return await nats.connect(
            access.url,
            user=access.user,
            password=access.password,
            inbox_prefix=f"_INBOX.{user}",
            tls=context,
            tls_hostname="localhost",
            allow_reconnect=False,
            error_cb=ignored,
        )


@asynccontextmanager
async def running_nats(
    folder: Path, users: Mapping[str, SubjectRights] | None = None, *, port: int = 0
) -> AsyncGenerator[RunningNats]:
    """NATS with JetStream over mutual TLS on a free port; every service is a user."""
    authority = ThrowawayAuthority(folder / "throwaway-ca")
    engine = NatsEngine(
        NatsSetup(
            data_root=folder / "nats",
            run_folder=folder,
            port=port or free_port(),
            server_tls=authority.issue("nats"),
            probe_tls=authority.issue("supervisor"),
            users=users or {name: SubjectRights() for name in SERVICES},
        ),
        _passwords(folder),
    )
    nats = RunningNats(engine, authority, folder)
    await nats.start()
    try:
        yield nats
    finally:
        await nats.stop()


class ThrowawayAuthority:
    """Certificates for one test run: an hour of life, names of the loopback interface only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now_ns = SystemClock().now_ns()
        self._folder = folder
        self._serials = count(1)
        self._validity = Validity(
            not_before_ns=now_ns - 60 * NS_PER_S,
            not_after_ns=now_ns + CERTIFICATE_LIFE_S * NS_PER_S,
        )
        key = TlsKey.generate()
        certificate = create_ca(
            key, common_name="throwaway", serial=next(self._serials), validity=self._validity
        )
        self._issuer = Issuer(certificate_pem=certificate, key=key)
        self._ca_file = folder / "ca.pem"
        self._ca_file.write_bytes(certificate)

    def issue(self, name: str) -> TlsFiles:
        """A leaf for a service, good for both ends of a connection."""
        key = TlsKey.generate()
        spec = LeafSpec(
            common_name=name,
            serial=next(self._serials),
            validity=self._validity,
            purposes=frozenset({Purpose.SERVER, Purpose.CLIENT}),
            uris=(f"spiffe://aitrading/service/{name}",),
            dns_names=("localhost",),
            ip_addresses=("127.0.0.1",),
        )
        files = TlsFiles(
            certificate=self._folder / f"{name}.pem",
            private_key=self._folder / f"{name}.key",
            ca=self._ca_file,
        )
        files.certificate.write_bytes(issue_leaf(self._issuer, spec, key.public_der()))
        write_private(files.private_key, key.pem().reveal())
        return files


@contextmanager
def socket_folder() -> Generator[Path]:
    """A short path: a Unix socket's name may not exceed 107 bytes, a test's folder often does."""
    with tempfile.TemporaryDirectory(prefix="ait-") as folder:
        yield Path(folder)


def _passwords(folder: Path) -> PasswordStore:
    return PasswordStore(folder / "passwords", SystemRandomness())
