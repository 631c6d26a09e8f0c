"""`get_user_subscription`: the one question about entitlements, for every role that may ask."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.subscription import (
    Entitlement,
    SubscriptionState,
    UserSubscription,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.transactions import Row, TenantTransaction

USER_SUBSCRIPTION_PATH: Final = "/internal/v1/subscriptions/{user}"
"""`?tenant=…`, answered by the database service with `SubscriptionAnswer`."""
_SQL: Final = Queries.load("aitrading.server.kit", "user_subscriptions.sql")

SUBSCRIBER_UNKNOWN: Final = ErrorSpec(
    code="SUBSCRIBER_UNKNOWN",
    category=Category.DENIED,
    message="There is no user {user} in this organisation.",
    why="The id is misspelt, or belongs to another organisation.",
    remedy="List the people: `aitrading user list --tenant NAME`.",
    http_status=404,
    severity=Severity.INFO,
)


class SubscriptionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is entitled to, as programs and people see it."""

    user: UUID
    state: SubscriptionState
    active: bool
    tier: str | None
    expires_at: datetime | None
    features: tuple[str, ...]
    version: int

    @classmethod
    def of(cls, found: UserSubscription) -> "SubscriptionAnswer":
        """As of the question."""
        return cls(
            user=found.user,
            state=found.state,
            active=found.is_active(),
            tier=found.tier,
            expires_at=found.expires_at,
            features=tuple(sorted(found.get_features())),
            version=found.version,
        )


class UserSubscriptions:
    """Asks the database, always: who wants to remember an answer knows for how long."""

    def __init__(self, pool: PostgresPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def get_user_subscription(self, tenant: TenantId, user: UUID) -> UserSubscription:
        """What the person is entitled to now; raises `SUBSCRIBER_UNKNOWN`."""
        async with self._pool.tenant_read(tenant) as tx:
            return await find_subscription(tx, user, now_utc(self._clock))


async def find_subscription(
    tx: TenantTransaction, user: UUID, as_of: datetime
) -> UserSubscription:
    """The same within a running transaction."""
    row = await tx.fetch_row(_SQL["find"], user)
    if row is None:
        raise SUBSCRIBER_UNKNOWN.error(user=str(user))
    return UserSubscription(
        tenant=tx.tenant,
        user=user,
        plan=_entitlement(row, "", row["plan"]),
        own=_entitlement(row, "own_", row["own_tier"]),
        is_suspended=row["suspended"],
        as_of=as_of,
    )


def _entitlement(row: Row, prefix: str, tier: str | None) -> Entitlement | None:
    if tier is None:
        return None
    return Entitlement(
        tier=tier,
        features=frozenset(row[f"{prefix}features"]),
        state=SubscriptionState(row[f"{prefix}state"]),
        valid_from=row[f"{prefix}valid_from"],
        valid_to=row[f"{prefix}valid_to"],
        version=row[f"{prefix}version"],
    )
