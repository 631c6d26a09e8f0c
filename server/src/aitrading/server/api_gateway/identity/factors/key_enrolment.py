"""Adding and removing security keys; every change is audited in its transaction."""

from typing import Final
from uuid import UUID

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.ids import IdFactory
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.server.api_gateway.identity.factors.ceremony import (
    ALGORITHMS,
    KeyAnswerError,
    verified_new,
)
from aitrading.server.api_gateway.identity.factors.codes import SQL
from aitrading.server.api_gateway.identity.factors.enrolment import Enrolment
from aitrading.server.api_gateway.identity.factors.errors import (
    FACTOR_MISSING,
    KEY_NOT_ADDED,
    KEYS_FULL,
)
from aitrading.server.api_gateway.identity.factors.key_origins import KeyOrigin
from aitrading.server.api_gateway.identity.factors.key_shapes import (
    AddKey,
    KeyAlgorithm,
    KeyOwner,
    NewKeyOptions,
    RelyingParty,
)
from aitrading.server.api_gateway.identity.factors.keys import (
    KEYS,
    TIMEOUT_MS,
    Bond,
    Purpose,
    SecurityKeys,
)
from aitrading.server.api_gateway.identity.sessions import Sessions
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import SECURITY_KEY_NAME
from aitrading.server.personal_data.keys import FieldKeys

MAX_KEYS: Final = 10
NAME_CHARS: Final = 64
RP_NAME: Final = "aitrading"


class KeyEnrolment:
    """Changes of which keys a person has."""

    def __init__(
        self,
        replay: Replay,
        *,
        enrolment: Enrolment,
        security_keys: SecurityKeys,
        sessions: Sessions,
        keys: FieldKeys,
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._replay = replay
        self._enrolment = enrolment
        self._security_keys = security_keys
        self._sessions = sessions
        self._keys = keys
        self._clock = clock
        self._ids = ids

    async def begin(self, token: VerifiedToken, origin: KeyOrigin) -> NewKeyOptions:
        """What a browser is to ask of a new key; raises `KEYS_FULL`."""

        async def apply(tx: TenantTransaction) -> NewKeyOptions:
            await self._hold(tx, token.user)
            person, _ = await self._sessions.person(tx, token.user)
            known = await self._security_keys.known(tx, token.user, origin.host)
            challenge = await self._security_keys.begin(tx, token.user, _bond(token), origin)
            return NewKeyOptions(
                rp=RelyingParty(id=origin.host, name=RP_NAME),
                user=KeyOwner(
                    id=base64url_encode(token.user.bytes),
                    name=f"{person.tenant_name}/{person.name}",
                    display_name=person.name,
                ),
                challenge=base64url_encode(challenge),
                pub_key_cred_params=tuple(KeyAlgorithm(alg=each) for each in ALGORITHMS),
                exclude_credentials=known,
                timeout=TIMEOUT_MS,
            )

        return await self._replay.once(token.tenant, apply)

    async def add(
        self, token: VerifiedToken, origin: KeyOrigin, wanted: AddKey
    ) -> tuple[str, ...]:
        """Let the new key count, and give recovery codes where there are none.

        Raises `KEY_NOT_ADDED` or `KEYS_FULL`; the challenge is used up either way.
        """
        name, key = wanted.name.strip(), self._ids.new()
        if not 1 <= len(name) <= NAME_CHARS or not name.isprintable():
            raise KEY_NOT_ADDED.error()

        async def apply(tx: TenantTransaction) -> tuple[str, ...] | None:
            await self._hold(tx, token.user)
            asked = await self._security_keys.take(tx, token.user, _bond(token), origin)
            if asked is None:
                return None
            try:
                new = verified_new(wanted.key, asked)
            except KeyAnswerError:
                return None
            sealed = (await self._keys.of(tx)).seal(SECURITY_KEY_NAME, key, name)
            added = await tx.fetch_row(
                KEYS["insert"],
                key,
                token.user,
                sealed,
                asked.host,
                new.credential_id,
                new.public_key,
                new.sign_count,
                now_utc(self._clock),
            )
            if added is None:
                return None
            details = {"kind": "key", "key": str(key)}
            await self._enrolment.note(tx, token.user, AuditAction.FACTOR_ADDED, details)
            return await self._enrolment.first_codes(tx, token.user)

        codes = await self._replay.once(token.tenant, apply)
        if codes is None:
            raise KEY_NOT_ADDED.error()
        return codes

    async def remove(self, token: VerifiedToken, key: UUID) -> None:
        """Take a key away, with the recovery codes if nothing else is left; raises `FACTOR_MISSING`."""

        async def apply(tx: TenantTransaction) -> None:
            await tx.fetch_row(SQL["hold_person"], token.user)
            if await tx.fetch_row(KEYS["forget_one"], token.user, key) is None:
                raise FACTOR_MISSING.error()
            await self._enrolment.forget_lonely_codes(tx, token.user)
            details = {"kind": "key", "key": str(key)}
            await self._enrolment.note(tx, token.user, AuditAction.FACTOR_REMOVED, details)

        await self._replay.once(token.tenant, apply)

    @staticmethod
    async def _hold(tx: TenantTransaction, user: UUID) -> None:
        """One change at a time, so that the limit holds; raises `KEYS_FULL`."""
        await tx.fetch_row(SQL["hold_person"], user)
        if await tx.fetch_value(KEYS["count"], user) >= MAX_KEYS:
            raise KEYS_FULL.error(limit=MAX_KEYS)


def _bond(token: VerifiedToken) -> Bond:
    return Bond(purpose=Purpose.ADD, bound_to=token.session.bytes)
