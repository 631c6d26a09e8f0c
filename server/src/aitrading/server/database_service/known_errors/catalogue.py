"""Known errors page by page, and the notes of what solved them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.known_errors.errors import (
    ERROR_NOT_SEEN,
    RESOLUTION_REFUSED,
    RESOLUTION_UNKNOWN,
)
from aitrading.server.database_service.known_errors.lookup import ErrorLookup
from aitrading.server.database_service.known_errors.shapes import (
    ErrorDetails,
    ErrorsPage,
    KnownError,
    Resolution,
    known_error,
    resolution,
)
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.idempotency import IdempotentWrites, Write
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction

MAX_NOTE_CHARS: Final = 4_000
MAX_RESOLUTIONS: Final = 100
"""Of one error."""
SIMILAR_SHOWN: Final = 5
_SQL: Final = Queries.load(__package__ or "", "known_errors.sql")
_CURSOR: Final = re.compile(r"([0-9]{1,17})-([0-9a-f]{16})", re.ASCII)
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ErrorCatalogue:
    """Every call is for one organisation; `PLATFORM` for the platform's own errors."""

    def __init__(
        self,
        pool: PostgresPool,
        lookup: ErrorLookup,
        guards: Guards,
        clock: Clock,
        ids: IdFactory,
        writes: IdempotentWrites,
        audit: AuditTrail,
    ) -> None:
        self._pool = pool
        self._lookup = lookup
        self._guards = guards
        self._clock = clock
        self._ids = ids
        self._writes = writes
        self._audit = audit

    async def page(self, tenant: TenantId, limit: int, cursor: str | None) -> ErrorsPage:
        """The last seen first."""
        moment, fingerprint = _position(cursor)
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(_SQL["page"], limit + 1, moment, fingerprint)
        items = [known_error(row) for row in rows[:limit]]
        following = _cursor(items[-1]) if len(rows) > limit else None
        return ErrorsPage(items=items, next_cursor=following)

    async def details(self, tenant: TenantId, fingerprint: str) -> ErrorDetails:
        """One error; raises `ERROR_NOT_SEEN`."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                error = await _require(tx, fingerprint)
                rows = await tx.fetch(_SQL["resolutions"], fingerprint)
        return ErrorDetails(
            error=error,
            resolutions=[resolution(row) for row in rows],
            similar=await self._lookup.similar_to(tenant, fingerprint, SIMILAR_SHOWN),
        )

    async def resolve(self, by: Write, fingerprint: str, note: str) -> Resolution:
        """Add what solved it; raises `ERROR_NOT_SEEN` or `RESOLUTION_REFUSED`."""
        _require_note(note)

        async def apply(tx: TenantTransaction) -> Resolution:
            await _require(tx, fingerprint)
            if await tx.fetch_value(_SQL["count_resolutions"], fingerprint) >= MAX_RESOLUTIONS:
                raise RESOLUTION_REFUSED.error(reason=f"it has {MAX_RESOLUTIONS} already")
            given = self._ids.new(), fingerprint, note, by.actor, now_utc(self._clock)
            kept = resolution(await tx.fetch_row(_SQL["add_resolution"], *given))
            await self._audit.add(tx, _event(by, AuditAction.RESOLUTION_ADDED, kept.id))
            return kept

        with self._guards.postgres.guard():
            return await self._writes.once(by, apply, Resolution)

    async def change(self, by: Write, fingerprint: str, which: UUID, note: str) -> Resolution:
        """Replace a note; raises `RESOLUTION_UNKNOWN` or `RESOLUTION_REFUSED`."""
        _require_note(note)

        async def apply(tx: TenantTransaction) -> Resolution:
            given = fingerprint, which, note, by.actor, now_utc(self._clock)
            row = await tx.fetch_row(_SQL["change_resolution"], *given)
            if row is None:
                raise _unknown(fingerprint, which)
            await self._audit.add(tx, _event(by, AuditAction.RESOLUTION_CHANGED, which))
            return resolution(row)

        with self._guards.postgres.guard():
            return await self._writes.once(by, apply, Resolution)

    async def delete(self, by: Write, fingerprint: str, which: UUID) -> None:
        """Take a note away; raises `RESOLUTION_UNKNOWN`."""

        async def apply(tx: TenantTransaction) -> None:
            if not await tx.execute(_SQL["delete_resolution"], fingerprint, which):
                raise _unknown(fingerprint, which)
            await self._audit.add(tx, _event(by, AuditAction.RESOLUTION_DELETED, which))

        with self._guards.postgres.guard():
            await self._writes.once(by, apply, type(None))


def _event(by: Write, action: AuditAction, which: UUID) -> AuditEvent:
    return AuditEvent(actor=by.actor, action=action, subject=f"resolution:{which}")


async def _require(tx: TenantTransaction, fingerprint: str) -> KnownError:
    row = None
    if _FINGERPRINT.fullmatch(fingerprint):
        row = await tx.fetch_row(_SQL["one"], fingerprint)
    if row is None:
        raise ERROR_NOT_SEEN.error(wanted=f"the fingerprint {fingerprint[:40]}")
    return known_error(row)


def _require_note(note: str) -> None:
    if not 1 <= len(note.strip()) <= len(note) <= MAX_NOTE_CHARS or "\0" in note:
        raise RESOLUTION_REFUSED.error(reason=f"it has {len(note)} characters, or unfit ones")


def _unknown(fingerprint: str, which: UUID) -> Exception:
    return RESOLUTION_UNKNOWN.error(fingerprint=fingerprint[:40], resolution=str(which))


def _cursor(error: KnownError) -> str:
    micros = (error.last_seen - _EPOCH) // timedelta(microseconds=1)
    return f"{micros}-{error.fingerprint}"


def _position(cursor: str | None) -> tuple[datetime | None, str | None]:
    if cursor is None:
        return None, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise REQUEST_INVALID.error(reason="`cursor` is not one of ours")
    return _EPOCH + timedelta(microseconds=int(match[1])), match[2]
