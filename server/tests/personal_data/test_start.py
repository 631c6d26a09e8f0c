"""A database service whose master keys are not those of its database lets nobody in."""

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.field_encryption import MasterKeys
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.postgres_schema import PostgresSchema
from aitrading.server.engines.shared import PostgresServer
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.testing.personal_data import MASTERS, runner_for

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("number", [1, 2])
@async_test
async def test_it_does_not_start(postgres: PostgresServer, number: int) -> None:
    foreign = MasterKeys({number: Secret(b"f" * 32)})
    runner = runner_for(postgres.access("migrator"))
    pool = PostgresPool(postgres.access("database"), application="test")
    await pool.start()
    try:
        await PostgresSchema(runner, pool, FieldKeys(lambda: MASTERS)).start()
        with pytest.raises(AitradingError) as refused:
            await PostgresSchema(runner, pool, FieldKeys(lambda: foreign)).start()
    finally:
        await pool.stop()
    expected = {1: "FIELD_KEY_UNREADABLE", 2: "FIELD_MASTER_MISSING"}
    assert refused.value.code == expected[number]
