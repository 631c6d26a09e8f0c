"""ClickHouse's migrations while no service has it open: when the start itself is refused, say."""

from pathlib import Path

from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.kit.migrations_api import StoreMigration


async def status_of_stopped(bundle: ServiceBundle, folder: Path) -> list[StoreMigration]:
    """Open the store, ask, and close it; nothing where there never was an embedded one.

    Raises what `ClickHouseSchema.status` raises, or `CLICKHOUSE_UNAVAILABLE` when somebody has it
    open after all.
    """
    from aitrading.core.security.db_security_manager import Store, accept_url  # noqa: PLC0415 - heavy
    from aitrading.server.database_service.clickhouse.embedded import (  # noqa: PLC0415 - heavy
        DATA_FOLDER,
        EmbeddedClickHouse,
    )
    from aitrading.server.database_service.clickhouse.schema import (  # noqa: PLC0415 - heavy
        ClickHouseSchema,
    )
    from aitrading.server.database_service.clickhouse.served import (  # noqa: PLC0415 - heavy
        ServedClickHouse,
    )

    access = bundle.clickhouse
    if access is None:
        return []
    if access.url is not None:
        engine = ServedClickHouse(accept_url(Store.CLICKHOUSE, access.url))
    elif access.path is not None and (access.path / DATA_FOLDER).exists():
        engine = EmbeddedClickHouse(access.path)
    else:
        return []
    await engine.start()
    try:
        return await ClickHouseSchema(engine, folder).status()
    finally:
        await engine.stop()
