"""Proving who somebody is: by password, by a one-time link, or by the host's administrator.

A failed login looks the same and costs the same whether or not the person exists: the same
statements, the same hashing, the same audit event, one answer. Repeated ones are audited less and
less often (`refusals.py`), by what was typed and not by what exists.
"""

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
from aitrading.server.api_gateway.identity.errors import (
    CODE_REFUSED,
    IDENTITY_INVALID,
    IDENTITY_UNKNOWN,
    LOGIN_REFUSED,
    LOGIN_THROTTLED,
)
from aitrading.server.api_gateway.identity.factors.second_step import Challenge, SecondStep
from aitrading.server.api_gateway.identity.login_rules import (
    FirstPasswordEndedError,
    LoginRules,
    OutsideError,
    Rules,
    noted_as,
)
from aitrading.server.api_gateway.identity.model import (
    after,
    normalised_name,
    tenant_of_row,
)
from aitrading.server.api_gateway.identity.refusals import Refusals, Refused
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions, SessionTickets
from aitrading.server.api_gateway.identity.throttle import LoginThrottle
from aitrading.server.authority.passwords import PasswordHasher
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import USER_NAME
from aitrading.server.personal_data.keys import FieldKeys

LINK_LIFETIME_S: Final = 10 * 60
LINK_SECRET_BYTES: Final = 32
UUID_BYTES: Final = 16
_SQL: Final = Queries.load(PACKAGE, "sql/login.sql")


@dataclass(frozen=True, kw_only=True)
class LoginName:
    """What a person types besides the password."""

    tenant: str
    user: str

    def key(self) -> bytes:
        """Tells names apart in the throttle without keeping them; spellings of one are one."""
        return sha256(f"{_cleaned(self.tenant)}\0{_cleaned(self.user)}".encode())


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where a login name leads; `NOBODY` for a name that nobody has."""

    tenant: TenantId
    user: UUID
    password_hash: str | None
    rules: Rules
    password_ended: bool = False
    """It was made for the person, who did not come in time."""


NOBODY: Final = UUID(int=0)


class Login:
    """Turns a proof into a session."""

    def __init__(  # noqa: PLR0913 - the meeting point of identity's parts
        self,
        replay: Replay,
        *,
        sessions: Sessions,
        second: SecondStep,
        hasher: PasswordHasher,
        keys: FieldKeys,
        throttle: LoginThrottle,
        refusals: Refusals,
        rules: LoginRules,
        audit: AuditTrail,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._pool = replay.pool
        self._replay = replay
        self._sessions = sessions
        self._second = second
        self._hasher = hasher
        self._keys = keys
        self._throttle = throttle
        self._refusals = refusals
        self._rules = rules
        self._audit = audit
        self._clock = clock
        self._randomness = randomness

    async def by_password(
        self, name: LoginName, password: Secret[str], *, network: str
    ) -> SessionTickets | Challenge:
        """A session or a challenge; raises `LOGIN_REFUSED` or `LOGIN_THROTTLED`, nothing more telling."""
        key = name.key()
        try:
            async with self._throttle.guess(key, network):
                return await self._checked(name, password, network)
        except AitradingError as exc:
            if exc.spec is LOGIN_THROTTLED:
                account = await self._account(name)
                await self._note(AuditAction.LOGIN_THROTTLED, account, key, network)
            raise

    async def _checked(
        self, name: LoginName, password: Secret[str], network: str
    ) -> SessionTickets | Challenge:
        key, account = name.key(), await self._account(name)
        matches = await self._hasher.verify(password, account.password_hash)
        try:
            tickets = await self._decide(account, matches=matches, network=network)
        except AitradingError as exc:
            if exc.spec is LOGIN_REFUSED:
                self._throttle.failed(key, network)
                action = noted_as(exc, AuditAction.LOGIN_REFUSED)
                await self._note(action, account, key, network)
            raise
        self._throttle.succeeded(key, network)
        return tickets

    async def by_link(self, code: Secret[str], *, network: str = "") -> SessionTickets | Challenge:
        """The same for a one-time code; exactly one of parallel callers succeeds.

        Raises `CODE_REFUSED`.
        """
        tenant, digest = _parse_link(code)

        async def apply(tx: TenantTransaction) -> SessionTickets | Challenge:
            row = await tx.fetch_row(_SQL["use_login_link"], digest, now_utc(self._clock))
            if row is None:
                raise CODE_REFUSED.error()
            return await self._second.enter(
                tx, row["user_id"], Authentication.LINK, network=network
            )

        try:
            return await self._replay.once(tenant, apply)
        except AitradingError as exc:
            if exc.spec in (CODE_REFUSED, LOGIN_REFUSED):
                await self._refusals.note(
                    Refused(
                        action=noted_as(exc, AuditAction.CODE_REFUSED),
                        tenant=tenant,
                        subject="code:link",
                        target=tenant.bytes,
                        address=network,
                        kind="link",
                    )
                )
                if isinstance(exc, OutsideError):
                    raise CODE_REFUSED.error() from exc
            raise

    async def by_host(self, name: LoginName, *, actor: str) -> SessionTickets:
        """Open a session because the administrator of the host asks for it."""
        account = await self.find(name)

        async def apply(tx: TenantTransaction) -> SessionTickets:
            event = AuditEvent(
                actor=actor, action=AuditAction.TOKEN_GIVEN, subject=f"user:{account.user}"
            )
            await self._audit.add(tx, event)
            return await self._sessions.open(tx, account.user, Authentication.HOST)

        return await self._replay.once(account.tenant, apply)

    async def create_link(self, name: LoginName, *, actor: str) -> Secret[str]:
        """A one-time code that logs the person in within `LINK_LIFETIME_S`."""
        account = await self.find(name)
        secret = self._randomness.token(LINK_SECRET_BYTES)

        async def apply(tx: TenantTransaction) -> None:
            await tx.execute(
                _SQL["insert_login_link"],
                sha256(secret),
                account.user,
                after(self._clock, LINK_LIFETIME_S),
            )
            event = AuditEvent(
                actor=actor, action=AuditAction.LOGIN_LINK_CREATED, subject=f"user:{account.user}"
            )
            await self._audit.add(tx, event)

        await self._replay.once(account.tenant, apply)
        return Secret(base64url_encode(account.tenant.bytes + secret))

    async def find(self, name: LoginName) -> Account:
        """Where an existing login name leads; raises `IDENTITY_UNKNOWN`. For administrators."""
        account = await self._account(name)
        if account.user == NOBODY:
            raise IDENTITY_UNKNOWN.error(kind="user", name=f"{name.tenant}/{name.user}")
        return account

    async def _account(self, name: LoginName) -> Account:
        """The same statements for every name, whether or not it leads anywhere."""
        async with self._pool.platform_read() as tx:
            found = await tx.fetch_value(_SQL["find_tenant"], _cleaned(name.tenant))
        tenant = tenant_of_row(found) if found else PLATFORM
        async with self._pool.tenant_read(tenant) as tx:
            index = (await self._keys.of(tx)).index(USER_NAME, _cleaned(name.user))
            row = await tx.fetch_row(_SQL["find_user_by_name"], index, now_utc(self._clock))
            rules = await self._rules.of(tx)
        if row is None:
            return Account(tenant=tenant, user=NOBODY, password_hash=None, rules=rules)
        return Account(
            tenant=tenant,
            user=row["id"],
            password_hash=row["password_hash"],
            password_ended=row["password_ended"],
            rules=rules,
        )

    async def _open(
        self, tx: TenantTransaction, account: Account, network: str
    ) -> SessionTickets | Challenge | None:
        """The next step, if the verified password is the one that counts now.

        Hashing takes its time, and a reset meanwhile must not let the old password in. The lock
        makes a reset that comes now wait, and end the session that begins here.
        """
        held = await tx.fetch_value(_SQL["hold_password"], account.user)
        if held != account.password_hash:
            return None
        return await self._second.enter(tx, account.user, Authentication.PASSWORD, network=network)

    async def _decide(
        self, account: Account, *, matches: bool, network: str
    ) -> SessionTickets | Challenge:
        if matches:
            account.rules.require_inside(network)  # before what only a right password costs
            if account.password_ended:
                raise FirstPasswordEndedError
            opened = await self._replay.once(
                account.tenant, lambda tx: self._open(tx, account, network)
            )
            if opened is not None:
                return opened
        raise LOGIN_REFUSED.error()

    async def _note(self, action: AuditAction, account: Account, key: bytes, network: str) -> None:
        refused = Refused(
            action=action,
            tenant=account.tenant,
            subject=f"user:{account.user}",
            target=key,
            address=network,
            kind="password",
            tenant_is_claimed=False,
        )
        await self._refusals.note(refused)


def _cleaned(text: str) -> str:
    """The one spelling; what cannot be a name becomes one that nobody has."""
    try:
        return normalised_name(text)
    except AitradingError as exc:
        if exc.spec is not IDENTITY_INVALID:
            raise
        return ""


def _parse_link(code: Secret[str]) -> tuple[TenantId, bytes]:
    try:
        raw = base64url_decode(code.reveal())
    except ValueError as exc:
        raise CODE_REFUSED.error() from exc
    if len(raw) != UUID_BYTES + LINK_SECRET_BYTES:
        raise CODE_REFUSED.error()
    return TenantId(UUID(bytes=raw[:UUID_BYTES])), sha256(raw[UUID_BYTES:])
