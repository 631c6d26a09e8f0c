"""Whether a person's subscription lets new exposure in; asked of the database service.

Only what opens or widens a position asks. The kill switch, cancelling and reducing never do: a
lapsed subscription must not keep anybody from getting out.
"""

from collections import OrderedDict
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
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.security.subscription import SUBSCRIPTION_INACTIVE, SubscriptionState
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.user_subscriptions import USER_SUBSCRIPTION_PATH, SubscriptionAnswer
from aitrading.server.trading_engine.errors import SUBSCRIPTION_UNKNOWN

REMEMBERED_S: Final = 60
"""How long an answer counts when nobody says that it changed."""
MAX_REMEMBERED: Final = 10_000
_NOT_LIMITED: Final = frozenset({SubscriptionState.ACTIVE, SubscriptionState.NONE})
"""An organisation that never had a plan was sold nothing, so nothing can be stopped."""
_Key = tuple[TenantId, UUID]


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

    async def require(self, token: VerifiedToken) -> None:
        """Raise `SUBSCRIPTION_INACTIVE`, or `SUBSCRIPTION_UNKNOWN` when nobody can tell."""
        answer = await self._answer((token.tenant, token.user))
        if answer.state not in _NOT_LIMITED:
            raise SUBSCRIPTION_INACTIVE.error(state=str(answer.state))

    async def _answer(self, key: _Key) -> SubscriptionAnswer:
        known = self._known.get(key)
        if known is not None and self._counts(known):
            return known.answer
        changes, asked_ns = self._changes, self._clock.monotonic_ns()
        try:
            answer = await self._source.of_user(*key)
        except AitradingError as exc:
            raise SUBSCRIPTION_UNKNOWN.error(reason=exc.code) from exc
        if changes == self._changes:  # else it may be from before a change that is forgotten
            self._remember(key, answer, asked_ns)
        return answer

    def _counts(self, known: _Remembered) -> bool:
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
