"""A person's own new password: the old one is asked for, and whoever else is logged in is out.

It costs a guesser of the old password what a login costs, in the same throttle as a fresh proof.
"""

from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.secret import Secret
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.api_gateway.identity.factors.errors import PROOF_REFUSED
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.api_gateway.identity.throttle import LoginThrottle
from aitrading.server.authority.passwords import PASSWORD_TOO_WEAK, PasswordHasher, require_strong
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import opened_user

_SQL: Final = Queries.load(PACKAGE, "sql/own_password.sql")


class OwnPassword:
    """Replaces the password of who is logged in."""

    def __init__(
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        hasher: PasswordHasher,
        throttle: LoginThrottle,
        keys: FieldKeys,
        refusals: Refusals,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._hasher = hasher
        self._throttle = throttle
        self._keys = keys
        self._refusals = refusals
        self._audit = audit
        self._clock = clock

    async def change(
        self, token: VerifiedToken, old: Secret[str], new: Secret[str], *, network: str
    ) -> int:
        """Replace it, and tell how many other sessions ended; this one goes on with a new token.

        Raises `PASSWORD_TOO_WEAK` before the old one is looked at, so that nobody learns whether it
        was right without changing it; `PROOF_REFUSED` or `LOGIN_THROTTLED` for a wrong one.
        """
        async with self._throttle.guess(token.user.bytes, network):
            stored = await self._judged(token, old, new)
            matches = await self._hasher.verify(old, stored)
            ended = await self._replaced(token, stored, new) if matches else None
            if ended is None:
                self._throttle.failed(token.user.bytes, network)
                await self._refuse(token, network)
                raise PROOF_REFUSED.error()
            self._throttle.succeeded(token.user.bytes, network)
        await self._sessions.refuse_tokens(ended)
        return len(ended.sessions)

    async def _judged(
        self, token: VerifiedToken, old: Secret[str], new: Secret[str]
    ) -> str | None:
        """What is stored, once the new password is good enough to replace it."""
        async with self._replay.pool.tenant_read(token.tenant) as tx:
            row = await tx.fetch_row(_SQL["names_around"], token.user)
            if row is None:
                return None
            known = opened_user(row, await self._keys.of(tx))
        require_strong(
            new, login_name=known["name"], names=(known["display_name"], known["tenant_name"])
        )
        if new.reveal() == old.reveal():
            raise PASSWORD_TOO_WEAK.error(reason="it is the one that you have")
        stored: str | None = known["password_hash"]
        return stored

    async def _replaced(
        self, token: VerifiedToken, stored: str | None, new: Secret[str]
    ) -> Revocation | None:
        """None if another password counts by now, or this session does not any more."""
        digest = await self._hasher.hash(new)

        async def apply(tx: TenantTransaction) -> Revocation | None:
            if not await hold_active(tx):
                return None
            changed = await tx.fetch_row(_SQL["replace_password"], token.user, digest, stored)
            moment = now_utc(self._clock)
            lives = await tx.fetch_value(_SQL["session_lives"], token.session, token.user, moment)
            if changed is None:
                return None
            if not lives:
                raise PROOF_REFUSED.error()
            await tx.execute(_SQL["forget_login_links"], token.user)
            await tx.execute(_SQL["forget_challenges"], token.user)
            ended = await self._sessions.end_all(tx, token.user, "password", keep=token.session)
            event = AuditEvent(
                actor=f"user:{token.user}",
                action=AuditAction.USER_PASSWORD_CHANGED,
                subject=f"user:{token.user}",
                details={"sessions_ended": len(ended.sessions)},
            )
            await self._audit.add(tx, event)
            return ended

        return await self._replay.once(token.tenant, apply)

    async def _refuse(self, token: VerifiedToken, network: str) -> None:
        refused = Refused(
            action=AuditAction.PASSWORD_CHANGE_REFUSED,
            tenant=token.tenant,
            subject=f"user:{token.user}",
            target=token.user.bytes,
            address=network,
            kind="password",
            tenant_is_claimed=False,
        )
        await self._refusals.note(refused)


async def names_around(tx: TenantTransaction, keys: FieldKeys, user: UUID) -> tuple[str, ...]:
    """What a person and the organisation are called: no part of a good password."""
    row = await tx.fetch_row(_SQL["names_around"], user)
    if row is None:
        return ()
    known = opened_user(row, await keys.of(tx))
    return known["name"], known["display_name"], known["tenant_name"]
