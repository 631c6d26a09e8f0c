"""Keys that a person made for programs: they end when the person loses what they allow."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import Row, TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import opened_user

_SQL: Final = Queries.load(PACKAGE, "sql/api_keys.sql")
_PEOPLE: Final = Queries.load(PACKAGE, "sql/administration.sql")


class KeysOfMaker(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the keys of a person whose rights changed, by the names of their programs."""

    keys_ended: tuple[str, ...] = ()
    keys_kept: tuple[str, ...] = ()
    """They allow nothing that the person may not do any more."""
    keys_of_unknown_makers: int = 0
    """Made before makers were kept: nobody ends them but you."""


class MadeKeys:
    """Ends them in a transaction that changes a person."""

    def __init__(self, sessions: Sessions, *, keys: FieldKeys, audit: AuditTrail) -> None:
        self._sessions = sessions
        self._keys = keys
        self._audit = audit

    async def end(
        self,
        tx: TenantTransaction,
        maker: UUID,
        left: frozenset[Scope],
        *,
        moment: datetime,
        actor: str,
    ) -> tuple[KeysOfMaker, Revocation]:
        """End every key that allows more than is `left` to its maker; tell the rest."""
        rows = await tx.fetch(_SQL["live_keys_of_maker"], f"user:{maker}", moment)
        lost = [row for row in rows if not left.issuperset(map(Scope, row["scopes"]))]
        revoked = Revocation()
        for row in lost:
            ended = await self._end(tx, row, moment=moment, actor=actor)
            revoked = Revocation(
                sessions=revoked.sessions + ended.sessions, users=revoked.users + ended.users
            )
        unknown = await tx.fetch_value(_SQL["count_keys_of_unknown_makers"], moment)
        fields = await self._keys.of(tx)
        told = KeysOfMaker(
            keys_ended=tuple(opened_user(row, fields)["name"] for row in lost),
            keys_kept=tuple(opened_user(row, fields)["name"] for row in rows if row not in lost),
            keys_of_unknown_makers=int(unknown),
        )
        return told, revoked

    async def _end(
        self, tx: TenantTransaction, row: Row, *, moment: datetime, actor: str
    ) -> Revocation:
        await tx.execute(_SQL["revoke_api_key"], row["key"], moment)
        await tx.execute(_PEOPLE["set_user_state"], row["user_id"], "suspended")
        event = AuditEvent(
            actor=actor,
            action=AuditAction.PROGRAM_KEY_REVOKED,
            subject=f"api_key:{row['key']}",
            details={"reason": "its maker may not do this any more"},
        )
        await self._audit.add(tx, event)
        return await self._sessions.end_all(tx, row["user_id"], "suspended")
