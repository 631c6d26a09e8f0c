"""What reading the audit trail takes and gives."""

from datetime import datetime
from uuid import UUID

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event: who did what to what; ids, never names or addresses."""

    id: UUID
    occurred_at: datetime
    service: str
    """The database role that wrote it."""
    actor: str
    action: str
    subject: str
    outcome: str
    security: bool
    trace_id: str | None
    details: msgspec.Raw


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events, the newest first; `next_cursor` is there while older ones follow."""

    items: tuple[AuditEntry, ...]
    next_cursor: UUID | None = None
