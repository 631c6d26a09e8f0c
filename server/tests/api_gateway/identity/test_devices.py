"""Devices: one code, one certificate; what renewal and revocation demand."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.infrastructure.resilience import CircuitBreaker
from aitrading.core.kit.clock import now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.security.certificates import DeviceIdentity, parse_device
from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate
from aitrading.core.security.encoding import base64url_encode
from aitrading.core.security.enrolment import parse_enrolment_code, require_pinned_ca
from aitrading.core.security.renewal import renewal_message
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.api_gateway.identity.devices import DeviceState
from aitrading.server.data_bridge.peers import IdentityPeer

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
DAY_S = 24 * 3600


def request_of(key: TlsKey) -> str:
    return create_csr(key, common_name="client").decode()


async def all_of(calls: list[Any]) -> list[Any]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(call) for call in calls]
    return [task.result() for task in started]


async def enrolled(gate: Any, tenant: str, key: TlsKey) -> Any:
    invitation = await gate.command("devices/invite", tenant=tenant, name="desk")
    answer = await gate.post(
        "/devices/enroll", {"code": invitation["code"], "csr": request_of(key)}
    )
    assert answer.status == 200, answer.body
    return answer.json


def renewal(gate: Any, holder: Any, old: TlsKey, new: TlsKey, **changes: Any) -> dict[str, Any]:
    body = {
        "tenant": holder["tenant"],
        "device": holder["device"],
        "csr": request_of(new),
        "issued_ms": now_ms(gate.clock),
        **changes,
    }
    message = renewal_message(
        tenant=UUID(body["tenant"]),
        device=UUID(body["device"]),
        csr_pem=body["csr"].encode(),
        issued_ms=body["issued_ms"],
    )
    return {"signature": base64url_encode(old.sign(message)), **body}


@async_test
async def test_a_client_becomes_a_device_and_knows_its_server_first(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        invitation = await gate.command("devices/invite", tenant=tenant, name="desk")
        code = parse_enrolment_code(invitation["code"])
        trust = await gate.get("/devices/trust")
        require_pinned_ca(trust.json["edge_ca"].encode(), code)
        answer = await gate.post(
            "/devices/enroll", {"code": invitation["code"], "csr": request_of(TlsKey.generate())}
        )
        info = inspect_certificate(answer.json["certificate"].encode())
        identity = parse_device(info.uris[0])
        assert str(identity.device) == invitation["device"] == answer.json["device"]
        assert identity.tenant == code.tenant
        assert info.validity.not_after_ns // 10**9 == gate.clock.now_ns() // 10**9 + 3 * DAY_S
        state = await gate.server.client("data-bridge").get(
            f"/internal/v1/devices/{identity.device}",
            query={"tenant": str(identity.tenant)},
            answer=DeviceState,
        )
        assert (state.state, state.certificate_sha256) == ("active", info.fingerprint)
        invited, active = (gate.audit(f"identity.device.{x}")[-1] for x in ("invited", "enrolled"))
        assert invited["actor"] == "host:admin"
        assert active["actor"] == active["subject"] == f"device:{identity.device}"


@async_test
async def test_of_parallel_enrolments_exactly_one_wins(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        invitation = await gate.command("devices/invite", tenant=tenant, name="desk")
        requests = [request_of(TlsKey.generate()) for _ in range(16)]
        answers = await all_of(
            [
                gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})
                for csr in requests
            ]
        )
        assert sorted(answer.status for answer in answers) == [200] + [403] * 15
        assert {a.code for a in answers if a.status == 403} == {"CODE_REFUSED"}
        winner = next(answer for answer in answers if answer.status == 200)
        listed = await gate.listing("devices", tenant=tenant)
        fingerprint = inspect_certificate(winner.json["certificate"].encode()).fingerprint
        assert [device["certificate_sha256"] for device in listed] == [fingerprint]


@async_test
async def test_a_bad_request_does_not_use_up_the_code(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        invitation = await gate.command("devices/invite", tenant=tenant, name="desk")
        for csr in ("", "nonsense", "x" * 12_000):
            answer = await gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})
            assert answer.code == "CSR_INVALID"
        good = {"code": invitation["code"], "csr": request_of(TlsKey.generate())}
        assert (await gate.post("/devices/enroll", good)).status == 200


@async_test
async def test_codes_that_are_old_replaced_or_of_another_tenant_are_refused(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        csr = request_of(TlsKey.generate())
        first = await gate.command("devices/invite", tenant=tenant, name="desk")
        second = await gate.command("devices/invite", tenant=tenant, name="desk")
        assert first["device"] == second["device"]
        moved = await gate.command("devices/invite", tenant=other, name="desk")
        mixed = second["code"].split(".")
        mixed[1] = moved["code"].split(".")[1]
        for code in (first["code"], ".".join(mixed)):
            answer = await gate.post("/devices/enroll", {"code": code, "csr": csr})
            assert answer.code == "CODE_REFUSED"
        broken = await gate.post("/devices/enroll", {"code": second["code"][:-1], "csr": csr})
        assert broken.code == "ENROLMENT_CODE_MALFORMED"
        gate.clock.step_wall(DAY_S + 1)
        late = await gate.post("/devices/enroll", {"code": second["code"], "csr": csr})
        assert late.code == "CODE_REFUSED"


@async_test
async def test_an_active_device_is_not_invited_over(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        await enrolled(gate, tenant, TlsKey.generate())
        with pytest.raises(AitradingError) as caught:
            await gate.command("devices/invite", tenant=tenant, name="desk")
        assert caught.value.code == "IDENTITY_EXISTS"


@async_test
async def test_a_device_renews_with_the_key_it_has(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        keys = [TlsKey.generate() for _ in range(3)]
        device = await enrolled(gate, tenant, keys[0])
        for old, new in ((keys[0], keys[1]), (keys[1], keys[2])):
            gate.clock.step_wall(2 * DAY_S)
            answer = await gate.post("/devices/renew", renewal(gate, device, old, new))
            assert answer.status == 200
            info = inspect_certificate(answer.json["certificate"].encode())
            assert info.uris == inspect_certificate(device["certificate"].encode()).uris
        stale = await gate.post("/devices/renew", renewal(gate, device, keys[0], keys[1]))
        assert stale.code == "CODE_REFUSED"


@async_test
async def test_a_renewal_that_proves_nothing_is_refused(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        key, new = TlsKey.generate(), TlsKey.generate()
        device = await enrolled(gate, tenant, key)
        stranger = await enrolled(gate, other, TlsKey.generate())
        good = renewal(gate, device, key, new)
        bad = [
            renewal(gate, device, new, new),
            {**good, "csr": request_of(new)},
            {**good, "signature": ""},
            renewal(gate, device, key, new, issued_ms=now_ms(gate.clock) - 301_000),
            renewal(gate, device, key, new, issued_ms=now_ms(gate.clock) + 301_000),
            renewal(gate, device, key, new, tenant=stranger["tenant"]),
            renewal(gate, device, key, new, device=stranger["device"]),
            renewal(gate, device, key, new, device=str(UUID(int=1))),
            renewal(gate, device, key, new, tenant=str(UUID(int=0))),
        ]
        for body in bad:
            assert (await gate.post("/devices/renew", body)).code == "CODE_REFUSED"
        for moment in (-(2**63), 2**63 - 1):
            answer = await gate.post("/devices/renew", {**good, "issued_ms": moment})
            assert answer.code == "CODE_REFUSED"
        huge = await gate.post("/devices/renew", {**good, "issued_ms": 2**63})
        assert huge.status in {400, 403}
        assert (await gate.post("/devices/renew", good)).status == 200


@async_test
async def test_an_expired_certificate_renews_for_thirty_days(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        keys = [TlsKey.generate() for _ in range(2)]
        device = await enrolled(gate, tenant, keys[0])
        gate.clock.step_wall(3 * DAY_S + 30 * DAY_S - 60)
        body = renewal(gate, device, *keys)
        assert (await gate.post("/devices/renew", body)).status == 200
        gate.clock.step_wall(33 * DAY_S + 60)
        body = renewal(gate, device, keys[1], keys[0])
        assert (await gate.post("/devices/renew", body)).code == "CODE_REFUSED"


@async_test
async def test_a_revoked_device_is_out_and_everybody_is_told(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        key = TlsKey.generate()
        device = await enrolled(gate, tenant, key)
        for _twice in range(2):
            await gate.command("devices/revoke", tenant=tenant, device=device["device"])
        told = (UUID(device["tenant"]), UUID(device["device"]))
        await eventually(lambda: gate.revoked == [told, told])
        body = renewal(gate, device, key, TlsKey.generate())
        assert (await gate.post("/devices/renew", body)).code == "CODE_REFUSED"
        again = await gate.command("devices/invite", tenant=tenant, name="desk")
        assert again["device"] != device["device"]
        with pytest.raises(AitradingError) as caught:
            await gate.command("devices/revoke", tenant=tenant, device=str(UUID(int=1)))
        assert caught.value.code == "IDENTITY_UNKNOWN"
        assert len(gate.audit("identity.device.revoked")) >= 1


@async_test
async def test_one_tenant_does_not_see_the_devices_of_another(gateway: Running) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        device = await enrolled(gate, tenant, TlsKey.generate())
        await gate.user(other)
        given = await gate.command("tokens", tenant=other, user="trader")
        listed = await gate.get("/devices", authorization=f"Bearer {given['token']}")
        assert listed.json == {"devices": []}
        wrong_tenant = (await gate.listing("tenants"))[-1]["id"]
        bridge = gate.server.client("data-bridge")
        for asked in (wrong_tenant, str(UUID(int=0))):
            if asked == device["tenant"]:
                continue
            with pytest.raises(AitradingError) as caught:
                await bridge.get(
                    f"/internal/v1/devices/{device['device']}",
                    query={"tenant": asked},
                    answer=DeviceState,
                )
            assert caught.value.code == "IDENTITY_UNKNOWN"
        for path, query in (("x", {"tenant": "x"}), (device["device"], {})):
            with pytest.raises(AitradingError) as caught:
                await bridge.get(f"/internal/v1/devices/{path}", query=query, answer=DeviceState)
            assert caught.value.code == "REQUEST_INVALID"


@async_test
async def test_a_device_that_two_clients_use_is_audited_in_its_own_organisation(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        tenant, other = await gate.tenant(), await gate.tenant()
        device = await enrolled(gate, tenant, TlsKey.generate())
        await enrolled(gate, other, TlsKey.generate())
        mine, foreign = (
            DeviceIdentity(tenant=TenantId(UUID(one)), device=DeviceId(UUID(device["device"])))
            for one in (device["tenant"], str(UUID(int=7)))
        )
        breaker = CircuitBreaker("identity", clock=gate.clock)
        bridge = IdentityPeer(gate.server.client("data-bridge"), breaker)
        for _ in range(3):
            await bridge.tell_shared(mine, address="192.0.2.7")
        told = gate.audit("identity.device.shared")
        assert [one["subject"] for one in told] == [f"device:{mine.device}"] * 2
        assert {one["tenant_id"] for one in told} == {mine.tenant}
        with pytest.raises(AitradingError) as caught:
            await bridge.tell_shared(foreign, address="192.0.2.7")
        assert caught.value.code == "IDENTITY_UNKNOWN"


@async_test
async def test_the_code_is_stored_as_a_hash_only(gateway: Running) -> None:
    async with gateway() as gate:
        tenant = await gate.tenant()
        invitation = await gate.command("devices/invite", tenant=tenant, name="desk")
        secret = parse_enrolment_code(invitation["code"]).secret.reveal()
        rows = gate.postgres.as_superuser("SELECT hash FROM identity.enrolment_codes")
        assert secret not in {bytes(row["hash"]) for row in rows}
        everything = gate.postgres.as_superuser("SELECT p::text AS row FROM audit.pending p")
        code = msgspec.json.encode(invitation["code"]).decode().strip('"')
        assert not any(code in row["row"] for row in everything)
