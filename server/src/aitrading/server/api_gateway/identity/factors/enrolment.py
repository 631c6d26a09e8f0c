"""Setting up, removing and resetting second factors; every change is audited in its transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import NS_PER_S, Clock, now_utc
from aitrading.core.kit.errors import FieldValue
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.factors.codes import SQL
from aitrading.server.api_gateway.identity.factors.errors import (
    FACTOR_EXISTS,
    FACTOR_MISSING,
    FACTOR_NOT_CONFIRMED,
)
from aitrading.server.api_gateway.identity.factors.key_shapes import SecurityKey
from aitrading.server.api_gateway.identity.factors.keys import KEYS, SecurityKeys
from aitrading.server.api_gateway.identity.factors.recovery_codes import (
    generate_codes,
    index_of,
    normalised_code,
)
from aitrading.server.api_gateway.identity.factors.totp import (
    generate_secret,
    matching_step,
    normalised,
    provisioning_uri,
)
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import TOTP_SECRET
from aitrading.server.personal_data.keys import FieldKeys

BEGUN_LIFETIME: Final = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class FactorState:
    """What a person has."""

    totp_since: datetime | None
    recovery_codes_left: int
    security_keys: tuple[SecurityKey, ...]


@dataclass(frozen=True, kw_only=True)
class BegunTotp:
    """A secret that works once a code of it was shown; `uri` is what an app scans."""

    secret: Secret[str]
    uri: Secret[str]


class Enrolment:
    """Changes of what a person has besides the password."""

    def __init__(
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        security_keys: SecurityKeys,
        keys: FieldKeys,
        audit: AuditTrail,
        clock: Clock,
        ids: IdFactory,
        randomness: Randomness,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._security_keys = security_keys
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    async def state(self, tenant: TenantId, user: UUID) -> FactorState:
        """What the person has now."""
        async with self._replay.pool.tenant_read(tenant) as tx:
            row = await tx.fetch_row(SQL["status"], user)
            security_keys = await self._security_keys.of(tx, user)
        if row is None:
            raise FACTOR_MISSING.error()
        return FactorState(
            totp_since=row["totp_since"],
            recovery_codes_left=int(row["recovery_codes_left"]),
            security_keys=security_keys,
        )

    async def begin_totp(self, tenant: TenantId, user: UUID) -> BegunTotp:
        """A new secret; one that was begun and not confirmed is forgotten. Raises `FACTOR_EXISTS`."""
        secret, row = generate_secret(self._randomness), self._ids.new()

        async def apply(tx: TenantTransaction) -> str:
            await tx.fetch_row(SQL["hold_person"], user)
            sealed = (await self._keys.of(tx)).seal(TOTP_SECRET, row, secret.reveal())
            begun = await tx.fetch_row(SQL["begin_totp"], row, user, sealed, now_utc(self._clock))
            if begun is None:
                raise FACTOR_EXISTS.error()
            person, _ = await self._sessions.person(tx, user)
            return f"{person.tenant_name}/{person.name}"

        account = await self._replay.once(tenant, apply)
        return BegunTotp(secret=secret, uri=Secret(provisioning_uri(secret, account=account)))

    async def confirm_totp(self, tenant: TenantId, user: UUID, code: str) -> tuple[str, ...]:
        """Let the begun app count from now on, and give recovery codes where there are none.

        Raises `FACTOR_NOT_CONFIRMED`. The code that confirmed is used up.
        """

        async def apply(tx: TenantTransaction) -> tuple[str, ...]:
            await tx.fetch_row(SQL["hold_person"], user)
            moment = now_utc(self._clock)
            row = await tx.fetch_row(SQL["find_begun_totp"], user, moment - BEGUN_LIFETIME)
            step = None
            if row is not None:
                fields = await self._keys.of(tx)
                secret = Secret(fields.open(TOTP_SECRET, row["id"], row["secret_sealed"]))
                step = matching_step(secret, normalised(code), self._clock.now_ns() // NS_PER_S)
            if row is None or step is None:
                raise FACTOR_NOT_CONFIRMED.error()
            await tx.execute(SQL["confirm_totp"], row["id"], moment, step)
            await self.note(tx, user, AuditAction.FACTOR_ADDED, {"kind": "totp"})
            return await self.first_codes(tx, user)

        return await self._replay.once(tenant, apply)

    async def remove_totp(self, tenant: TenantId, user: UUID) -> None:
        """Take the app away, with the recovery codes if nothing else is left.

        Raises `FACTOR_MISSING`.
        """

        async def apply(tx: TenantTransaction) -> None:
            await tx.fetch_row(SQL["hold_person"], user)
            row = await tx.fetch_row(SQL["forget_totp"], user)
            if row is None or row["confirmed_at"] is None:
                raise FACTOR_MISSING.error()
            await self.forget_lonely_codes(tx, user)
            await self.note(tx, user, AuditAction.FACTOR_REMOVED, {"kind": "totp"})

        await self._replay.once(tenant, apply)

    async def renew_recovery_codes(self, tenant: TenantId, user: UUID) -> tuple[str, ...]:
        """Ten new codes instead of all that there were; raises `FACTOR_MISSING` without a factor."""

        async def apply(tx: TenantTransaction) -> tuple[str, ...]:
            await tx.fetch_row(SQL["hold_person"], user)
            if not await tx.fetch_value(SQL["has_factor"], user):
                raise FACTOR_MISSING.error()
            return await self._new_codes(tx, user)

        return await self._replay.once(tenant, apply)

    async def reset(self, tenant: TenantId, user: UUID, *, actor: str) -> int:
        """Take away every factor of a person who lost them, and end all their sessions.

        Tells how many sessions ended. The password stays, and is enough until a new factor is
        set up.
        """

        async def apply(tx: TenantTransaction) -> Revocation:
            await tx.fetch_row(SQL["hold_person"], user)
            for forget in ("forget_totp", "forget_recovery_codes", "forget_challenges"):
                await tx.execute(SQL[forget], user)
            for forget in ("forget_keys", "forget_challenges"):
                await tx.execute(KEYS[forget], user)
            await tx.execute(SQL["forget_failures"], user)
            ended = await self._sessions.end_all(tx, user, "factors")
            details: dict[str, FieldValue] = {"sessions_ended": len(ended.sessions)}
            await self.note(tx, user, AuditAction.FACTORS_RESET, details, actor=actor)
            return ended

        ended = await self._replay.once(tenant, apply)
        await self._sessions.refuse_tokens(ended)
        return len(ended.sessions)

    async def first_codes(self, tx: TenantTransaction, user: UUID) -> tuple[str, ...]:
        """Ten codes for who has none: given with the first factor, of whatever kind."""
        if await tx.fetch_value(SQL["count_recovery_codes"], user):
            return ()
        return await self._new_codes(tx, user)

    async def forget_lonely_codes(self, tx: TenantTransaction, user: UUID) -> None:
        """Codes that stand in for nothing are worth nothing."""
        if not await tx.fetch_value(SQL["has_factor"], user):
            await tx.execute(SQL["forget_recovery_codes"], user)

    async def _new_codes(self, tx: TenantTransaction, user: UUID) -> tuple[str, ...]:
        fields = await self._keys.of(tx)
        codes = generate_codes(self._randomness)
        indexes = [index_of(fields, user, normalised_code(code) or "") for code in codes]
        await tx.execute(SQL["forget_recovery_codes"], user)
        await tx.execute(SQL["insert_recovery_codes"], user, indexes)
        await self.note(tx, user, AuditAction.RECOVERY_CODES_MADE, {"codes": len(codes)})
        return codes

    async def note(
        self,
        tx: TenantTransaction,
        user: UUID,
        action: AuditAction,
        details: Mapping[str, FieldValue],
        *,
        actor: str | None = None,
    ) -> None:
        """Audit a change of the person's factors; by the person, unless somebody else is told."""
        event = AuditEvent(
            actor=actor or f"user:{user}",
            action=action,
            subject=f"user:{user}",
            details=dict(details),
        )
        await self._audit.add(tx, event)
