"""A person's own sessions: which there are, and ending those that should not be there."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.security.claims import Authentication
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.model import LIST_LIMIT
from aitrading.server.api_gateway.identity.networks import NetworkKind
from aitrading.server.api_gateway.identity.sessions import ABSOLUTE_LIMIT_S, PACKAGE, Sessions
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction

_SQL: Final = Queries.load(PACKAGE, "sql/own_sessions.sql")


class OwnSession(msgspec.Struct, frozen=True, kw_only=True):
    """One login that lives: how it was proved last, and when it was last begun or renewed."""

    id: UUID
    current: bool
    authentication: Authentication
    began_at: datetime
    used_at: datetime | None
    network: NetworkKind | None


class OwnSessions:
    """Lists and ends the sessions of who asks, and of nobody else."""

    def __init__(
        self, replay: Replay, *, sessions: Sessions, audit: AuditTrail, clock: Clock
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._audit = audit
        self._clock = clock

    async def list(self, token: VerifiedToken) -> tuple[OwnSession, ...]:
        """The newest login first, at most `LIST_LIMIT`."""
        async with self._replay.pool.tenant_read(token.tenant) as tx:
            rows = await tx.fetch(_SQL["list"], token.user, now_utc(self._clock), LIST_LIMIT)
        return tuple(
            OwnSession(
                id=row["id"],
                current=row["id"] == token.session,
                authentication=Authentication(row["authentication"]),
                began_at=row["expires_at"] - timedelta(seconds=ABSOLUTE_LIMIT_S),
                used_at=row["used_at"],
                network=NetworkKind(row["network_kind"]) if row["network_kind"] else None,
            )
            for row in rows
        )

    async def end(self, token: VerifiedToken, session: UUID) -> None:
        """End one; raises `IDENTITY_UNKNOWN` for what is no living session of this person."""
        if not await self._ended(token, "end_one", session):
            raise IDENTITY_UNKNOWN.error(kind="session", name=str(session))

    async def end_others(self, token: VerifiedToken) -> int:
        """End all but the one that asks; how many there were."""
        return len(await self._ended(token, "end_others", token.session))

    async def _ended(self, token: VerifiedToken, query: str, session: UUID) -> tuple[UUID, ...]:
        """One audit event for each; their tokens are refused everywhere from now on."""

        async def apply(tx: TenantTransaction) -> tuple[UUID, ...]:
            rows = await tx.fetch(_SQL[query], session, token.user, now_utc(self._clock))
            ended = tuple(row["id"] for row in rows)
            for each in ended:
                event = AuditEvent(
                    actor=f"user:{token.user}",
                    action=AuditAction.SESSION_ENDED,
                    subject=f"session:{each}",
                    details={"reason": "logout", "from": f"session:{token.session}"},
                )
                await self._audit.add(tx, event)
            return ended

        ended = await self._replay.once(token.tenant, apply)
        if ended:
            await self._sessions.refuse_tokens(Revocation(sessions=ended))
        return ended
