"""Keys of programs: exchanged for a token of 15 minutes with the scopes that the key was given.

A key is a secret, told once and kept as its hash, or the public key of a key that its holder never
shows: then each exchange brings a proof (RFC 9449), and the token is bound to it. Behind each key is
a person with the role `service`, whose password nobody knows; so whatever ends a person's sessions
ends a program's.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, datetime_of_ns, now_utc
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.ids import IdFactory, TenantId, UserId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import (
    USER_TOKEN_LIFETIME_S,
    Authentication,
    Confirmation,
    Scope,
)
from aitrading.core.security.crypto import VerifyKey, sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.server.api_gateway.identity.administration import explained
from aitrading.server.api_gateway.identity.errors import (
    API_KEY_REFUSED,
    API_KEY_THROTTLED,
    IDENTITY_INVALID,
    IDENTITY_UNKNOWN,
    LOGIN_REFUSED,
)
from aitrading.server.api_gateway.identity.login_rules import LoginRules, noted_as
from aitrading.server.api_gateway.identity.model import (
    LIST_LIMIT,
    Role,
    after,
    as_ns,
    normalised_name,
)
from aitrading.server.api_gateway.identity.networks import seen_from
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions
from aitrading.server.api_gateway.identity.tenants import hold_active, opener_of
from aitrading.server.authority.passwords import PasswordHasher, generate_password
from aitrading.server.authority.tokens import TokenGrant, UserTokenIssuer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import Row, TenantTransaction
from aitrading.server.personal_data.catalogue import USER_DISPLAY_NAME, USER_NAME
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import by_name, opened_user

PREFIX: Final = "ait_"
"""Lets a search for secrets find keys that somebody left in a file."""
SECRET_BYTES: Final = 32
UUID_BYTES: Final = 16
MAX_DAYS: Final = 365
MAX_LIVE_KEYS: Final = 200
"""Of one organisation."""
PACE: Final = timedelta(seconds=6)
"""Between two exchanges of a key in the long run …"""
BURST: Final = 30
"""… of which so many may come at once: a program that starts, or some that share a key."""
_SQL: Final = Queries.load(PACKAGE, "sql/api_keys.sql")
_SESSIONS: Final = Queries.load(PACKAGE, "sql/sessions.sql")
_PEOPLE: Final = Queries.load(PACKAGE, "sql/administration.sql")


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program and what it may do; with `public_key` it proves itself by signing."""

    name: str
    scopes: tuple[Scope, ...]
    days: int = 90
    public_key: str | None = None
    """An Ed25519 public key, base64url; without it a secret is made and told once."""


class CreatedApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key as its program sends it; a secret one is told here and never again."""

    id: UUID
    name: str
    key: str
    expires_at: datetime


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; the times tell whether it counts."""

    id: UUID
    name: str
    proof: Literal["secret", "signature"]
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_by: str | None
    """`user:ID` or the host; null for keys of before makers were kept."""


class KeyToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a program; there is no renewal, the key is exchanged again."""

    access_token: str
    token_type: Literal["Bearer", "DPoP"]
    expires_at: datetime
    scopes: tuple[Scope, ...]


class ApiKeys:
    """Makes, exchanges, lists and revokes them."""

    def __init__(  # noqa: PLR0913 - the meeting point of identity's parts
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        issuer: UserTokenIssuer,
        hasher: PasswordHasher,
        keys: FieldKeys,
        refusals: Refusals,
        rules: LoginRules,
        audit: AuditTrail,
        clock: Clock,
        ids: IdFactory,
        randomness: Randomness,
    ) -> None:
        self._replay = replay
        self._sessions = sessions
        self._issuer = issuer
        self._hasher = hasher
        self._keys = keys
        self._refusals = refusals
        self._rules = rules
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    async def create(self, tenant: TenantId, new: NewApiKey, *, actor: str) -> CreatedApiKey:
        """A new key; raises `IDENTITY_INVALID` or `IDENTITY_EXISTS`."""
        name, scopes = normalised_name(new.name), sorted(set(new.scopes))
        _require(bool(scopes), "scopes", "name at least one")
        _require(Scope.DEVICE not in scopes, "scopes", "`device` is for devices alone")
        _require(1 <= new.days <= MAX_DAYS, "days", f"a key lives 1 to {MAX_DAYS} days")
        thumbprint = None if new.public_key is None else _thumbprint(new.public_key)
        secret = b"" if thumbprint else self._randomness.token(SECRET_BYTES)
        key, user = self._ids.new(), self._ids.new()
        begins = now_utc(self._clock)
        ends = begins + timedelta(days=new.days)
        unknown = await self._hasher.hash(generate_password(self._randomness))

        async def apply(tx: TenantTransaction) -> None:
            live = await tx.fetch_value(_SQL["count_api_keys"], begins)
            _require(int(live) < MAX_LIVE_KEYS, "key", f"there are {MAX_LIVE_KEYS} already")
            fields = await self._keys.of(tx)
            await tx.execute(
                _PEOPLE["insert_user"],
                user,
                fields.seal(USER_NAME, user, name),
                fields.index(USER_NAME, name),
                fields.seal(USER_DISPLAY_NAME, user, name),
                Role.SERVICE,
                unknown,
                begins,
                None,
            )
            digest = sha256(secret) if secret else None
            await tx.execute(
                _SQL["insert_api_key"], key, user, digest, thumbprint, scopes, begins, ends, actor
            )
            details: dict[str, FieldValue] = {"scopes": " ".join(scopes), "days": new.days}
            await self._note(tx, actor, AuditAction.PROGRAM_KEY_CREATED, key, details)

        with explained("user", name):
            await self._replay.once(tenant, apply)
        text = PREFIX + base64url_encode(tenant.bytes + key.bytes + secret)
        return CreatedApiKey(id=key, name=name, key=text, expires_at=ends)

    async def exchange(
        self, text: Secret[str], *, thumbprint: str | None, network: str
    ) -> KeyToken:
        """A token for a key; `thumbprint` is that of the proof which came with it.

        Raises `API_KEY_REFUSED`, whatever is wrong, or `API_KEY_THROTTLED` for who has the key.
        """
        tenant, key, secret = _parse(text)
        if not secret and thumbprint is None:
            raise API_KEY_REFUSED.error()
        digest = sha256(secret) if secret else None
        registered = None if secret else thumbprint

        async def apply(tx: TenantTransaction) -> TokenGrant:
            if not await hold_active(tx):
                raise API_KEY_REFUSED.error()
            moment = now_utc(self._clock)
            shown = (key, digest, registered, moment)
            rules = await self._rules.of(tx)
            if not rules.admit(network):
                if await tx.fetch_row(_SQL["pace_of_api_key"], *shown) is None:
                    raise API_KEY_REFUSED.error()  # the trail does not take a stranger's word
                rules.require_inside(network)
            row = await tx.fetch_row(_SQL["use_api_key"], *shown, PACE, PACE * (BURST - 1))
            if row is None:
                raise _held_back(await tx.fetch_value(_SQL["pace_of_api_key"], *shown), moment)
            grant = await self._grant(tx, row, network)
            binding = Confirmation(jkt=thumbprint) if thumbprint else None
            return replace(grant, binding=binding, networks=rules.networks)

        try:
            grant = await self._replay.once(tenant, apply)
        except AitradingError as exc:
            if exc.spec not in (API_KEY_REFUSED, LOGIN_REFUSED):
                raise
            action = noted_as(exc, AuditAction.PROGRAM_KEY_REFUSED)
            await self._refused(action, tenant, key, network)
            raise API_KEY_REFUSED.error() from exc
        issued = self._issuer.issue(grant)
        return KeyToken(
            access_token=issued.token.reveal(),
            token_type="DPoP" if thumbprint else "Bearer",
            expires_at=datetime_of_ns(issued.expires_ns),
            scopes=tuple(sorted(grant.scopes)),
        )

    async def keys_of(self, tenant: TenantId) -> list[ApiKey]:
        """The keys of an organisation by name, at most `LIST_LIMIT`; ended ones too."""
        async with self._replay.pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["list_api_keys"], LIST_LIMIT)
            fields = await opener_of(self._keys, tx)
        return by_name(_shown(opened_user(row, fields)) for row in rows)

    async def revoke(self, tenant: TenantId, key: UUID, *, actor: str) -> None:
        """End a key and its tokens; raises `IDENTITY_UNKNOWN`. A repeat changes nothing."""

        async def apply(tx: TenantTransaction) -> Revocation:
            row = await tx.fetch_row(_SQL["revoke_api_key"], key, now_utc(self._clock))
            if row is None:
                if not await tx.fetch_value(_SQL["api_key_exists"], key):
                    raise IDENTITY_UNKNOWN.error(kind="key", name=str(key))
                return Revocation()
            await tx.execute(_PEOPLE["set_user_state"], row["user_id"], "suspended")
            await self._note(tx, actor, AuditAction.PROGRAM_KEY_REVOKED, key, {})
            return await self._sessions.end_all(tx, row["user_id"], "suspended")

        await self._sessions.refuse_tokens(await self._replay.once(tenant, apply))

    async def _grant(self, tx: TenantTransaction, row: Row, network: str) -> TokenGrant:
        """A session of one token. Nobody proved who they are since the key was made.

        So what asks a person for a fresh proof refuses a program.
        """
        user, created_at = row["user_id"], row["created_at"]
        _, standing = await self._sessions.person(tx, user)
        session, ends = self._ids.new(), after(self._clock, USER_TOKEN_LIFETIME_S)
        seen = seen_from(network, await self._keys.of(tx))
        await tx.execute(
            _SESSIONS["insert_session"],
            session,
            user,
            Authentication.KEY,
            created_at,
            ends,
            ends,
            seen.kind,
            seen.index,
        )
        event = AuditEvent(
            actor=f"user:{user}",
            action=AuditAction.SESSION_OPENED,
            subject=f"session:{session}",
            details={"authentication": str(Authentication.KEY)},
        )
        await self._audit.add(tx, event)
        return TokenGrant(
            tenant=tx.tenant,
            user=UserId(user),
            session=session,
            scopes=frozenset(map(Scope, row["scopes"])),
            authentication=Authentication.KEY,
            authenticated_ns=as_ns(created_at),
            entitlement_version=standing.entitlement_version,
            rates=standing.rates,
            user_epoch=standing.user_epoch,
            tenant_epoch=standing.tenant_epoch,
        )

    async def _refused(
        self, action: AuditAction, tenant: TenantId, key: UUID, network: str
    ) -> None:
        await self._refusals.note(
            Refused(
                action=action,
                tenant=tenant,
                subject="api_key:refused",
                target=key.bytes,
                address=network,
                kind="api_key",
            )
        )

    async def _note(
        self,
        tx: TenantTransaction,
        actor: str,
        action: AuditAction,
        key: UUID,
        details: dict[str, FieldValue],
    ) -> None:
        event = AuditEvent(actor=actor, action=action, subject=f"api_key:{key}", details=details)
        await self._audit.add(tx, event)


def _held_back(paced_until: datetime | None, moment: datetime) -> AitradingError:
    """Why no row was used: it is no key, or it comes too often."""
    if paced_until is None:
        return API_KEY_REFUSED.error()
    ahead = paced_until - moment - PACE * (BURST - 1)
    return API_KEY_THROTTLED.error(retry_after_s=max(1, ceil(ahead.total_seconds())))


def _require(holds: bool, field: str, reason: str) -> None:
    if not holds:
        raise IDENTITY_INVALID.error(field=field, reason=reason)


def _thumbprint(public_key: str) -> str:
    try:
        return VerifyKey(base64url_decode(public_key)).thumbprint()
    except (ValueError, AitradingError) as exc:
        reason = "an Ed25519 public key has 32 bytes, as base64url"
        raise IDENTITY_INVALID.error(field="public key", reason=reason) from exc


def _parse(text: Secret[str]) -> tuple[TenantId, UUID, bytes]:
    shown = text.reveal()
    try:
        raw = base64url_decode(shown.removeprefix(PREFIX))
    except ValueError as exc:
        raise API_KEY_REFUSED.error() from exc
    known = len(raw) - 2 * UUID_BYTES in (0, SECRET_BYTES)
    if not known or not shown.startswith(PREFIX):
        raise API_KEY_REFUSED.error()
    tenant, key = UUID(bytes=raw[:UUID_BYTES]), UUID(bytes=raw[UUID_BYTES : 2 * UUID_BYTES])
    return TenantId(tenant), key, raw[2 * UUID_BYTES :]


def _shown(row: dict[str, Any]) -> ApiKey:
    return ApiKey(
        id=row["key"],
        name=row["name"],
        proof="signature" if row["thumbprint"] else "secret",
        scopes=tuple(map(Scope, row["scopes"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        created_by=row["created_by"],
    )
