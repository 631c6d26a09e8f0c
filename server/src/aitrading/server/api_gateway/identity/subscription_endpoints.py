"""`/internal/v1/admin/subscriptions…`: plans and what people have of them, for the host."""

from aitrading.server.api_gateway.identity.admin_endpoints import (
    ADMIN,
    ADMIN_PATH,
    REFUSALS,
)
from aitrading.server.api_gateway.identity.admin_shapes import (
    NewSubscription,
    PersonSubscription,
    Subscription,
    SubscriptionStateChange,
    SubscriptionVersion,
)
from aitrading.server.api_gateway.identity.administration import Administration
from aitrading.server.api_gateway.identity.errors import IDENTITY_UNKNOWN
from aitrading.server.api_gateway.identity.subscriptions import Subscriptions
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint


class SubscriptionAdminEndpoints:
    """Administration from the host."""

    def __init__(self, subscriptions: Subscriptions, administration: Administration) -> None:
        self._subscriptions = subscriptions
        self._administration = administration

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/subscriptions",
        access=ADMIN,
        body=NewSubscription,
        answer=Subscription,
        errors=REFUSALS,
    )
    async def subscribe(self, call: Call) -> Subscription:
        """Replace what an organisation or a person is entitled to."""
        return await self._subscriptions.set(await call.json(NewSubscription), actor=HOST_ACTOR)

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/subscriptions/state",
        access=ADMIN,
        body=SubscriptionStateChange,
        answer=SubscriptionVersion,
        errors=(IDENTITY_UNKNOWN,),
    )
    async def set_state(self, call: Call) -> SubscriptionVersion:
        """Pause, end or resume a subscription."""
        change = await call.json(SubscriptionStateChange)
        version = await self._subscriptions.set_state(change, actor=HOST_ACTOR)
        return SubscriptionVersion(version=version)

    @endpoint("GET", f"{ADMIN_PATH}/subscriptions", access=ADMIN, answer=list[Subscription])
    async def subscriptions(self, call: Call) -> list[Subscription]:
        """The subscription of the organisation `tenant`, if it has one."""
        found = await self._subscriptions.plan(
            await self._administration.tenant(call.query("tenant"))
        )
        return [found] if found else []

    @endpoint(
        "GET",
        f"{ADMIN_PATH}/subscriptions/people",
        access=ADMIN,
        answer=list[PersonSubscription],
    )
    async def people(self, call: Call) -> list[PersonSubscription]:
        """What each person of the organisation `tenant` is entitled to now."""
        return await self._subscriptions.people(
            await self._administration.tenant(call.query("tenant"))
        )
