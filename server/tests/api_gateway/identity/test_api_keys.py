"""Keys of programs: who gets one, what it is worth, and that it ends."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.crypto import SigningKey, sha256
from aitrading.core.security.encoding import base64url_decode, base64url_encode
from aitrading.core.security.possession import ProofMaker
from aitrading.core.testing.async_test import async_test

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
ORIGIN = "https://localhost:8000"
DAY_S = 86_400


async def made(gate: Any, tenant: str, **more: Any) -> Any:
    wanted = {"name": "robot", "scopes": ["read", "trade"], **more}
    return await gate.command("api-keys", tenant=tenant, **wanted)


async def exchanged(gate: Any, key: str, **headers: str) -> Any:
    return await gate.post("/auth/key", {"key": key}, **headers)


async def works(gate: Any, token: str) -> bool:
    answer = await gate.get("/auth/me", authorization=f"Bearer {token}")
    return bool(answer.status == 200)


class Signer:
    """A program that never shows its key."""

    def __init__(self, gate: Any) -> None:
        self.key = SigningKey.generate()
        ids = SystemIdFactory(gate.clock, SystemRandomness())
        self._maker = ProofMaker(self.key, clock=gate.clock, ids=ids)

    @property
    def public(self) -> str:
        return base64url_encode(self.key.public.raw)

    def proof(self, path: str = "key", method: str = "POST", token: str | None = None) -> str:
        return self._maker.make(method, f"{ORIGIN}/api/v1/auth/{path}", token)


@async_test
async def test_a_secret_is_told_once_and_gives_the_scopes_it_was_given(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = await made(gate, tenant)
        answer = await exchanged(gate, key["key"])
        assert answer.status == 200, answer.body
        assert answer.json["scopes"] == ["read", "trade"]
        assert answer.json["token_type"] == "Bearer"  # noqa: S105
        assert await works(gate, answer.json["access_token"])
        (row,) = gate.sql(f"SELECT * FROM identity.api_keys WHERE id = '{key['id']}'")  # noqa: S608
        secret = base64url_decode(key["key"].removeprefix("ait_"))[32:]
        assert bytes(row["hash"]) == sha256(secret)
        assert row["last_used_at"] is not None
        (listed,) = await gate.listing("api-keys", tenant=tenant)
        assert (listed["name"], listed["proof"]) == ("robot", "secret")
        assert key["key"] not in json.dumps(listed)
        (event,) = [
            each
            for each in gate.audit("identity.api_key.created")
            if each["subject"].endswith(key["id"])
        ]
        assert json.loads(event["details"]) == {"scopes": "read trade", "days": 90}


@async_test
async def test_a_revoked_key_is_refused_and_so_are_its_tokens(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = await made(gate, tenant)
        token = (await exchanged(gate, key["key"])).json["access_token"]
        assert await works(gate, token)
        await gate.command("api-keys/revoke", tenant=tenant, key=key["id"])
        assert not await works(gate, token)
        assert (await exchanged(gate, key["key"])).code == "API_KEY_REFUSED"
        await gate.command("api-keys/revoke", tenant=tenant, key=key["id"])
        events = [each["subject"] for each in gate.audit("identity.api_key.revoked")]
        assert events.count(f"api_key:{key['id']}") == 1


@async_test
async def test_every_failure_has_one_answer(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = await made(gate, tenant, days=1)
        signer = Signer(gate)
        signing = await made(gate, tenant, name="signer", public_key=signer.public)
        raw = base64url_decode(key["key"].removeprefix("ait_"))
        foreign = bytes(16) + raw[16:]
        wrong = raw[:-1] + bytes([raw[-1] ^ 1])
        tried = ["", "ait_", "ait_!", key["key"][4:], signing["key"], "x" * 500]
        tried += [f"ait_{base64url_encode(each)}" for each in (raw[:32], foreign, wrong, raw[:40])]
        await gate.clock.advance(DAY_S + 1)
        tried.append(key["key"])
        answers = [await exchanged(gate, each) for each in tried]
        answers.append(await exchanged(gate, signing["key"], dpop=Signer(gate).proof()))
        bodies = set()
        for answer in answers:
            assert answer.status == 401
            error = answer.json["error"]
            error["request_id"] = error["trace_id"] = ""
            bodies.add(str(error))
        assert len(bodies) == 1
        assert gate.audit("identity.api_key.refused")


@async_test
async def test_a_registered_key_signs_and_its_token_is_bound_to_it(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        signer = Signer(gate)
        key = await made(gate, tenant, public_key=signer.public)
        answer = await exchanged(gate, key["key"], dpop=signer.proof())
        assert answer.json["token_type"] == "DPoP"  # noqa: S105
        token = answer.json["access_token"]
        assert not await works(gate, token)
        me = await gate.get(
            "/auth/me", authorization=f"DPoP {token}", dpop=signer.proof("me", "GET", token)
        )
        assert me.status == 200


@async_test
async def test_a_key_has_an_end_and_a_right_and_a_name_of_its_own(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await made(gate, tenant)
        for change, code in (
            ({"days": 366}, "IDENTITY_INVALID"),
            ({"days": 0}, "IDENTITY_INVALID"),
            ({"scopes": []}, "IDENTITY_INVALID"),
            ({"scopes": ["root"]}, "REQUEST_INVALID"),
            ({"public_key": "AAAA"}, "IDENTITY_INVALID"),
            ({}, "IDENTITY_EXISTS"),
        ):
            with pytest.raises(AitradingError) as caught:
                await made(gate, tenant, **({"name": "other"} if change else {}), **change)
            assert caught.value.code == code


@async_test
async def test_nobody_gives_a_program_more_than_they_have(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await gate.user(tenant, "keeper", "admin")
        login = (await gate.login(tenant, "keeper", deliver="token")).json
        shown = {"authorization": f"Bearer {login['access_token']}"}
        wanted = {"name": "robot", "scopes": ["read", "trade"]}
        assert (await gate.post("/auth/keys", wanted, **shown)).code == "SCOPE_MISSING"
        answer = await gate.post("/auth/keys", {**wanted, "scopes": ["read", "admin"]}, **shown)
        assert answer.status == 200, answer.body
        listed = (await gate.get("/auth/keys", **shown)).json["keys"]
        assert [UUID(each["id"]) for each in listed] == [UUID(answer.json["id"])]
        await gate.clock.advance(3600)
        program = (await exchanged(gate, answer.json["key"])).json["access_token"]
        own = {"authorization": f"Bearer {program}"}
        assert (await gate.get("/auth/keys", **own)).status == 200
        more = {"name": "second", "scopes": ["read"]}
        assert (await gate.post("/auth/keys", more, **own)).code in {
            "STEP_UP_NEEDED",
            "SECOND_FACTOR_NEEDED",
        }


@async_test
async def test_a_program_whose_key_was_made_a_moment_ago_proved_nothing_either(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = (await made(gate, tenant, scopes=["read", "admin"]))["key"]
        program = (await exchanged(gate, key)).json["access_token"]
        own = {"authorization": f"Bearer {program}"}
        assert (await gate.get("/auth/keys", **own)).status == 200
        more = {"name": "second", "scopes": ["read"]}
        assert (await gate.post("/auth/keys", more, **own)).code == "STEP_UP_NEEDED"
        assert (await gate.post("/auth/factors/totp", {}, **own)).code == "STEP_UP_NEEDED"


@async_test
async def test_a_suspended_organisation_gives_programs_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = await made(gate, tenant)
        token = (await exchanged(gate, key["key"])).json["access_token"]
        await gate.command("tenants/state", tenant=tenant, state="suspended")
        assert not await works(gate, token)
        assert (await exchanged(gate, key["key"])).code == "API_KEY_REFUSED"
        await gate.command("tenants/state", tenant=tenant, state="active")
        assert (await exchanged(gate, key["key"])).status == 200


@async_test
async def test_an_erased_organisation_leaves_no_key(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = await made(gate, tenant)
        await gate.command("tenants/erase", tenant=tenant, confirm=tenant)
        assert not gate.sql(f"SELECT 1 FROM identity.api_keys WHERE id = '{key['id']}'")  # noqa: S608
        assert (await exchanged(gate, key["key"])).code == "API_KEY_REFUSED"


@async_test
async def test_a_key_is_exchanged_at_its_pace_and_another_one_waits_for_nobody(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key, other = await made(gate, tenant), await made(gate, tenant, name="other")
        for _often in range(30):
            assert (await exchanged(gate, key["key"])).status == 200
        held = await exchanged(gate, key["key"])
        assert (held.status, held.code) == (429, "API_KEY_THROTTLED")
        assert 1 <= held.json["error"]["fields"]["retry_after_s"] <= 6
        raw = base64url_decode(key["key"].removeprefix("ait_"))
        wrong = f"ait_{base64url_encode(raw[:-1] + bytes([raw[-1] ^ 1]))}"
        assert (await exchanged(gate, wrong)).code == "API_KEY_REFUSED", "only its holder is told"
        assert (await exchanged(gate, other["key"])).status == 200
        await gate.clock.advance(6)
        assert (await exchanged(gate, key["key"])).status == 200
        assert (await exchanged(gate, key["key"])).code == "API_KEY_THROTTLED"


@async_test
async def test_a_key_ends_when_its_maker_loses_what_it_allows(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        boss = await gate.user(tenant, "boss", "owner")
        told = await gate.command("tokens", tenant=tenant, user="boss")
        bearer = {"authorization": f"Bearer {told['token']}"}
        made = {}
        for name, scopes in (("trades", ["read", "trade"]), ("reads", ["read"])):
            wanted = {"name": name, "scopes": scopes}
            answer = await gate.post("/auth/keys", wanted, **bearer)
            assert answer.status == 200, answer.body
            made[name] = answer.json["key"]
        await gate.command("api-keys", tenant=tenant, name="hosts", scopes=["trade"])
        listed = {
            one["name"]: one["created_by"] for one in await gate.listing("api-keys", tenant=tenant)
        }
        assert listed == {"trades": f"user:{boss}", "reads": f"user:{boss}", "hosts": "host:admin"}
        out = {
            name: (await gate.post("/auth/key", {"key": key})).json for name, key in made.items()
        }

        async def counts() -> list[str]:
            return [
                name
                for name, key in made.items()
                if (await gate.post("/auth/key", {"key": key})).status == 200
            ]

        less = await gate.command("users/role", tenant=tenant, user="boss", role="viewer")
        assert (less["keys_ended"], less["keys_kept"]) == (["trades"], ["reads"])
        assert await counts() == ["reads"]
        token = gate.server.verifier().verify_user(out["trades"]["access_token"])
        assert gate.ended.is_revoked(token)
        gone = await gate.command("users/state", tenant=tenant, user="boss", state="suspended")
        assert (gone["keys_ended"], gone["keys_kept"]) == (["reads"], [])
        assert await counts() == []


@async_test
async def test_a_clock_that_was_set_back_holds_no_key_back(gateway: Running) -> None:
    async with gateway() as gate:
        key = await made(gate, await gate.tenant())
        assert (await exchanged(gate, key["key"])).status == 200
        gate.clock.step_wall(-3_600)
        for _often in range(2):
            assert (await exchanged(gate, key["key"])).status == 200
