"""The table `app.backups`: each change leaves its audit event in the same transaction."""

from datetime import datetime
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import IdFactory
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.kit.backup_api import (
    BACKUPS_SHOWN_MAX,
    BackupBegin,
    BackupEnd,
    BackupRecord,
    BackupVerified,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

ACTOR: Final = "host:administrator"
_SQL: Final = Queries.load(__package__ or "", "book.sql")


class BackupBook:
    """Who made which backup when, and whether it was ever seen to restore."""

    def __init__(self, pool: PostgresPool, clock: Clock, ids: IdFactory) -> None:
        self._pool = pool
        self._clock = clock
        self._audit = AuditTrail(clock=clock, ids=ids)

    async def begin(self, wanted: BackupBegin) -> None:
        """Enter a backup; one that is still running has lost its process and failed."""
        async with self._pool.platform_tx() as tx:
            for row in await tx.fetch(_SQL["give_up_running"], now_utc(self._clock)):
                await self._audit.add(
                    tx, _event(AuditAction.BACKUP_END, row["id"], Outcome.FAILED)
                )
            await tx.execute(_SQL["begin"], wanted.backup, wanted.target, now_utc(self._clock))
            await self._audit.add(
                tx, _event(AuditAction.BACKUP_BEGIN, wanted.backup, target=wanted.target)
            )

    async def end(self, end: BackupEnd) -> None:
        """Note how it went; a repeat changes nothing."""
        async with self._pool.platform_tx() as tx:
            changed = await tx.execute(
                _SQL["end"],
                end.backup,
                "made" if end.ok else "failed",
                now_utc(self._clock),
                end.size_bytes,
                end.content_bytes,
                end.took_ms,
                end.reason[:1000] or None,
            )
            if changed:
                event = _event(
                    AuditAction.BACKUP_END, end.backup, _outcome(end.ok), size_bytes=end.size_bytes
                )
                await self._audit.add(tx, event)

    async def verified(self, seen: BackupVerified) -> None:
        """Note that it was restored aside, and whether it held what it should."""
        async with self._pool.platform_tx() as tx:
            if seen.ok:
                await tx.execute(_SQL["verified"], seen.backup, now_utc(self._clock))
            event = _event(
                AuditAction.BACKUP_VERIFY, seen.backup, _outcome(seen.ok), reason=seen.reason
            )
            await self._audit.add(tx, event)

    async def restored(self, backup: UUID, home: str) -> None:
        """Note, in the restored home, that it came from a backup, and forget segments by name.

        The bridge goes on from an earlier point and will give names again that were used after
        it; the exact sets of stored sequences, not names, keep each tick single.
        """
        async with self._pool.platform_tx() as tx:
            await tx.execute(_SQL["forget_segment_names"])
            await tx.execute(_SQL["restored"], backup, home, now_utc(self._clock))
            await self._audit.add(tx, _event(AuditAction.BACKUP_RESTORE, backup, home=home))

    async def standing(self) -> tuple[datetime | None, bool | None]:
        """When the newest whole one began, and whether the last that ended was made."""
        async with self._pool.platform_read() as tx:
            row = await tx.fetch_row(_SQL["standing"])
        return (None, None) if row is None else (row["newest"], row["last_ok"])

    async def recent(self) -> list[BackupRecord]:
        """The newest first."""
        async with self._pool.platform_read() as tx:
            rows = await tx.fetch(_SQL["recent"], BACKUPS_SHOWN_MAX)
        now = now_utc(self._clock)
        return [
            BackupRecord(
                backup=row["id"],
                state=row["state"],
                target=row["target"],
                began_at=row["began_at"].isoformat(),
                age_s=max(0, int((now - row["began_at"]).total_seconds())),
                size_bytes=row["size_bytes"],
                took_ms=row["took_ms"],
                verified_at=row["verified_at"].isoformat() if row["verified_at"] else None,
                reason=row["reason"],
            )
            for row in rows
        ]


def _outcome(ok: bool) -> Outcome:
    return Outcome.DONE if ok else Outcome.FAILED


def _event(
    action: AuditAction, backup: UUID, outcome: Outcome = Outcome.DONE, **details: FieldValue
) -> AuditEvent:
    return AuditEvent(
        actor=ACTOR,
        action=action,
        subject=str(backup),
        outcome=outcome,
        details=details,
    )
