"""Audit events are written in the transaction of the change they describe, or not at all."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, datetime_of_ns, now_utc
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import IdFactory
from aitrading.core.logging.optimized_log_router import current_context
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Transaction

HOST_ACTOR: Final = "host:admin"
"""Whoever may use `run/admin.sock`: the host's administrator."""
_SQL: Final = Queries.load("aitrading.server.kit", "audit_trail.sql")


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """Something that must be provable later; holds ids, never names or addresses."""

    actor: str
    action: AuditAction
    subject: str
    outcome: Outcome = Outcome.DONE
    details: dict[str, FieldValue] = field(default_factory=dict[str, FieldValue])

    @property
    def is_security(self) -> bool:
        """Tells who got in or was refused, or whose rights changed."""
        return self.action.is_security or self.outcome is Outcome.DENIED


class AuditTrail:
    """Adds events to the running transaction."""

    def __init__(self, *, clock: Clock, ids: IdFactory) -> None:
        self._clock = clock
        self._ids = ids

    async def add(self, tx: Transaction, event: AuditEvent) -> None:
        """Write one event; it becomes real when the transaction commits."""
        await self._insert(tx, "insert_event", self._ids.new(), now_utc(self._clock), event)

    async def add_once(
        self, tx: Transaction, event: AuditEvent, *, event_id: UUID, occurred_ns: int
    ) -> None:
        """Write what happened earlier; a repeat under the same id changes nothing."""
        await self._insert(tx, "insert_event_once", event_id, datetime_of_ns(occurred_ns), event)

    async def _insert(
        self, tx: Transaction, query: str, event_id: UUID, occurred_at: datetime, event: AuditEvent
    ) -> None:
        await tx.execute(
            _SQL[query],
            event_id,
            occurred_at,
            event.actor,
            event.action,
            event.subject,
            event.outcome,
            event.is_security,
            current_context().trace_id or None,
            msgspec.json.encode(event.details).decode(),
        )
