"""A session belongs to who proved what it is bound to, and 64 renewals at once leave one family."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.possession import ProofMaker
from aitrading.core.testing.async_test import async_test

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
ORIGIN = "https://localhost:8000"
SESSION, REFRESH = "__Host-aitrading-session", "__Secure-aitrading-refresh"
AT_ONCE = 64


class Program:
    """Holds a key and signs each request with it."""

    def __init__(self, gate: Any) -> None:
        self.key = SigningKey.generate()
        ids = SystemIdFactory(gate.clock, SystemRandomness())
        self._maker = ProofMaker(self.key, clock=gate.clock, ids=ids)
        self._gate = gate

    async def login(self, tenant: str) -> Any:
        body = {"tenant": tenant, "username": "trader", "password": PASSWORD, "deliver": "token"}
        return await self._gate.post("/auth/login", body, dpop=self.proof("login"))

    async def refresh(self, token: str) -> Any:
        body = {"refresh_token": token}
        return await self._gate.post("/auth/refresh", body, dpop=self.proof("refresh"))

    def proof(self, what: str, token: str | None = None, method: str = "POST") -> str:
        return self._maker.make(method, f"{ORIGIN}/api/v1/auth/{what}", token)


PASSWORD = "correct horse battery staple"  # noqa: S105 - of tests


async def trader(gate: Any) -> str:
    tenant: str = await gate.tenant()
    await gate.user(tenant)
    return tenant


async def refreshed(gate: Any, token: str, **headers: str) -> Any:
    return await gate.post("/auth/refresh", {"refresh_token": token}, **headers)


async def at_once(calls: list[Any]) -> list[Any]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(call) for call in calls]
    return [task.result() for task in running]


def live_tokens(gate: Any, answer: Any) -> int:
    user = answer.json["person"]["user"]
    rows = gate.sql(
        "SELECT count(*) AS n FROM identity.refresh_tokens t JOIN identity.sessions s "  # noqa: S608
        f"ON s.id = t.session_id WHERE t.state = 'live' AND s.user_id = '{user}'"
    )
    return int(rows[0]["n"])


@async_test
async def test_a_login_with_a_proof_is_bound_to_its_key(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await trader(gate)
        mine, thief = Program(gate), Program(gate)
        answer = await mine.login(tenant)
        token, refresh = answer.json["access_token"], answer.json["refresh_token"]
        assert answer.json["token_type"].startswith("DPoP")
        proof = mine.proof("me", token, "GET")
        assert (
            await gate.get("/auth/me", authorization=f"DPoP {token}", dpop=proof)
        ).status == 200
        for stolen in (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"DPoP {token}", "dpop": proof},
            {"authorization": f"DPoP {token}", "dpop": thief.proof("me", token, "GET")},
        ):
            assert (await gate.get("/auth/me", **stolen)).code == "TOKEN_REFUSED"
        assert (await refreshed(gate, refresh)).code == "TOKEN_REFUSED"
        assert (await thief.refresh(refresh)).code == "TOKEN_REFUSED"
        second = await mine.refresh(refresh)
        assert (second.status, second.json["token_type"]) == (200, "DPoP")
        assert live_sessions(gate, answer) == 1


@async_test
async def test_a_proof_of_a_login_is_for_one_login(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await trader(gate)
        program = Program(gate)
        body = {"tenant": tenant, "username": "trader", "password": PASSWORD, "deliver": "token"}
        proof = program.proof("login")
        assert (await gate.post("/auth/login", body, dpop=proof)).status == 200
        assert (await gate.post("/auth/login", body, dpop=proof)).code == "TOKEN_REFUSED"


@async_test
async def test_a_login_without_a_proof_gives_plain_bearer_tokens(gateway: Running) -> None:
    async with gateway() as gate:
        answer = await gate.login(await trader(gate), deliver="token")
        assert answer.json["token_type"].startswith("Bearer")
        token = answer.json["access_token"]
        assert (await gate.get("/auth/me", authorization=f"Bearer {token}")).status == 200
        assert (await refreshed(gate, answer.json["refresh_token"])).status == 200


@async_test
async def test_a_stolen_refresh_cookie_is_nothing_and_its_owner_goes_on(gateway: Running) -> None:
    async with gateway() as gate:
        cookies = await gate.browser(await trader(gate))
        program = (await gate.login(await trader(gate), deliver="token")).json["refresh_token"]
        session = f"{SESSION}={cookies[SESSION]}"
        for stolen in (
            f"{REFRESH}={cookies[REFRESH]}",
            f"{REFRESH}={cookies[REFRESH]}; {SESSION}=x",
            f"{REFRESH}={cookies[REFRESH]}; {session}; {SESSION}=x",
            f"{REFRESH}={program}; {session}",
        ):
            answer = await gate.post("/auth/refresh", cookie=stolen, origin=ORIGIN)
            assert answer.code == "TOKEN_REFUSED", stolen
        assert (await refreshed(gate, cookies[REFRESH])).code == "TOKEN_REFUSED"
        own = f"{REFRESH}={cookies[REFRESH]}; {session}"
        assert (await gate.post("/auth/refresh", cookie=own, origin=ORIGIN)).status == 200


@async_test
async def test_64_repeats_of_one_renewal_get_the_same_successor(gateway: Running) -> None:
    async with gateway() as gate:
        first = await gate.login(await trader(gate), deliver="token")
        token, key = first.json["refresh_token"], "f1a4c0de-0000-4000-8000-000000000001"
        answers = await at_once(
            [refreshed(gate, token, idempotency_key=key) for _ in range(AT_ONCE)]
        )
        assert {answer.status for answer in answers} == {200}
        (successor,) = {answer.json["refresh_token"] for answer in answers}
        assert live_tokens(gate, first) == 1
        later = await refreshed(gate, successor)
        assert later.status == 200
        # the successor was used: nobody gets it again, and the family goes on
        assert (await refreshed(gate, token, idempotency_key=key)).code == "REFRESH_RACED"
        gate.clock.step_wall(11)
        assert (await refreshed(gate, token, idempotency_key=key)).code == "TOKEN_REFUSED"
        assert (await refreshed(gate, later.json["refresh_token"])).code == "TOKEN_REFUSED"
        assert live_sessions(gate, first) == 0


def live_sessions(gate: Any, answer: Any) -> int:
    user = answer.json["person"]["user"]
    rows = gate.sql(
        f"SELECT count(*) AS n FROM identity.sessions WHERE ended_at IS NULL AND user_id = '{user}'"  # noqa: S608
    )
    return int(rows[0]["n"])


@pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "each with its own key"])
def test_of_64_strangers_to_each_other_one_goes_on(gateway: Running, *, keyed: bool) -> None:
    @async_test
    async def scenario() -> None:
        async with gateway() as gate:
            first = await gate.login(await trader(gate), deliver="token")
            token = first.json["refresh_token"]
            keys = [{"idempotency_key": f"{n:032d}"} if keyed else {} for n in range(AT_ONCE)]
            answers = await at_once([refreshed(gate, token, **key) for key in keys])
            assert Counter(answer.status for answer in answers) == {200: 1, 409: AT_ONCE - 1}
            assert live_tokens(gate, first) == 1
            (won,) = [answer for answer in answers if answer.status == 200]
            assert (await refreshed(gate, won.json["refresh_token"])).status == 200
            gate.clock.step_wall(11)
            assert (await refreshed(gate, token)).code == "TOKEN_REFUSED"
            assert live_sessions(gate, first) == 0

    scenario()
