"""What a person is entitled to: a value that answers for any moment.

The plan of the organisation is the ceiling, what is set for the person can only narrow it: the
features both include, from the later beginning to the earlier end. An expiry is the first moment
that no longer counts. Times are aware and in UTC, as PostgreSQL keeps them: a leap second is the
second after it, and a change of a zone's offset moves nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

SUBSCRIPTION_INACTIVE: Final = ErrorSpec(
    code="SUBSCRIPTION_INACTIVE",
    category=Category.DENIED,
    message="The subscription does not count: it is {state}.",
    why="It was paused or ended, its time is over or has not come, or who holds it is suspended.",
    remedy="Look with `aitrading subscription people --tenant NAME`; an administrator renews it with "
    "`aitrading subscription set`.",
    http_status=403,
    severity=Severity.INFO,
)


class SubscriptionState(StrEnum):
    """Whether it counts at a moment, and if not, why."""

    ACTIVE = "active"
    NONE = "none"
    NOT_STARTED = "not_started"
    PAUSED = "paused"
    ENDED = "ended"
    EXPIRED = "expired"
    SUSPENDED = "suspended"


@dataclass(frozen=True, kw_only=True)
class Entitlement:
    """One agreement as it is stored: of an organisation, or of a person in it."""

    tier: str
    features: frozenset[str]
    state: SubscriptionState
    """What was decided: ACTIVE, PAUSED or ENDED; time is looked at separately."""
    valid_from: datetime
    valid_to: datetime | None
    version: int

    def state_at(self, moment: datetime) -> SubscriptionState:
        """What was decided wins over time: a paused one that is over stays paused."""
        if self.state is not SubscriptionState.ACTIVE:
            return self.state
        if moment < self.valid_from:
            return SubscriptionState.NOT_STARTED
        if self.valid_to is not None and moment >= self.valid_to:
            return SubscriptionState.EXPIRED
        return SubscriptionState.ACTIVE


@dataclass(frozen=True, kw_only=True)
class UserSubscription:
    """The answer about one person, asked at `as_of`; it can be asked for later moments too."""

    tenant: UUID
    user: UUID
    plan: Entitlement | None
    """The organisation's agreement; without one nobody in it is entitled to anything."""
    own: Entitlement | None
    """The person's agreement; without one the person has what the organisation has."""
    is_suspended: bool
    as_of: datetime

    def state_at(self, moment: datetime) -> SubscriptionState:
        """The first reason why it does not count, or ACTIVE."""
        if self.is_suspended:
            return SubscriptionState.SUSPENDED
        if self.plan is None:
            return SubscriptionState.NONE
        state = self.plan.state_at(moment)
        if state is not SubscriptionState.ACTIVE or self.own is None:
            return state
        return self.own.state_at(moment)

    @property
    def state(self) -> SubscriptionState:
        """As of the question."""
        return self.state_at(self.as_of)

    def is_active(self, moment: datetime | None = None) -> bool:
        """It counts, as of the question or at another moment."""
        return self.state_at(moment or self.as_of) is SubscriptionState.ACTIVE

    @property
    def tier(self) -> str | None:
        """The person's own tier, or the organisation's plan; None without any."""
        decisive = self.own or self.plan
        return decisive.tier if decisive and self.plan else None

    @property
    def expires_at(self) -> datetime | None:
        """The earlier end of the two agreements; None when neither ends."""
        ends = [each.valid_to for each in self._agreements if each.valid_to is not None]
        return min(ends, default=None)

    @property
    def version(self) -> int:
        """Grows with each change of either agreement; 0 before the first."""
        return sum(each.version for each in self._agreements)

    def get_features(self) -> frozenset[str]:
        """What may be used now: what both agreements include; nothing while it does not count."""
        if self.plan is None or not self.is_active():
            return frozenset()
        return self.plan.features & self.own.features if self.own else self.plan.features

    def require_active(self, moment: datetime | None = None) -> None:
        """Raise `SUBSCRIPTION_INACTIVE` with the reason."""
        state = self.state_at(moment or self.as_of)
        if state is not SubscriptionState.ACTIVE:
            raise SUBSCRIPTION_INACTIVE.error(state=str(state))

    @property
    def _agreements(self) -> list[Entitlement]:
        return [each for each in (self.plan, self.own) if each is not None]
