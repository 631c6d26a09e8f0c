"""The migration runner: once, in order, all or nothing, and never behind anybody's back."""

import asyncio
from pathlib import Path

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.migrations import MigrationRunner, Phase, load_migrations
from aitrading.server.kit.postgres import PostgresPool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE app.b (id int);")
    (tmp_path / "0001_first.sql").write_text("CREATE SCHEMA app; CREATE TABLE app.a (id int);")
    (tmp_path / "0001_first.post.sql").write_text("DROP TABLE app.a;")
    return tmp_path


def code_of_load(folder: Path) -> str:
    with pytest.raises(AitradingError) as caught:
        load_migrations(folder)
    return caught.value.code


def test_files_are_ordered_by_phase_and_number(folder: Path) -> None:
    names = [migration.file for migration in load_migrations(folder)]
    assert names == ["0001_first.sql", "0002_second.sql", "0001_first.post.sql"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1_short.sql", b""),
        ("0003_Upper.sql", b""),
        ("0003_x.down.sql", b""),
        ("notes.txt", b""),
        ("0003_x.sql~", b""),
        ("0001_twice.sql", b""),
        ("0003_latin.sql", b"-- \xe9"),
        ("0003_huge.sql", b" " * ((1 << 20) + 1)),
        ("0003_directive.sql", b"-- migrate: no-lock\nSELECT 1;"),
        ("0003_directive.sql", b"-- migrate: lock-timeout-ms\nSELECT 1;"),
        ("0003_directive.sql", b"-- migrate: no-transaction=1\nSELECT 1;"),
    ],
)
def test_a_folder_with_anything_else_is_refused(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert code_of_load(folder) == "MIGRATION_FILE_INVALID"


def test_line_endings_do_not_change_the_checksum(folder: Path) -> None:
    before = load_migrations(folder)[0].checksum
    path = folder / "0001_first.sql"
    path.write_bytes(path.read_bytes().replace(b"; ", b";\n"))
    unix = load_migrations(folder)[0].checksum
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_migrations(folder)[0].checksum == unix != before


class Writer:
    """A service that knows one of the two columns, and remembers what it was promised."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._next = 0
        self.acknowledged: set[int] = set()

    async def write_for_ever(self, column: str) -> None:
        while True:
            self._next += 1
            number = self._next
            async with self._pool.platform_tx() as tx:
                await tx.execute(
                    f"INSERT INTO app.r (id, {column}) VALUES ($1, $1::int::text)",  # noqa: S608
                    number,
                )
            self.acknowledged.add(number)


@pytest.mark.integration
class TestRunner:
    @pytest.fixture(autouse=True)
    def database(self, postgres_server: PostgresServer, folder: Path) -> None:
        self.server = postgres_server
        self.folder = folder
        self.name = postgres_server.empty_database()

    def runner(self) -> MigrationRunner:
        access = self.server.access("migrator", self.name)
        return MigrationRunner(access, self.folder, clock=SystemClock(), release="1.2.3")

    def exists(self, table: str) -> bool:
        return bool(
            self.server.as_superuser(f"SELECT to_regclass('{table}') AS t", self.name)[0]["t"]
        )

    async def code_of_apply(self) -> str:
        with pytest.raises(AitradingError) as caught:
            await self.runner().apply()
        return caught.value.code

    @async_test
    async def test_everything_runs_once_in_order(self) -> None:
        files = ["0001_first.sql", "0002_second.sql", "0001_first.post.sql"]
        assert await self.runner().apply() == files
        assert await self.runner().apply() == []
        assert all(status.applied for status in await self.runner().status())
        rows = await asyncio.to_thread(
            self.server.as_superuser,
            "SELECT name, release, tableowner FROM migrations.applied, pg_tables"
            " WHERE tablename = 'b'",
            self.name,
        )
        assert {tuple(row) for row in rows} == {
            ("first", "1.2.3", "aitrading_owner"),
            ("second", "1.2.3", "aitrading_owner"),
        }

    @async_test
    async def test_the_phases_run_apart(self) -> None:
        await self.runner().apply([Phase.PRE])
        assert await asyncio.to_thread(self.exists, "app.a")
        assert await self.runner().apply([Phase.POST]) == ["0001_first.post.sql"]
        assert not await asyncio.to_thread(self.exists, "app.a")

    @async_test
    async def test_a_number_in_a_gap_is_applied_later(self) -> None:
        (self.folder / "0020_later.sql").write_text("CREATE TABLE app.c (id int);")
        await self.runner().apply()
        (self.folder / "0010_gap.sql").write_text("CREATE TABLE app.d (id int);")
        assert await self.runner().apply() == ["0010_gap.sql"]

    @async_test
    async def test_a_failing_file_leaves_nothing_of_itself(self) -> None:
        (self.folder / "0003_bad.sql").write_text(
            "CREATE TABLE app.half (id int); SELECT * FROM app.absent;"
        )
        assert await self.code_of_apply() == "MIGRATION_FAILED"
        assert not await asyncio.to_thread(self.exists, "app.half")
        applied = [status.file for status in await self.runner().status() if status.applied]
        assert applied == ["0001_first.sql", "0002_second.sql"]

    @async_test
    async def test_a_rehearsal_finds_the_fault_and_changes_nothing(self) -> None:
        assert len(await self.runner().rehearse()) == 3
        assert not await asyncio.to_thread(self.exists, "app.b")
        (self.folder / "0003_bad.sql").write_text("SELECT * FROM app.absent;")
        with pytest.raises(AitradingError, match="MIGRATION_FAILED"):
            await self.runner().rehearse()
        assert not any(status.applied for status in await self.runner().status())

    @async_test
    async def test_a_rehearsal_tells_what_would_be_locked(self) -> None:
        await self.runner().apply()
        (self.folder / "0003_alter.sql").write_text(
            "ALTER TABLE app.b ADD x int; CREATE TABLE app.new (id int);"
        )
        (self.folder / "0004_index.sql").write_text(
            "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS b_id ON app.b (id)"
        )
        alter, index = await self.runner().rehearse()
        assert (alter.file, alter.locked) == ("0003_alter.sql", ("app.b",))
        assert alter.took_ms is not None
        assert (index.file, index.took_ms) == ("0004_index.sql", None)
        assert not await asyncio.to_thread(self.exists, "app.new")

    @async_test
    async def test_a_migration_under_a_running_writer_loses_no_acknowledged_row(self) -> None:
        """Old and new code write all the time, while a column is added, filled and replaced."""
        for path in self.folder.iterdir():
            path.unlink()
        (self.folder / "0001_first.sql").write_text(
            "CREATE SCHEMA app; CREATE TABLE app.r (id int PRIMARY KEY, v text);"
            ' GRANT USAGE ON SCHEMA app TO "database"; GRANT ALL ON app.r TO "database";'
        )
        await self.runner().apply()
        (self.folder / "0002_wider.sql").write_text(
            "ALTER TABLE app.r ADD w text; UPDATE app.r SET w = v; SELECT pg_sleep(0.1);"
        )
        (self.folder / "0002_wider.post.sql").write_text(
            "UPDATE app.r SET w = v WHERE w IS NULL; SELECT pg_sleep(0.1);"
            " ALTER TABLE app.r ALTER w SET NOT NULL, DROP v;"
        )
        pool = PostgresPool(self.server.access("database", self.name), application="test-writer")
        await pool.start()
        writer = Writer(pool)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(writer.write_for_ever("v"))
            await eventually(lambda: len(writer.acknowledged) > 20, what="rows of the old code")
            await self.runner().apply([Phase.PRE])
            before = len(writer.acknowledged)
            await eventually(lambda: len(writer.acknowledged) > before + 20, what="more of them")
            task.cancel()
            task = group.create_task(writer.write_for_ever("w"))
            assert await self.runner().apply([Phase.POST]) == ["0002_wider.post.sql"]
            before = len(writer.acknowledged)
            await eventually(lambda: len(writer.acknowledged) > before + 20, what="the new code's")
            task.cancel()
        async with pool.platform_tx() as tx:
            kept = await tx.fetch("SELECT id FROM app.r WHERE w = id::text")
        await pool.stop()
        assert writer.acknowledged <= {row["id"] for row in kept}

    @async_test
    async def test_an_edited_file_stops_the_start(self) -> None:
        await self.runner().apply()
        (self.folder / "0002_second.sql").write_text("CREATE TABLE app.b (id bigint);")
        assert await self.code_of_apply() == "MIGRATION_CHANGED"

    @async_test
    async def test_a_newer_database_stops_the_start(self) -> None:
        await self.runner().apply()
        (self.folder / "0002_second.sql").unlink()
        assert await self.code_of_apply() == "MIGRATION_UNKNOWN"

    @async_test
    async def test_two_starts_take_turns(self) -> None:
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(self.runner().apply()) for _ in range(4)]
        assert sorted(len(run.result()) for run in runs) == [0, 0, 0, 3]

    @async_test
    async def test_a_locked_table_is_not_waited_for_long(self) -> None:
        await self.runner().apply()
        (self.folder / "0003_alter.sql").write_text(
            "-- migrate: lock-timeout-ms=50\nALTER TABLE app.b ADD x int;"
        )
        locked, release = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            runner = self.runner()
            async with runner._session() as session:
                await session.execute("BEGIN; LOCK TABLE app.b")
                locked.set()
                await release.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            await locked.wait()
            assert await self.code_of_apply() == "MIGRATION_LOCKED"
            release.set()
        assert await self.runner().apply() == ["0003_alter.sql"]

    @async_test
    async def test_a_statement_outside_a_transaction(self) -> None:
        (self.folder / "0003_index.sql").write_text(
            "-- migrate: no-transaction\n"
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS b_id ON app.b (id)"
        )
        assert "0003_index.sql" in await self.runner().apply()
        assert await asyncio.to_thread(self.exists, "app.b_id")
