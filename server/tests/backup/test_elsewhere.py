"""Stores that are servers given by URL: no backup here pretends to hold them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner

from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.db_security_manager import Store
from aitrading.server.cli.backup import backup
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.progress import LineReporter
from aitrading.server.supervisor.scheduled_backups import require_possible
from aitrading.server.supervisor.settings import BackupSettings
from aitrading.server.supervisor.stores import given_servers
from aitrading.server.supervisor.up import Platform, UpOptions
from aitrading.server.testing.assembly import assembled, real_kit

POSTGRES = {"POSTGRES_URL": "postgresql://chief:geheim@db.example.com/firm?sslmode=verify-full"}
CLICKHOUSE = {"CLICKHOUSE_URL": "https://app:geheim@clickhouse.example.com:8443"}
OTHERS = {
    "WEAVIATE_URL": "https://:k@weaviate.example.com",
    "ARANGODB_URL": "https://u:p@arango.example.com:8529/aitrading",
    "DRAGONFLYDB_URL": "rediss://cache.example.com:6380",
}
PORTS = ("api_gateway", "client", "data_bridge", "database_service", "nats", "trading_engine")
EITHER = pytest.mark.parametrize(
    ("environ", "store"),
    [(POSTGRES, Store.POSTGRES), (CLICKHOUSE, Store.CLICKHOUSE), (CLICKHOUSE | POSTGRES, Store.POSTGRES)],
    ids=["postgres", "clickhouse", "both"],
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in (*POSTGRES, *CLICKHOUSE, *OTHERS):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path / "home")


async def write_bundle(home: Home, environ: Mapping[str, str]) -> None:
    """As the supervisor writes it when the database service is about to start."""
    assembly = assembled(home, environ)
    await assembly.plan.specs["database-service"].program.prepare()


@EITHER
def test_the_command_makes_no_file_that_would_lack_a_store(
    environ: Mapping[str, str], store: Store, home: Home, tmp_path: Path
) -> None:
    asyncio.run(write_bundle(home, environ))
    key, target = tmp_path / "recovery.key", tmp_path / "monday.aitbackup"
    runner = CliRunner()
    assert runner.invoke(backup, ["new-key", str(key)]).exit_code == 0
    words = ["make", str(target), "--recovery-key", f"{key}.pub", "--home", str(home.root)]
    before = sorted(tmp_path.iterdir())
    refusal = runner.invoke(backup, words).exception
    assert isinstance(refusal, AitradingError)
    assert refusal.code == "BACKUP_ELSEWHERE"
    assert store.value in refusal.message
    assert sorted(tmp_path.iterdir()) == before


@EITHER
def test_a_schedule_that_would_fail_each_round_ends_the_start(
    environ: Mapping[str, str], store: Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any process is started or anything is put together."""
    for name, url in environ.items():
        monkeypatch.setenv(name, url)
    settings = {"backup.every_h": "24", "backup.folder": "/b", "backup.recovery_key": "/k.pub"}
    free = {f"ports.{name}": "0" for name in PORTS} | {"gateway.port": "0"}

    def assembled(*_: object) -> NoReturn:
        pytest.fail("it was put together")

    options = UpOptions(home=home.root, settings={**free, **settings})
    platform = Platform(options, real_kit(), LineReporter(), assembled)
    with pytest.raises(AitradingError) as refusal:
        asyncio.run(platform.run(lambda _: None))
    assert refusal.value.code == "BACKUP_SCHEDULE_ELSEWHERE"
    assert store.value in refusal.value.message


def test_a_schedule_needs_no_more_than_a_place_a_key_and_the_truth_here() -> None:
    complete = BackupSettings(every_h=24, folder="/b", recovery_key="/k.pub")
    require_possible(complete, given_servers(OTHERS))
    require_possible(BackupSettings(), given_servers(POSTGRES | CLICKHOUSE))
    for lacking in (
        BackupSettings(every_h=1, folder="/b"),
        BackupSettings(every_h=1, recovery_key="/k"),
    ):
        with pytest.raises(AitradingError) as refusal:
            require_possible(lacking, {})
        assert refusal.value.code == "BACKUP_SCHEDULE_INCOMPLETE"
