"""The entitlement of a person over HTTP, for the services that decide by it."""

from uuid import UUID

from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.tenancy import parse_tenant
from aitrading.server.kit.user_subscriptions import (
    SUBSCRIBER_UNKNOWN,
    USER_SUBSCRIPTION_PATH,
    SubscriptionAnswer,
    UserSubscriptions,
)


class SubscriptionEndpoints:
    """Answers with the database's own role: it sees states and no names."""

    def __init__(self, subscriptions: UserSubscriptions) -> None:
        self._subscriptions = subscriptions

    @endpoint(
        "GET",
        USER_SUBSCRIPTION_PATH,
        access=peers("api-gateway", "data-bridge", "trading-engine", "admin"),
        answer=SubscriptionAnswer,
        query=(QueryField(name="tenant", doc="The person's organisation.", required=True),),
        errors=(SUBSCRIBER_UNKNOWN,),
    )
    async def of_user(self, call: Call) -> SubscriptionAnswer:
        """What a person is entitled to now."""
        tenant = parse_tenant(call.query("tenant"))
        found = await self._subscriptions.get_user_subscription(tenant, _user(call.path("user")))
        return SubscriptionAnswer.of(found)


def _user(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason="`user` is not a UUID") from None
