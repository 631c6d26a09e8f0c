"""Second factors as a person, a thief with the password and the host meet them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.secret import Secret
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.identity.factors.codes import MAX_WAIT_S, _remaining_s, wait_s
from aitrading.server.api_gateway.identity.factors.totp import STEP_S, code_at, matching_step

Running = Callable[[], AbstractAsyncContextManager[Any]]
PASSWORD = "correct horse battery staple"  # noqa: S105
RFC_SECRET = Secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
RFC_VECTORS = (
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
)


@pytest.mark.parametrize(("moment_s", "code"), RFC_VECTORS)
def test_the_vectors_of_rfc_6238(moment_s: int, code: str) -> None:
    assert code_at(RFC_SECRET, moment_s // STEP_S, digits=8) == code
    assert matching_step(RFC_SECRET, code[2:], moment_s) == moment_s // STEP_S


def test_one_step_either_way_and_no_further() -> None:
    for off, matches in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        code = code_at(RFC_SECRET, 1000 + off)
        assert (matching_step(RFC_SECRET, code, 1000 * STEP_S) is not None) is matches
    assert matching_step(RFC_SECRET, "\uff11" * 6, 59) is None


def test_a_wait_doubles_up_to_its_limit() -> None:
    waits = [wait_s(failures) for failures in range(40)]
    assert waits[:8] == [0, 0, 0, 0, 0, 1, 2, 4]
    assert max(waits) == waits[-1] == MAX_WAIT_S


def test_a_clock_that_was_set_back_makes_nobody_wait_longer() -> None:
    failed_at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    for back in (timedelta(), timedelta(hours=1), timedelta(days=1)):
        waits = [_remaining_s(failures, failed_at, failed_at - back) for failures in range(20)]
        assert waits == [wait_s(failures) for failures in range(20)]


@dataclass
class Person:
    """Somebody with an app, at a gate whose clock stands still."""

    gate: Any
    tenant: str
    user: UUID
    secret: Secret[str]
    recovery: list[str]
    bearer: dict[str, str]

    def code(self, steps: int = 0) -> str:
        step = self.gate.clock.now_ns() // (STEP_S * NS_PER_S)
        return code_at(self.secret, step + steps)

    async def next_step(self) -> None:
        await self.gate.clock.advance(STEP_S)

    def events(self, action: str) -> list[Any]:
        """What was audited about this person."""
        me = f"user:{self.user}"
        return [row for row in self.gate.audit(action) if me in (row["actor"], row["subject"])]

    async def challenge(self) -> str:
        answer = await self.gate.login(self.tenant, deliver="token")
        assert answer.status == 202, answer.body
        assert set(answer.json) == {"second_factor"}
        return str(answer.json["second_factor"]["challenge"])

    async def second(self, code: str, challenge: str | None = None) -> Any:
        given = challenge or await self.challenge()
        body = {"challenge": given, "code": code, "deliver": "token"}
        return await self.gate.post("/auth/second", body)


async def person_at(gate: Any, *, role: str = "trader") -> Person:
    """Somebody who just set up an app, with the session that did it."""
    tenant = await gate.tenant()
    user = await gate.user(tenant, role=role)
    login = await gate.login(tenant, deliver="token")
    bearer = bearer_of(login)
    begun = await gate.post("/auth/factors/totp", {}, **bearer)
    assert begun.status == 200, begun.body
    secret = Secret(begun.json["secret"])
    person = Person(gate, tenant, user, secret, [], bearer)
    done = await gate.post("/auth/factors/totp/confirm", {"code": person.code()}, **bearer)
    assert done.status == 200, done.body
    person.recovery = done.json["recovery_codes"]
    await person.next_step()
    return person


def bearer_of(answer: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {answer.json['access_token']}"}


async def renewed(gate: Any, answer: Any) -> dict[str, str]:
    body = {"refresh_token": answer.json["refresh_token"]}
    return bearer_of(await gate.post("/auth/refresh", body))


@pytest.mark.integration
@async_test
async def test_a_password_alone_opens_nothing_any_more(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        challenge = await person.challenge()
        as_token = {"authorization": f"Bearer {challenge}"}
        assert (await gate.get("/auth/me", **as_token)).status == 401
        refreshed = await gate.post("/auth/refresh", {"refresh_token": challenge})
        assert refreshed.code == "TOKEN_REFUSED"
        link = await gate.command("login-link", tenant=person.tenant, user="trader")
        assert (await gate.post("/auth/link", {"code": link["code"]})).status == 202
        done = await person.second(person.code(), challenge)
        assert done.status == 200
        assert (await gate.get("/auth/me", **bearer_of(done))).json["person"]["user"]
        (session,) = gate.sql(
            f"SELECT count(*) AS n FROM identity.sessions WHERE user_id = '{person.user}'"  # noqa: S608
            " AND authentication = 'mfa'"
        )
        assert session["n"] == 1


@pytest.mark.integration
@async_test
async def test_a_code_and_a_challenge_work_once_also_side_by_side(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        challenges = [await person.challenge() for _ in range(6)]
        code = person.code()
        async with asyncio.TaskGroup() as tasks:
            tries = [tasks.create_task(person.second(code, each)) for each in challenges]
        statuses = sorted(each.result().status for each in tries)
        assert statuses[0] == 200
        assert statuses.count(200) == 1
        await gate.clock.advance(3600)
        assert (await person.second(person.code(-1), challenges[0])).status == 401
        challenge = await person.challenge()
        assert (await person.second(person.code(), challenge)).status == 200
        assert (await person.second(person.code(), challenge)).status == 401
        assert (await person.second(person.code(-1))).status == 401, "an earlier step"


@pytest.mark.integration
@async_test
async def test_wrong_codes_cost_time_over_networks_and_say_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        answers: list[Any] = []
        for number in range(5):
            challenge = await person.challenge()
            body = {"challenge": challenge, "code": "000000"}
            answers.append(
                await gate.post("/auth/second", body, x_forwarded_for=f"192.0.{number}.1")
            )
        ghost = {"challenge": "A" * 64, "code": "000000"}
        answers += [await gate.post("/auth/second", ghost), await person.second("ABCD")]
        assert answers[-1].code == "SECOND_FACTOR_THROTTLED"
        own = {"request_id": "", "trace_id": ""}
        told = [{**each.json["error"], **own} for each in answers[:-1]]
        assert all(each == told[0] for each in told)
        held = await person.second(person.code())
        assert held.status == 429
        assert held.json["error"]["fields"]["retry_after_s"] >= 1
        await gate.clock.advance(MAX_WAIT_S)
        assert (await person.second(person.code())).status == 200
        (row,) = gate.sql(f"SELECT code_failures FROM identity.users WHERE id = '{person.user}'")  # noqa: S608
        assert row["code_failures"] == 0
        assert person.events("identity.factor.refused")


@pytest.mark.integration
@async_test
async def test_codes_sent_at_once_are_checked_no_more_than_of_a_sequence(
    gateway: Running,
) -> None:
    """Codes of an app and of the recovery kind are counted together, over logins and sessions."""
    async with gateway() as gate:
        person = await person_at(gate)
        challenges = [await person.challenge() for _ in range(16)]
        async with asyncio.TaskGroup() as tasks:
            tries = [
                tasks.create_task(person.second(("000000", "AAAA-BBBB-CCCC-DDDD")[n % 2], each))
                for n, each in enumerate(challenges)
            ]
            proofs = [
                tasks.create_task(gate.post("/auth/step-up", {"code": "000000"}, **person.bearer))
                for _ in range(16)
            ]
        told = [each.result().code for each in tries + proofs]
        looked_at = {"SECOND_FACTOR_REFUSED", "PROOF_REFUSED"}
        assert sum(code in looked_at for code in told) == 5
        assert set(told) - looked_at <= {"SECOND_FACTOR_THROTTLED", "TOKEN_REFUSED"}
        (row,) = gate.sql(f"SELECT code_failures FROM identity.users WHERE id = '{person.user}'")  # noqa: S608
        assert row["code_failures"] == 5


@pytest.mark.integration
@async_test
async def test_a_challenge_ends_after_five_tries_and_five_minutes(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        challenge = await person.challenge()
        for _try in range(5):
            assert (await person.second("000000", challenge)).status == 401
        await gate.clock.advance(60)
        assert (await person.second(person.code(), challenge)).status == 401
        challenge = await person.challenge()
        await gate.clock.advance(301)
        assert (await person.second(person.code(), challenge)).status == 401
        challenge = await person.challenge()
        await gate.command("users/state", tenant=person.tenant, user="trader", state="suspended")
        assert (await person.second(person.code(), challenge)).code == "SECOND_FACTOR_REFUSED"
        await gate.command("users/state", tenant=person.tenant, user="trader", state="active")
        challenge = await person.challenge()
        await gate.command("users/password", tenant=person.tenant, user="trader")
        assert (await person.second(person.code(), challenge)).code == "SECOND_FACTOR_REFUSED"


@pytest.mark.integration
@async_test
async def test_a_recovery_code_works_once_and_is_stored_as_nothing_readable(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        assert len(set(person.recovery)) == 10
        first = person.recovery[0]
        done = await person.second(f" {first.lower()} ")
        assert done.status == 200
        state = (await gate.get("/auth/factors", **bearer_of(done))).json
        assert state["recovery_codes_left"] == 9
        assert state["step_up_with"] == "code"
        assert (await person.second(first)).status == 401
        stored = str(gate.sql("SELECT * FROM identity.recovery_codes")) + str(
            gate.sql("SELECT * FROM identity.totp")
        )
        assert first.replace("-", "") not in stored
        assert person.secret.reveal() not in stored
        (event,) = person.events("identity.recovery_code.used")
        assert '"left":9' in str(event["details"]).replace(" ", "")
        fresh = await gate.post("/auth/factors/recovery-codes", {}, **bearer_of(done))
        assert len(fresh.json["recovery_codes"]) == 10
        assert (await person.second(person.recovery[1])).status == 401
        assert (await person.second(fresh.json["recovery_codes"][3])).status == 200


@pytest.mark.integration
@async_test
async def test_codes_of_one_person_are_nothing_for_another(gateway: Running) -> None:
    async with gateway() as gate:
        one, other = await person_at(gate), await person_at(gate)
        challenge = await other.challenge()
        assert (await other.second(one.code(), challenge)).status == 401
        assert (await other.second(one.recovery[0], challenge)).status == 401
        assert (await other.second(other.code(), challenge)).status == 200


@pytest.mark.integration
@async_test
async def test_an_app_that_was_begun_counts_only_when_confirmed(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        bearer = bearer_of(await gate.login(tenant, deliver="token"))
        begun = await gate.post("/auth/factors/totp", {}, **bearer)
        assert begun.json["uri"].startswith(f"otpauth://totp/aitrading%3A{tenant}%2Ftrader?")
        qr = begun.json["qr"]
        assert qr["size"] > 40
        assert qr["path"].startswith("M4 4h7v1h-7z")
        wrong = await gate.post("/auth/factors/totp/confirm", {"code": "000000"}, **bearer)
        assert wrong.code == "FACTOR_NOT_CONFIRMED"
        assert (await gate.login(tenant)).status == 200
        secret = Secret((await gate.post("/auth/factors/totp", {}, **bearer)).json["secret"])
        assert secret.reveal() != begun.json["secret"]
        step = gate.clock.now_ns() // (STEP_S * NS_PER_S)
        code = {"code": code_at(secret, step)}
        assert (await gate.post("/auth/factors/totp/confirm", code, **bearer)).status == 200
        again = await gate.post("/auth/factors/totp", {}, **bearer)
        assert again.code == "FACTOR_EXISTS"
        assert (await gate.login(tenant)).status == 202


@pytest.mark.integration
@async_test
async def test_the_host_takes_lost_factors_away(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        done = await person.second(person.code())
        reset = await gate.command("users/reset-factors", tenant=person.tenant, user="trader")
        assert reset["sessions_ended"] == 2
        assert (await gate.get("/auth/me", **bearer_of(done))).status == 401
        assert (await gate.login(person.tenant)).status == 200
        (event,) = person.events("identity.factor.reset")
        assert (event["actor"], event["subject"]) == ("host:admin", f"user:{person.user}")


@pytest.mark.integration
@async_test
async def test_a_forgotten_password_takes_no_factor_with_it(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        made = await gate.command("users/password", tenant=person.tenant, user="trader")
        answer = await gate.login(person.tenant, password=made["password"], deliver="token")
        assert answer.status == 202, answer.body
        assert set(answer.json) == {"second_factor"}
        challenge = str(answer.json["second_factor"]["challenge"])
        assert (await person.second(person.code(), challenge)).status == 200


@pytest.mark.integration
@async_test
async def test_an_old_proof_changes_no_factor_and_a_fresh_one_does(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        login = await person.second(person.code())
        await gate.clock.advance(301)
        old = await renewed(gate, login)
        for method, path in (
            ("POST", "/auth/factors/totp"),
            ("DELETE", "/auth/factors/totp"),
            ("POST", "/auth/factors/recovery-codes"),
        ):
            answer = await gate.server.edge(method, f"/api/v1{path}", headers=old)
            assert (answer.status, answer.code) == (403, "STEP_UP_NEEDED")
        wrong = [{"code": "000000"}, {"password": PASSWORD}]
        for proof in wrong:
            assert (await gate.post("/auth/step-up", proof, **old)).code == "PROOF_REFUSED"
        assert (await gate.post("/auth/step-up", {}, **old)).code == "REQUEST_INVALID"
        assert (await gate.post("/auth/step-up", {"code": person.code()}, **old)).status == 204
        still = await gate.server.edge("DELETE", "/api/v1/auth/factors/totp", headers=old)
        assert still.code == "STEP_UP_NEEDED", "the old token is as old as it was"
        assert len(person.events("identity.session.stepped_up")) == 1


@pytest.mark.integration
@async_test
async def test_a_session_that_is_used_to_guess_ends_and_its_person_gets_in(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        login = await person.second(person.code())
        await person.next_step()
        for _guess in range(5):
            assert (await gate.get("/auth/me", **bearer_of(login))).status == 200
            refused = await gate.post("/auth/step-up", {"code": "000000"}, **bearer_of(login))
            assert refused.code == "PROOF_REFUSED"
        assert (await gate.get("/auth/me", **bearer_of(login))).code == "TOKEN_REFUSED"
        ended = person.events("identity.session.ended")
        assert [json.loads(each["details"]) for each in ended] == [{"reason": "guessing"}]
        await person.next_step()
        assert (await person.second(person.code())).status == 200


@pytest.mark.integration
@async_test
async def test_a_code_counts_as_apps_show_it(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        user = await gate.user(tenant)
        bearer = bearer_of(await gate.login(tenant, deliver="token"))
        begun = await gate.post("/auth/factors/totp", {}, **bearer)
        person = Person(gate, tenant, user, Secret(begun.json["secret"]), [], bearer)
        code = person.code()
        body = {"code": f" {code[:3]} {code[3:]}"}
        assert (await gate.post("/auth/factors/totp/confirm", body, **bearer)).status == 200


@pytest.mark.integration
@async_test
async def test_a_bad_proof_of_a_key_uses_up_no_code_and_opens_no_session(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        sessions = "SELECT count(*) AS n FROM identity.sessions"
        before = gate.sql(sessions)
        challenge, code = await person.challenge(), person.recovery[0]
        body = {"challenge": challenge, "code": code, "deliver": "token"}
        assert (await gate.post("/auth/second", body, dpop="no.proof.")).code == "TOKEN_REFUSED"
        assert gate.sql(sessions) == before
        assert (await gate.post("/auth/second", body)).status == 200


@pytest.mark.integration
@async_test
async def test_who_has_no_factor_proves_it_with_the_password(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant)
        login = await gate.login(tenant, deliver="token")
        await gate.clock.advance(301)
        old = bearer_of(login)
        assert (await gate.post("/auth/factors/totp", {}, **old)).code == "STEP_UP_NEEDED"
        wrong = {"password": "wrong wrong wrong wrong"}
        assert (await gate.post("/auth/step-up", wrong, **old)).code == "PROOF_REFUSED"
        assert (await gate.post("/auth/step-up", {"password": PASSWORD}, **old)).status == 204
        fresh = await renewed(gate, login)
        assert (await gate.post("/auth/factors/totp", {}, **fresh)).status == 200
        for _failure in range(5):
            await gate.post("/auth/step-up", wrong, **fresh)
        held = await gate.post("/auth/step-up", {"password": PASSWORD}, **fresh)
        assert held.code == "LOGIN_THROTTLED"


@pytest.mark.integration
@async_test
async def test_an_erased_organisation_leaves_no_factor_code_or_challenge(gateway: Running) -> None:
    async with gateway() as gate:
        person = await person_at(gate)
        await person.challenge()
        tables = ("totp", "recovery_codes", "login_challenges")

        def kept() -> list[int]:
            queries = (
                f"SELECT count(*) AS n FROM identity.{table} WHERE user_id = '{person.user}'"  # noqa: S608
                for table in tables
            )
            return [gate.sql(query)[0]["n"] for query in queries]

        assert kept() == [1, 10, 1]
        await gate.command("tenants/erase", tenant=person.tenant, confirm=person.tenant)
        assert kept() == [0, 0, 0]
