"""Security keys of people: what a key is asked, and whether its answer counts, once.

Each challenge is bound to the session or the login that asked for it, and is gone with the first
answer, right or wrong. Everything that is wrong with an answer is one refusal.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.randomness import Randomness
from aitrading.core.security.encoding import base64url_encode
from aitrading.server.api_gateway.identity.factors.ceremony import (
    Asked,
    KeyAnswerError,
    credential_of,
    library_loaded,
    verified_count,
)
from aitrading.server.api_gateway.identity.factors.codes import Checked, Kind, settled
from aitrading.server.api_gateway.identity.factors.errors import KEYS_NOT_HERE
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigin
from aitrading.server.api_gateway.identity.factors.key_shapes import (
    KnownKey,
    SecurityKey,
    SignedByKey,
    SignOptions,
)
from aitrading.server.api_gateway.identity.model import after
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import SECURITY_KEY_NAME
from aitrading.server.personal_data.keys import FieldKeys

LIFETIME_S: Final = 5 * 60
TIMEOUT_MS: Final = 120_000
"""How long a browser waits for the person's finger."""
CHALLENGE_BYTES: Final = 32
KEYS: Final = Queries.load(__package__ or "", "keys.sql")


class Purpose(StrEnum):
    """What a key is asked for; an answer for one purpose is nothing for another."""

    ADD = "add"
    PROVE = "prove"
    LOGIN = "login"


@dataclass(frozen=True, kw_only=True)
class Bond:
    """Who may answer: a purpose, and the session (its id) or the login (its digest) behind it."""

    purpose: Purpose
    bound_to: bytes


class SecurityKeys:
    """Asks keys, and judges what they sign."""

    def __init__(
        self, *, keys: FieldKeys, audit: AuditTrail, clock: Clock, randomness: Randomness
    ) -> None:
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._randomness = randomness

    async def of(self, tx: TenantTransaction, user: UUID) -> tuple[SecurityKey, ...]:
        """The person's keys, the oldest first."""
        rows = await tx.fetch(KEYS["of_person"], user)
        fields = await self._keys.of(tx)
        return tuple(
            SecurityKey(
                id=row["id"],
                name=fields.open(SECURITY_KEY_NAME, row["id"], row["name_sealed"]),
                host=row["host"],
                added_at=row["added_at"],
                used_at=row["used_at"],
            )
            for row in rows
        )

    async def known(self, tx: TenantTransaction, user: UUID, host: str) -> tuple[KnownKey, ...]:
        """The person's keys for one name of the installation, as browsers want to hear of them."""
        rows = await tx.fetch(KEYS["of_person"], user)
        return tuple(
            KnownKey(id=base64url_encode(row["credential_id"]))
            for row in rows
            if row["host"] == host
        )

    async def begin(
        self, tx: TenantTransaction, user: UUID, bond: Bond, origin: KeyOrigin
    ) -> bytes:
        """A new challenge; the one before it, of the same session or login, counts no more."""
        await library_loaded()
        challenge = self._randomness.token(CHALLENGE_BYTES)
        ends = after(self._clock, LIFETIME_S)
        await tx.execute(
            KEYS["begin"], bond.purpose, bond.bound_to, user, challenge, origin.origin, ends
        )
        return challenge

    async def ask(
        self, tx: TenantTransaction, user: UUID, bond: Bond, origin: KeyOrigin
    ) -> SignOptions:
        """What a browser is to ask of the person's keys; raises `KEYS_NOT_HERE` without one."""
        known = await self.known(tx, user, origin.host)
        if not known:
            raise KEYS_NOT_HERE.error()
        challenge = await self.begin(tx, user, bond, origin)
        return SignOptions(
            rp_id=origin.host,
            challenge=base64url_encode(challenge),
            allow_credentials=known,
            timeout=TIMEOUT_MS,
        )

    async def take(
        self, tx: TenantTransaction, user: UUID, bond: Bond, origin: KeyOrigin
    ) -> Asked | None:
        """What was asked, once and in time, of the page that answers now."""
        row = await tx.fetch_row(KEYS["take"], bond.purpose, bond.bound_to, user)
        if row is None or row["expires_at"] <= now_utc(self._clock):
            return None
        if row["origin"] != origin.origin:
            return None
        return Asked(challenge=row["challenge"], origin=origin.origin, host=origin.host)

    async def check(
        self,
        tx: TenantTransaction,
        user: UUID,
        bond: Bond,
        origin: KeyOrigin,
        answer: SignedByKey,
    ) -> Checked:
        """Whether the answer counts; to be committed either way, so that it was the only one.

        A wrong one is counted with wrong codes, but no wait for codes keeps a right one out.
        """
        asked = await self.take(tx, user, bond, origin)
        counts = asked is not None and await self._accepted(tx, user, asked, answer)
        return await settled(tx, user, Kind.KEY if counts else None, now_utc(self._clock))

    async def _accepted(
        self, tx: TenantTransaction, user: UUID, asked: Asked, answer: SignedByKey
    ) -> bool:
        try:
            row = await tx.fetch_row(KEYS["find"], user, credential_of(answer), asked.host)
            if row is None:
                return False
            count = verified_count(answer, asked, row["public_key"])
        except KeyAnswerError:
            return False
        if not _grew(int(row["sign_count"]), count):
            await self._note_step_back(tx, user, row["id"], int(row["sign_count"]), count)
            return False
        await tx.execute(KEYS["used"], row["id"], count, now_utc(self._clock))
        return True

    async def _note_step_back(
        self, tx: TenantTransaction, user: UUID, key: UUID, known: int, told: int
    ) -> None:
        event = AuditEvent(
            actor=f"user:{user}",
            action=AuditAction.KEY_STEPPED_BACK,
            subject=f"user:{user}",
            details={"key": str(key), "known": known, "told": told},
        )
        await self._audit.add(tx, event)


def _grew(known: int, told: int) -> bool:
    """WebAuthn 7.2, 21: a key that never counted need not begin to."""
    return told > known or (told == 0 and known == 0)
