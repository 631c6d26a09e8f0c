"""What the administrator of the host may do: organisations, people, accounts."""

from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Literal, TypeVar
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.ids import IdFactory, TenantId
from aitrading.core.kit.randomness import Randomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Scope
from aitrading.server.api_gateway.identity.admin_shapes import (
    Account,
    AccountDevice,
    Credentials,
    NewAccount,
    NewUser,
    Tenant,
    User,
)
from aitrading.server.api_gateway.identity.errors import (
    IDENTITY_EXISTS,
    IDENTITY_INVALID,
    IDENTITY_UNKNOWN,
    TENANT_ERASED,
)
from aitrading.server.api_gateway.identity.login import Login, LoginName
from aitrading.server.api_gateway.identity.login_rules import LoginRules
from aitrading.server.api_gateway.identity.made_keys import KeysOfMaker, MadeKeys
from aitrading.server.api_gateway.identity.model import (
    ACCOUNT_NAME_CHARS,
    DISPLAY_NAME_CHARS,
    LIST_LIMIT,
    SCOPES,
    Role,
    after,
    checked_text,
    normalised_login,
    normalised_name,
    tenant_of_row,
)
from aitrading.server.api_gateway.identity.own_password import names_around
from aitrading.server.api_gateway.identity.sessions import PACKAGE, Sessions
from aitrading.server.api_gateway.identity.tenants import TenantState, opener_of
from aitrading.server.authority.passwords import PasswordHasher, generate_password, require_strong
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.database_errors import (
    DATABASE_ALREADY_EXISTS,
    DATABASE_CONSTRAINT_VIOLATED,
)
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.revoked_tokens import Revocation
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.personal_data.catalogue import (
    ACCOUNT_LOGIN,
    ACCOUNT_NAME,
    USER_DISPLAY_NAME,
    USER_NAME,
)
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import by_name, opened_account, opened_user

T = TypeVar("T")
S_PER_HOUR: Final = 3_600
_SQL: Final = Queries.load(PACKAGE, "sql/administration.sql")


class Administration:
    """Changes that only the host may make; each is audited in its own transaction.

    A change whose connection was lost is made exactly once (`Replay`).
    """

    def __init__(  # noqa: PLR0913 - the meeting point of identity's parts
        self,
        replay: Replay,
        *,
        login: Login,
        sessions: Sessions,
        hasher: PasswordHasher,
        keys: FieldKeys,
        audit: AuditTrail,
        made_keys: MadeKeys,
        rules: LoginRules,
        clock: Clock,
        ids: IdFactory,
        randomness: Randomness,
    ) -> None:
        self._pool = replay.pool
        self._replay = replay
        self._login = login
        self._sessions = sessions
        self._hasher = hasher
        self._keys = keys
        self._audit = audit
        self._made_keys = made_keys
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._randomness = randomness

    async def create_tenant(self, name: str, *, actor: str) -> Tenant:
        """A new organisation; raises `IDENTITY_EXISTS` or `IDENTITY_INVALID`."""
        tenant = Tenant(
            id=self._ids.new(), name=name, state="active", created_at=now_utc(self._clock)
        )

        async def apply(tx: TenantTransaction) -> None:
            await tx.execute(_SQL["insert_tenant"], tenant.id, name, tenant.created_at)
            await self._keys.ensure(tx)
            await self._note(tx, actor, AuditAction.TENANT_CREATED, tenant.id)

        with explained("organisation", name):
            await self._replay.once(TenantId(tenant.id), apply)
        return tenant

    async def tenants(self) -> list[Tenant]:
        """Every organisation by name, at most `LIST_LIMIT`."""
        async with self._pool.platform_read() as tx:
            rows = await tx.fetch(_SQL["list_tenants"], LIST_LIMIT)
        return [Tenant(**dict(row)) for row in rows]

    async def tenant(self, name_or_id: str) -> TenantId:
        """The organisation with this name or id, whatever its state; raises `IDENTITY_UNKNOWN`."""
        return TenantId((await self.find_tenant(name_or_id)).id)

    async def living_tenant(self, name_or_id: str) -> TenantId:
        """The same for who wants to change it; raises `TENANT_ERASED` too."""
        found = await self.find_tenant(name_or_id)
        if found.state == TenantState.ERASED:
            raise TENANT_ERASED.error(name=found.name)
        return TenantId(found.id)

    async def find_tenant(self, name_or_id: str) -> Tenant:
        """All that is known of it; raises `IDENTITY_UNKNOWN`."""
        async with self._pool.platform_read() as tx:
            row = await tx.fetch_row(_SQL["find_tenant"], name_or_id)
        if row is None:
            raise IDENTITY_UNKNOWN.error(kind="organisation", name=name_or_id)
        return Tenant(
            id=tenant_of_row(row["id"]),
            name=row["name"],
            state=row["state"],
            created_at=row["created_at"],
        )

    async def create_user(self, new: NewUser, *, actor: str) -> Credentials:
        """A new person; tells a generated password once."""
        name, user = normalised_name(new.user), self._ids.new()
        shown = checked_text(new.display_name, field="display name", limit=DISPLAY_NAME_CHARS)
        tenant = await self.find_tenant(new.tenant)
        password = self._password(new.password, name, (tenant.name, shown))
        digest = await self._hasher.hash(password)

        async def apply(tx: TenantTransaction) -> datetime:
            fields, ends_at = await self._keys.of(tx), await self._first_password_ends(tx)
            await tx.execute(
                _SQL["insert_user"],
                user,
                fields.seal(USER_NAME, user, name),
                fields.index(USER_NAME, name),
                fields.seal(USER_DISPLAY_NAME, user, shown),
                new.role,
                digest,
                now_utc(self._clock),
                ends_at,
            )
            await self._note(
                tx, actor, AuditAction.USER_CREATED, user, details={"role": str(new.role)}
            )
            return ends_at

        ends_at = await self._change(new.tenant, "user", name, apply)
        told = _told(new.password, password)
        return Credentials(user=user, name=name, password=told, password_ends_at=ends_at)

    async def users(self, tenant: str) -> list[User]:
        """The people of an organisation by name."""
        async with self._pool.tenant_read(await self.tenant(tenant)) as tx:
            rows = await tx.fetch(_SQL["list_users"], LIST_LIMIT, now_utc(self._clock))
            fields = await opener_of(self._keys, tx)
        return by_name(msgspec.convert(opened_user(row, fields), User) for row in rows)

    async def names(self, tenant: TenantId, users: Collection[UUID]) -> dict[UUID, str]:
        """The names of some people of an organisation."""
        if not users:
            return {}
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["users_by_id"], [*users])
            fields = await self._keys.of(tx)
        return {row["id"]: opened_user(row, fields)["name"] for row in rows}

    async def reset_password(
        self, name: LoginName, chosen: str | None, *, actor: str
    ) -> Credentials:
        """Give a new first password and end every session of the person."""
        account = await self._login.find(name)
        async with self._pool.tenant_read(account.tenant) as tx:
            names = await names_around(tx, self._keys, account.user)
        password = self._password(chosen, name.user, names)
        digest = await self._hasher.hash(password)

        async def apply(tx: TenantTransaction) -> tuple[datetime, Revocation]:
            ends_at = await self._first_password_ends(tx)
            await tx.execute(_SQL["set_password"], account.user, digest, ends_at)
            await tx.execute(_SQL["forget_login_links"], account.user)
            await tx.execute(_SQL["forget_challenges"], account.user)
            ended = await self._sessions.end_all(tx, account.user, "password")
            await self._note(tx, actor, AuditAction.USER_PASSWORD_RESET, account.user)
            return ends_at, ended

        ends_at, ended = await self._replay.once(account.tenant, apply)
        await self._sessions.refuse_tokens(ended)
        told = _told(chosen, password)
        return Credentials(
            user=account.user, name=name.user, password=told, password_ends_at=ends_at
        )

    async def _first_password_ends(self, tx: TenantTransaction) -> datetime:
        """When a password ends that somebody else made for a person."""
        rules = await self._rules.of(tx)
        return after(self._clock, rules.first_password_h * S_PER_HOUR)

    async def set_user_state(
        self, name: LoginName, state: Literal["active", "suspended"], *, actor: str
    ) -> KeysOfMaker:
        """Suspend a person, or let them in again; a suspension ends their sessions and keys."""
        account = await self._login.find(name)

        async def apply(tx: TenantTransaction) -> tuple[KeysOfMaker, Revocation]:
            told, ended = KeysOfMaker(), Revocation()
            await tx.execute(_SQL["set_user_state"], account.user, state)
            if state == "suspended":
                told, ended = await self._without(tx, account.user, frozenset(), state, actor)
            await self._note(tx, actor, AuditAction(f"identity.user.{state}"), account.user)
            return told, ended

        told, ended = await self._replay.once(account.tenant, apply)
        await self._sessions.refuse_tokens(ended)
        return told

    async def set_user_role(self, name: LoginName, role: Role, *, actor: str) -> KeysOfMaker:
        """Give a person another role; their sessions end, for tokens carry the old rights.

        With the role they have already too: who repeats a change does not know whether everybody
        heard of the first. Keys that they made end if they allow more than the new role.
        """
        account = await self._login.find(name)

        async def apply(tx: TenantTransaction) -> tuple[KeysOfMaker, Revocation]:
            if await tx.fetch_row(_SQL["set_user_role"], account.user, role) is not None:
                await self._note(
                    tx,
                    actor,
                    AuditAction.USER_ROLE_CHANGED,
                    account.user,
                    details={"role": str(role)},
                )
            return await self._without(tx, account.user, SCOPES[role], "role", actor)

        told, ended = await self._replay.once(account.tenant, apply)
        await self._sessions.refuse_tokens(ended)
        return told

    async def _without(
        self,
        tx: TenantTransaction,
        user: UUID,
        left: frozenset[Scope],
        reason: str,
        actor: str,
    ) -> tuple[KeysOfMaker, Revocation]:
        """End a person's sessions, and the keys they made that allow more than is left."""
        own = await self._sessions.end_all(tx, user, reason)
        moment = now_utc(self._clock)
        told, ended = await self._made_keys.end(tx, user, left, moment=moment, actor=actor)
        both = Revocation(sessions=own.sessions + ended.sessions, users=own.users + ended.users)
        return told, both

    async def create_account(self, new: NewAccount, *, actor: str) -> Account:
        """A new broker account."""
        account = Account(
            id=self._ids.new(),
            name=checked_text(new.name, field="name", limit=ACCOUNT_NAME_CHARS),
            broker_server=new.broker_server,
            login=normalised_login(new.login),
            currency=new.currency,
            margin_mode=new.margin_mode,
            simulated=new.simulated,
            device=new.device,
        )

        async def apply(tx: TenantTransaction) -> None:
            fields = await self._keys.of(tx)
            await tx.execute(
                _SQL["insert_account"],
                account.id,
                fields.seal(ACCOUNT_NAME, account.id, account.name),
                account.broker_server,
                fields.seal(ACCOUNT_LOGIN, account.id, account.login),
                fields.index(ACCOUNT_LOGIN, account.broker_server, account.login),
                account.currency,
                account.margin_mode,
                account.simulated,
                account.device,
                now_utc(self._clock),
            )
            await self._note(tx, actor, AuditAction.ACCOUNT_CREATED, account.id)

        await self._change(new.tenant, "account", new.login, apply)
        return account

    async def set_account_device(self, wanted: AccountDevice, *, actor: str) -> Account:
        """Name the device that may execute an account; raises `IDENTITY_UNKNOWN`."""
        tenant = await self.living_tenant(wanted.tenant)

        async def apply(tx: TenantTransaction) -> Account:
            changed = await tx.fetch_row(_SQL["set_account_device"], wanted.account, wanted.device)
            if changed is None:
                raise IDENTITY_UNKNOWN.error(kind="account", name=str(wanted.account))
            device = str(wanted.device) if wanted.device else "none"
            await self._note(
                tx,
                actor,
                AuditAction.ACCOUNT_DEVICE_SET,
                wanted.account,
                details={"device": device},
            )
            return msgspec.convert(opened_account(changed, await self._keys.of(tx)), Account)

        with explained("account", str(wanted.account)):
            return await self._replay.once(tenant, apply)

    async def accounts(self, tenant: TenantId) -> list[Account]:
        """The accounts of an organisation by name."""
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["list_accounts"], LIST_LIMIT)
            fields = await opener_of(self._keys, tx)
        return by_name(msgspec.convert(opened_account(row, fields), Account) for row in rows)

    async def _change(
        self,
        tenant: str,
        kind: str,
        name: str,
        apply: Callable[[TenantTransaction], Awaitable[T]],
    ) -> T:
        found = await self.living_tenant(tenant)
        with explained(kind, name):
            return await self._replay.once(found, apply)

    async def _note(
        self,
        tx: TenantTransaction,
        actor: str,
        action: AuditAction,
        subject: UUID,
        *,
        details: dict[str, FieldValue] | None = None,
    ) -> None:
        kind = action.split(".")[1]
        event = AuditEvent(
            actor=actor, action=action, subject=f"{kind}:{subject}", details=details or {}
        )
        await self._audit.add(tx, event)

    def _password(self, chosen: str | None, name: str, names: Collection[str]) -> Secret[str]:
        if chosen is None:
            return generate_password(self._randomness)
        password = Secret(chosen)
        require_strong(password, login_name=name, names=names)
        return password


_RULES: Final = {
    "tenants_name_check": "a name has 2 to 63 characters a-z, 0-9 and -, and begins with a letter",
    "accounts_tenant_id_device_id_fkey": "the organisation has no such device",
    "accounts_broker_server_check": "a broker's server has 1 to 128 characters",
    "accounts_currency_check": "a currency is three letters A-Z",
    "subscriptions_plan_check": "a plan has 2 to 31 characters a-z, 0-9 and -",
    "user_subscriptions_tier_check": "a tier has 2 to 31 characters a-z, 0-9 and -",
}
"""What the rules of the tables ask for, in the words of a person."""


def _told(chosen: str | None, password: Secret[str]) -> str | None:
    return None if chosen is not None else password.reveal()


@contextmanager
def explained(kind: str, name: str) -> Generator[None]:
    """Say what a constraint of the database means to a person."""
    try:
        yield
    except AitradingError as exc:
        if exc.spec is DATABASE_ALREADY_EXISTS:
            raise IDENTITY_EXISTS.error(kind=kind, name=name) from exc
        if exc.spec is DATABASE_CONSTRAINT_VIOLATED:
            rule = str(exc.fields.get("constraint"))
            reason = _RULES.get(rule, f"it breaks the rule {rule}")
            raise IDENTITY_INVALID.error(field=kind, reason=reason) from exc
        raise
