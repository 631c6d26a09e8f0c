"""A person's own sessions: seen, ended, and nobody else's."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import pytest

from aitrading.core.testing.async_test import async_test

Running = Callable[[], AbstractAsyncContextManager[Any]]
OFFICE = {"x-forwarded-for": "spoofed, 10.1.2.3"}
HOME = {"x-forwarded-for": "198.41.0.4"}
PASSWORD = "correct horse battery staple"  # noqa: S105
pytestmark = pytest.mark.integration


async def login(gate: Any, tenant: str, user: str = "trader", **headers: str) -> Any:
    body = {"tenant": tenant, "username": user, "password": PASSWORD, "deliver": "token"}
    return await gate.post("/auth/login", body, **headers)


def bearer_of(answer: Any) -> dict[str, str]:
    assert answer.status == 200, answer.body
    return {"authorization": f"Bearer {answer.json['access_token']}"}


async def renewed(gate: Any, answer: Any, **headers: str) -> Any:
    body = {"refresh_token": answer.json["refresh_token"]}
    return await gate.post("/auth/refresh", body, **headers)


async def listed(gate: Any, bearer: dict[str, str]) -> list[dict[str, Any]]:
    answer = await gate.get("/auth/sessions", **bearer)
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


async def ended(gate: Any, bearer: dict[str, str], session: str = "") -> Any:
    path = "/api/v1/auth/sessions" + (f"/{session}" if session else "")
    return await gate.server.edge("DELETE", path, headers=bearer)


@async_test
async def test_people_see_how_since_when_and_from_which_kind_of_network(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        first = await login(gate, tenant, **OFFICE)
        await gate.clock.advance(60)
        second = await login(gate, tenant, **HOME)
        await gate.clock.advance(60)
        first = await renewed(gate, first, **OFFICE)
        newest, oldest = await listed(gate, bearer_of(first))
        assert [each["current"] for each in (newest, oldest)] == [False, True]
        assert [each["network"] for each in (newest, oldest)] == ["public", "private"]
        assert {each["authentication"] for each in (newest, oldest)} == {"pwd"}
        began, used = [datetime.fromisoformat(oldest[at]) for at in ("began_at", "used_at")]
        assert (used - began).total_seconds() == pytest.approx(120, abs=1)
        assert newest["began_at"] == newest["used_at"]
        rows = gate.sql("SELECT network_index::text AS seen FROM identity.sessions")
        assert "198.41" not in str(rows)
        assert (await listed(gate, bearer_of(second)))[0]["current"]


@async_test
async def test_a_session_that_is_ended_from_the_list_is_over_at_once(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        mine, lost, third = [await login(gate, tenant) for _ in range(3)]
        by_id = {each["id"] for each in await listed(gate, bearer_of(lost)) if each["current"]}
        assert (await ended(gate, bearer_of(mine), by_id.pop())).status == 204
        assert (await gate.get("/auth/me", **bearer_of(lost))).status == 401
        assert (await renewed(gate, lost)).status == 401
        assert (await gate.get("/auth/me", **bearer_of(third))).status == 200
        answer = await ended(gate, bearer_of(mine))
        assert (answer.status, answer.json) == (200, {"sessions_ended": 1})
        assert (await gate.get("/auth/me", **bearer_of(third))).status == 401
        [left] = await listed(gate, bearer_of(mine))
        assert left["current"]
        mine_subject = f"session:{left['id']}"
        events = [
            row
            for row in gate.audit("identity.session.ended")
            if mine_subject in str(row["details"])
        ]
        assert len(events) == 2


@async_test
async def test_nobody_sees_or_ends_the_session_of_somebody_else(gateway: Running) -> None:
    """Not of a colleague, not of another organisation; ended and made-up ones look the same."""
    async with gateway() as gate:
        tenant, elsewhere = await gate.tenant(), await gate.tenant()
        await gate.user(tenant)
        await gate.user(tenant, "colleague", "owner")
        await gate.user(elsewhere)
        victim = await login(gate, tenant)
        [session] = await listed(gate, bearer_of(victim))
        for thief in (
            await login(gate, tenant, "colleague"),
            await login(gate, elsewhere),
        ):
            assert len(await listed(gate, bearer_of(thief))) == 1
            refused = await ended(gate, bearer_of(thief), session["id"])
            assert (refused.status, refused.code) == (404, "IDENTITY_UNKNOWN")
            answer = await ended(gate, bearer_of(thief))
            assert answer.json == {"sessions_ended": 0}
        assert (await ended(gate, bearer_of(victim), "nonsense")).code == "REQUEST_INVALID"
        assert (await gate.get("/auth/me", **bearer_of(victim))).status == 200


@async_test
async def test_another_network_is_audited_and_takes_the_freshness_of_the_proof(
    gateway: Running,
) -> None:
    change = {"old_password": PASSWORD, "new_password": "green ladders under quiet rain"}
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)

        def moves() -> list[Any]:
            found = gate.audit("identity.session.network_changed")
            return [row for row in found if row["actor"] == f"user:{user}"]

        session = await login(gate, tenant, **OFFICE)
        session = await renewed(gate, session, **{"x-forwarded-for": "::ffff:10.1.2.200"})
        assert moves() == [], "the same network, spelt otherwise, with another host in it"
        session = await renewed(gate, session, **HOME)
        moved = bearer_of(session)
        assert len(moves()) == 1
        assert (await gate.get("/auth/me", **moved)).status == 200
        assert (await gate.post("/auth/password", change, **moved)).code == "STEP_UP_NEEDED"
        assert (await gate.post("/auth/step-up", {"password": PASSWORD}, **moved)).status == 204
        session = await renewed(gate, session, **HOME)
        assert (await gate.post("/auth/password", change, **bearer_of(session))).status == 200
        assert len(moves()) == 1


@async_test
async def test_a_session_whose_network_was_never_seen_learns_it_quietly(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        given = await renewed(gate, await login(gate, tenant), **HOME)
        change = {"old_password": PASSWORD, "new_password": "green ladders under quiet rain"}
        assert (await gate.post("/auth/password", change, **bearer_of(given))).status == 200
        events = gate.audit("identity.session.network_changed")
        assert not [row for row in events if row["actor"] == f"user:{user}"]
