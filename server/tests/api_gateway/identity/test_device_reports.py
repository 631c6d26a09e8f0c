"""Reports of devices: bad news bars, good news lifts nothing, and only the device itself is heard."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.clock import now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import TlsKey, create_csr
from aitrading.core.security.device_reports import (
    FilesState,
    ReportedMeasure,
    SecurityReport,
    TerminalMonth,
)
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request
from aitrading.core.testing.async_test import async_test

pytestmark = pytest.mark.integration
STANDING = "/devices/standing"
Running = Callable[[], AbstractAsyncContextManager[Any]]


def report(files: FilesState, **changes: Any) -> SecurityReport:
    whole = SecurityReport(
        software="aitrading-client/0", system="linux", files=files, release="1", findings=(),
        debugger="", environment=(),
        measures=(ReportedMeasure(name="core-file", outcome="enforced"),),
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


ALTERED = report(FilesState.ALTERED, findings=("aitrading/client/cli.py was changed",))


class Device:
    """An enrolled device."""

    def __init__(
        self, gate: Any, organisation: str, made: Any, key: TlsKey, headers: dict[str, str]
    ) -> None:
        self.gate, self.organisation, self.key, self.headers = gate, organisation, key, headers
        self.tenant, self.id = UUID(made["tenant"]), UUID(made["device"])

    @classmethod
    async def enrolled(cls, gate: Any) -> "Device":
        organisation, key = await gate.tenant(), TlsKey.generate()
        invitation = await gate.command("devices/invite", tenant=organisation, name="desk")
        csr = create_csr(key, common_name="client").decode()
        answer = await gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})
        headers = await gate.device_headers(answer.json)
        return cls(gate, organisation, answer.json, key, headers)

    async def tell(self, content: Any, *, key: TlsKey | None = None, headers: Any = None) -> Any:
        asking = Asking(
            purpose=DevicePurpose.SECURITY, tenant=self.tenant, device=self.id,
            issued_ms=now_ms(self.gate.clock),
        )  # fmt: skip
        text = msgspec.json.encode(content).decode()
        request = signed_request(asking, text, key or self.key)
        shown = self.headers if headers is None else headers
        return await self.gate.post("/devices/security", request, **shown)


def audited(gate: Any, device: Device, action: str) -> list[Any]:
    """Events of the device's organisation; those of other tests lie in the same table."""
    return [event for event in gate.audit(action) if event["tenant_id"] == device.tenant]


async def reader(gate: Any, device: Device) -> str:
    """The cookies of somebody in the device's organisation who may look."""
    await gate.user(device.organisation, role="viewer")
    return str(gate.shown(await gate.browser(device.organisation)))


@async_test
async def test_bad_news_bars_until_somebody_on_the_host_decides(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        fine = await device.tell(report(FilesState.INTACT))
        assert (fine.status, fine.json["barred"]) == (200, False)
        assert not audited(gate, device, "identity.device.barred")
        barred = {"barred": True, "reason": "the device reported altered files"}
        assert (await device.tell(ALTERED)).json == barred
        assert (await device.tell(ALTERED)).json == barred
        events = audited(gate, device, "identity.device.barred")
        assert len(events) == 1, "one change, one event"
        assert events[0]["actor"] == f"device:{device.id}"
        praise = await device.tell(report(FilesState.INTACT))
        assert praise.json == barred, "whoever changed the files may have changed the report"
        wanted = {"tenant": device.organisation, "device": str(device.id), "reason": "reinstalled"}
        await gate.command("devices/allow-exposure", **wanted)
        assert gate.audit("identity.device.allowed")[-1]["actor"] == "host:admin"
        assert not (await device.tell(report(FilesState.INTACT))).json["barred"]
        with pytest.raises(AitradingError) as caught:
            await gate.command("devices/allow-exposure", **wanted)
        assert caught.value.code == "IDENTITY_UNKNOWN"
        assert (await device.tell(ALTERED)).json["barred"], "and again"
        assert len(audited(gate, device, "identity.device.barred")) == 2


@async_test
async def test_a_debugger_is_noted_and_bars_nothing(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        watched = report(FilesState.UNSIGNED, debugger="process 7 traces it")
        for _ in range(2):
            assert not (await device.tell(watched)).json["barred"]
        assert len(audited(gate, device, "identity.device.watched")) == 1


@async_test
async def test_a_list_of_files_that_went_away_is_noted_once(gateway: Running) -> None:
    async with gateway() as gate:
        device = await Device.enrolled(gate)
        assert not (await device.tell(report(FilesState.UNSIGNED))).json["barred"]
        assert not audited(gate, device, "identity.device.unsigned"), "it never had one"
        await device.tell(report(FilesState.INTACT))
        for _ in range(2):
            assert not (await device.tell(report(FilesState.UNSIGNED))).json["barred"]
        assert len(audited(gate, device, "identity.device.unsigned")) == 1


@async_test
async def test_the_organisation_sees_who_is_barred_and_how_much_terminals_were_up(
    gateway: Running,
) -> None:
    month = TerminalMonth(
        terminal="mt5", month="2026-11", up_s=998.0, wedged_s=1.5, away_s=0.5, failures=2
    )
    async with gateway() as gate:
        device, other = await Device.enrolled(gate), await Device.enrolled(gate)
        for _ in range(2):
            told = msgspec.structs.replace(ALTERED, terminals=(month,))
            assert (await device.tell(told)).json["barred"]
        later = msgspec.structs.replace(month, up_s=1_998.0)
        await device.tell(msgspec.structs.replace(ALTERED, terminals=(later,)))
        seen = await gate.get(STANDING, cookie=await reader(gate, device))
        [standing] = seen.json["devices"]
        assert standing["exposure"] == {
            "barred": True,
            "reason": "the device reported altered files",
        }
        assert "allow-exposure" in seen.json["remedy"]
        [shown] = standing["report"]["terminals"]
        assert (shown["up_s"], shown["failures"]) == (1_998.0, 2), "the newest, never a sum"
        theirs = await gate.get(STANDING, cookie=await reader(gate, other))
        assert theirs.json["devices"] == []
        assert (await gate.get(STANDING)).status == 401


@async_test
async def test_only_the_device_itself_reports(gateway: Running) -> None:
    async with gateway() as gate:
        device, other = await Device.enrolled(gate), await Device.enrolled(gate)
        forged = await device.tell(ALTERED, key=other.key)
        assert forged.code == "DEVICE_REQUEST_REFUSED"
        elsewhere = await device.tell(ALTERED, headers=other.headers)
        assert elsewhere.code == "DEVICE_REQUEST_REFUSED", "its signature under another's token"
        assert (await device.tell(ALTERED, headers={})).status == 401, "its signature alone"
        rows = gate.sql("SELECT * FROM identity.device_reports")
        assert not [row for row in rows if row["device_id"] == device.id]
        odd = [{}, {"files": "fine"}, {**msgspec.to_builtins(ALTERED), "more": 1}]
        odd.append({**msgspec.to_builtins(ALTERED), "debugger": "x" * 201})
        for content in odd:
            assert (await device.tell(content)).code == "REQUEST_INVALID"
        await gate.command("devices/revoke", tenant=device.organisation, device=str(device.id))
        assert (await device.tell(ALTERED)).status in {401, 403}
