"""A PostgreSQL with two standbys that stream from whoever is the primary, and a promotion.

Services reach every server over its own Unix socket, as they reach the embedded one. The servers
reach each other over the loopback interface, for each runs as a user who cannot walk to the
sockets of the others.
"""

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import msgspec

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.base import wait_until_ready
from aitrading.server.engines.binaries import postgres_binary
from aitrading.server.engines.files import write_private
from aitrading.server.engines.os_user import hand_over
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.postgres import (
    DATABASE,
    MAJOR,
    SUPERUSER,
    PostgresEngine,
    PostgresFolders,
)
from aitrading.server.engines.process import Launch, Process, run_to_end, start_process
from aitrading.server.kit.bundle import PostgresAccess, PostgresAddress, TlsFiles
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import START_TIMEOUT_S, socket_folder
from aitrading.server.testing.postgres_tls_front import PostgresTlsFront, tls_fronts

NODES: Final = 3
LOOPBACK: Final = "127.0.0.1"
SYNCHRONOUS: Final = "ANY 1 (*)"
NOT_RECEIVING: Final = (
    "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')"
)
"""Whether a standby took in the last byte of its dead primary."""
RECEIVED: Final = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
COPY_TIMEOUT_S: Final = 120.0
_HBA: Final = """\
local   all           all                      scram-sha-256
host    replication   postgres   127.0.0.1/32  scram-sha-256
"""
_OPTIONS: Final = {
    "listen_addresses": LOOPBACK,
    "shared_buffers": "16MB",
    "wal_retrieve_retry_interval": "100ms",
    "max_wal_senders": "6",
}


class ClusterNode:
    """One of the servers; it can be killed, started again and promoted."""

    def __init__(self, folder: Path, sockets: Path, passwords: PasswordStore, name: str) -> None:
        self.name = name
        self.port = free_port()
        self._root = folder / name
        self._log = folder / f"{name}.log"
        self._engine = PostgresEngine(
            PostgresFolders(data_root=self._root, socket_folder=sockets / name, port=self.port),
            passwords,
        )
        self._process: Process | None = None

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self._root / str(MAJOR) / "data"

    def access(self, role: str) -> PostgresAccess:
        """How a role logs in to this server alone."""
        return self._engine.access(role)

    async def start(self) -> None:
        """Start it, or start it again."""
        await self._engine.prepare()
        launch = self._engine.launch()
        hba = self.data / "cluster.hba"
        write_private(hba, _HBA.encode())
        hand_over(hba, launch.confinement)
        seen_data = launch.command[2]
        options = {**_OPTIONS, "hba_file": f"{seen_data}/cluster.hba"}
        extra = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        launch = replace(launch, command=(*launch.command, *extra))
        self._process = start_process(launch, self._write_log)
        await wait_until_ready(
            self._engine, self._process, SystemClock(), timeout_s=START_TIMEOUT_S
        )

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> None:
        """End it; harmless when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def settle(self) -> None:
        """Make roles and database."""
        await self._engine.settle()

    async def is_standby(self) -> bool:
        """Whether it runs and is no primary."""
        try:
            return bool(await self.ask("SELECT pg_is_in_recovery()"))
        except OSError:
            return False

    async def ask(self, sql: str, *arguments: object) -> Any:
        """One value, asked as the superuser."""
        access = self._engine.access(SUPERUSER)
        connection: Any = await cast("Any", asyncpg).connect(
            host=access.host,
            port=access.port,
            user=access.user,
            password=access.password,
            database=DATABASE,
        )
        try:
            return await connection.fetchval(sql, *arguments)
        finally:
            await connection.close()

    def _write_log(self, said: bytes) -> None:
        with self._log.open("ab") as log:
            log.write(said)

    async def copy_from(self, primary: "ClusterNode", login: str, ports: str) -> None:
        """Become a copy of the primary that follows whichever of the servers is the primary."""
        self.data.parent.mkdir(mode=0o700, parents=True)
        launch = Launch(
            command=(
                str(postgres_binary("pg_basebackup")),
                f"--pgdata={self.data}",
                "--checkpoint=fast",
                "--no-sync",
                f"--dbname={login} host={LOOPBACK} port={primary.port}",
            ),
            environment={"LC_ALL": "C.UTF-8"},
            folder=Path("/"),
        )
        code, said = await run_to_end(launch, timeout_s=COPY_TIMEOUT_S)
        if code != 0:
            raise RuntimeError(f"pg_basebackup failed: {said}")
        (self.data / "standby.signal").touch()
        hosts = ",".join([LOOPBACK] * NODES)
        (self.data / "postgresql.auto.conf").write_text(
            f"synchronous_standby_names = '{SYNCHRONOUS}'\n"
            f"primary_conninfo = '{login} host={hosts} port={ports} application_name={self.name}"
            " target_session_attrs=primary connect_timeout=2'\n"
        )
        owner = primary.data.stat()
        for path in (self.data.parent, self.data, *self.data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


class RunningCluster:
    """The servers; the first one begins as the primary."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes

    def access(self, role: str) -> PostgresAccess:
        """How a role logs in to whichever server is the primary."""
        first = self.nodes[0].access(role)
        others = [node.access(role) for node in self.nodes[1:]]
        return msgspec.structs.replace(
            first, others=tuple(PostgresAddress(each.host, each.port) for each in others)
        )

    @asynccontextmanager
    async def over_tls(self, files: TlsFiles) -> AsyncGenerator[list[PostgresTlsFront]]:
        """Let every server be reached over TLS 1.3 under the name `localhost`, in this order."""
        async with tls_fronts([node.access(SUPERUSER) for node in self.nodes], files) as fronts:
            yield fronts

    def access_over_tls(
        self, role: str, fronts: Sequence[PostgresTlsFront], ca: Path
    ) -> PostgresAccess:
        """How a role logs in through the fronts."""
        first, *others = (PostgresAddress("localhost", front.port) for front in fronts)
        return msgspec.structs.replace(
            self.nodes[0].access(role),
            host=first.host,
            port=first.port,
            others=tuple(others),
            tls=True,
            ca=ca,
        )

    async def promote_newest(self) -> ClusterNode:
        """After the primary's death: promote the standby that received the most.

        A commit counts when any one standby has it. Promoting the other would lose it, and the one
        that is ahead could never follow, so that every commit would wait for it.
        """
        standbys = [node for node in self.nodes if await node.is_standby()]
        for node in standbys:
            await eventually(
                lambda node=node: node.ask(NOT_RECEIVING), what=f"the end of what {node.name} gets"
            )
        received = {node: await node.ask(RECEIVED) for node in standbys}
        newest = max(standbys, key=lambda node: received[node])
        await self.promote(newest)
        return newest

    async def promote(self, node: ClusterNode) -> None:
        """Make a standby the primary; `pg_promote` is what `pg_ctl promote` does."""
        if not await node.ask("SELECT pg_promote(true, 30)"):
            raise RuntimeError(f"{node.name} was not promoted in time")


@asynccontextmanager
async def running_cluster(
    folder: Path, passwords: PasswordStore | None = None
) -> AsyncGenerator[RunningCluster]:
    """One primary and two standbys; a commit is acknowledged when one standby has it, too."""
    passwords = passwords or PasswordStore(folder / "passwords", SystemRandomness())
    with socket_folder() as sockets:
        nodes = [ClusterNode(folder, sockets, passwords, f"n{i}") for i in range(1, NODES + 1)]
        primary, *standbys = nodes
        login = f"user={SUPERUSER} password={passwords.get('postgres', SUPERUSER).reveal()}"
        ports = ",".join(str(node.port) for node in nodes)
        try:
            await primary.start()
            await primary.settle()
            for standby in standbys:
                await standby.copy_from(primary, login, ports)
                await standby.start()
            await primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{SYNCHRONOUS}'")
            await primary.ask("SELECT pg_reload_conf()")
            yield RunningCluster(nodes)
        finally:
            for node in reversed(nodes):
                await node.stop()
