"""Sessions: opened by a proof, continued by rotating refresh tokens, ended by anything suspicious.

A refresh token is used once. Who presents a used one again is one of three:

* the same program whose answer was lost: within `RACE_WINDOW_S`, with the same request key, and while
  nobody used the successor, it gets the same successor once more;
* a second tab within the same seconds: it is asked to repeat with what the first one got;
* a thief: then the whole session ends for both.

Without what the session is bound to - a cookie's secret or a key's signature - a refresh token is
nothing: it is refused, and stays as it was for its owner.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.events import RaisedEpoch
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory, TenantId, UserId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Authentication, Confirmation, RateClaims
from aitrading.core.security.crypto import same, sha256
from aitrading.core.security.errors import TOKEN_REFUSED
from aitrading.server.api_gateway.identity import refresh_tokens
from aitrading.server.api_gateway.identity.errors import LOGIN_REFUSED, REFRESH_RACED
from aitrading.server.api_gateway.identity.login_rules import LoginRules, Rules
from aitrading.server.api_gateway.identity.model import SCOPES, Person, Role, after, as_ns
from aitrading.server.api_gateway.identity.networks import Seen, seen_from
from aitrading.server.api_gateway.identity.refresh_tokens import SECRET_BYTES, RefreshToken
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.authority.tokens import IssuedToken, TokenGrant, UserTokenIssuer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail, Outcome
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import Row, TenantTransaction
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import opened_user

IDLE_LIMIT_S: Final = 7 * 24 * 3600
ABSOLUTE_LIMIT_S: Final = 30 * 24 * 3600
RACE_WINDOW_S: Final = 10
STALE_PROOF: Final = timedelta(days=1)
"""A proof so old is fresh enough for nothing, whatever `step_up.max_age_s` is."""
Announce = Callable[[Revocation], Awaitable[None]]
"""Tells every process to refuse tokens; never raises."""
PACKAGE: Final = "aitrading.server.api_gateway.identity"
_SQL: Final = Queries.load(PACKAGE, "sql/sessions.sql")
_LOGIN: Final = Queries.load(PACKAGE, "sql/login.sql")


@dataclass(frozen=True, kw_only=True)
class SessionTickets:
    """What a person gets: proof for 15 minutes, and the right to ask for the next one."""

    person: Person
    access: IssuedToken
    refresh: Secret[str]
    grant: TokenGrant
    """What the access token was issued for."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What counts for a person's tokens when they are issued."""

    entitlement_version: int
    user_epoch: int
    tenant_epoch: int
    rates: RateClaims


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What came with a refresh token."""

    shown: Confirmation | None = None
    """What the holder showed: the secret of the session's cookie, or a key."""
    request_key: str | None = None
    """The same in a repeated request, and nobody else's secret."""
    network: str = ""


@dataclass(frozen=True, kw_only=True)
class _Binding:
    """As the session's row keeps it."""

    kind: str | None
    value: str | None

    @classmethod
    def of(cls, shown: Confirmation | None) -> "_Binding":
        if shown is None:
            return cls(kind=None, value=None)
        if shown.jkt is not None:
            return cls(kind="key", value=shown.jkt)
        return cls(kind="cookie", value=shown.session_s256)


class _Refusal(Enum):
    RACED = auto()
    REUSED = auto()
    UNKNOWN = auto()
    OUTSIDE = auto()
    """From a network that is not allowed; nothing is used up, the session waits inside."""


_REFUSED: Final = {
    _Refusal.UNKNOWN: AuditAction.REFRESH_REFUSED,
    _Refusal.OUTSIDE: AuditAction.NETWORK_REFUSED,
}


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
        rules: LoginRules,
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
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    async def open(
        self, tx: TenantTransaction, user: UUID, how: Authentication, *, network: str = ""
    ) -> SessionTickets:
        """Open a session in the running transaction.

        Raises `LOGIN_REFUSED` for who is suspended, or comes from a network that is not allowed.
        """
        if not await hold_active(tx):
            raise LOGIN_REFUSED.error()
        rules = await self._rules.of(tx)
        rules.require_inside(network, how)
        person, standing = await self.person(tx, user)
        session, begins = self._ids.new(), now_utc(self._clock)
        seen = seen_from(network, await self._keys.of(tx))
        await tx.execute(
            _SQL["insert_session"],
            session,
            user,
            how,
            begins,
            after(self._clock, IDLE_LIMIT_S),
            after(self._clock, ABSOLUTE_LIMIT_S),
            seen.kind,
            seen.index,
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
        grant = _grant(person, session, how, as_ns(begins), standing, rules)
        if how is Authentication.HOST:  # who commands the host commands the list too
            grant = replace(grant, networks=())
        return self._tickets(person, refresh, grant)

    async def bind(self, tickets: SessionTickets, binding: Confirmation) -> SessionTickets:
        """Bind a new session to what its holder will show, before its first token leaves.

        The binding is for good. Raises `TOKEN_REFUSED` for a session that ended or is bound to
        something else.
        """
        grant, kept = replace(tickets.grant, binding=binding), _Binding.of(binding)

        async def apply(tx: TenantTransaction) -> bool:
            row = await tx.fetch_row(_SQL["bind_session"], grant.session, kept.kind, kept.value)
            return row is not None

        if not await self._replay.run(grant.tenant, apply, idempotent=True):
            raise TOKEN_REFUSED.error()
        return self._tickets(tickets.person, tickets.refresh, grant)

    async def refresh(self, token: Secret[str], renewal: Renewal) -> SessionTickets:
        """Exchange a refresh token for the next pair; parallel callers get one pair at most.

        Raises `REFRESH_RACED` for the others and `TOKEN_REFUSED` for everything else.
        """
        parsed = refresh_tokens.parsed(token)
        outcome = await self._replay.once(
            parsed.tenant, lambda tx: self._rotate(tx, parsed, renewal)
        )
        if isinstance(outcome, SessionTickets):
            return outcome
        if outcome is _Refusal.RACED:
            raise REFRESH_RACED.error()
        if outcome is _Refusal.REUSED:
            await self._announce(Revocation(sessions=(parsed.session,)))
        else:
            await self._refusals.note(
                Refused(
                    action=_REFUSED[outcome],
                    tenant=parsed.tenant,
                    subject=f"session:{parsed.session}",
                    target=parsed.tenant.bytes,
                    address=renewal.network,
                    kind="refresh",
                )
            )
        raise TOKEN_REFUSED.error()

    async def end(
        self, tenant: TenantId, user: UserId, session: UUID, reason: str = "logout"
    ) -> None:
        """End one session; ending an ended one changes nothing."""

        async def apply(tx: TenantTransaction) -> None:
            if await self._end(tx, session, reason):
                await self._audit.add(tx, _ended(user, session, reason))

        await self._replay.run(tenant, apply, idempotent=True)
        await self._announce(Revocation(sessions=(session,)))

    async def end_replaced(self, token: Secret[str], shown: Confirmation) -> None:
        """End the session that a browser had, because another one begins in it.

        What does not prove that session - an unknown token, another secret - ends nothing.
        """
        try:
            parsed = refresh_tokens.parsed(token)
        except AitradingError:
            return
        bound = _Binding.of(shown)

        async def apply(tx: TenantTransaction) -> bool:
            proved = (parsed.session, parsed.hash, now_utc(self._clock), bound.kind, bound.value)
            row = await tx.fetch_row(_SQL["end_replaced_session"], *proved)
            if row is not None:
                await self._audit.add(tx, _ended(row["user_id"], parsed.session, "replaced"))
            return row is not None

        if await self._replay.run(parsed.tenant, apply, idempotent=True):
            await self._announce(Revocation(sessions=(parsed.session,)))

    async def end_all(
        self, tx: TenantTransaction, user: UUID, reason: str, *, keep: UUID | None = None
    ) -> Revocation:
        """End every session of a user in the running transaction; tell `refuse_tokens` after it.

        Raises the person's epoch too, so that no token from before counts, whoever issued it. A
        session to `keep` lives on: its holder renews the token, and goes on with a new one.
        """
        moment = now_utc(self._clock)
        rows = await tx.fetch(_SQL["end_sessions_of_user"], user, moment, reason, keep)
        raised = await tx.fetch(_SQL["raise_user_epoch"], user, moment)
        return Revocation(
            sessions=tuple(row["id"] for row in rows),
            users=tuple(RaisedEpoch(id=row["id"], epoch=row["token_epoch"]) for row in raised),
        )

    async def refuse_tokens(self, revoked: Revocation) -> None:
        """Refuse the access tokens that a committed transaction revoked."""
        await self._announce(revoked)

    async def person(self, tx: TenantTransaction, user: UUID) -> tuple[Person, Standing]:
        """The person with what counts for their tokens now; raises `LOGIN_REFUSED`."""
        row = await tx.fetch_row(_LOGIN["find_user"], user)
        if row is None or row["state"] != "active" or row["tenant_state"] != "active":
            raise LOGIN_REFUSED.error()
        person = person_of(opened_user(row, await self._keys.of(tx)), tx.tenant)
        standing = Standing(
            entitlement_version=row["entitlement_version"],
            user_epoch=row["user_epoch"],
            tenant_epoch=row["tenant_epoch"],
            rates=_rates(row),
        )
        return person, standing

    async def _rotate(
        self, tx: TenantTransaction, token: RefreshToken, renewal: Renewal
    ) -> SessionTickets | _Refusal:
        if not await hold_active(tx):
            return _Refusal.UNKNOWN
        if not (await self._rules.of(tx)).admit(renewal.network):
            is_right = await self._would_count(tx, token, renewal)
            return _Refusal.OUTSIDE if is_right else _Refusal.UNKNOWN
        moment, bound = now_utc(self._clock), _Binding.of(renewal.shown)
        salt = self._randomness.token(SECRET_BYTES)
        secret = refresh_tokens.successor(
            salt, renewal.request_key or self._randomness.token(SECRET_BYTES).hex()
        )
        used = await tx.fetch_row(
            _SQL["use_refresh_token"],
            token.session,
            token.hash,
            moment,
            bound.kind,
            bound.value,
            salt,
            sha256(secret),
        )
        if used is None:
            return await self._refuse(tx, token, renewal)
        await tx.execute(_SQL["insert_refresh_token"], token.session, sha256(secret))
        return await self._continued(tx, token.session, secret, renewal)

    async def _would_count(
        self, tx: TenantTransaction, token: RefreshToken, renewal: Renewal
    ) -> bool:
        """Whether it is right but for the network: the trail does not take a stranger's word."""
        bound = _Binding.of(renewal.shown)
        row = await tx.fetch_row(
            _SQL["find_refresh_token"], token.session, token.hash, bound.kind, bound.value
        )
        return row is not None and bool(row["is_bound_so"]) and row["used_at"] is None

    async def _continued(
        self, tx: TenantTransaction, session: UUID, secret: bytes, renewal: Renewal
    ) -> SessionTickets | _Refusal:
        moment, seen = now_utc(self._clock), seen_from(renewal.network, await self._keys.of(tx))
        row = await tx.fetch_row(
            _SQL["continue_session"],
            session,
            moment,
            after(self._clock, IDLE_LIMIT_S),
            seen.kind,
            seen.index,
            moment - STALE_PROOF,
        )
        if row is None:
            return _Refusal.UNKNOWN
        if row["moved"]:
            await self._audit.add(tx, _moved(row["user_id"], session, seen))
        person, standing = await self.person(tx, row["user_id"])
        how = Authentication(row["authentication"])
        rules, proved_ns = await self._rules.of(tx), as_ns(row["authenticated_at"])
        grant = _grant(person, session, how, proved_ns, standing, rules)
        return self._tickets(
            person,
            refresh_tokens.spelled(tx.tenant, session, secret),
            replace(grant, binding=renewal.shown),
        )

    async def _refuse(
        self, tx: TenantTransaction, token: RefreshToken, renewal: Renewal
    ) -> SessionTickets | _Refusal:
        bound = _Binding.of(renewal.shown)
        row = await tx.fetch_row(
            _SQL["find_refresh_token"], token.session, token.hash, bound.kind, bound.value
        )
        if row is None or not row["is_bound_so"] or row["used_at"] is None:
            return _Refusal.UNKNOWN
        if self._is_race(row["used_at"]):
            if renewal.request_key is not None and row["successor"] is not None:
                secret = refresh_tokens.successor(row["successor_salt"], renewal.request_key)
                if same(sha256(secret), row["successor"]):
                    return await self._continued(tx, token.session, secret, renewal)
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

    def _is_race(self, used_at: datetime) -> bool:
        """Whether it was used within the window; a use that is yet to come tells of no second tab.

        The clock was set back since, and a thief would be taken for a tab as long as it is behind.
        """
        return abs(now_utc(self._clock) - used_at) <= timedelta(seconds=RACE_WINDOW_S)

    def _tickets(self, person: Person, refresh: Secret[str], grant: TokenGrant) -> SessionTickets:
        return SessionTickets(
            person=person, access=self._issuer.issue(grant), refresh=refresh, grant=grant
        )

    async def _end(self, tx: TenantTransaction, session: UUID, reason: str) -> bool:
        row = await tx.fetch_row(_SQL["end_session"], session, now_utc(self._clock), reason)
        return row is not None

    async def _new_refresh_token(self, tx: TenantTransaction, session: UUID) -> Secret[str]:
        secret = self._randomness.token(SECRET_BYTES)
        await tx.execute(_SQL["insert_refresh_token"], session, sha256(secret))
        return refresh_tokens.spelled(tx.tenant, session, secret)


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
    person: Person,
    session: UUID,
    how: Authentication,
    authenticated_ns: int,
    standing: Standing,
    rules: Rules,
) -> TokenGrant:
    return TokenGrant(
        tenant=TenantId(person.tenant),
        user=UserId(person.user),
        session=session,
        scopes=rules.scopes(SCOPES[person.role], how),
        authentication=how,
        authenticated_ns=authenticated_ns,
        entitlement_version=standing.entitlement_version,
        user_epoch=standing.user_epoch,
        tenant_epoch=standing.tenant_epoch,
        rates=standing.rates,
        networks=rules.networks,
    )


def _ended(user: UUID, session: UUID, reason: str) -> AuditEvent:
    return AuditEvent(
        actor=f"user:{user}",
        action=AuditAction.SESSION_ENDED,
        subject=f"session:{session}",
        details={"reason": reason},
    )


def _moved(user: UUID, session: UUID, seen: Seen) -> AuditEvent:
    """It may be a train, or a thief: the session goes on, and danger asks who it is."""
    return AuditEvent(
        actor=f"user:{user}",
        action=AuditAction.SESSION_NETWORK_CHANGED,
        subject=f"session:{session}",
        details={"network": "unknown" if seen.kind is None else str(seen.kind)},
    )


def _rates(row: Row) -> RateClaims:
    granted = msgspec.json.decode(row["granted_limits"] or b"{}", type=dict[str, int])
    return RateClaims(plan=row["plan"] or "", tier=row["own_tier"] or "", granted=granted)
