"""Security keys as their owner, another person, a copy and a phishing page use them."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from harness.software_key import ORIGIN, SoftwareKey
from webauthn.helpers import bytes_to_base64url, encode_cbor

from aitrading.core.testing.async_test import async_test

Running = Callable[[], AbstractAsyncContextManager[Any]]
KEYS = "/auth/factors/keys"


@dataclass
class Owner:
    """Somebody at a gate's page, with a session."""

    gate: Any
    tenant: str
    user: UUID
    bearer: dict[str, str]
    refresh: str = ""

    async def send(self, path: str, body: Any = None, **headers: str) -> Any:
        given = {**self.bearer, "origin": ORIGIN, **headers}
        return await self.gate.post(path, body if body is not None else {}, **given)

    async def add(self, key: SoftwareKey, name: str = "blue key") -> Any:
        options = await self.send(f"{KEYS}/options")
        assert options.status == 200, options.body
        return await self.send(KEYS, {"name": name, "key": key.made(options.json)})

    async def challenge(self) -> str:
        answer = await self.gate.login(self.tenant)
        assert answer.status == 202, answer.body
        assert answer.json["second_factor"]["has_key"]
        return str(answer.json["second_factor"]["challenge"])

    async def asked(self, challenge: str) -> Any:
        answer = await self.gate.post("/auth/second/key", {"challenge": challenge}, origin=ORIGIN)
        assert answer.status == 200, answer.body
        return answer.json

    async def second(self, challenge: str, signed: Any, origin: str = ORIGIN) -> Any:
        body = {"challenge": challenge, "key": signed}
        return await self.gate.post("/auth/second", body, origin=origin)

    async def log_in(self, key: SoftwareKey, **client: Any) -> Any:
        challenge = await self.challenge()
        return await self.second(challenge, key.signed(await self.asked(challenge), **client))

    def events(self, action: str) -> list[Any]:
        me = f"user:{self.user}"
        return [row for row in self.gate.audit(action) if me in (row["actor"], row["subject"])]


async def owner_at(gate: Any) -> Owner:
    tenant = await gate.tenant()
    user = await gate.user(tenant)
    login = await gate.login(tenant, deliver="token")
    bearer = {"authorization": f"Bearer {login.json['access_token']}"}
    return Owner(gate, tenant, user, bearer, login.json["refresh_token"])


async def with_key(gate: Any) -> tuple[Owner, SoftwareKey, list[str]]:
    owner, key = await owner_at(gate), SoftwareKey()
    added = await owner.add(key)
    assert added.status == 200, added.body
    return owner, key, added.json["recovery_codes"]


@pytest.mark.integration
@async_test
async def test_a_key_logs_in_and_a_password_alone_does_not(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, recovery = await with_key(gate)
        assert len(set(recovery)) == 10
        state = (await gate.get("/auth/factors", **owner.bearer)).json
        assert (state["step_up_with"], state["keys_for"]) == ("code", "localhost")
        (shown,) = state["security_keys"]
        assert (shown["name"], shown["host"]) == ("blue key", "localhost")
        assert "used_at" not in shown or shown["used_at"] is None
        done = await owner.log_in(key)
        assert done.status == 200, done.body
        challenge = await owner.challenge()
        body = {"challenge": challenge, "code": recovery[0]}
        assert (await gate.post("/auth/second", body)).status == 200
        (session,) = gate.sql(
            f"SELECT count(*) AS n FROM identity.sessions WHERE user_id = '{owner.user}'"  # noqa: S608
            " AND authentication = 'mfa'"
        )
        assert session["n"] == 2
        (event,) = owner.events("identity.factor.added")
        assert '"kind":"key"' in str(event["details"]).replace(" ", "").replace("'", '"')
        assert "blue key" not in str(gate.sql("SELECT * FROM identity.security_keys"))


@pytest.mark.integration
@async_test
async def test_what_is_wrong_with_an_answer_is_told_to_nobody(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        _, strange, _ = await with_key(gate)
        same_id = SoftwareKey(id=key.id, count=100)
        phished = SoftwareKey(origin="https://localhost.example", id=key.id, count=100)
        answers = [
            await owner.log_in(key, origin="https://localhost.example"),
            await owner.log_in(key, challenge=bytes_to_base64url(bytes(32))),
            await owner.log_in(key, type="webauthn.create"),
            await owner.log_in(strange),
            await owner.log_in(same_id),
            await owner.log_in(phished),
        ]
        key.host = "example"
        answers.append(await owner.log_in(key))
        key.host = "localhost"
        unasked = await owner.challenge()
        answers.append(await owner.second(unasked, key.signed({"challenge": "AAAA"})))
        ghost = {"challenge": "A" * 64}
        answers.append(await gate.post("/auth/second/key", ghost, origin=ORIGIN))
        own = {"request_id": "", "trace_id": ""}
        told = [{**each.json["error"], **own} for each in answers]
        assert told[0]["code"] == "SECOND_FACTOR_REFUSED"
        assert all(each == told[0] for each in told)
        assert owner.events("identity.factor.refused")
        assert (await owner.log_in(key)).status == 200


@pytest.mark.integration
@async_test
async def test_hostile_bytes_are_a_refusal_and_no_failure(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        for part in ("clientDataJSON", "authenticatorData", "signature"):
            for junk in ("", "A", "!!", "AAAA", "9" * 3000, bytes_to_base64url(b"[1]")):
                challenge = await owner.challenge()
                signed = key.signed(await owner.asked(challenge))
                signed["response"][part] = junk
                answer = await owner.second(challenge, signed)
                assert answer.code == "SECOND_FACTOR_REFUSED", (part, junk, answer.body)
        for junk in ("", "!!", bytes_to_base64url(encode_cbor({"fmt": "tpm"})), "a" * 3000):
            options = (await owner.send(f"{KEYS}/options")).json
            made = SoftwareKey().made(options)
            made["response"]["attestationObject"] = junk
            answer = await owner.send(KEYS, {"name": "x", "key": made})
            assert answer.code == "KEY_NOT_ADDED", (junk, answer.body)


@pytest.mark.integration
@async_test
async def test_an_answer_counts_once_for_its_login_and_in_time(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        first, other = await owner.challenge(), await owner.challenge()
        signed = key.signed(await owner.asked(first))
        await owner.asked(other)
        assert (await owner.second(other, signed)).status == 401, "of another login"
        assert (await owner.second(first, signed)).status == 200
        assert (await owner.second(first, signed)).status == 401, "again"
        waiting = await owner.challenge()
        old, new = await owner.asked(waiting), await owner.asked(waiting)
        assert (await owner.second(waiting, key.signed(old))).status == 401, "asked anew since"
        assert (await owner.second(waiting, key.signed(new))).status == 401, "one answer"
        late = await owner.challenge()
        signed = key.signed(await owner.asked(late))
        await gate.clock.advance(301)
        assert (await owner.second(late, signed)).status == 401, "too late"
        assert (await owner.log_in(key)).status == 200


@pytest.mark.integration
@async_test
async def test_a_copy_of_a_key_is_refused_and_audited(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        assert (await owner.log_in(key)).status == 200
        key.count -= 1
        assert (await owner.log_in(key)).code == "SECOND_FACTOR_REFUSED"
        (event,) = owner.events("identity.key.stepped_back")
        told = str(event["details"]).replace(" ", "")
        assert '"known":1' in told
        assert '"told":1' in told
        assert (await owner.log_in(key)).status == 200, "the true one has signed more often"


@pytest.mark.integration
@async_test
async def test_a_key_is_a_fresh_proof_for_its_session_alone(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, recovery = await with_key(gate)
        challenge = await owner.challenge()
        body = {"challenge": challenge, "code": recovery[0], "deliver": "token"}
        login = await gate.post("/auth/second", body)
        other = {"authorization": f"Bearer {login.json['access_token']}"}
        await gate.clock.advance(301)
        assert (await owner.send(f"{KEYS}/options")).code == "STEP_UP_NEEDED"
        options = (await owner.send("/auth/step-up/key")).json
        signed = key.signed(options)
        await gate.post("/auth/step-up/key", {}, origin=ORIGIN, **other)
        stolen = await gate.post("/auth/step-up", {"key": signed}, origin=ORIGIN, **other)
        assert stolen.code == "PROOF_REFUSED"
        assert (await owner.send("/auth/step-up", {"key": signed})).status == 204
        assert (await owner.send("/auth/step-up", {"key": signed})).code == "PROOF_REFUSED"
        assert len(owner.events("identity.session.stepped_up")) == 1
        wanted = {"refresh_token": owner.refresh}
        fresh = await gate.post("/auth/refresh", wanted)
        bearer = {"authorization": f"Bearer {fresh.json['access_token']}"}
        (shown,) = (await gate.get("/auth/factors", **bearer)).json["security_keys"]
        path = f"/api/v1{KEYS}/{shown['id']}"
        removed = await gate.server.edge("DELETE", path, headers=bearer)
        assert removed.status == 204, removed.body
        assert (await gate.server.edge("DELETE", path, headers=bearer)).code == "FACTOR_MISSING"
        codes = gate.sql(f"SELECT * FROM identity.recovery_codes WHERE user_id = '{owner.user}'")  # noqa: S608
        assert codes == []
        assert (await gate.login(owner.tenant)).status == 200
        assert owner.events("identity.factor.removed")


@pytest.mark.integration
@async_test
async def test_a_session_whose_key_answers_wrongly_again_and_again_ends(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        owner, key, recovery = await with_key(gate)
        for _wrong in range(5):
            assert (await gate.get("/auth/me", **owner.bearer)).status == 200
            options = (await owner.send("/auth/step-up/key")).json
            signed = key.signed(options, challenge=bytes_to_base64url(bytes(32)))
            assert (await owner.send("/auth/step-up", {"key": signed})).code == "PROOF_REFUSED"
        assert (await gate.get("/auth/me", **owner.bearer)).code == "TOKEN_REFUSED"
        (ended,) = owner.events("identity.session.ended")
        assert json.loads(ended["details"]) == {"reason": "guessing"}
        challenge = await owner.challenge()
        waits = await gate.post("/auth/second", {"challenge": challenge, "code": recovery[0]})
        assert waits.code == "SECOND_FACTOR_THROTTLED", "wrong answers count with wrong codes"
        assert (await owner.log_in(key)).status == 200, "a right answer waits for nobody"


@pytest.mark.integration
@async_test
async def test_a_bad_proof_of_a_program_uses_up_no_answer_of_a_key(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        challenge = await owner.challenge()
        signed = key.signed(await owner.asked(challenge))
        body = {"challenge": challenge, "key": signed, "deliver": "token"}
        assert (await gate.post("/auth/second", body, dpop="no.proof.")).code == "TOKEN_REFUSED"
        assert (await gate.post("/auth/second", body)).code == "KEYS_NOT_HERE"
        assert (await owner.second(challenge, signed)).status == 200


@pytest.mark.integration
@async_test
async def test_a_key_is_added_once_and_ten_are_enough(gateway: Running) -> None:
    async with gateway() as gate:
        owner, key, _ = await with_key(gate)
        assert (await owner.add(key)).code == "KEY_NOT_ADDED"
        assert (await owner.add(SoftwareKey(), name=" ")).code == "KEY_NOT_ADDED"
        assert (await owner.add(SoftwareKey(origin="https://evil.example"))).status == 422
        for number in range(9):
            added = await owner.add(SoftwareKey(), name=f"key {number}")
            assert added.json == {"recovery_codes": []}
        full = await owner.send(f"{KEYS}/options")
        assert (full.status, full.code) == (409, "KEYS_FULL")


@pytest.mark.integration
@async_test
async def test_keys_are_for_names_of_the_installation_and_for_pages(gateway: Running) -> None:
    async with gateway() as gate:
        owner, _, _ = await with_key(gate)
        program = await gate.post(f"{KEYS}/options", {}, **owner.bearer)
        assert program.code == "KEYS_NOT_HERE"
        for host in ("127.0.0.1:8000", "other.example", "[::1]:8000", "[", ""):
            answer = await owner.send(f"{KEYS}/options", host=host, origin=f"https://{host}")
            assert answer.code == "KEYS_NOT_HERE", host
            state = await gate.get("/auth/factors", host=host, **owner.bearer)
            assert state.json["keys_for"] is None
        elsewhere = await owner.send(f"{KEYS}/options", origin="https://other.example")
        assert elsewhere.code == "ORIGIN_REFUSED"


@pytest.mark.integration
@async_test
async def test_the_host_takes_keys_away_and_an_erasure_leaves_none(gateway: Running) -> None:
    async with gateway() as gate:
        owner, _, _ = await with_key(gate)
        await owner.send(f"{KEYS}/options")
        await gate.command("users/reset-factors", tenant=owner.tenant, user="trader")
        assert left_of(gate, owner) == [0, 0]
        assert (await gate.login(owner.tenant)).status == 200
        other, _, _ = await with_key(gate)
        await other.send(f"{KEYS}/options")
        assert left_of(gate, other) == [1, 1]
        await gate.command("tenants/erase", tenant=other.tenant, confirm=other.tenant)
        assert left_of(gate, other) == [0, 0]


def left_of(gate: Any, owner: Owner) -> list[int]:
    (row,) = gate.sql(
        f"SELECT (SELECT count(*) FROM identity.security_keys WHERE user_id = '{owner.user}') AS a,"  # noqa: S608
        f" (SELECT count(*) FROM identity.key_challenges WHERE user_id = '{owner.user}') AS b"
    )
    return [row["a"], row["b"]]
