"""Sessions: opened by a proof, continued by rotating refresh tokens, ended by anything suspicious.

A refresh token is used once. Who presents a used one again is either a second tab within the same
seconds - it is asked to repeat - or a thief, and then the whole session ends for both.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import IdFactory, TenantId, UserId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Authentication
from aitrading.core.security.crypto import sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.server.api_gateway.identity.errors import LOGIN_REFUSED, REFRESH_RACED
from aitrading.server.api_gateway.identity.model import SCOPES, Person, Role, after, as_ns
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.authority.tokens import IssuedToken, TokenGrant, UserTokenIssuer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import opened_user

IDLE_LIMIT_S: Final = 7 * 24 * 3600
ABSOLUTE_LIMIT_S: Final = 30 * 24 * 3600
RACE_WINDOW_S: Final = 10
SECRET_BYTES: Final = 32
UUID_BYTES: Final = 16
Announce = Callable[[Sequence[UUID]], Awaitable[None]]
"""Tells every process to refuse the tokens of sessions that ended; never raises."""
PACKAGE: Final = "aitrading.server.api_gateway.identity"
_SQL: Final = Queries.load(PACKAGE, "sql/sessions.sql")
_LOGIN: Final = Queries.load(PACKAGE, "sql/login.sql")


@dataclass(frozen=True, kw_only=True)
class SessionTickets:
    """What a person gets: proof for 15 minutes, and the right to ask for the next one."""

    person: Person
    access: IssuedToken
    refresh: Secret[str]


@dataclass(frozen=True, kw_only=True)
class _RefreshToken:
    tenant: TenantId
    session: UUID
    hash: bytes


class _Refusal(Enum):
    RACED = auto()
    REUSED = auto()
    UNKNOWN = auto()


class Sessions:
    """Opens, continues and ends sessions."""

    def __init__(  # noqa: PLR0913 - the meeting point of identity's parts
        self,
        replay: Replay,
        *,
        issuer: UserTokenIssuer,
        audit: AuditTrail,
        announce: Announce,
        keys: FieldKeys,
        refusals: Refusals,
        clock: Clock,
        ids: IdFactory,
        randomness: Randomness,
    ) -> None:
        self._replay = replay
        self._issuer = issuer
        self._audit = audit
        self._announce = announce
        self._keys = keys
        self._refusals = refusals
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    async def open(self, tx: TenantTransaction, user: UUID, how: Authentication) -> SessionTickets:
        """Open a session in the running transaction; raises `LOGIN_REFUSED` for who is suspended."""
        if not await hold_active(tx):
            raise LOGIN_REFUSED.error()
        person, entitlement = await self.person(tx, user)
        session, begins = self._ids.new(), now_utc(self._clock)
        await tx.execute(
            _SQL["insert_session"],
            session,
            user,
            how,
            begins,
            after(self._clock, IDLE_LIMIT_S),
            after(self._clock, ABSOLUTE_LIMIT_S),
        )
        refresh = await self._new_refresh_token(tx, session)
        await self._audit.add(
            tx,
            AuditEvent(
                actor=f"user:{user}",
                action=AuditAction.SESSION_OPENED,
                subject=f"session:{session}",
                details={"authentication": str(how)},
            ),
        )
        grant = _grant(person, session, how, as_ns(begins), entitlement)
        return SessionTickets(person=person, access=self._issuer.issue(grant), refresh=refresh)

    async def refresh(self, token: Secret[str], *, network: str = "") -> SessionTickets:
        """Exchange a refresh token for the next pair; exactly one of parallel callers succeeds.

        Raises `REFRESH_RACED` for the others and `TOKEN_REFUSED` for everything else.
        """
        parsed = _parse(token)
        outcome = await self._replay.once(parsed.tenant, lambda tx: self._rotate(tx, parsed))
        if isinstance(outcome, SessionTickets):
            return outcome
        if outcome is _Refusal.RACED:
            raise REFRESH_RACED.error()
        if outcome is _Refusal.REUSED:
            await self._announce([parsed.session])
        else:
            await self._refusals.note(
                Refused(
                    action=AuditAction.REFRESH_REFUSED,
                    tenant=parsed.tenant,
                    subject=f"session:{parsed.session}",
                    target=parsed.tenant.bytes,
                    address=network,
                    kind="refresh",
                )
            )
        raise TOKEN_REFUSED.error()

    async def end(self, tenant: TenantId, user: UserId, session: UUID) -> None:
        """Log out; ending an ended session changes nothing."""

        async def apply(tx: TenantTransaction) -> None:
            if await self._end(tx, session, "logout"):
                await self._audit.add(
                    tx,
                    AuditEvent(
                        actor=f"user:{user}",
                        action=AuditAction.SESSION_ENDED,
                        subject=f"session:{session}",
                    ),
                )

        await self._replay.run(tenant, apply, idempotent=True)
        await self._announce([session])

    async def end_all(self, tx: TenantTransaction, user: UUID, reason: str) -> list[UUID]:
        """End every session of a user in the running transaction; tell `refuse_tokens` after it."""
        rows = await tx.fetch(_SQL["end_sessions_of_user"], user, now_utc(self._clock), reason)
        return [row["id"] for row in rows]

    async def refuse_tokens(self, sessions: list[UUID]) -> None:
        """Refuse the access tokens of sessions that a committed transaction ended."""
        await self._announce(sessions)

    async def person(self, tx: TenantTransaction, user: UUID) -> tuple[Person, int]:
        """The person with the version of the tenant's entitlement; raises `LOGIN_REFUSED`."""
        row = await tx.fetch_row(_LOGIN["find_user"], user)
        if row is None or row["state"] != "active" or row["tenant_state"] != "active":
            raise LOGIN_REFUSED.error()
        person = person_of(opened_user(row, await self._keys.of(tx)), tx.tenant)
        return person, int(row["entitlement_version"])

    async def _rotate(
        self, tx: TenantTransaction, token: _RefreshToken
    ) -> SessionTickets | _Refusal:
        if not await hold_active(tx):
            return _Refusal.UNKNOWN
        moment = now_utc(self._clock)
        used = await tx.fetch_row(_SQL["use_refresh_token"], token.session, token.hash, moment)
        if used is None:
            return await self._refuse(tx, token)
        row = await tx.fetch_row(
            _SQL["continue_session"], token.session, moment, after(self._clock, IDLE_LIMIT_S)
        )
        if row is None:
            return _Refusal.UNKNOWN
        person, entitlement = await self.person(tx, row["user_id"])
        how = Authentication(row["authentication"])
        authenticated_ns = as_ns(row["authenticated_at"])
        refresh = await self._new_refresh_token(tx, token.session)
        grant = _grant(person, token.session, how, authenticated_ns, entitlement)
        return SessionTickets(person=person, access=self._issuer.issue(grant), refresh=refresh)

    async def _refuse(self, tx: TenantTransaction, token: _RefreshToken) -> _Refusal:
        row = await tx.fetch_row(_SQL["find_refresh_token"], token.session, token.hash)
        if row is None:
            return _Refusal.UNKNOWN
        if now_utc(self._clock) - row["used_at"] <= timedelta(seconds=RACE_WINDOW_S):
            return _Refusal.RACED
        await self._end(tx, token.session, "refresh_reuse")
        await self._audit.add(
            tx,
            AuditEvent(
                actor="unknown",
                action=AuditAction.REFRESH_REUSED,
                subject=f"session:{token.session}",
                outcome=Outcome.DENIED,
            ),
        )
        return _Refusal.REUSED

    async def _end(self, tx: TenantTransaction, session: UUID, reason: str) -> bool:
        row = await tx.fetch_row(_SQL["end_session"], session, now_utc(self._clock), reason)
        return row is not None

    async def _new_refresh_token(self, tx: TenantTransaction, session: UUID) -> Secret[str]:
        secret = self._randomness.token(SECRET_BYTES)
        await tx.execute(_SQL["insert_refresh_token"], session, sha256(secret))
        return Secret(base64url_encode(tx.tenant.bytes + session.bytes + secret))


def person_of(row: dict[str, Any], tenant: TenantId) -> Person:
    """An opened row of `find_user` as the API shows it."""
    role = Role(row["role"])
    return Person(
        user=row["id"],
        tenant=tenant,
        tenant_name=row["tenant_name"],
        name=row["name"],
        display_name=row["display_name"],
        role=role,
        scopes=tuple(sorted(SCOPES[role])),
    )


def _grant(
    person: Person, session: UUID, how: Authentication, authenticated_ns: int, entitlement: int
) -> TokenGrant:
    return TokenGrant(
        tenant=TenantId(person.tenant),
        user=UserId(person.user),
        session=session,
        scopes=SCOPES[person.role],
        authentication=how,
        authenticated_ns=authenticated_ns,
        entitlement_version=entitlement,
    )


def _parse(token: Secret[str]) -> _RefreshToken:
    try:
        raw = base64url_decode(token.reveal())
    except ValueError as exc:
        raise TOKEN_REFUSED.error() from exc
    if len(raw) != 2 * UUID_BYTES + SECRET_BYTES:
        raise TOKEN_REFUSED.error()
    return _RefreshToken(
        tenant=TenantId(UUID(bytes=raw[:UUID_BYTES])),
        session=UUID(bytes=raw[UUID_BYTES : 2 * UUID_BYTES]),
        hash=sha256(raw[2 * UUID_BYTES :]),
    )
