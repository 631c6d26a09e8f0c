"""Shares of devices: for the device that signed alone, for a day, and destroyed when they are old."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.clock import now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import TlsKey, create_csr, inspect_certificate
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.testing.async_test import async_test
from aitrading.server.api_gateway.identity.revocations import Revocations
from aitrading.server.kit.revoked_tokens import RevokedTokens

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
PATHS = {
    DevicePurpose.NEW_SHARE: "/devices/credentials/share",
    DevicePurpose.LEASE: "/devices/credentials/lease",
    DevicePurpose.FORGET: "/devices/credentials/forget",
}


def forwarded(enrolled: Any) -> dict[str, str]:
    """What the edge tells of the certificate of the connection."""
    fingerprint = inspect_certificate(enrolled["certificate"].encode()).fingerprint
    uri = f"spiffe://aitrading/tenant/{enrolled['tenant']}/device/{enrolled['device']}"
    return {"x_forwarded_client_cert": f"Hash={fingerprint};URI={uri}"}


@dataclass
class Device:
    """An enrolled device that asks with its key."""

    gate: Any
    organisation: str
    tenant: UUID
    id: UUID
    key: TlsKey
    shown: dict[str, str]
    token: str = ""

    @classmethod
    async def enrolled(cls, gate: Any) -> "Device":
        organisation, key = await gate.tenant(), TlsKey.generate()
        invitation = await gate.command("devices/invite", tenant=organisation, name="desk")
        csr = create_csr(key, common_name="client").decode()
        answer = await gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})
        made = answer.json
        shown = forwarded(made)
        device = cls(gate, organisation, UUID(made["tenant"]), UUID(made["device"]), key, shown)
        await device.renew_token()
        return device

    async def renew_token(self) -> Any:
        answer = await self.gate.post("/devices/token", **self.shown)
        self.token = answer.json.get("access_token", "")
        return answer

    def asking(self, purpose: DevicePurpose, **changes: Any) -> Asking:
        fields = {"tenant": self.tenant, "device": self.id, "issued_ms": now_ms(self.gate.clock)}
        return Asking(purpose=purpose, **{**fields, **changes})

    async def ask(
        self,
        purpose: DevicePurpose,
        content: Any = None,
        *,
        key: TlsKey | None = None,
        path: str = "",
        **changes: Any,
    ) -> Any:
        text = msgspec.json.encode({} if content is None else content).decode()
        request = signed_request(self.asking(purpose, **changes), text, key or self.key)
        bearer = {"authorization": f"Bearer {self.token}"}
        return await self.gate.post(path or PATHS[purpose], request, **bearer, **self.shown)

    async def share(self) -> Any:
        answer = await self.ask(DevicePurpose.NEW_SHARE)
        assert answer.status == 200, answer.body
        return answer.json

    async def lease(self, share: Any) -> Any:
        return await self.ask(DevicePurpose.LEASE, {"id": share["id"]})


@async_test
async def test_a_device_gets_its_share_again_and_everything_is_noted(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        made = await device.share()
        assert len(bytes.fromhex(made["share"])) == 32
        leased = (await device.lease(made)).json
        assert (leased["share"], leased["rotate"]) == (made["share"], False)
        ends = msgspec.convert(leased["expires_at"], type=datetime)
        assert round(ends.timestamp() - gate.clock.now_ns() / 1e9) == 24 * 3600
        for action in ("share_made", "leased"):
            event = gate.audit(f"identity.credential.{action}")[-1]
            assert event["actor"] == event["subject"] == f"device:{device.id}"
            assert made["share"] not in str(dict(event))
        rows = gate.sql("SELECT share_sealed FROM identity.credential_shares")
        assert bytes.fromhex(made["share"]) not in {bytes(row["share_sealed"]) for row in rows}


@async_test
async def test_a_share_that_was_replaced_is_gone_and_not_before(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        old = await device.share()
        assert (await device.lease(old)).status == 200
        never_used, new = await device.share(), await device.share()
        assert (await device.lease(never_used)).code == "CREDENTIAL_SHARE_GONE"
        assert (await device.lease(old)).status == 200, "the new one was not used yet"
        assert (await device.lease(new)).status == 200
        assert (await device.lease(old)).code == "CREDENTIAL_SHARE_GONE"
        forgotten = await device.ask(DevicePurpose.FORGET)
        assert forgotten.json == {"shares": 1}
        assert (await device.lease(new)).code == "CREDENTIAL_SHARE_GONE"


@async_test
async def test_only_the_device_itself_is_answered(gateway: Running) -> None:
    async with gateway() as gate:
        device, other = await Device.enrolled(gate), await Device.enrolled(gate)
        share = await device.share()
        wanted = {"id": share["id"]}
        late, early = (now_ms(gate.clock) + each for each in (-301_000, 301_000))
        lease = DevicePurpose.LEASE
        stolen = replace(device, shown=other.shown)
        for held in (stolen, replace(device, shown={})):
            assert (await held.ask(lease, wanted)).code == "TOKEN_REFUSED"
        tried = [
            await device.ask(lease, wanted, key=TlsKey.generate()),
            await device.ask(lease, wanted, key=other.key),
            await device.ask(lease, wanted, issued_ms=late),
            await device.ask(lease, wanted, issued_ms=early),
            await device.ask(lease, wanted, tenant=other.tenant),
            await device.ask(lease, wanted, device=other.id),
            await device.ask(lease, wanted, device=UUID(int=1)),
            await device.ask(DevicePurpose.FORGET, wanted, path=PATHS[lease]),
        ]
        assert {answer.code for answer in tried} == {"DEVICE_REQUEST_REFUSED"}
        assert gate.audit("identity.device.request_refused")
        assert (await other.lease(share)).code == "CREDENTIAL_SHARE_GONE"
        assert (await device.lease(share)).status == 200


@async_test
async def test_a_revoked_or_lapsed_device_gets_no_share(gateway: Running) -> None:
    async with gateway() as gate:
        device, lapsed = await Device.enrolled(gate), await Device.enrolled(gate)
        share, theirs = await device.share(), await lapsed.share()
        await gate.command("devices/revoke", tenant=device.organisation, device=str(device.id))
        assert (await device.lease(share)).code == "TOKEN_REFUSED"
        assert (await device.ask(DevicePurpose.NEW_SHARE)).code == "TOKEN_REFUSED"
        assert (await device.renew_token()).code == "DEVICE_TOKEN_REFUSED"
        gate.clock.step_wall(73 * 3600)
        assert (await lapsed.lease(theirs)).code == "TOKEN_REFUSED"
        assert (await lapsed.renew_token()).code == "DEVICE_TOKEN_REFUSED", "it must renew first"


@async_test
async def test_an_administrator_demands_a_rotation(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        wanted = {"tenant": device.organisation, "device": str(device.id)}
        with pytest.raises(AitradingError) as caught:
            await gate.command("devices/rotate-credentials", **wanted)
        assert caught.value.code == "IDENTITY_UNKNOWN"
        first = await device.share()
        await gate.command("devices/rotate-credentials", **wanted)
        assert (await device.lease(first)).json["rotate"]
        assert gate.audit("identity.credential.rotation_wanted")[-1]["actor"] == "host:admin"
        second = await device.share()
        assert not (await device.lease(second)).json["rotate"]


@async_test
async def test_a_token_of_a_device_is_for_its_newest_certificate_and_no_other_end(
    gateway: Running,
) -> None:
    async with gateway() as gate:
        device, other = await Device.enrolled(gate), await Device.enrolled(gate)
        claims = msgspec.json.decode(base64url_decode(device.token.split(".")[1]))
        assert (claims["scope"], claims["acr"], claims["exp"] - claims["iat"]) == (
            "device", "device", 900,
        )  # fmt: skip
        assert [*claims["cnf"]] == ["x5t#S256"]
        given = {event["actor"] for event in gate.audit("identity.device.token_issued")}
        assert given >= {f"device:{device.id}", f"device:{other.id}"}
        bearer = {"authorization": f"Bearer {device.token}", **device.shown}
        assert (await gate.get("/auth/me", **bearer)).code == "TOKEN_REFUSED", "it is no person"
        assert (await gate.get("/devices", **bearer)).code == "TOKEN_REFUSED"
        assert (await gate.post("/devices/token")).code == "DEVICE_TOKEN_REFUSED"
        foreign = device.shown["x_forwarded_client_cert"].replace(str(device.id), str(other.id))
        answer = await gate.post("/devices/token", x_forwarded_client_cert=foreign)
        assert answer.code == "DEVICE_TOKEN_REFUSED", "not the certificate of that device"
        assert gate.audit("identity.device.request_refused")
        await gate.command("tenants/state", tenant=device.organisation, state="suspended")
        assert (await device.ask(DevicePurpose.NEW_SHARE)).code == "TOKEN_REFUSED"
        assert (await device.renew_token()).code == "DEVICE_TOKEN_REFUSED"
        assert (await other.renew_token()).status == 200


@async_test
async def test_a_process_that_starts_again_knows_whose_tokens_ended(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        await gate.command("devices/revoke", tenant=device.organisation, device=str(device.id))
        known = RevokedTokens(gate.clock)
        again = Revocations(
            gate.pool, gate.bus, known, clock=gate.clock, ids=gate.server.ids, on_error=print
        )
        await again.start()
        await again.stop()
        assert device.id in known.recent(10)
