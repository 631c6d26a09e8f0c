"""The embedded PostgreSQL, for real: who gets in, what survives, what is refused."""

import asyncio
import os
import signal
import stat
from pathlib import Path

import asyncpg
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.testing.engines import running_postgres

pytestmark = pytest.mark.integration
GUESS = "not it"


async def connect(access: PostgresAccess, **changes: str) -> asyncpg.Connection:
    values = {"user": access.user, "password": access.password, **changes}
    return await asyncpg.connect(
        host=access.host, port=access.port, database=access.database, **values
    )


@async_test
async def test_every_role_logs_in_and_none_may_bypass_row_security(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        for role in ("migrator", "database", "identity", "trading"):
            connection = await connect(engine.access(role))
            row = await connection.fetchrow(
                "select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = $1",
                role,
            )
            assert tuple(row) == (False, False, False)
            await connection.close()


@async_test
async def test_a_wrong_password_and_an_unknown_user_are_refused(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        access = engine.access("database")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(access, password=GUESS)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(access, user="stranger")


@async_test
async def test_it_listens_on_no_tcp_port_and_its_socket_folder_is_closed(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        connection = await connect(engine.access("database"))
        assert await connection.fetchval("show listen_addresses") == ""
        assert await connection.fetchval("show data_checksums") == "on"
        assert await connection.fetchval("show password_encryption") == "scram-sha-256"
        await connection.close()
        assert stat.S_IMODE(os.stat(engine.access("database").host).st_mode) == 0o700  # noqa: PTH116 - one call


@async_test
async def test_only_the_owner_role_may_create_in_the_database(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        stranger = await connect(engine.access("trading"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stranger.execute("create table public.t ()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stranger.execute("create schema mine")
        await stranger.close()
        migrator = await connect(engine.access("migrator"))
        await migrator.execute("set role aitrading_owner; create schema mine")
        await migrator.close()


@async_test
async def test_data_survives_a_kill_and_a_second_start(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        connection = await connect(engine.access("migrator"))
        await connection.execute("create schema s; create table s.t as select 7 as seven")
        postmaster = int(_pid_file(tmp_path).read_text().split()[0])
        shared = _mapped(postmaster)
        assert "/pg_dynshmem/" in shared
        assert "/dev/shm/PostgreSQL" not in shared  # noqa: S108 - where a killed server would leave it
        segment = _pid_file(tmp_path).read_text().splitlines()[6].split()[1]
        assert segment in _segments()
        os.kill(postmaster, signal.SIGKILL)
        connection.terminate()
    await eventually(lambda: segment not in _segments(), what="the end of its last process")
    # The old server's children need a moment to notice that it was killed.
    assert await eventually(lambda: _read_seven(tmp_path)) == 7


@async_test
async def test_data_of_another_major_version_is_refused_and_untouched(tmp_path: Path) -> None:
    marker = tmp_path / "postgres" / "engine.json"
    marker.parent.mkdir()
    marker.write_text('{"engine":"postgres","major":17}')
    with pytest.raises(AitradingError) as refusal:
        async with running_postgres(tmp_path):
            pass
    assert refusal.value.code == "ENGINE_DATA_VERSION"
    assert "17" in refusal.value.message
    assert sorted(path.name for path in marker.parent.iterdir()) == ["engine.json"]


@async_test
async def test_a_crash_during_the_first_initialisation_leaves_nothing_half(tmp_path: Path) -> None:
    starting = asyncio.ensure_future(_start_and_stop(tmp_path))
    half = tmp_path / "postgres" / "18" / "data.new" / "base"
    await eventually(half.exists, what="initdb at work")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not (tmp_path / "postgres" / "18" / "data").exists()
    await _start_and_stop(tmp_path)


async def _read_seven(folder: Path) -> int:
    async with running_postgres(folder) as engine:
        connection = await connect(engine.access("migrator"))
        try:
            return await connection.fetchval("select seven from s.t")
        finally:
            await connection.close()


async def _start_and_stop(folder: Path) -> None:
    async with running_postgres(folder):
        pass


def _mapped(pid: int) -> str:
    """Which files a process has in its memory."""
    return Path(f"/proc/{pid}/maps").read_text()


def _segments() -> set[str]:
    """Numbers of the segments of System V shared memory there are."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


def _pid_file(folder: Path) -> Path:
    return folder / "postgres" / "18" / "data" / "postmaster.pid"


@async_test
async def test_its_log_tells_who_came_and_what_changed_but_no_secret(tmp_path: Path) -> None:
    async with running_postgres(tmp_path) as engine:
        access = engine.access("migrator")
        connection = await connect(access)
        await connection.execute("SET ROLE aitrading_owner")
        await connection.execute("CREATE SCHEMA watched; CREATE TABLE watched.t (v text UNIQUE)")
        insert = "INSERT INTO watched.t VALUES ($1)"
        await connection.execute(insert, "anna@example.org")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(insert, "anna@example.org")
        await connection.close()
        before = (tmp_path / "postgres.log").read_text()
        assert all([await engine.ready() for _ in range(3)])
        assert (tmp_path / "postgres.log").read_text().count("user=postgres") == before.count(
            "user=postgres"
        )
    log = (tmp_path / "postgres.log").read_text()
    assert "connection authorized: user=migrator" in log
    assert "CREATE TABLE watched.t" in log
    assert "duplicate key" in log
    passwords = {engine.access(role).password for role in ("migrator", "database", "postgres")}
    for hidden in ("anna@example.org", *passwords):
        assert hidden not in log


@async_test
async def test_a_server_that_hangs_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aitrading.server.engines.postgres.LOGIN_TIMEOUT_S", 0.2)
    async with running_postgres(tmp_path) as engine:
        pid = int((tmp_path / "postgres/18/data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            assert not await engine.ready()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await engine.ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
@async_test
async def test_who_runs_the_server_cannot_make_root_write_elsewhere(tmp_path: Path) -> None:
    """The folder belongs to the server's account; whoever took that over prepares links there."""
    victim = tmp_path / "victim"
    victim.write_text("root's own")
    before = victim.stat()
    async with running_postgres(tmp_path):
        pass
    version = tmp_path / "postgres" / "18"
    traps = [version / "data" / "aitrading.hba", version / "data" / "aitrading.conf"]
    traps += [version / "roles.sha256", version / "initial-password"]
    traps += [trap.with_name(f"{trap.name}.new") for trap in traps]
    for trap in traps:
        trap.unlink(missing_ok=True)
        trap.symlink_to(victim)
    async with running_postgres(tmp_path) as engine:
        connection = await connect(engine.access("database"))
        await connection.close()
    assert victim.read_text() == "root's own"
    after = victim.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
