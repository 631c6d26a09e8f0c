"""Shares of devices: for the device that signed alone, for a day, and destroyed when they are old."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.clock import now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import TlsKey, create_csr
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request
from aitrading.core.testing.async_test import async_test

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
PATHS = {
    DevicePurpose.NEW_SHARE: "/devices/credentials/share",
    DevicePurpose.LEASE: "/devices/credentials/lease",
    DevicePurpose.FORGET: "/devices/credentials/forget",
}


@dataclass
class Device:
    """An enrolled device that asks with its key."""

    gate: Any
    organisation: str
    tenant: UUID
    id: UUID
    key: TlsKey

    @classmethod
    async def enrolled(cls, gate: Any) -> "Device":
        organisation, key = await gate.tenant(), TlsKey.generate()
        invitation = await gate.command("devices/invite", tenant=organisation, name="desk")
        csr = create_csr(key, common_name="client").decode()
        answer = await gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})
        made = answer.json
        return cls(gate, organisation, UUID(made["tenant"]), UUID(made["device"]), key)

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
        return await self.gate.post(path or PATHS[purpose], request)

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
        assert (await device.lease(share)).code == "DEVICE_REQUEST_REFUSED"
        assert (await device.ask(DevicePurpose.NEW_SHARE)).code == "DEVICE_REQUEST_REFUSED"
        gate.clock.step_wall(73 * 3600)
        assert (await lapsed.lease(theirs)).code == "DEVICE_REQUEST_REFUSED", "it must renew first"


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
