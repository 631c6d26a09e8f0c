"""Whether a person's subscription counts; asked of the database service, remembered for a minute.

What opens or widens a position asks, and what shows market data. The kill switch, cancelling,
reducing and reading one's own never do: a lapsed subscription must not keep anybody from getting out.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from typing_extensions import override

from aitrading.core.infrastructure.event_bus import (
    EVERYWHERE,
    EventBus,
    EventEnvelope,
    Subscription,
)
from aitrading.core.infrastructure.events import SubscriptionChanged
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.resilience import Timeouts
from aitrading.core.kit.clock import NS_PER_S, Clock, now_utc
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Impact, Severity
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.subscription import SUBSCRIPTION_INACTIVE, SubscriptionState
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.user_subscriptions import USER_SUBSCRIPTION_PATH, SubscriptionAnswer

REMEMBERED_S: Final = 60
"""How long an answer counts when nobody says that it changed."""
MAX_REMEMBERED: Final = 10_000
_NOT_LIMITED: Final = frozenset({SubscriptionState.ACTIVE, SubscriptionState.NONE})
_Key = tuple[TenantId, UUID]

SUBSCRIPTION_UNKNOWN: Final = ErrorSpec(
    code="SUBSCRIPTION_UNKNOWN",
    category=Category.RETRYABLE,
    message="Nobody can tell whether your subscription counts ({reason}): the order was refused.",
    why="New exposure needs an answer of the database service, and there is none.",
    remedy="Try again in a moment; the kill switch, cancelling and reducing need no subscription.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.NEW_EXPOSURE,
)


class Person(Protocol):
    """Who is entitled or not; a verified token is one."""

    @property
    def tenant(self) -> TenantId:
        """The organisation."""
        ...

    @property
    def user(self) -> UserId:
        """The person."""
        ...


class SubscriptionSource(Protocol):
    """Where the answer comes from."""

    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        """What a person is entitled to now; raises what its way raises."""
        ...


class DatabaseServiceSubscriptions(SubscriptionSource):
    """Asks the database service, which sees states and no names."""

    def __init__(self, client: InternalClient) -> None:
        self._client = client

    @override
    async def of_user(self, tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        return await self._client.get(
            USER_SUBSCRIPTION_PATH.format(user=user),
            answer=SubscriptionAnswer,
            query={"tenant": str(tenant)},
            timeout_s=Timeouts.FAST,
        )


@dataclass(frozen=True, kw_only=True)
class _Remembered:
    answer: SubscriptionAnswer
    until_ns: int


class SubscriptionGate:
    """Remembers answers for `REMEMBERED_S`, or until a change or an expiry."""

    def __init__(self, *, source: SubscriptionSource, bus: EventBus, clock: Clock) -> None:
        self.name = "subscription-gate"
        self.depends_on = ("bus",)
        self.state = ComponentState.NEW
        self.on_change: Callable[[TenantId, UUID | None], None] = _nobody_asks
        """Called when a person's entitlement, or with None everybody's, may be another one."""
        self._source = source
        self._bus = bus
        self._clock = clock
        self._known: OrderedDict[_Key, _Remembered] = OrderedDict()
        self._changes = 0
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Forget answers from now on when somebody says that they changed."""
        self._subscription = await self._bus.subscribe(
            SubscriptionChanged, self._on_change, scope=EVERYWHERE
        )
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.close()
            self._subscription = None
        self.state = ComponentState.STOPPED

    async def require(self, person: Person) -> None:
        """Raise `SUBSCRIPTION_INACTIVE`, or `SUBSCRIPTION_UNKNOWN` when nobody can tell."""
        try:
            state = await self.state_of(person)
        except AitradingError as exc:
            raise SUBSCRIPTION_UNKNOWN.error(reason=exc.code) from exc
        if not counts(state):
            raise SUBSCRIPTION_INACTIVE.error(state=str(state))

    async def state_of(self, person: Person) -> SubscriptionState:
        """How it stands now; raises what the source raises."""
        return (await self._answer((person.tenant, person.user))).state

    def remembered(self, person: Person) -> SubscriptionState | None:
        """How it stands by an answer that still counts; None when somebody has to be asked."""
        known = self._known.get((person.tenant, person.user))
        return known.answer.state if known is not None and self._is_fresh(known) else None

    def last_known(self, person: Person) -> SubscriptionState:
        """How it stood when somebody could tell, however long ago; NONE when nobody ever could."""
        known = self._known.get((person.tenant, person.user))
        return known.answer.state if known is not None else SubscriptionState.NONE

    async def _answer(self, key: _Key) -> SubscriptionAnswer:
        known = self._known.get(key)
        if known is not None and self._is_fresh(known):
            return known.answer
        changes, asked_ns = self._changes, self._clock.monotonic_ns()
        answer = await self._source.of_user(*key)
        if changes == self._changes:  # else it may be from before a change that is forgotten
            self._remember(key, answer, asked_ns)
        return answer

    def _is_fresh(self, known: _Remembered) -> bool:
        if self._clock.monotonic_ns() >= known.until_ns:
            return False
        expires_at = known.answer.expires_at
        return expires_at is None or now_utc(self._clock) < expires_at

    def _remember(self, key: _Key, answer: SubscriptionAnswer, asked_ns: int) -> None:
        until_ns = asked_ns + REMEMBERED_S * NS_PER_S
        self._known[key] = _Remembered(answer=answer, until_ns=until_ns)
        self._known.move_to_end(key)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)

    async def _on_change(self, event: SubscriptionChanged, envelope: EventEnvelope) -> None:
        self._changes += 1
        for key in [key for key in self._known if key[0] == envelope.tenant]:
            if event.user is None or key[1] == event.user:
                del self._known[key]
        if envelope.tenant is not None:
            self.on_change(envelope.tenant, event.user)


def counts(state: SubscriptionState) -> bool:
    """Nothing stops it; an organisation without a plan was sold nothing, so nothing can be stopped."""
    return state in _NOT_LIMITED


def _nobody_asks(_tenant: TenantId, _user: UUID | None) -> None:
    """For a service that asks with each request."""
