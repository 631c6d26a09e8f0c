"""Administration from the host: only the host, every change audited, names explained."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.service import SPEC
from aitrading.server.kit.endpoints import endpoints_of

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
ACCOUNT = {
    "name": "Demo",
    "broker_server": "Broker-Demo",
    "login": "12345678",
    "currency": "EUR",
    "margin_mode": "hedging",
    "simulated": True,
}


async def refusal(gate: Any, path: str, **body: Any) -> AitradingError:
    with pytest.raises(AitradingError) as caught:
        await gate.command(path, **body)
    return caught.value


@async_test
async def test_the_running_service_answers_everything_that_identity_can(gateway: Running) -> None:
    async with gateway() as gate:
        missing = {type(owner) for owner in gate.identity.owners()} - set(SPEC.endpoints)
        assert not missing, "the tests would see endpoints that nobody serves"


@async_test
async def test_only_the_host_administrates(gateway: Running) -> None:
    """Each endpoint, tried by every other service over mutual TLS, and by a person at the edge."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant, "owner", "owner")
        given = await gate.command("tokens", tenant=tenant, user="owner")
        person = {"authorization": f"Bearer {given['token']}"}
        declared = endpoints_of(*gate.identity.owners())
        admin = [each for each in declared if each.path.startswith("/internal/v1/admin")]
        assert len(admin) > 10
        bridge = gate.server.client("data-bridge")
        for each in admin:
            assert each.access.peers == {"admin"}
            at_the_edge = await gate.server.edge(each.method, each.path, headers=person)
            assert at_the_edge.code == "PEER_CALL_REFUSED"
            with pytest.raises(AitradingError) as caught:
                await bridge.request(each.method, each.path)
            assert caught.value.code == "PEER_CALL_REFUSED"


@async_test
async def test_organisations_have_names_that_are_unique_and_simple(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        assert (await refusal(gate, "tenants", name=tenant)).code == "IDENTITY_EXISTS"
        for name in ("", "A", "a b", "x" * 64, "-a", "ä", "a'; drop table"):
            refused = await refusal(gate, "tenants", name=name)
            assert refused.code == "IDENTITY_INVALID"
            assert "begins with a letter" in str(refused), "not the name of a constraint"
        listed = await gate.listing("tenants")
        assert tenant in {each["name"] for each in listed}
        created = gate.audit("identity.tenant.created")[-1]
        assert created["actor"] == "host:admin"


@async_test
async def test_a_person_is_created_once_per_organisation(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        new = {"user": "Trader@Example.com", "display_name": "T", "role": "trader"}
        made = await gate.command("users", tenant=tenant, **new)
        assert made["name"] == "trader@example.com"
        assert len(made["password"]) == 20
        assert (await refusal(gate, "users", tenant=tenant, **new)).code == "IDENTITY_EXISTS"
        assert (await gate.command("users", tenant=other, **new))["user"] != made["user"]
        by_id = (await gate.listing("tenants"))[0]["id"]
        assert UUID(by_id)
        assert (await gate.listing("users", tenant=tenant))[0]["role"] == "trader"
        ok = await gate.login(tenant, "trader@example.com", made["password"])
        assert ok.status == 200


@async_test
async def test_wrong_people_are_explained(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        good = {"tenant": tenant, "user": "a", "display_name": "A", "role": "viewer"}
        for change, code in (
            ({"tenant": "nowhere"}, "IDENTITY_UNKNOWN"),
            ({"user": "a b"}, "IDENTITY_INVALID"),
            ({"display_name": ""}, "IDENTITY_INVALID"),
            ({"display_name": "A\x1b[2J"}, "IDENTITY_INVALID"),
            ({"display_name": "A\0"}, "IDENTITY_INVALID"),
            ({"role": "root"}, "REQUEST_INVALID"),
            ({"password": "short"}, "PASSWORD_TOO_WEAK"),
        ):
            assert (await refusal(gate, "users", **{**good, **change})).code == code
        assert await gate.listing("users", tenant=tenant) == []


@async_test
async def test_roles_give_their_scopes(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        expected = {
            "owner": ["admin", "audit", "kill", "read", "trade"],
            "admin": ["admin", "read"],
            "trader": ["kill", "read", "trade"],
            "viewer": ["read"],
            "auditor": ["audit", "read"],
        }
        for role, scopes in expected.items():
            await gate.user(tenant, role, role)
            answer = await gate.login(tenant, role)
            assert answer.json["person"]["scopes"] == scopes


@async_test
async def test_another_role_ends_every_session_that_has_the_old_rights(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant, "jo", "owner")
        old = await gate.browser(tenant, "jo")
        assert (await gate.get("/auth/me", cookie=gate.shown(old))).status == 200
        await gate.command("users/role", tenant=tenant, user="jo", role="viewer")
        refused = await gate.get("/auth/me", cookie=gate.shown(old))
        assert refused.code == "TOKEN_REFUSED"
        new = await gate.browser(tenant, "jo")
        me = await gate.get("/auth/me", cookie=gate.shown(new))
        assert me.json["person"]["scopes"] == ["read"]
        await gate.command("users/role", tenant=tenant, user="jo", role="viewer")
        again = await gate.get("/auth/me", cookie=gate.shown(new))
        assert again.code == "TOKEN_REFUSED", "a repeat tells everybody once more"
        (change,) = gate.audit("identity.user.role_changed")
        assert json.loads(change["details"]) == {"role": "viewer"}, (
            "the same role again changes nothing"
        )
        assert (
            await refusal(gate, "users/role", tenant=tenant, user="x", role="viewer")
        ).code == ("IDENTITY_UNKNOWN")


@async_test
async def test_an_account_gets_another_device_of_its_own_organisation(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        made = await gate.command("accounts", tenant=tenant, **ACCOUNT)
        mine = (await gate.command("devices/invite", tenant=tenant, name="d"))["device"]
        foreign = (await gate.command("devices/invite", tenant=other, name="d"))["device"]

        def wanted(device: str | None, of: str = tenant) -> dict[str, Any]:
            return {"tenant": of, "account": made["id"], "device": device}

        assert (await gate.command("accounts/device", **wanted(mine)))["device"] == mine
        refused = await refusal(gate, "accounts/device", **wanted(foreign))
        assert refused.code == "IDENTITY_INVALID"
        assert "no such device" in str(refused)
        refused = await refusal(gate, "accounts/device", **wanted(foreign, other))
        assert refused.code == "IDENTITY_UNKNOWN"
        assert (await gate.listing("accounts", tenant=tenant))[0]["device"] == mine
        assert (await gate.command("accounts/device", **wanted(None)))["device"] is None
        events = gate.audit("identity.account.device_set")
        named = {json.loads(each["details"])["device"] for each in events}
        assert named == {mine, "none"}


@async_test
async def test_accounts_belong_to_one_organisation(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        made = await gate.command("accounts", tenant=tenant, **ACCOUNT)
        assert (
            await refusal(gate, "accounts", tenant=tenant, **ACCOUNT)
        ).code == "IDENTITY_EXISTS"
        assert (await gate.command("accounts", tenant=other, **ACCOUNT))["id"] != made["id"]
        assert [each["id"] for each in await gate.listing("accounts", tenant=tenant)] == [
            made["id"]
        ]
        for change in ({"login": "x"}, {"currency": "euro"}, {"device": str(UUID(int=1))}):
            error = await refusal(
                gate, "accounts", tenant=tenant, **{**ACCOUNT, "login": "9", **change}
            )
            assert error.code == "IDENTITY_INVALID"


@async_test
async def test_an_account_cannot_name_a_device_of_another_organisation(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        device = (await gate.command("devices/invite", tenant=other, name="d"))["device"]
        error = await refusal(gate, "accounts", tenant=tenant, **ACCOUNT, device=device)
        assert error.code == "IDENTITY_INVALID"
        assert (await gate.command("accounts", tenant=other, **ACCOUNT, device=device))["device"]


@async_test
async def test_each_change_of_a_subscription_has_a_new_version_in_tokens(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        versions = []
        for plan in ("starter", "pro"):
            made = await gate.command(
                "subscriptions", tenant=tenant, plan=plan, features=["ticks"]
            )
            given = await gate.command("tokens", tenant=tenant, user="trader")
            token = gate.server.verifier().verify_user(given["token"])
            versions.append((made["version"], token.entitlement_version))
        assert versions == [(1, 1), (2, 2)]


@async_test
async def test_the_audit_holds_ids_and_no_names(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.command(
            "users", tenant=tenant, user="jane.doe@example.com", display_name="Jane", role="viewer"
        )
        await gate.login(tenant, "jane.doe@example.com", "wrong")
        rows = gate.postgres.as_superuser("SELECT p::text AS row FROM audit.pending p")
        assert not any("jane" in row["row"].lower() for row in rows)
