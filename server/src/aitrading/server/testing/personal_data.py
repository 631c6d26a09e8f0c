"""Master keys that all processes of a test run share, because they share a database."""

from pathlib import Path
from typing import Final

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.secret import Secret
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.server.authority.key_provider import LocalKeyProvider
from aitrading.server.database_service.postgres_schema import postgres_runner
from aitrading.server.kit.bundle import PostgresAccess
from aitrading.server.kit.migrations import MigrationRunner
from aitrading.server.personal_data.file_keys import FILES_FOLDER, FileKeyFolder
from aitrading.server.personal_data.masters import FOLDER

DEVELOPMENT: Final = "development"
MASTER: Final = Secret(bytes(range(32)))
MASTERS: Final = MasterKeys({1: MASTER})


def write_masters(keys: Path) -> Path:
    """Put them where a service of a test finds them; gives the folder for its bundle."""
    provider = LocalKeyProvider(keys / FOLDER, environment=DEVELOPMENT)
    if not provider.names():
        provider.store("master-0001.key", MASTER)
    return keys / FOLDER


def write_file_keys(keys: Path) -> Path:
    """Make the file keys of a home of tests, once; gives the folder for its bundle."""
    FileKeyFolder(keys / FILES_FOLDER, environment=DEVELOPMENT).make_first()
    return keys / FILES_FOLDER


def runner_for(access: PostgresAccess, release: str = "test") -> MigrationRunner:
    """Brings a database of tests to the state of this release."""
    return postgres_runner(access, lambda: MASTERS, clock=SystemClock(), release=release)
