"""From where, and with what, an organisation's people log in."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import TenantId
from aitrading.core.kit.secret import Secret
from aitrading.core.security.claims import Scope
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.identity.factors.totp import STEP_S, code_at
from aitrading.server.kit.authentication import RequestHead

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
PASSWORD = "correct horse battery staple"  # noqa: S105
INSIDE, OUTSIDE = {"x-forwarded-for": "10.1.2.3"}, {"x-forwarded-for": "203.0.113.9"}
RULES = "/api/v1/auth/rules"


def bearer_of(answer: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {answer.json['access_token']}"}


async def log_in(
    gate: Any, tenant: str, user: str = "trader", password: str = PASSWORD, **place: str
) -> Any:
    body = {"tenant": tenant, "username": user, "password": password, "deliver": "token"}
    return await gate.post("/auth/login", body, **place)


async def owner_of(gate: Any, tenant: str) -> dict[str, str]:
    await gate.user(tenant, "boss", "owner")
    return bearer_of(await log_in(gate, tenant, "boss", **INSIDE))


async def ruled(
    gate: Any, headers: dict[str, str], networks: tuple[str, ...] = (), **more: Any
) -> Any:
    body = {"networks": networks, "second_factor": "nobody", **more}
    raw = json.dumps(body).encode()
    named = {"content-type": "application/json", **INSIDE, **headers}
    return await gate.server.edge("PUT", RULES, headers=named, body=raw)


def plain(answer: Any) -> Any:
    return {**answer.json["error"], "request_id": "", "trace_id": ""}


def noted(gate: Any, user: Any) -> list[Any]:
    found = gate.audit("identity.network.refused")
    return [row for row in found if row["subject"] == f"user:{user}"]


@async_test
async def test_a_right_password_from_outside_is_a_wrong_one_and_the_trail_knows(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user, boss = await gate.user(tenant), await owner_of(gate, tenant)
        assert (await ruled(gate, boss, ("10.0.0.0/8", "2001:db8::/32"))).status == 200
        right = await log_in(gate, tenant, **OUTSIDE)
        wrong = await log_in(gate, tenant, password="never the one", **OUTSIDE)  # noqa: S106
        nobody = await log_in(gate, tenant, "nobody", **OUTSIDE)
        assert plain(right) == plain(wrong) == plain(nobody)
        assert right.code == "LOGIN_REFUSED"
        assert len(noted(gate, user)) == 1, "of the right password alone"
        assert (await log_in(gate, tenant)).code == "LOGIN_REFUSED", "past the edge"
        for place in ("10.9.9.9", "::ffff:10.1.1.1", "2001:db8::7"):
            assert (await log_in(gate, tenant, **{"x-forwarded-for": place})).status == 200
        assert (await log_in(gate, tenant, **{"x-forwarded-for": "2001:db9::7"})).status == 401
        other = await gate.tenant()
        await gate.user(other)
        assert (await log_in(gate, other, **OUTSIDE)).status == 200, "a rule of one organisation"


@async_test
async def test_a_link_and_a_key_of_a_program_are_good_inside_alone_and_not_used_up_outside(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        assert (await ruled(gate, await owner_of(gate, tenant), ("10.0.0.0/8",))).status == 200
        link = await gate.command("login-link", tenant=tenant, user="trader")
        answer = await gate.post("/auth/link", {"code": link["code"]}, **OUTSIDE)
        assert answer.code == "CODE_REFUSED"
        assert (await gate.post("/auth/link", {"code": link["code"]}, **INSIDE)).status == 200
        key = await gate.command("api-keys", tenant=tenant, name="robot", scopes=["read"])
        body = {"key": key["key"]}
        assert (await gate.post("/auth/key", body, **OUTSIDE)).code == "API_KEY_REFUSED"
        assert (await gate.post("/auth/key", body, **INSIDE)).status == 200


@async_test
async def test_a_renewal_from_outside_is_refused_and_the_session_waits_inside(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        session = await log_in(gate, tenant, **INSIDE)
        assert (await ruled(gate, await owner_of(gate, tenant), ("10.0.0.0/8",))).status == 200
        wanted = {"refresh_token": session.json["refresh_token"]}
        refused = await gate.post("/auth/refresh", wanted, **OUTSIDE)
        assert refused.code == "TOKEN_REFUSED"
        fresh = await gate.post("/auth/refresh", wanted, **INSIDE)
        assert fresh.status == 200
        assert (await gate.get("/auth/me", **bearer_of(fresh), **INSIDE)).status == 200
        outside = await gate.get("/auth/me", **bearer_of(fresh), **OUTSIDE)
        assert (outside.status, outside.code) == (403, "NETWORK_REFUSED")
        assert gate.audit("identity.network.refused")


@async_test
async def test_the_trail_tells_of_a_network_only_where_all_else_was_right(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        session = await log_in(gate, tenant, **INSIDE)
        assert (await ruled(gate, await owner_of(gate, tenant), ("10.0.0.0/8",))).status == 200
        made = await gate.command("api-keys", tenant=tenant, name="robot", scopes=["read"])
        ours = session.json["person"]["tenant"]

        def told() -> int:
            found = gate.audit("identity.network.refused")
            return sum(str(row["tenant_id"]) == ours for row in found)

        for path, field, right in (
            ("/auth/refresh", "refresh_token", session.json["refresh_token"]),
            ("/auth/key", "key", made["key"]),
        ):
            before = told()
            forged = right[:-2] + ("AA" if right[-2:] != "AA" else "BA")
            answers = [await gate.post(path, {field: each}, **OUTSIDE) for each in (forged, right)]
            assert plain(answers[0]) == plain(answers[1])
            assert told() == before + 1, path
            assert (await gate.post(path, {field: right}, **INSIDE)).status == 200


@async_test
async def test_the_second_step_is_made_inside_too(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        bearer = bearer_of(await log_in(gate, tenant, **INSIDE))
        begun = await gate.post("/auth/factors/totp", {}, **bearer)
        secret = Secret(begun.json["secret"])

        def code() -> str:
            return code_at(secret, gate.clock.now_ns() // NS_PER_S // STEP_S)

        confirmed = await gate.post("/auth/factors/totp/confirm", {"code": code()}, **bearer)
        assert confirmed.status == 200, confirmed.body
        assert (await ruled(gate, await owner_of(gate, tenant), ("10.0.0.0/8",))).status == 200
        await gate.clock.advance(STEP_S)
        assert (await log_in(gate, tenant, **OUTSIDE)).code == "LOGIN_REFUSED"
        waiting = (await log_in(gate, tenant, **INSIDE)).json["second_factor"]["challenge"]
        body = {"challenge": waiting, "code": code(), "deliver": "token"}
        assert (await gate.post("/auth/second", body, **OUTSIDE)).code == "SECOND_FACTOR_REFUSED"
        assert (await gate.post("/auth/second", body, **INSIDE)).status == 200, "nothing burnt"


@async_test
async def test_nobody_locks_the_organisation_out_by_mistake_and_the_host_undoes_it(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        boss = await owner_of(gate, tenant)
        bearer = bearer_of(await log_in(gate, tenant, **INSIDE))
        assert (await ruled(gate, bearer, ("10.0.0.0/8",))).code == "SCOPE_MISSING"
        unknown = await ruled(gate, boss, ("10.0.0.1/8",))
        assert unknown.code == "RULES_REFUSED"
        assert "nothing but zeros" in unknown.json["error"]["message"]
        shut = ("198.51.100.0/24",)
        assert (await ruled(gate, boss, shut)).code == "RULES_WITHOUT_YOU"
        assert (await gate.get("/auth/rules", **boss, **INSIDE)).json["networks"] == []
        meant = await ruled(gate, boss, shut, even_without_me=True)
        assert meant.json == {
            "networks": list(shut),
            "second_factor": "nobody",
            "admit_you": False,
        }
        assert (await log_in(gate, tenant, **INSIDE)).status == 401
        host = await gate.command("tokens", tenant=tenant, user="boss")
        of_host = {"authorization": f"Bearer {host['token']}", **INSIDE}
        assert (await gate.get("/auth/rules", **of_host)).json["networks"] == list(shut)
        person = (await gate.get("/auth/me", **of_host)).json["person"]["user"]
        assert (await ruled(gate, of_host, ())).status == 200
        assert (await log_in(gate, tenant, **OUTSIDE)).status == 200
        changes = [
            json.loads(row["details"])
            for row in gate.audit("settings.granted")
            if row["actor"] == f"user:{person}" and row["subject"] == "setting:login.networks"
        ]
        assert {change["value"] for change in changes} == {shut[0], ""}, (
            "of one moment, so in no order"
        )
        assert len(changes) == 2


@async_test
async def test_the_gateway_writes_rules_of_logins_and_no_other_setting(gateway: Running) -> None:
    async with gateway() as gate:
        name = await gate.tenant()
        listed = await gate.listing("tenants")
        tenant = TenantId(UUID(next(row["id"] for row in listed if row["name"] == name)))

        async def written(setting: str) -> None:
            async with gate.pool.tenant_tx(tenant) as tx:
                await tx.execute(
                    "INSERT INTO app.tenant_settings (setting, value, changed_at, changed_by)"
                    " VALUES ($1, '\"all\"', now(), 'me')",
                    setting,
                )

        await written("login.second_factor")
        with pytest.raises(AitradingError):
            await written("limits.user_per_minute")


@pytest.mark.parametrize(
    ("policy", "role", "scopes"),
    [
        ("all", "trader", ["kill"]),
        ("all", "viewer", []),
        ("admins", "admin", []),
        ("admins", "owner", ["kill"]),
        ("admins", "trader", ["kill", "read", "trade"]),
        ("nobody", "owner", ["admin", "audit", "kill", "read", "trade"]),
    ],
)
def test_who_lacks_a_second_factor_has_what_the_policy_leaves(
    gateway: Running, policy: str, role: str, scopes: list[str]
) -> None:
    @async_test
    async def scenario() -> None:
        async with gateway() as gate:
            tenant = await gate.tenant()
            boss = await owner_of(gate, tenant)
            await gate.user(tenant, "somebody", role)
            assert (await ruled(gate, boss, second_factor=policy)).status == 200
            login = await log_in(gate, tenant, "somebody", **INSIDE)
            token = gate.server.verifier().verify_user(login.json["access_token"])
            assert sorted(token.scopes) == scopes
            missing = "second_factor_missing"
            lacks = sorted(token.scopes) != sorted(login.json["person"]["scopes"])
            assert login.json.get(missing, False) is lacks
            me = await gate.get("/auth/me", **bearer_of(login))
            assert me.json.get(missing, False) is lacks

    scenario()


@async_test
async def test_who_needs_a_second_factor_sets_it_up_and_goes_on(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        boss = await owner_of(gate, tenant)
        await gate.user(tenant)
        assert (await ruled(gate, boss, second_factor="all")).status == 200
        login = await log_in(gate, tenant, **INSIDE)
        bearer = bearer_of(login)
        assert (await gate.get("/auth/rules", **boss)).status == 200, "until the next renewal"
        begun = await gate.post("/auth/factors/totp", {}, **bearer)
        secret = Secret(begun.json["secret"])

        def code() -> str:
            return code_at(secret, gate.clock.now_ns() // NS_PER_S // STEP_S)

        confirmed = await gate.post("/auth/factors/totp/confirm", {"code": code()}, **bearer)
        assert confirmed.status == 200
        await gate.clock.advance(STEP_S)
        assert (await gate.post("/auth/step-up", {"code": code()}, **bearer)).status == 204
        wanted = {"refresh_token": login.json["refresh_token"]}
        fresh = await gate.post("/auth/refresh", wanted, **INSIDE)
        assert "second_factor_missing" not in fresh.json
        token = gate.server.verifier().verify_user(fresh.json["access_token"])
        assert sorted(token.scopes) == ["kill", "read", "trade"]


@async_test
async def test_another_list_ends_what_is_out_and_a_program_s_token_counts_inside_alone(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        boss, stranger = await owner_of(gate, tenant), await owner_of(gate, other)
        made = await gate.command("api-keys", tenant=tenant, name="robot", scopes=["trade"])
        door = gate.server.authenticator(gate.ended)

        async def exchanged() -> RequestHead:
            answer = await gate.post("/auth/key", {"key": made["key"]}, **INSIDE)
            return RequestHead(headers={**bearer_of(answer), **INSIDE})

        stolen = await exchanged()
        assert await door.person(stolen, Scope.TRADE)
        assert (await ruled(gate, boss, ("10.0.0.0/8",))).status == 200
        with pytest.raises(AitradingError) as ended:
            await door.person(stolen, Scope.TRADE)
        assert ended.value.code == "TOKEN_REFUSED"
        assert (await gate.get("/auth/me", **boss, **INSIDE)).status == 401
        assert (await gate.get("/auth/me", **stranger, **OUTSIDE)).status == 200
        again = await exchanged()
        assert await door.person(again, Scope.TRADE)
        with pytest.raises(AitradingError) as outside:
            await door.person(RequestHead(headers={**again.headers, **OUTSIDE}), Scope.TRADE)
        assert outside.value.code == "NETWORK_REFUSED"


@async_test
async def test_rules_that_leave_the_list_as_it_is_end_nothing_and_the_host_ends_all(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        boss = await owner_of(gate, tenant)
        assert (await ruled(gate, boss, ())).status == 200
        assert (await gate.get("/auth/rules", **boss)).status == 200
        await gate.command("login-rules/changed", tenant=tenant)
        assert (await gate.get("/auth/rules", **boss)).code == "TOKEN_REFUSED"
