"""Debian's PostgreSQL 15 over TLS 1.3: no socket, no plaintext, the platform's roles.

Skips with `postgres15_missing()` as the reason where it is not installed.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrading.core.kit.secret import Secret
from aitrading.server.engines.postgres import roles_sql
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import ThrowawayAuthority

BIN: Final = Path("/usr/lib/postgresql/15/bin")
PASSWORD: Final = "of-this-test-only"  # noqa: S105  # pragma: allowlist secret
REACHABLE: Final = Path(os.sep, "tmp")
"""A tests' folder is closed to the user whom root runs the server as."""
_HBA: Final = "hostssl all all 127.0.0.1/32 scram-sha-256\n"
_START_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class Postgres15:
    """A running server: `access(role)` as for the embedded one."""

    port: int
    ca: Path
    data: Path

    def let_in(self, lines: str = _HBA) -> None:
        """Who may log in from now on: the lines of its pg_hba.conf, those of the start by default."""
        (self.data / "pg_hba.conf").write_text(lines)
        self.as_superuser("SELECT pg_reload_conf()")

    def as_superuser(self, sql: str) -> None:
        """Run statements above every row policy."""
        code, said = _psql(self, sql, database="aitrading")
        if code:
            raise RuntimeError(said)

    def access(self, role: str, database: str = "aitrading") -> PostgresAccess:
        """How a role logs in over TLS."""
        return PostgresAccess(
            host="localhost",
            port=self.port,
            database=database,
            user=role,
            password=PASSWORD,
            tls=True,
            ca=self.ca,
        )


def postgres15_missing() -> str:
    """Why there is no server; empty when there is one."""
    if not (BIN / "postgres").exists():
        return f"{BIN} is not there (as root: apt-get install postgresql-15)"
    return "" if os.geteuid() or _account() else "PostgreSQL refuses root, and has no user here"


@contextmanager
def running_postgres15() -> Generator[Postgres15]:
    """Run it for the block; its folder must be reachable for a user that is not root."""
    folder = Path(tempfile.mkdtemp(prefix="ait-pg15-", dir=REACHABLE))
    account = _account()
    try:
        tls = ThrowawayAuthority(folder / "ca").issue("postgres")
        (folder / "password").write_text(PASSWORD)
        port = free_port()
        data = folder / "data"
        server = Postgres15(port=port, ca=tls.ca, data=data)
        if account is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)
        login = ("--username=postgres", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256")
        _run((str(BIN / "initdb"), f"--pgdata={data}", *login, "--encoding=UTF8", "-N"), account)
        (data / "pg_hba.conf").write_text(_HBA)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - ours
                (
                    *(str(BIN / "postgres"), "-D", str(data), "-p", str(port)),
                    *_settings(
                        {
                            "listen_addresses": "127.0.0.1",
                            "unix_socket_directories": "",
                            "ssl": "on",
                            "ssl_cert_file": str(tls.certificate),
                            "ssl_key_file": str(tls.private_key),
                            "ssl_min_protocol_version": "TLSv1.3",
                        }
                    ),
                ),
                stdout=log,
                stderr=log,
                **_as(account),
            )
            try:
                _settle(server, process, folder / "log")
                yield server
            finally:
                process.terminate()
                process.wait(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(values: dict[str, str]) -> list[str]:
    return [part for name, value in values.items() for part in ("-c", f"{name}={value}")]


def _account() -> pwd.struct_passwd | None:
    """Whom root runs it as."""
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def _run(command: Sequence[str], account: pwd.struct_passwd | None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **_as(account))  # noqa: S603 - ours
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])


def _settle(server: Postgres15, process: "subprocess.Popen[Any]", log: Path) -> None:
    """Wait until it answers, and give it the roles of the platform."""
    roles = roles_sql(lambda _role: Secret(PASSWORD)).reveal()
    end = time.monotonic() + _START_TIMEOUT_S
    said = ""
    while process.poll() is None and time.monotonic() < end:
        code, said = _psql(server, "SELECT 1")
        if code == 0:
            code, said = _psql(server, roles)
            if code == 0:
                return
            break
        time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL 15 is not usable: {said} {log.read_text()[-2_000:]}")


def _psql(server: Postgres15, sql: str, database: str = "postgres") -> tuple[int, str]:
    address = f"host=localhost port={server.port} user=postgres dbname={database}"
    tls = f"sslmode=verify-full sslrootcert={server.ca}"
    done = subprocess.run(  # noqa: S603 - ours
        (str(BIN / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", f"{address} {tls}"),
        input=sql,
        env={"PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stderr
