"""Settings of clients: for who may set them, signed for one device, in versions that only grow."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.clock import now_ms
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.config_bundle import BundleContent, SignedBundle, open_bundle
from aitrading.core.security.crypto import TlsKey, create_csr
from aitrading.core.security.device_requests import Asking, DevicePurpose, signed_request
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.throwaway_ca import ThrowawayCa

pytestmark = pytest.mark.integration
Running = Callable[[], AbstractAsyncContextManager[Any]]
PAIRS, INTERVAL = "market_monitor.pairs", "data_collector.interval_s"
SYMBOLS = "connector.symbols"


@dataclass
class Device:
    """An enrolled device that asks for its configuration."""

    gate: Any
    tenant: UUID
    id: UUID
    key: TlsKey
    authority: bytes
    headers: dict[str, str]

    @classmethod
    async def enrolled(cls, gate: Any, organisation: str, name: str) -> "Device":
        key = TlsKey.generate()
        invitation = await gate.command("devices/invite", tenant=organisation, name=name)
        csr = create_csr(key, common_name="client").decode()
        made = (await gate.post("/devices/enroll", {"code": invitation["code"], "csr": csr})).json
        ids = UUID(made["tenant"]), UUID(made["device"])
        headers = await gate.device_headers(made)
        return cls(gate, *ids, key, made["edge_ca"].encode(), headers)

    async def ask(self, version: int = 0, digest: str = "", **more: Any) -> Any:
        asking = Asking(
            purpose=DevicePurpose.CONFIGURATION, tenant=self.tenant, device=self.id,
            issued_ms=now_ms(self.gate.clock),
        )  # fmt: skip
        content = msgspec.json.encode({"version": version, "digest": digest, **more}).decode()
        return await self.gate.post(
            "/devices/configuration", signed_request(asking, content, self.key), **self.headers
        )

    async def configuration(self, *known: Any) -> BundleContent:
        return self.opened((await self.ask(*known)).json)

    def opened(self, answer: Any, **changes: Any) -> BundleContent:
        bundle = msgspec.convert(answer, SignedBundle)
        given: dict[str, Any] = {
            "authority_pem": self.authority,
            "tenant": self.tenant,
            "device": self.id,
        }
        return open_bundle(bundle, **{**given, **changes})


async def put(
    gate: Any, tenant: str, setting: str, value: Any, device: UUID | None = None
) -> None:
    body = {"tenant": tenant, "setting": setting, "value": value}
    if device:
        body["device"] = str(device)
    await gate.command("devices/settings", **body)


@async_test
async def test_each_device_gets_what_is_set_for_it_in_growing_versions(gateway: Running) -> None:
    async with gateway() as gate:
        organisation = await gate.tenant()
        desk = await Device.enrolled(gate, organisation, "desk")
        other = await Device.enrolled(gate, organisation, "other")
        stranger = await Device.enrolled(gate, await gate.tenant(), "desk")
        first = await desk.configuration()
        assert (first.version, first.settings) == (1, {})
        assert (await desk.configuration(1, first.digest)).version == 1, "nothing changed"
        await put(gate, organisation, PAIRS, ["EURUSD", "XAUUSD"])
        await put(gate, organisation, INTERVAL, 30)
        await put(gate, organisation, INTERVAL, 5, desk.id)
        second = await desk.configuration(1, first.digest)
        assert second.version == 2
        assert second.settings == {INTERVAL: 5, PAIRS: ("EURUSD", "XAUUSD")}
        assert (await desk.configuration(1, first.digest)).version == 2, "an answer was lost"
        assert (await other.configuration()).settings[INTERVAL] == 30
        assert (await stranger.configuration()).settings == {}
        await gate.command("devices/settings", tenant=organisation, setting=INTERVAL,
                           device=str(desk.id))  # fmt: skip
        third = await desk.configuration(2, second.digest)
        assert (third.version, third.settings[INTERVAL]) == (3, 30)
        view = await gate.listing("devices/settings", tenant=organisation)
        state = {each["device"]: each for each in view["devices"]}[str(desk.id)]
        assert (state["version"], state["used_version"], state["is_used"]) == (3, 2, False)
        for action, times in (("set", 3), ("unset", 1)):
            events = gate.audit(f"identity.device.setting_{action}")
            assert len([event for event in events if event["tenant_id"] == desk.tenant]) == times


@async_test
async def test_neither_side_is_taken_back_by_a_restored_backup(gateway: Running) -> None:
    """A device may know more than a restored server, a restored device less than the server."""
    async with gateway() as gate:
        organisation = await gate.tenant()
        desk = await Device.enrolled(gate, organisation, "desk")
        await put(gate, organisation, INTERVAL, 7)
        ahead = await desk.configuration(40, "0" * 64)
        assert ahead.version == 41
        assert (await desk.configuration(0, "")).version == 41
        assert (await desk.configuration(41, ahead.digest)).version == 41
        back = await desk.configuration(3, "1" * 64)
        assert (back.version, back.settings) == (41, {INTERVAL: 7})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("connector.backfill_s", 5),
        (SYMBOLS, ["X" * 99]),
        (SYMBOLS, [f"S{number}" for number in range(1_001)]),
        ("data_sources.news_url", "https://evil.example"),
        ("terminal_login.owner", "store"),
        (PAIRS, 7),
        (INTERVAL, 0),
        ("market_monitor.thresholds", "EURUSD spread>"),
    ],
)
@async_test
async def test_only_what_a_client_takes_can_be_set(
    gateway: Running, setting: str, value: Any
) -> None:
    async with gateway() as gate:
        organisation = await gate.tenant()
        with pytest.raises(AitradingError) as refusal:
            await put(gate, organisation, setting, value)
        assert refusal.value.code == "DEVICE_SETTING_REFUSED"
        view = await gate.listing("devices/settings", tenant=organisation)
        assert view["items"] == []
        assert (
            setting not in view["may_be_set"]
            or setting in {PAIRS, INTERVAL, SYMBOLS}
            or "thr" in setting
        )


@async_test
async def test_a_bundle_is_of_one_server_and_for_one_device(gateway: Running) -> None:
    async with gateway() as gate:
        organisation = await gate.tenant()
        desk = await Device.enrolled(gate, organisation, "desk")
        other = await Device.enrolled(gate, organisation, "other")
        answer = (await desk.ask()).json
        changed: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({}, {"device": other.id}),
            ({}, {"tenant": UUID(int=9)}),
            ({}, {"authority_pem": ThrowawayCa().pem}),
            ({"content": answer["content"].replace('"version":1', '"version":2')}, {}),
            ({"content": answer["content"] + " "}, {}),
            ({"signature": answer["signature"][:-4] + "AAAA"}, {}),
            ({"key": "A" * 43}, {}),
            ({"vouched": ""}, {}),
        ]
        for content, whose in changed:
            with pytest.raises(AitradingError) as refusal:
                desk.opened({**answer, **content}, **whose)
            assert refusal.value.code == "CONFIG_BUNDLE_REFUSED"
        desk.key, other.key = other.key, desk.key
        assert (await desk.ask()).code == "DEVICE_REQUEST_REFUSED"
        desk.key, other.key = other.key, desk.key
        desk.headers, other.headers = other.headers, desk.headers
        assert (await desk.ask()).code == "DEVICE_REQUEST_REFUSED", "under another's token"
        desk.headers = {}
        assert (await desk.ask()).status == 401, "its signature alone"
