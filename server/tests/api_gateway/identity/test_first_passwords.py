"""A password that somebody else made for a person ends soon; the person's own one does not."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import pytest

from aitrading.core.kit.clock import datetime_of_ns
from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.login_settings import LoginSettings

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
LIFETIME_S = LoginSettings().first_password_h * 3_600
OWN = "heron over the quiet estuary"  # one that the person chose
DAY_S, YEAR_S = 86_400, 366 * 86_400


async def made(gate: Any, tenant: str, user: str = "trader") -> str:
    """A new person's generated password."""
    wanted = {"tenant": tenant, "user": user, "display_name": "T", "role": "trader"}
    password: str = (await gate.command("users", **wanted))["password"]
    return password


def without_ids(answer: Any) -> dict[str, Any]:
    error: dict[str, Any] = {**answer.json["error"], "request_id": "", "trace_id": ""}
    return {"status": answer.status, **error}


async def shown(gate: Any, tenant: str) -> tuple[datetime | None, bool]:
    (person,) = await gate.listing("users", tenant=tenant)
    ends_at = person["password_ends_at"]
    return ends_at and datetime.fromisoformat(ends_at), person["password_ended"]


@async_test
async def test_a_first_password_ends_and_a_new_one_is_made(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        ends_at = datetime_of_ns(gate.clock.now_ns() + LIFETIME_S * 10**9)
        first = await made(gate, tenant)
        assert await shown(gate, tenant) == (ends_at, False)
        gate.clock.step_wall(LIFETIME_S - 60)
        assert (await gate.login(tenant, "trader", first)).status == 200
        gate.clock.step_wall(61)
        late = await gate.login(tenant, "trader", first)
        assert without_ids(late) == without_ids(await gate.login(tenant, "trader", "wrong wrong"))
        assert late.code == "LOGIN_REFUSED"
        (event,) = gate.audit("identity.login.first_password_ended")[-1:]
        assert (event["outcome"], event["actor"]) == ("denied", "unknown")
        assert await shown(gate, tenant) == (ends_at, True)
        again = await gate.command("users/password", tenant=tenant, user="trader")
        assert (await gate.login(tenant, "trader", again["password"])).status == 200
        assert not (await shown(gate, tenant))[1]
        gate.clock.step_wall(LIFETIME_S + 1)
        assert (await gate.login(tenant, "trader", again["password"])).status == 401


@async_test
async def test_a_password_of_ones_own_has_no_end(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        first = await made(gate, tenant)
        answer = await gate.login(tenant, "trader", first, deliver="token")
        bearer = {"authorization": f"Bearer {answer.json['access_token']}"}
        wanted = {"old_password": first, "new_password": OWN}
        assert (await gate.post("/auth/password", wanted, **bearer)).status == 200
        assert await shown(gate, tenant) == (None, False)
        gate.clock.step_wall(YEAR_S)
        assert (await gate.login(tenant, "trader", OWN)).status == 200


@async_test
async def test_a_session_that_is_open_may_still_choose_a_password(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        first = await made(gate, tenant)
        gate.clock.step_wall(LIFETIME_S - 1)
        answer = await gate.login(tenant, "trader", first, deliver="token")
        gate.clock.step_wall(60)
        bearer = {"authorization": f"Bearer {answer.json['access_token']}"}
        wanted = {"old_password": first, "new_password": OWN}
        assert (await gate.post("/auth/password", wanted, **bearer)).status == 200
        assert (await gate.login(tenant, "trader", OWN)).status == 200


@pytest.mark.parametrize("back_s", [3_600, DAY_S])
def test_a_clock_that_is_set_back_gives_it_no_longer_life(gateway: Running, back_s: int) -> None:
    @async_test
    async def scenario() -> None:
        async with gateway() as gate:
            tenant = await gate.tenant()
            first = await made(gate, tenant)
            gate.sql("UPDATE identity.users SET password_ends_at = now() - interval '1 minute';")
            gate.clock.step_wall(-back_s)
            assert (await gate.login(tenant, "trader", first)).status == 401
            assert (await shown(gate, tenant))[1]

    scenario()


@async_test
async def test_an_organisation_may_have_another_lifetime(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        gate.sql(
            "INSERT INTO app.tenant_settings (tenant_id, setting, value, changed_at, changed_by) "  # noqa: S608
            "SELECT id, 'login.first_password_h', '1', now(), 'host' FROM identity.tenants "
            f"WHERE name = '{tenant}';"
        )
        first = await made(gate, tenant)
        gate.clock.step_wall(3_601)
        assert (await gate.login(tenant, "trader", first)).status == 401


@async_test
async def test_the_host_lets_in_whose_first_password_ended(gateway: Running) -> None:
    """The first owner of a platform, who came too late, is not locked out."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await made(gate, tenant, "owner")
        gate.clock.step_wall(YEAR_S)
        owner = {"tenant": tenant, "user": "owner"}
        code = (await gate.command("login-link", **owner))["code"]
        assert (await gate.post("/auth/link", {"code": code})).status == 200
        assert (await gate.command("tokens", **owner))["token"]
        again = (await gate.command("users/password", **owner))["password"]
        assert (await gate.login(tenant, "owner", again)).status == 200
