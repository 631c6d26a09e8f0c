"""Subscriptions of organisations and people: set, seen, announced, audited, decisive."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.infrastructure.event_bus import EVERYWHERE, EventEnvelope
from aitrading.core.infrastructure.events import SubscriptionChanged
from aitrading.core.kit.clock import now_utc
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.claims import NO_RATES, RateClaims
from aitrading.core.security.subscription import SubscriptionState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.user_subscriptions import UserSubscriptions

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]


async def refusal(gate: Any, path: str, **body: Any) -> str:
    with pytest.raises(AitradingError) as caught:
        await gate.command(path, **body)
    return caught.value.code


async def me(gate: Any, tenant: str) -> Any:
    given = await gate.command("tokens", tenant=tenant, user="trader")
    answer = await gate.get("/auth/me", authorization=f"Bearer {given['token']}")
    return answer.json["subscription"]


@async_test
async def test_a_person_has_the_plan_until_something_else_is_agreed(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        assert (await me(gate, tenant))["state"] == "none"
        await gate.command("subscriptions", tenant=tenant, plan="pro", features=["a", "b"])
        assert (await me(gate, tenant))["features"] == ["a", "b"]
        ends = now_utc(gate.clock) + timedelta(days=1)
        own = {"tenant": tenant, "user": "trader", "plan": "basic", "features": ["b", "c"]}
        await gate.command("subscriptions", **own, valid_to=ends)
        found = await me(gate, tenant)
        assert (found["tier"], found["features"], found["version"]) == ("basic", ["b"], 2)
        await gate.clock.advance(86_400.0)
        assert (await me(gate, tenant))["state"] == "expired"
        people = await gate.listing("subscriptions/people", tenant=tenant)
        assert [each["subscription"]["state"] for each in people] == ["expired"]


@async_test
async def test_each_change_is_announced_and_audited(gateway: Running) -> None:
    async with gateway() as gate:
        heard: list[tuple[TenantId | None, UUID | None, int]] = []

        async def note(event: SubscriptionChanged, envelope: EventEnvelope) -> None:
            heard.append((envelope.tenant, event.user, event.version))

        await gate.bus.subscribe(SubscriptionChanged, note, scope=EVERYWHERE)
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        state = {"tenant": tenant, "user": "trader"}
        assert await refusal(gate, "subscriptions/state", **state, state="paused") == (
            "IDENTITY_UNKNOWN"
        )
        await gate.command("subscriptions", tenant=tenant, plan="pro")
        await gate.command("subscriptions", **state, plan="basic")
        made = await gate.command("subscriptions/state", **state, state="paused")
        assert made == {"version": 2}
        assert (await me(gate, tenant))["state"] == "paused"
        await gate.command("subscriptions/state", tenant=tenant, state="ended")
        assert (await me(gate, tenant))["state"] == "ended"
        await eventually(lambda: len(heard) == 4)
        assert [(who, version) for _, who, version in heard] == [
            (None, 1),
            (user, 1),
            (user, 2),
            (None, 2),
        ]
        events = gate.audit("identity.subscription.changed")
        ids = {each["name"]: UUID(each["id"]) for each in await gate.listing("tenants")}
        ours = [each for each in events if each["tenant_id"] == ids[tenant]]
        told = [msgspec.json.decode(each["details"])["state"] for each in ours]
        assert sorted(told) == ["active", "active", "ended", "paused"]


@async_test
async def test_wrong_subscriptions_are_refused(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        good = {"tenant": tenant, "plan": "pro"}
        for change, code in (
            ({"tenant": "nowhere"}, "IDENTITY_UNKNOWN"),
            ({"user": "nobody"}, "IDENTITY_UNKNOWN"),
            ({"plan": "'; DROP TABLE identity.users; --"}, "IDENTITY_INVALID"),
            ({"valid_to": "2020-01-01T00:00:00Z"}, "IDENTITY_INVALID"),
            ({"valid_to": "2030-01-01T00:00:00"}, "REQUEST_INVALID"),
            ({"valid_to": "2030-06-30T23:59:60Z"}, "REQUEST_INVALID"),
            ({"features": ["x" * 65]}, "IDENTITY_INVALID"),
            ({"features": ["x"] * 65}, "IDENTITY_INVALID"),
            ({"state": "expired"}, "REQUEST_INVALID"),
            ({"unknown": 1}, "REQUEST_INVALID"),
        ):
            assert await refusal(gate, "subscriptions", **{**good, **change}) == code, change
        assert await gate.listing("subscriptions", tenant=tenant) == []


@async_test
async def test_the_database_service_answers_by_its_own_role(gateway: Running) -> None:
    """It sees states, never a name; and never a person of another organisation."""
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        user = await gate.user(tenant)
        await gate.command("subscriptions", tenant=tenant, plan="pro", features=["a"])
        ids = {each["name"]: UUID(each["id"]) for each in await gate.listing("tenants")}
        pool = PostgresPool(gate.postgres.access("database"), application="test")
        await pool.start()
        try:
            asked = UserSubscriptions(pool, gate.clock)
            found = await asked.get_user_subscription(TenantId(ids[tenant]), user)
            assert (found.tier, found.is_active()) == ("pro", True)
            await gate.command("users/state", tenant=tenant, user="trader", state="suspended")
            found = await asked.get_user_subscription(TenantId(ids[tenant]), user)
            assert found.state is SubscriptionState.SUSPENDED
            for whose, who in ((other, user), (tenant, uuid5(user, "x"))):
                with pytest.raises(AitradingError) as unknown:
                    await asked.get_user_subscription(TenantId(ids[whose]), who)
                assert unknown.value.code == "SUBSCRIBER_UNKNOWN"
            for column in ("name_sealed", "password_hash", "name_index"):
                with pytest.raises(AitradingError) as refused:
                    async with pool.tenant_tx(TenantId(ids[tenant])) as tx:
                        await tx.fetch(f"SELECT {column} FROM identity.users")  # noqa: S608
                assert refused.value.code == "DATABASE_NOT_PERMITTED"
        finally:
            await pool.stop()


@async_test
async def test_a_device_is_told_of_with_the_plan(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        device = (await gate.command("devices/invite", tenant=tenant, name="d"))["device"]
        ids = {each["name"]: each["id"] for each in await gate.listing("tenants")}
        bridge = gate.server.client("data-bridge")

        async def plan() -> str:
            path = f"/internal/v1/devices/{device}"
            found = await bridge.get(path, answer=Any, query={"tenant": ids[tenant]})
            return str(found["subscription"])

        assert await plan() == "none"
        await gate.command("subscriptions", tenant=tenant, plan="pro")
        assert await plan() == "active"
        await gate.command("subscriptions/state", tenant=tenant, state="paused")
        assert await plan() == "paused"


@async_test
async def test_a_token_tells_the_plan_the_own_tier_and_what_was_granted(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)

        async def rates() -> RateClaims:
            given = await gate.command("tokens", tenant=tenant, user="trader")
            return gate.server.verifier().verify_user(given["token"]).rates

        assert await rates() == NO_RATES
        await gate.command("subscriptions", tenant=tenant, plan="pro")
        await gate.command("subscriptions", tenant=tenant, user="trader", plan="basic")
        gate.sql(
            "INSERT INTO app.tenant_settings SELECT id, 'limits.user_per_minute', '17',"
            " now(), 'test' FROM identity.tenants WHERE state = 'active'"
        )
        granted = {"user_per_minute": 17}
        assert await rates() == RateClaims(plan="pro", tier="basic", granted=granted)
