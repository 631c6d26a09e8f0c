"""How far ClickHouse's schema is, in order and out of it."""

import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import Store, accept_url
from aitrading.core.testing.async_test import async_test
from aitrading.server.cli.clickhouse_status import status_of_stopped
from aitrading.server.database_service.clickhouse.embedded import EmbeddedClickHouse
from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.database_service.clickhouse.schema import ClickHouseSchema
from aitrading.server.database_service.clickhouse.served import ServedClickHouse
from aitrading.server.database_service.clickhouse.walls import TENANT_TABLES
from aitrading.server.database_service.postgres_schema import migrations
from aitrading.server.kit.bundle import ClickHouseAccess, HttpListener, ServiceBundle, TlsFiles
from aitrading.server.testing.clickhouse_front import running_clickhouse_front

pytestmark = pytest.mark.integration
KINDS = pytest.mark.parametrize(
    "kind", ["embedded", pytest.param("served", marks=pytest.mark.servers)]
)
STORES_PAGE = Path(__file__).parents[3] / "docs/explanation/stores.md"


@asynccontextmanager
async def engine_of(kind: str, folder: Path) -> AsyncIterator[ClickHouse]:
    if kind == "served":
        with running_clickhouse_front(folder) as front:
            served = ServedClickHouse(accept_url(Store.CLICKHOUSE, front.url))
            await served.start()
            try:
                yield served
            finally:
                await served.stop()
        return
    embedded = EmbeddedClickHouse(folder)
    await embedded.start()
    try:
        yield embedded
    finally:
        await embedded.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations that a test may spoil."""
    return Path(shutil.copytree(migrations("clickhouse"), tmp_path / "migrations"))


async def refusal(schema: ClickHouseSchema) -> AitradingError:
    with pytest.raises(AitradingError) as caught:
        await schema.status()
    with pytest.raises(AitradingError) as at_start:
        await schema.apply()
    assert at_start.value.code == caught.value.code
    return caught.value


@KINDS
@async_test
async def test_the_status_tells_what_is_applied_and_changes_nothing(
    kind: str, tmp_path: Path, folder: Path
) -> None:
    async with engine_of(kind, tmp_path / "data") as engine:
        schema = ClickHouseSchema(engine, folder)
        for _ in range(2):
            assert {each.applied for each in await schema.status()} == {False}
        await schema.apply()
        told = await schema.status()
        assert {each.applied for each in told} == {True}
        assert [each.number for each in told] == sorted(each.number for each in told)
        assert all(re.fullmatch("[0-9a-f]{64}", each.checksum) for each in told)
        (folder / "0099_more.sql").write_text("CREATE DATABASE IF NOT EXISTS more;\n")
        last = (await schema.status())[-1]
        assert (last.file, last.applied) == ("0099_more.sql", False)
        assert await schema.apply() == ["0099_more.sql"]


@KINDS
@async_test
async def test_a_changed_file_and_a_newer_schema_are_refused_by_name(
    kind: str, tmp_path: Path, folder: Path
) -> None:
    async with engine_of(kind, tmp_path / "data") as engine:
        schema = ClickHouseSchema(engine, folder)
        newer = folder / "0099_from_tomorrow.sql"
        newer.write_text("CREATE DATABASE IF NOT EXISTS tomorrow;\n")
        await schema.apply()
        newer.unlink()
        unknown = await refusal(schema)
        assert unknown.code == "MIGRATION_UNKNOWN"
        assert "0099_from_tomorrow" in unknown.message
        newer.write_text("CREATE DATABASE IF NOT EXISTS yesterday;\n")
        changed = await refusal(schema)
        assert changed.code == "MIGRATION_CHANGED"
        assert newer.name in changed.message


@async_test
async def test_a_store_that_keeps_its_service_from_starting_tells_why(
    tmp_path: Path, folder: Path
) -> None:
    """What `aitrading migrations status` does when no service has the store open."""
    data = tmp_path / "clickhouse"
    bundle = bundle_of(tmp_path, ClickHouseAccess(path=data))
    assert await status_of_stopped(bundle, folder) == [], "there never was a store"
    (folder / "0099_from_tomorrow.sql").write_text("CREATE DATABASE IF NOT EXISTS tomorrow;\n")
    async with engine_of("embedded", data) as engine:
        await ClickHouseSchema(engine, folder).apply()
    assert {each.applied for each in await status_of_stopped(bundle, folder)} == {True}
    with pytest.raises(AitradingError) as caught:
        await status_of_stopped(bundle, migrations("clickhouse"))
    assert caught.value.code == "MIGRATION_UNKNOWN"


def bundle_of(home: Path, clickhouse: ClickHouseAccess) -> ServiceBundle:
    nowhere = home / "none"
    return ServiceBundle(
        service="database-service",
        instance="database-service-1",
        version="1",
        environment="development",
        home=home,
        demo=False,
        tls=TlsFiles(certificate=nowhere, private_key=nowhere, ca=nowhere),
        listener=HttpListener(socket=nowhere, host="127.0.0.1", port=0),
        control_fd=None,
        peers={},
        service_keys=nowhere,
        user_keys=nowhere,
        clickhouse=clickhouse,
    )


@async_test
async def test_the_recipe_for_logins_that_only_read_names_every_table_of_organisations(
    tmp_path: Path,
) -> None:
    """The engine here has no logins, so its parser is all that can be asked."""
    (recipe,) = re.findall(
        r"```sql\n(CREATE SETTINGS PROFILE.*?)```", STORES_PAGE.read_text(), re.DOTALL
    )
    statements = [statement.strip() for statement in recipe.split(";") if statement.strip()]
    parsed = "SELECT toUInt64(length(formatQuerySingleLine({sql:String}))) AS n"
    async with engine_of("embedded", tmp_path) as engine:
        for sql in statements:
            rows = await engine.select(parsed, np.dtype([("n", "<u8")]), {"sql": sql})
            assert rows["n"][0] > 0
        with pytest.raises(AitradingError):
            await engine.select(parsed, np.dtype([("n", "<u8")]), {"sql": "CREATE ROW POLITE"})
    named = Counter(re.findall(r"\bON (market\.\w+)", recipe))
    assert named == dict.fromkeys(TENANT_TABLES, 3), "one grant, one policy for each of the two"
