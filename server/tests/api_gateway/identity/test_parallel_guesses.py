"""Guesses that are sent at once: no more of them are checked than of a sequence."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.postgres import PostgresPool

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
AT_ONCE = 64
FREE = 5
WRONG = "wrong wrong wrong wrong"
NEW = "green ladders under quiet rain"
CODE = "000000"


async def codes_of(calls: list[Any]) -> Counter[str]:
    """How often each error came; an empty name is a success."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(call) for call in calls]
    answers = [task.result() for task in started]
    return Counter("" if each.status < 300 else each.code for each in answers)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[bool]]:
    """Notes every password that is compared with a stored hash."""

    def noting(gate: Any) -> list[bool]:
        hasher, looks = gate.identity.login._hasher, list[bool]()
        matches = hasher._matches
        monkeypatch.setattr(
            hasher, "_matches", lambda *given: looks.append(True) or matches(*given)
        )
        return looks

    return noting


@async_test
async def test_of_wrong_passwords_sent_at_once_five_are_checked(
    gateway: Running, looked_at: Callable[[Any], list[bool]]
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        looks = looked_at(gate)
        for user in ("trader", "nobody"):
            looks.clear()
            told = await codes_of([gate.login(tenant, user, WRONG) for _ in range(AT_ONCE)])
            assert len(looks) == FREE
            assert told == {"LOGIN_REFUSED": FREE, "LOGIN_THROTTLED": AT_ONCE - FREE}
        for wait_s in (1, 2):
            await gate.clock.advance(wait_s)
            looks.clear()
            told = await codes_of([gate.login(tenant, password=WRONG) for _ in range(AT_ONCE)])
            assert len(looks) == told["LOGIN_REFUSED"] == 1, "after a wait there is one try"
        await gate.clock.advance(4)
        assert (await gate.login(tenant)).status == 200, "nobody is locked out"


@async_test
async def test_right_passwords_sent_at_once_all_open_a_session(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        assert await codes_of([gate.login(tenant) for _ in range(40)]) == {"": 40}


@async_test
async def test_an_outage_in_the_middle_is_no_failed_login(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        await gate.pool.stop()
        told = await codes_of([gate.login(tenant) for _ in range(20)])
        assert "" not in told
        assert not {"LOGIN_REFUSED", "LOGIN_THROTTLED"} & set(told)
        await PostgresPool.start(gate.pool)
        assert (await gate.login(tenant)).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/step-up", {"password": WRONG}),
        ("/auth/password", {"old_password": WRONG, "new_password": NEW}),
    ],
)
@async_test
async def test_a_stolen_session_guesses_its_password_no_faster(
    gateway: Running, looked_at: Callable[[Any], list[bool]], path: str, body: dict[str, str]
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        login = await gate.login(tenant, deliver="token")
        bearer = {"authorization": f"Bearer {login.json['access_token']}"}
        looks = looked_at(gate)
        told = await codes_of([gate.post(path, body, **bearer) for _ in range(AT_ONCE)])
        assert len(looks) == FREE
        assert told == {"PROOF_REFUSED": FREE, "LOGIN_THROTTLED": AT_ONCE - FREE}
