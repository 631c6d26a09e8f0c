"""A fresh proof of who is logged in: the session stays, and is as good as a new login.

Who has a second factor proves it with a code or a security key; the password alone is not enough then. The session's
next token tells the new time, so whoever stepped up renews its token and repeats the request.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Authentication
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.api_gateway.identity.factors.codes import FREE_FAILURES, SQL, Checked, Codes
from aitrading.server.api_gateway.identity.factors.errors import PROOF_REFUSED
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigin
from aitrading.server.api_gateway.identity.factors.key_shapes import SignedByKey, SignOptions
from aitrading.server.api_gateway.identity.factors.keys import Bond, Purpose, SecurityKeys
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.api_gateway.identity.throttle import LoginThrottle
from aitrading.server.authority.passwords import PasswordHasher
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction

CODE: Final = "code"
KEY: Final = "key"
PASSWORD: Final = "password"  # noqa: S105 - the name of a proof


@dataclass(frozen=True, kw_only=True)
class Proofs:
    """With what a person can prove anew who they are."""

    codes: Codes
    security_keys: SecurityKeys
    hasher: PasswordHasher
    throttle: LoginThrottle


class StepUp:
    """Takes the proof, and writes its time into the session."""

    def __init__(
        self,
        replay: Replay,
        *,
        proofs: Proofs,
        sessions: Sessions,
        refusals: Refusals,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._codes = proofs.codes
        self._security_keys = proofs.security_keys
        self._hasher = proofs.hasher
        self._refusals = refusals
        self._audit = audit
        self._clock = clock
        self._throttle = proofs.throttle

    async def by_code(self, token: VerifiedToken, code: Secret[str], *, network: str) -> None:
        """Raises `PROOF_REFUSED` or `SECOND_FACTOR_THROTTLED`.

        A session whose wrong proofs are too many in a row is used to guess, and ends.
        """

        async def check(tx: TenantTransaction) -> Checked:
            return await self._codes.check(tx, token.user, code)

        await self._by_factor(token, check, kind=CODE, network=network)

    async def by_key(
        self, token: VerifiedToken, answer: SignedByKey, origin: KeyOrigin, *, network: str
    ) -> None:
        """The same for what a security key signed; raises `PROOF_REFUSED`."""

        async def check(tx: TenantTransaction) -> Checked:
            return await self._security_keys.check(tx, token.user, _bond(token), origin, answer)

        await self._by_factor(token, check, kind=KEY, network=network)

    async def ask_key(self, token: VerifiedToken, origin: KeyOrigin) -> SignOptions:
        """What the person's keys are to sign; raises `KEYS_NOT_HERE` without one for this page."""

        async def apply(tx: TenantTransaction) -> SignOptions:
            return await self._security_keys.ask(tx, token.user, _bond(token), origin)

        return await self._replay.once(token.tenant, apply)

    async def _by_factor(
        self,
        token: VerifiedToken,
        check: Callable[[TenantTransaction], Awaitable[Checked]],
        *,
        kind: str,
        network: str,
    ) -> None:
        async def apply(tx: TenantTransaction) -> Checked:
            await tx.fetch_row(SQL["hold_person"], token.user)
            checked = await check(tx)
            if checked.kind is not None:
                await self._proved(tx, token, Authentication.MFA)
            return checked

        checked = await self._replay.once(token.tenant, apply)
        if checked.kind is None:
            await self._refuse(token, kind, network)
            if checked.failures >= FREE_FAILURES:
                await self._sessions.end(token.tenant, token.user, token.session, "guessing")
            checked.require(PROOF_REFUSED)

    async def by_password(
        self, token: VerifiedToken, password: Secret[str], *, network: str
    ) -> None:
        """For who has no second factor; raises `PROOF_REFUSED` or `LOGIN_THROTTLED`."""
        async with self._throttle.guess(token.user.bytes, network):
            if await self._password_proves(token, password):
                self._throttle.succeeded(token.user.bytes, network)
                return
            self._throttle.failed(token.user.bytes, network)
            await self._refuse(token, PASSWORD, network)
        raise PROOF_REFUSED.error()

    async def _password_proves(self, token: VerifiedToken, password: Secret[str]) -> bool:
        async with self._replay.pool.tenant_read(token.tenant) as tx:
            stored = await tx.fetch_value(SQL["password_of"], token.user)
        matches = await self._hasher.verify(password, stored)

        async def apply(tx: TenantTransaction) -> bool:
            """Hashing takes its time: what counts is what is stored now."""
            row = await tx.fetch_row(SQL["hold_password"], token.user)
            if row is None or row["has_factor"] or row["password_hash"] != stored:
                return False
            await self._proved(tx, token, Authentication.PASSWORD)
            return True

        return matches and await self._replay.once(token.tenant, apply)

    async def _proved(
        self, tx: TenantTransaction, token: VerifiedToken, how: Authentication
    ) -> None:
        """A session that ended meanwhile stays ended."""
        moment = now_utc(self._clock)
        row = await tx.fetch_row(SQL["prove_session"], token.session, token.user, how, moment)
        if row is None:
            raise PROOF_REFUSED.error()
        event = AuditEvent(
            actor=f"user:{token.user}",
            action=AuditAction.STEPPED_UP,
            subject=f"session:{token.session}",
            details={"authentication": str(how)},
        )
        await self._audit.add(tx, event)

    async def _refuse(self, token: VerifiedToken, kind: str, network: str) -> None:
        refused = Refused(
            action=AuditAction.SECOND_FACTOR_REFUSED,
            tenant=token.tenant,
            subject=f"user:{token.user}",
            target=token.user.bytes,
            address=network,
            kind=kind,
            tenant_is_claimed=False,
        )
        await self._refusals.note(refused)


def _bond(token: VerifiedToken) -> Bond:
    return Bond(purpose=Purpose.PROVE, bound_to=token.session.bytes)
