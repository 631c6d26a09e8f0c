"""The second step of a login: a challenge that only this step takes, for a code or a key's answer.

After the password a person who has a second factor gets no session, and no token that anything
else would accept: only a secret that names a row, for five minutes, five tries and one session.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Authentication
from aitrading.core.security.crypto import sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.server.api_gateway.identity.errors import LOGIN_REFUSED
from aitrading.server.api_gateway.identity.factors.codes import SQL, Checked, Codes
from aitrading.server.api_gateway.identity.factors.errors import SECOND_FACTOR_REFUSED
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigin
from aitrading.server.api_gateway.identity.factors.key_shapes import SignedByKey, SignOptions
from aitrading.server.api_gateway.identity.factors.keys import Bond, Purpose, SecurityKeys
from aitrading.server.api_gateway.identity.login_rules import LoginRules, noted_as
from aitrading.server.api_gateway.identity.model import after
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import Sessions, SessionTickets
from aitrading.server.api_gateway.identity.tenants import hold_active
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

LIFETIME_S: Final = 5 * 60
MAX_ATTEMPTS: Final = 5
SECRET_BYTES: Final = 32
UUID_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """The first proof was right; this and a code, or a key's answer, make a session."""

    secret: Secret[str]
    has_key: bool
    """Whether the person has a security key that may answer instead of a code."""
    lifetime_s: int = LIFETIME_S


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    user: UUID | None
    checked: Checked
    action: AuditAction = AuditAction.SECOND_FACTOR_REFUSED


Check = Callable[[TenantTransaction, UUID, bytes], Awaitable[Checked]]
"""Looks at a proof of a person, for the login with this digest."""


class SecondStep:
    """Asks for a second factor where a person has one, and opens the session for it."""

    def __init__(
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        codes: Codes,
        security_keys: SecurityKeys,
        refusals: Refusals,
        rules: LoginRules,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._codes = codes
        self._security_keys = security_keys
        self._refusals = refusals
        self._rules = rules
        self._clock = clock
        self._randomness = randomness

    async def enter(
        self, tx: TenantTransaction, user: UUID, how: Authentication, *, network: str
    ) -> SessionTickets | Challenge:
        """A session for who has no second factor, else a challenge; raises `LOGIN_REFUSED`."""
        if not await tx.fetch_value(SQL["has_factor"], user):
            return await self._sessions.open(tx, user, how, network=network)
        (await self._rules.of(tx)).require_inside(network)
        await self._sessions.person(tx, user)  # who may not log in learns no more with a factor
        secret = self._randomness.token(SECRET_BYTES)
        ends = after(self._clock, LIFETIME_S)
        await tx.execute(SQL["insert_challenge"], sha256(secret), user, ends)
        has_key: bool = await tx.fetch_value(SQL["has_key"], user)
        spelled = base64url_encode(tx.tenant.bytes + secret)
        return Challenge(secret=Secret(spelled), has_key=has_key)

    async def by_code(
        self, challenge: Secret[str], code: Secret[str], *, network: str
    ) -> SessionTickets:
        """Open the session that waits; raises `SECOND_FACTOR_REFUSED` or `…_THROTTLED`."""

        async def check(tx: TenantTransaction, user: UUID, _login: bytes) -> Checked:
            return await self._codes.check(tx, user, code)

        return await self._finished(challenge, check, kind="code", network=network)

    async def by_key(
        self, challenge: Secret[str], answer: SignedByKey, origin: KeyOrigin, *, network: str
    ) -> SessionTickets:
        """The same for what a security key signed; raises `SECOND_FACTOR_REFUSED`."""

        async def check(tx: TenantTransaction, user: UUID, login: bytes) -> Checked:
            return await self._security_keys.check(tx, user, _bond(login), origin, answer)

        return await self._finished(challenge, check, kind="key", network=network)

    async def ask_key(self, challenge: Secret[str], origin: KeyOrigin) -> SignOptions:
        """What the person's keys are to sign for this login.

        Raises `SECOND_FACTOR_REFUSED`, or `KEYS_NOT_HERE` for who has no key for this page.
        """
        tenant, digest = _parsed(challenge)

        async def apply(tx: TenantTransaction) -> SignOptions | None:
            moment = now_utc(self._clock)
            user: UUID | None = await tx.fetch_value(
                SQL["find_open_challenge"], digest, moment, MAX_ATTEMPTS
            )
            if user is None:
                return None
            return await self._security_keys.ask(tx, user, _bond(digest), origin)

        options = await self._replay.once(tenant, apply)
        if options is None:
            raise SECOND_FACTOR_REFUSED.error()
        return options

    async def _finished(
        self, challenge: Secret[str], check: Check, *, kind: str, network: str
    ) -> SessionTickets:
        tenant, digest = _parsed(challenge)

        async def apply(tx: TenantTransaction) -> SessionTickets | _Refusal:
            user = await self._held(tx, digest)
            if user is None:
                return _Refusal(user=None, checked=Checked())
            checked = await check(tx, user, digest)
            if checked.kind is None:
                return _Refusal(user=user, checked=checked)
            await tx.execute(SQL["use_challenge"], digest, now_utc(self._clock))
            return await self._sessions.open(tx, user, Authentication.MFA, network=network)

        outcome = await self._entered(tenant, apply)
        if isinstance(outcome, SessionTickets):
            return outcome
        await self._note(tenant, outcome, kind, network)
        outcome.checked.require()
        raise SECOND_FACTOR_REFUSED.error()

    async def _held(self, tx: TenantTransaction, digest: bytes) -> UUID | None:
        """Whose login waits, one try fewer; the order of locks is that of every other change."""
        if not await hold_active(tx):
            return None
        user: UUID | None = await tx.fetch_value(SQL["find_challenge"], digest)
        if user is None:
            return None
        await tx.fetch_row(SQL["hold_person"], user)
        moment = now_utc(self._clock)
        tried = await tx.fetch_row(SQL["try_challenge"], digest, moment, MAX_ATTEMPTS)
        return None if tried is None else user

    async def _entered(
        self,
        tenant: TenantId,
        apply: Callable[[TenantTransaction], Awaitable[SessionTickets | _Refusal]],
    ) -> SessionTickets | _Refusal:
        """Who was locked out since the first step gets the answer of a wrong code."""
        try:
            return await self._replay.once(tenant, apply)
        except AitradingError as exc:
            if exc.spec is not LOGIN_REFUSED:
                raise
            action = noted_as(exc, AuditAction.SECOND_FACTOR_REFUSED)
            return _Refusal(user=None, checked=Checked(), action=action)

    async def _note(self, tenant: TenantId, refusal: _Refusal, kind: str, network: str) -> None:
        user = refusal.user
        refused = Refused(
            action=refusal.action,
            tenant=tenant,
            subject="challenge" if user is None else f"user:{user}",
            target=tenant.bytes if user is None else user.bytes,
            address=network,
            kind=kind,
        )
        await self._refusals.note(refused)


def _bond(login: bytes) -> Bond:
    return Bond(purpose=Purpose.LOGIN, bound_to=login)


def _parsed(challenge: Secret[str]) -> tuple[TenantId, bytes]:
    try:
        raw = base64url_decode(challenge.reveal())
    except ValueError as exc:
        raise SECOND_FACTOR_REFUSED.error() from exc
    if len(raw) != UUID_BYTES + SECRET_BYTES:
        raise SECOND_FACTOR_REFUSED.error()
    return TenantId(UUID(bytes=raw[:UUID_BYTES])), sha256(raw[UUID_BYTES:])
