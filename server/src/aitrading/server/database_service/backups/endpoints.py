"""What a backup on this host asks of the database service."""

from typing import Final

from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.server.database_service.backups.book import BackupBook
from aitrading.server.database_service.backups.catalogue import known_migrations
from aitrading.server.database_service.backups.watch import BackupWatch
from aitrading.server.database_service.clickhouse.errors import CLICKHOUSE_NOT_HERE
from aitrading.server.database_service.clickhouse.port import ClickHouseEngine
from aitrading.server.database_service.ticks.writer import TickWriter
from aitrading.server.kit.backup_api import (
    BACKUPS_PATH,
    END_PATH,
    FREEZE_PATH,
    VERIFIED_PATH,
    BackupBegin,
    BackupBegun,
    BackupEnd,
    BackupNamed,
    BackupRecord,
    BackupVerified,
    FrozenStore,
)
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, peers

HOST: Final = peers("admin")


class BackupEndpoints:
    """The books, and the moment at which ClickHouse is frozen."""

    def __init__(
        self, book: BackupBook, watch: BackupWatch, engine: ClickHouseEngine, writer: TickWriter
    ) -> None:
        self._book = book
        self._watch = watch
        self._engine = engine
        self._writer = writer

    @endpoint(
        "POST",
        BACKUPS_PATH,
        access=HOST,
        summary="Enter a backup that is about to be made.",
        body=BackupBegin,
        answer=BackupBegun,
    )
    async def begin(self, call: Call) -> BackupBegun:
        """What a killed backup left frozen goes first."""
        wanted = await call.json(BackupBegin)
        await self._engine.thaw()
        await self._book.begin(wanted)
        return BackupBegun(migrations=known_migrations())

    @endpoint(
        "POST",
        FREEZE_PATH,
        access=HOST,
        summary="Freeze ClickHouse between two segments and tell what it holds.",
        body=BackupNamed,
        answer=FrozenStore,
        errors=(CLICKHOUSE_NOT_HERE,),
        timeout_s=Timeouts.HEAVY,
    )
    async def freeze(self, call: Call) -> FrozenStore:
        """Hard links: it takes milliseconds and no space, however much is stored."""
        named = await call.json(BackupNamed)
        async with self._writer.standing_still():
            return await self._engine.freeze(named.backup.hex)

    @endpoint("POST", END_PATH, access=HOST, summary="Note how a backup went.", body=BackupEnd)
    async def end(self, call: Call) -> None:
        """Let go of the frozen parts, whatever became of it."""
        end = await call.json(BackupEnd)
        await self._engine.thaw()
        await self._book.end(end)
        await self._watch.look()

    @endpoint(
        "POST",
        VERIFIED_PATH,
        access=HOST,
        summary="Note that a backup was restored aside.",
        body=BackupVerified,
    )
    async def verified(self, call: Call) -> None:
        """Only one that is in these books."""
        await self._book.verified(await call.json(BackupVerified))

    @endpoint(
        "GET",
        BACKUPS_PATH,
        access=HOST,
        summary="Backups, the newest first.",
        answer=list[BackupRecord],
    )
    async def recent(self, _: Call) -> list[BackupRecord]:
        """At most a hundred."""
        return await self._book.recent()
