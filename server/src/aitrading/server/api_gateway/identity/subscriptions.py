"""Subscriptions as the administrator changes them: an organisation's plan, and people within it.

Each change is audited in its own transaction, gets the next version, and is announced after the
commit, so that whoever remembers an answer asks again.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.event_bus import EventBus
from aitrading.core.infrastructure.events import SubscriptionChanged
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.subscription import Entitlement, SubscriptionState
from aitrading.server.api_gateway.identity.admin_shapes import (
    FEATURES_MAX,
    NewSubscription,
    PersonSubscription,
    Subscription,
    SubscriptionStateChange,
)
from aitrading.server.api_gateway.identity.administration import Administration, explained
from aitrading.server.api_gateway.identity.errors import IDENTITY_INVALID, IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.login import Login, LoginName
from aitrading.server.api_gateway.identity.model import LIST_LIMIT
from aitrading.server.api_gateway.identity.sessions import PACKAGE
from aitrading.server.api_gateway.identity.tenants import opener_of
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import AuditEvent, AuditTrail
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.transactions import TenantTransaction
from aitrading.server.kit.user_subscriptions import SubscriptionAnswer, find_subscription
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.opening import by_name, opened_user

_SQL: Final = Queries.load(PACKAGE, "sql/subscriptions.sql")
FEATURE_LENGTH_MAX: Final = 64


class Subscriptions:
    """Sets, pauses, ends and shows them."""

    def __init__(
        self,
        replay: Replay,
        *,
        administration: Administration,
        login: Login,
        keys: FieldKeys,
        audit: AuditTrail,
        bus: EventBus,
        clock: Clock,
        on_error: Callable[[Exception], object],
    ) -> None:
        self._pool = replay.pool
        self._replay = replay
        self._administration = administration
        self._login = login
        self._keys = keys
        self._audit = audit
        self._bus = bus
        self._clock = clock
        self._on_error = on_error

    async def set(self, new: NewSubscription, *, actor: str) -> Subscription:
        """Replace what an organisation or, with `user`, a person is entitled to."""
        tenant, user = await self._whose(new.tenant, new.user)
        begins = new.valid_from or now_utc(self._clock)
        _require_sound(new, begins)
        values = (new.plan, list(new.features), new.state, begins, new.valid_to)

        async def apply(tx: TenantTransaction) -> int:
            if user is None:
                version = await tx.fetch_value(_SQL["put_plan"], *values)
            else:
                version = await tx.fetch_value(_SQL["put_user"], user, *values)
            details: dict[str, FieldValue] = {"tier": new.plan, "state": new.state}
            await self._note(tx, actor, user, version, details)
            return int(version)

        with explained("subscription", new.plan):
            version = await self._replay.once(tenant, apply)
        await self._announce(tenant, user, version)
        return Subscription(
            plan=new.plan,
            features=new.features,
            state=new.state,
            valid_from=begins,
            valid_to=new.valid_to,
            version=version,
        )

    async def set_state(self, change: SubscriptionStateChange, *, actor: str) -> int:
        """Pause, end or resume; gives the new version. Raises `IDENTITY_UNKNOWN` without one."""
        tenant, user = await self._whose(change.tenant, change.user)

        async def apply(tx: TenantTransaction) -> int:
            if user is None:
                version = await tx.fetch_value(_SQL["set_plan_state"], change.state)
            else:
                version = await tx.fetch_value(_SQL["set_user_state"], user, change.state)
            if version is None:
                whose = change.tenant if change.user is None else f"{change.tenant}/{change.user}"
                raise IDENTITY_UNKNOWN.error(kind="subscription of", name=whose)
            await self._note(tx, actor, user, version, {"state": change.state})
            return int(version)

        version = await self._replay.once(tenant, apply)
        await self._announce(tenant, user, version)
        return version

    async def plan(self, tenant: TenantId) -> Subscription | None:
        """What an organisation is entitled to, or None before the first subscription."""
        async with self._pool.tenant_read(tenant) as tx:
            row = await tx.fetch_row(_SQL["find_plan"])
        return msgspec.convert(dict(row), Subscription) if row else None

    async def people(self, tenant: TenantId) -> list[PersonSubscription]:
        """What each person of an organisation is entitled to now, by name."""
        moment = now_utc(self._clock)
        async with self._pool.tenant_read(tenant) as tx:
            rows = await tx.fetch(_SQL["list_users"], LIST_LIMIT)
            fields = await opener_of(self._keys, tx)
            return by_name(
                [
                    PersonSubscription(
                        name=opened_user(row, fields)["name"],
                        subscription=SubscriptionAnswer.of(
                            await find_subscription(tx, row["id"], moment)
                        ),
                    )
                    for row in rows
                ]
            )

    async def _whose(self, tenant: str, user: str | None) -> tuple[TenantId, UUID | None]:
        if user is None:
            return await self._administration.living_tenant(tenant), None
        account = await self._login.find(LoginName(tenant=tenant, user=user))
        return account.tenant, account.user

    async def _note(
        self,
        tx: TenantTransaction,
        actor: str,
        user: UUID | None,
        version: int,
        details: dict[str, FieldValue],
    ) -> None:
        subject = f"subscription:{tx.tenant}" if user is None else f"user:{user}"
        event = AuditEvent(
            actor=actor,
            action=AuditAction.SUBSCRIPTION_CHANGED,
            subject=subject,
            details={**details, "version": version},
        )
        await self._audit.add(tx, event)

    async def _announce(self, tenant: TenantId, user: UUID | None, version: int) -> None:
        """The change is committed; who does not hear of it asks again within a minute."""
        event = SubscriptionChanged(user=None if user is None else UserId(user), version=version)
        try:
            await self._bus.publish(event, tenant=tenant)
        except AitradingError as exc:
            self._on_error(exc)


async def plan_state(tx: TenantTransaction, moment: datetime) -> SubscriptionState:
    """How the plan of the transaction's organisation stands; NONE before its first."""
    row = await tx.fetch_row(_SQL["plan_state"], tx.tenant)
    if row is not None and row["suspended"]:
        return SubscriptionState.SUSPENDED
    if row is None or row["plan"] is None:
        return SubscriptionState.NONE
    plan = Entitlement(
        tier=row["plan"],
        features=frozenset(row["features"]),
        state=SubscriptionState(row["state"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        version=row["version"],
    )
    return plan.state_at(moment)


def _require_sound(new: NewSubscription, begins: datetime) -> None:
    if new.valid_to is not None and new.valid_to <= begins:
        raise IDENTITY_INVALID.error(field="valid_to", reason="it is not after the beginning")
    if len(new.features) > FEATURES_MAX or any(
        not 0 < len(each) <= FEATURE_LENGTH_MAX or "\0" in each for each in new.features
    ):
        reason = f"at most {FEATURES_MAX} names of 1 to {FEATURE_LENGTH_MAX} characters"
        raise IDENTITY_INVALID.error(field="features", reason=reason)
