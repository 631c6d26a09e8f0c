"""A person changes the own password: as its owner, as a guesser, as whoever else is logged in."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test

Running = Callable[[], AbstractAsyncContextManager[Any]]
PASSWORD = "correct horse battery staple"  # noqa: S105
NEW = "green ladders under quiet rain"
WRONG = "never was the right password"
CHANGE = {"old_password": PASSWORD, "new_password": NEW}

pytestmark = pytest.mark.integration


def bearer_of(answer: Any) -> dict[str, str]:
    assert answer.status == 200, answer.body
    return {"authorization": f"Bearer {answer.json['access_token']}"}


async def renewed(gate: Any, answer: Any) -> Any:
    return await gate.post("/auth/refresh", {"refresh_token": answer.json["refresh_token"]})


@async_test
async def test_a_changed_password_counts_at_once_and_ends_every_other_session(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        await gate.command("login-link", tenant=tenant, user="trader")
        mine, other = [await gate.login(tenant, deliver="token") for _ in range(2)]
        changed = await gate.post("/auth/password", CHANGE, **bearer_of(mine))
        assert (changed.status, changed.json) == (200, {"sessions_ended": 1})
        for before in (mine, other):
            assert (await gate.get("/auth/me", **bearer_of(before))).status == 401
        assert (await renewed(gate, other)).status == 401
        fresh = await renewed(gate, mine)
        assert (await gate.get("/auth/me", **bearer_of(fresh))).status == 200
        assert (await gate.login(tenant)).status == 401
        assert (await gate.login(tenant, password=NEW)).status == 200
        assert gate.sql(f"SELECT * FROM identity.login_links WHERE user_id = '{user}'") == []  # noqa: S608
        [event] = [
            row
            for row in gate.audit("identity.user.password_changed")
            if row["subject"] == f"user:{user}"
        ]
        assert event["actor"] == f"user:{user}"


@async_test
async def test_a_wrong_old_password_changes_nothing_and_makes_the_next_try_wait(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        bearer = bearer_of(await gate.login(tenant, deliver="token"))
        for _failure in range(5):
            answer = await gate.post("/auth/password", {**CHANGE, "old_password": WRONG}, **bearer)
            assert (answer.status, answer.code) == (403, "PROOF_REFUSED")
        held = await gate.post("/auth/password", CHANGE, **bearer)
        assert held.code == "LOGIN_THROTTLED"
        proof = await gate.post("/auth/step-up", {"password": PASSWORD}, **bearer)
        assert proof.code == "LOGIN_THROTTLED", "a guesser has one budget for both addresses"
        assert (await gate.login(tenant)).status == 200
        refused = [
            row
            for row in gate.audit("identity.user.password_refused")
            if row["subject"] == f"user:{user}"
        ]
        assert [row["outcome"] for row in refused] == ["denied"] * 3


@async_test
async def test_an_old_proof_changes_no_password(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        login = await gate.login(tenant, deliver="token")
        await gate.clock.advance(301)
        answer = await gate.post("/auth/password", CHANGE, **bearer_of(login))
        assert answer.code == "STEP_UP_NEEDED"
        await gate.post("/auth/step-up", {"password": PASSWORD}, **bearer_of(login))
        fresh = bearer_of(await renewed(gate, login))
        assert (await gate.post("/auth/password", CHANGE, **fresh)).status == 200


@async_test
async def test_what_is_guessed_first_is_no_password_for_anybody(gateway: Running) -> None:
    """The names are those of this person and organisation: in another's password they are fine."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        bearer = bearer_of(await gate.login(tenant, deliver="token"))
        for weak in ("short", "password123456789", f"{tenant}-aitrading-2026", PASSWORD):
            wanted = {"old_password": PASSWORD, "new_password": weak}
            answer = await gate.post("/auth/password", wanted, **bearer)
            assert (answer.status, answer.code) == (422, "PASSWORD_TOO_WEAK"), weak
        assert (await gate.login(tenant)).status == 200
        for path, more in (
            ("users", {"user": "second", "display_name": "Second", "role": "viewer"}),
            ("users/password", {"user": "trader"}),
        ):
            chosen = {"tenant": tenant, "password": f"{tenant} 2026 sunshine", **more}
            with pytest.raises(AitradingError) as caught:
                await gate.command(path, **chosen)
            assert caught.value.code == "PASSWORD_TOO_WEAK"


@async_test
async def test_one_of_two_parallel_changes_wins(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        logins = [await gate.login(tenant, deliver="token") for _ in range(2)]
        wanted = [{**CHANGE, "new_password": f"{NEW} {number}"} for number in range(2)]
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(gate.post("/auth/password", body, **bearer_of(login)))
                for body, login in zip(wanted, logins, strict=True)
            ]
        won = [task.result().status == 200 for task in running]
        assert sorted(won) == [False, True]
        found = [await gate.login(tenant, password=body["new_password"]) for body in wanted]
        assert [answer.status == 200 for answer in found] == won
