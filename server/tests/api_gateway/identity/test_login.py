"""Login and sessions as a browser, a program and an attacker see them."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.transactions import Transaction

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
ORIGIN = "https://localhost:8000"
ACCESS, REFRESH = "__Host-aitrading", "__Secure-aitrading-refresh"
SESSION = "__Host-aitrading-session"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of everybody here


def cookies_of(answer: Any) -> dict[str, str]:
    return {name: value.partition(";")[0] for name, value in answer.cookies.items()}


def refresh_headers(cookies: dict[str, str]) -> dict[str, str]:
    sent = f"{REFRESH}={cookies[REFRESH]}; {SESSION}={cookies[SESSION]}"
    return {"cookie": sent, "origin": ORIGIN}


async def all_of(calls: list[Any]) -> list[Any]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(call) for call in calls]
    return [task.result() for task in started]


@async_test
async def test_a_browser_gets_cookies_that_no_script_reads(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        answer = await gate.login(tenant)
        assert answer.status == 200
        for name, path in ((ACCESS, "/"), (SESSION, "/"), (REFRESH, "/api/v1/auth")):
            flags = {part.strip().lower() for part in answer.cookies[name].split(";")[1:]}
            assert {"httponly", "secure", "samesite=strict", f"path={path}"} <= flags
            assert not any(flag.startswith("domain") for flag in flags)
        token = cookies_of(answer)[ACCESS]
        assert token.encode() not in answer.body
        assert set(answer.json) == {"person", "expires_at"}
        person = answer.json["person"]
        assert person["user"] == str(user)
        assert person["tenant_name"] == tenant
        assert person["scopes"] == ["kill", "read", "trade"]
        me = await gate.get("/auth/me", cookie=gate.shown(cookies_of(answer)))
        assert me.json["person"] == person


@async_test
async def test_a_program_gets_tokens_and_no_cookies(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        answer = await gate.login(tenant, deliver="token")
        assert answer.cookies == {}
        bearer = {"authorization": f"Bearer {answer.json['access_token']}"}
        assert (await gate.get("/auth/me", **bearer)).status == 200
        renewed = await gate.post("/auth/refresh", {"refresh_token": answer.json["refresh_token"]})
        assert renewed.json["refresh_token"] != answer.json["refresh_token"]
        body = {"tenant": tenant, "username": "trader", "password": "x", "deliver": "token"}
        in_browser = await gate.post("/auth/login", body, origin=ORIGIN)
        assert in_browser.code == "ORIGIN_REFUSED"


@async_test
async def test_nothing_tells_an_existing_user_from_a_missing_one(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        await gate.user(tenant, "gone")
        await gate.command("users/state", tenant=tenant, user="gone", state="suspended")
        names = [(tenant, "trader"), (tenant, "nobody"), ("nowhere", "trader"), ("", "")]
        names += [
            (tenant, "gone"),
            (tenant, "' or 1=1 --"),
            ("A" * 500, "B" * 500),
        ]
        answers = [await gate.login(*name, "wrong wrong wrong") for name in names]
        answers.append(await gate.login(tenant, "gone"))
        bodies = set()
        for answer in answers:
            assert answer.status == 401
            assert answer.cookies == {}
            error = answer.json["error"]
            error["request_id"] = error["trace_id"] = ""
            bodies.add(str(error))
        assert len(bodies) == 1
        for odd in ((tenant, "trader\0"), (tenant, "nobody\0"), ("no\0where", "trader")):
            assert (await gate.login(*odd, "wrong wrong wrong")).code == "REQUEST_INVALID"


@async_test
async def test_a_missing_user_costs_the_same_work(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same statements and the same hashing, in the same order."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        gate.sql(
            "UPDATE identity.users SET password_ends_at = now() - interval '1 minute' "  # noqa: S608
            f"WHERE id = '{await gate.user(tenant, 'late')}';"
        )
        work: list[str] = []

        def noting(name: str) -> None:
            original = getattr(Transaction, name)

            async def noted(self: Transaction, sql: str, *arguments: Any) -> Any:
                work.append(sql)
                return await original(self, sql, *arguments)

            monkeypatch.setattr(Transaction, name, noted)

        for name in ("fetch_row", "fetch_value", "execute"):
            noting(name)
        hashed: list[bool] = []
        hasher = gate.identity.login._hasher
        matches = hasher._matches
        monkeypatch.setattr(
            hasher, "_matches", lambda *given: hashed.append(True) or matches(*given)
        )
        seen = []
        wrong = "wrong wrong wrong"
        for tries in (
            (tenant, "trader", wrong),
            (tenant, "nobody", wrong),
            ("nowhere", "nobody", wrong),
            ("", "", wrong),
            (tenant, "late", PASSWORD),  # right, and its time is over
        ):
            work.clear()
            hashed.clear()
            await gate.login(*tries)
            seen.append((tuple(work), len(hashed)))
        assert len(set(seen)) == 1
        assert seen[0][1] == 1
        assert len(seen[0][0]) == 4


@async_test
async def test_failures_cost_time_and_lock_nobody_out(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        here, there = {"x_forwarded_for": "192.0.2.1"}, {"x_forwarded_for": "198.51.100.1"}
        wrong = {"tenant": tenant, "username": "trader", "password": "wrong"}
        right = {**wrong, "password": "correct horse battery staple"}
        for _failure in range(5):
            assert (await gate.post("/auth/login", wrong, **here)).status == 401
        held = await gate.post("/auth/login", right, **here)
        assert (held.status, held.code) == (429, "LOGIN_THROTTLED")
        assert held.headers["retry-after"] == "1"
        neighbour = await gate.post("/auth/login", right, x_forwarded_for="192.0.2.99")
        assert neighbour.status == 429
        assert (await gate.post("/auth/login", right, **there)).status == 200
        await gate.clock.advance(1.1)
        assert (await gate.post("/auth/login", right, **here)).status == 200


@async_test
async def test_refreshing_rotates_and_a_used_token_ends_the_session(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        first = await gate.browser(tenant)
        answer = await gate.post("/auth/refresh", **refresh_headers(first))
        second = cookies_of(answer)
        assert second[REFRESH] != first[REFRESH]
        assert second[ACCESS] != first[ACCESS]
        third = cookies_of(await gate.post("/auth/refresh", **refresh_headers(second)))
        assert third[REFRESH]
        gate.clock.step_wall(11)
        stolen = await gate.post("/auth/refresh", **refresh_headers(first))
        assert (stolen.status, stolen.code) == (401, "TOKEN_REFUSED")
        assert stolen.cookies == {}
        assert (await gate.post("/auth/refresh", **refresh_headers(third))).status == 401
        me = await gate.get("/auth/me", cookie=gate.shown(third))
        assert me.code == "TOKEN_REFUSED"
        events = gate.audit("identity.session.refresh_reused")
        assert str(events[-1]["tenant_id"]) == answer.json["person"]["tenant"]
        assert events[-1]["outcome"] == "denied"


@pytest.mark.parametrize("back_s", [3_600, 86_400])
def test_a_used_token_ends_the_session_when_the_clock_was_set_back(
    gateway: Running, back_s: int
) -> None:
    @async_test
    async def scenario() -> None:
        async with gateway() as gate:
            tenant = await gate.tenant()
            await gate.user(tenant)
            first = await gate.browser(tenant)
            second = cookies_of(await gate.post("/auth/refresh", **refresh_headers(first)))
            known = len(gate.audit("identity.session.refresh_reused"))
            gate.clock.step_wall(-back_s)
            await gate.clock.advance(11)
            stolen = await gate.post("/auth/refresh", **refresh_headers(first))
            assert (stolen.status, stolen.code) == (401, "TOKEN_REFUSED")
            assert (await gate.post("/auth/refresh", **refresh_headers(second))).status == 401
            assert len(gate.audit("identity.session.refresh_reused")) == known + 1

    scenario()


@async_test
async def test_of_parallel_refreshes_exactly_one_wins(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        cookies = await gate.browser(tenant)
        answers = await all_of(
            [gate.post("/auth/refresh", **refresh_headers(cookies)) for _ in range(64)]
        )
        codes = sorted(answer.status for answer in answers)
        assert codes == [200] + [409] * 63
        winner = next(answer for answer in answers if answer.status == 200)
        again = await gate.post("/auth/refresh", **refresh_headers(cookies_of(winner)))
        assert again.status == 200
        live = gate.postgres.as_superuser(
            "SELECT count(*) AS n FROM identity.refresh_tokens t JOIN identity.tenants o"  # noqa: S608
            f" ON o.id = t.tenant_id WHERE o.name = '{tenant}' AND t.state = 'live'"
        )
        assert live[0]["n"] == 1


@async_test
async def test_a_session_ends_when_idle_and_in_the_end_anyway(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        day = 24 * 3600
        idle = await gate.browser(tenant)
        gate.clock.step_wall(7 * day + 1)
        assert (await gate.post("/auth/refresh", **refresh_headers(idle))).status == 401
        active = await gate.browser(tenant)
        for _week in range(4):
            gate.clock.step_wall(7 * day - 60)
            renewed = await gate.post("/auth/refresh", **refresh_headers(active))
            assert renewed.status == 200
            active = cookies_of(renewed)
        gate.clock.step_wall(3 * day)
        assert (await gate.post("/auth/refresh", **refresh_headers(active))).status == 401


@async_test
async def test_a_refresh_cookie_works_from_our_own_page_only(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        cookies = await gate.browser(tenant)
        header = f"{REFRESH}={cookies[REFRESH]}"
        for more in ({}, {"origin": "https://evil.example"}):
            answer = await gate.post("/auth/refresh", cookie=header, **more)
            assert answer.code == "ORIGIN_REFUSED"
        assert (await gate.post("/auth/refresh", **refresh_headers(cookies))).status == 200


@pytest.mark.parametrize("value", ["", "x", "A" * 86, "A" * 107, "é"])
@async_test
async def test_a_made_up_refresh_token_is_refused(gateway: Running, value: str) -> None:
    async with gateway() as gate:
        answer = await gate.post("/auth/refresh", {"refresh_token": value})
        assert answer.code == "TOKEN_REFUSED"
        assert (await gate.post("/auth/refresh")).code == "TOKEN_MISSING"
        emptied = await gate.post("/auth/refresh", {}, origin="https://localhost:8000")
        assert emptied.code == "TOKEN_MISSING", "what a page sends whose cookie is gone"


@async_test
async def test_logout_ends_the_token_at_once(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        cookies = await gate.browser(tenant)
        access = gate.shown(cookies)
        foreign = await gate.post("/auth/logout", cookie=access, origin="https://evil.example")
        assert foreign.code == "ORIGIN_REFUSED"
        answer = await gate.post("/auth/logout", cookie=access, origin=ORIGIN)
        assert answer.status == 204
        assert all("max-age=0" in value.lower() for value in answer.cookies.values())
        assert set(answer.cookies) == {ACCESS, SESSION, REFRESH}
        assert answer.headers["clear-site-data"] == '"cache", "storage"'
        assert (await gate.get("/auth/me", cookie=access)).code == "TOKEN_REFUSED"
        assert (await gate.post("/auth/refresh", **refresh_headers(cookies))).status == 401


@async_test
async def test_a_login_in_a_browser_ends_the_session_it_had(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        await gate.user(tenant)
        await gate.user(other)
        before, elsewhere = await gate.browser(tenant), await gate.browser(tenant)
        body = {"tenant": other, "username": "trader", "password": PASSWORD}
        answer = await gate.post("/auth/login", body, **refresh_headers(before))
        assert answer.status == 200
        assert (await gate.get("/auth/me", cookie=gate.shown(before))).code == "TOKEN_REFUSED"
        assert (await gate.post("/auth/refresh", **refresh_headers(before))).status == 401
        for alive in (elsewhere, cookies_of(answer)):
            assert (await gate.get("/auth/me", cookie=gate.shown(alive))).status == 200
        ended = [json.loads(row["details"]) for row in gate.audit("identity.session.ended")]
        assert {"reason": "replaced"} in ended


@async_test
async def test_a_login_ends_no_session_that_its_browser_does_not_prove(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        before = await gate.browser(tenant)
        body = {"tenant": tenant, "username": "trader", "password": PASSWORD}
        for kept in (
            {**before, SESSION: "of another browser"},
            {**before, REFRESH: "no token"},
            {**before, REFRESH: "A" * 107},
            {REFRESH: before[REFRESH], SESSION: ""},
        ):
            assert (await gate.post("/auth/login", body, **refresh_headers(kept))).status == 200
        wrong = await gate.post(
            "/auth/login", {**body, "password": "x"}, **refresh_headers(before)
        )
        assert wrong.status == 401
        assert (await gate.get("/auth/me", cookie=gate.shown(before))).status == 200


@async_test
async def test_a_login_link_works_once(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        link = await gate.command("login-link", tenant=tenant, user="trader")
        body = {"code": link["code"]}
        answers = await all_of([gate.post("/auth/link", body, origin=ORIGIN) for _ in range(16)])
        assert sorted(answer.status for answer in answers) == [200] + [403] * 15
        refused = next(answer for answer in answers if answer.status == 403)
        assert refused.code == "CODE_REFUSED"
        assert refused.cookies == {}


@async_test
async def test_an_old_or_made_up_link_is_refused(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        other = await gate.tenant()
        link = await gate.command("login-link", tenant=tenant, user="trader")
        gate.clock.step_wall(601)
        for code in (link["code"], "", "A" * 64, link["code"][:-1], str(UUID(int=0))):
            assert (await gate.post("/auth/link", {"code": code})).code == "CODE_REFUSED"
        fresh = await gate.command("login-link", tenant=tenant, user="trader")
        assert other != tenant
        assert (await gate.post("/auth/link", {"code": fresh["code"]})).status == 200


@async_test
async def test_a_suspended_person_is_out_at_once(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        cookies = await gate.browser(tenant)
        await gate.command("users/state", tenant=tenant, user="trader", state="suspended")
        access = gate.shown(cookies)
        assert (await gate.get("/auth/me", cookie=access)).code == "TOKEN_REFUSED"
        assert (await gate.post("/auth/refresh", **refresh_headers(cookies))).status == 401
        assert (await gate.login(tenant)).code == "LOGIN_REFUSED"
        await gate.command("users/state", tenant=tenant, user="trader", state="active")
        assert (await gate.login(tenant)).status == 200


@async_test
async def test_a_new_password_ends_every_session(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        cookies = await gate.browser(tenant)
        made = await gate.command("users/password", tenant=tenant, user="trader")
        assert (await gate.post("/auth/refresh", **refresh_headers(cookies))).status == 401
        assert (await gate.login(tenant)).status == 401
        assert (await gate.login(tenant, password=made["password"])).status == 200


@async_test
async def test_without_the_audit_event_nothing_happens(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event and the change are one transaction."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        before = gate.postgres.as_superuser("SELECT count(*) AS n FROM identity.sessions")

        async def fails(*_given: object) -> None:
            raise RuntimeError("the audit cannot be written")

        monkeypatch.setattr(gate.identity.sessions._audit, "add", fails)
        assert (await gate.login(tenant)).status == 500
        after = gate.postgres.as_superuser("SELECT count(*) AS n FROM identity.sessions")
        assert after == before


@async_test
async def test_a_lost_database_is_an_outage_and_no_login(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        await gate.pool.stop()
        answer = await gate.login(tenant)
        assert answer.status >= 500
        assert answer.cookies == {}
        await PostgresPool.start(gate.pool)
        assert (await gate.login(tenant)).status == 200


@async_test
async def test_a_token_of_the_host_is_a_session_like_any_other(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant, "viewer", "viewer")
        given = await gate.command("tokens", tenant=tenant, user="viewer")
        bearer = {"authorization": f"Bearer {given['token']}"}
        me = await gate.get("/auth/me", **bearer)
        assert me.json["person"]["scopes"] == ["read"]
        assert (await gate.post("/auth/logout", **bearer)).status == 204
        assert (await gate.get("/auth/me", **bearer)).status == 401
        with pytest.raises(AitradingError) as caught:
            await gate.command("tokens", tenant=tenant, user="nobody")
        assert caught.value.code == "IDENTITY_UNKNOWN"


@async_test
async def test_a_flood_of_logins_waits_outside_and_the_rest_goes_on(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESIL: the bulkhead `password-hashing` acts, and health shows it."""
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        headers = {"cookie": gate.shown(await gate.browser(tenant))}
        hasher, go_on = gate.identity.login._hasher, threading.Event()
        matches = hasher._matches
        monkeypatch.setattr(hasher, "_matches", lambda *given: go_on.wait(30) and matches(*given))
        async with asyncio.TaskGroup() as tasks:
            body = {"tenant": tenant, "username": "trader", "password": PASSWORD}
            networks = [{"x_forwarded_for": f"198.51.{number}.1"} for number in range(40)]
            logins = [
                tasks.create_task(gate.post("/auth/login", body, **each)) for each in networks
            ]
            try:
                await eventually(lambda: sum(login.done() for login in logins) == 6)
                refused = [login.result() for login in logins if login.done()]
                assert {answer.code for answer in refused} == {"BULKHEAD_FULL"}
                assert {answer.status for answer in refused} == {503}
                assert (await gate.get("/auth/me", **headers)).status == 200
                health = (await gate.server.edge("GET", "/health")).json
                seen = health["resilience"]["bulkhead"]["password-hashing"]
                assert (seen["running"], seen["waiting"], seen["refused"]) == (2, 32, 6)
                acts = health["resilience"]["recovery"]["password-hashing"]["acts"]
                text = (await gate.server.edge("GET", "/metrics")).body.decode()
                assert acts == 6
                assert 'site="password-hashing"' in text
            finally:
                go_on.set()
        assert sorted(login.result().status for login in logins) == [200] * 34 + [503] * 6


@async_test
async def test_a_password_that_was_reset_while_it_was_checked_opens_nothing(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        hasher, checked, reset = gate.identity.login._hasher, asyncio.Event(), asyncio.Event()
        verify = hasher.verify

        async def slow(*given: Any) -> bool:
            matches = await verify(*given)
            checked.set()
            await reset.wait()
            return matches

        monkeypatch.setattr(hasher, "verify", slow)
        late = asyncio.ensure_future(gate.login(tenant))
        await checked.wait()
        await gate.command("users/password", tenant=tenant, user="trader")
        reset.set()
        assert (await late).status == 401


@async_test
async def test_a_reset_ends_links_that_were_given_out(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        link = await gate.command("login-link", tenant=tenant, user="trader")
        await gate.command("users/password", tenant=tenant, user="trader")
        assert (await gate.post("/auth/link", {"code": link["code"]})).status == 403


@async_test
async def test_every_spelling_of_a_name_counts_as_one(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        spellings = ("trader", "Trader", " trader", "TRADER ", "tRader", "  trader ", "traDER")
        statuses = [
            (await gate.login(name, user, "wrong wrong wrong")).status
            for name in (tenant, tenant.upper())
            for user in spellings
        ]
        assert statuses.count(401) == statuses.index(429), "once it waits, every spelling waits"


@async_test
async def test_what_is_no_text_is_refused_and_no_error_of_ours(gateway: Running) -> None:
    async with gateway() as gate:
        raw = b'{"tenant":"\xff","username":"x","password":"y"}'
        answer = await gate.server.edge("POST", "/api/v1/auth/login", body=raw)
        assert (answer.status, answer.json["error"]["code"]) == (400, "REQUEST_INVALID")
        assert (await gate.get("/auth/me/")).status == 404, "no redirect to an address of ours"


@async_test
async def test_a_browser_without_its_cookie_is_told_to_log_in(gateway: Running) -> None:
    async with gateway() as gate:
        headers = {"content-type": "application/json", "content-length": "0"}
        answer = await gate.server.edge("POST", "/api/v1/auth/refresh", headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (401, "TOKEN_MISSING")
