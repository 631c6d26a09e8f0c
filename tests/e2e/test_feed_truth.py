"""The demo's own feeds: states with a deadline, a running day that is proved, a certificate kept."""

import asyncio
import json
import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.browser import log_in, opened_page
from harness.platform import Platform, wait_until
from playwright.sync_api import Page, expect

from aitrading.client.security.device_files import DeviceFiles
from aitrading.client.security.enrolment import enrol, parse_server
from aitrading.client.service import SECTIONS, RunningClient, Surroundings, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import SystemClock, now_utc
from aitrading.core.protocol.link.messages import Repair
from aitrading.core.testing.eventually import eventually
from aitrading.server.testing.probe_device import Device, declared, ticks

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(360)]
OWNER, STRANGER = "demo/owner", "other/owner"
SYMBOL = "EURUSD"


def certificate(platform: Platform, day: str, person: str = OWNER) -> dict[str, Any]:
    path = f"/api/v1/feeds/certificate?symbol={SYMBOL}&day={day}"
    status, answer = platform.request("GET", path, person=person)
    return answer["certificate"] if status == 200 else {"state": answer["error"]["code"]}


def test_each_feed_says_why_and_until_when(platform: Platform) -> None:
    def told() -> Any:
        feeds = platform.get("/api/v1/feeds", person=OWNER)["items"]
        return feeds if len(feeds) == 4 and all(one["deadline"] for one in feeds) else None

    feeds = wait_until(told, what="the demo's feeds")
    assert {one["symbol"]: one["instrument_class"] for one in feeds} == {
        "EURUSD": "forex", "GBPUSD": "forex", "USDJPY": "forex", "XAUUSD": "metals",
    }  # fmt: skip
    assert all(one["bounds"]["delayed_after_s"] <= 10 for one in feeds)
    table = platform.cli("feed", "states", "--for", OWNER).stdout
    assert all(one["symbol"] in table for one in feeds)
    assert platform.get("/api/v1/feeds", person=STRANGER)["items"] == []


def test_the_running_day_is_proved_and_the_certificate_is_kept(
    platform: Platform, tmp_path: Path
) -> None:
    today = now_utc(SystemClock()).date()
    days = [(today - timedelta(days=1)).isoformat(), today.isoformat()]

    def proved() -> Any:
        """The device counts ahead of the store by what is on its way: soon they agree."""
        found = [certificate(platform, day) for day in days]
        whole = [
            one
            for one in found
            if one["state"] in {"OPEN", "COMPLETE"}
            and one.get("stored")
            and one["stored"] == one["counted"]  # nothing is on its way at this moment
        ]
        return whole or None

    [found, *_] = wait_until(proved, what="a day without a finding")
    assert all(one["digest_stored"] == one["digest_counted"] for one in found["streams"])
    file = tmp_path / "day.jws"
    platform.cli("feed", "certificate", SYMBOL, found["day"], "--to", str(file), "--for", OWNER)
    keys = platform.home / "trust" / "evidence-keys.jwks"
    kept = platform.cli("feed", "verify", str(file), "--keys", str(keys), "--json")
    assert kept.returncode == 0
    assert json.loads(kept.stdout)["symbol"] == SYMBOL
    file.write_text(file.read_text().replace(".", ".A", 1))
    assert platform.cli("feed", "verify", str(file), "--keys", str(keys)).returncode == 1


def running(home: Path) -> Any:
    """A client with one busy symbol."""
    settings = {
        "connector.probe_port": "0", "connector.symbols": SYMBOL, "terminal_sim.ticks_per_s": "2000",
    }  # fmt: skip
    config = ConfigManager.load(SECTIONS, overrides=settings)
    return running_client(home, TerminalKind.SIM, config, Surroundings.of_machine())


async def lose_some(home: Path) -> None:
    """A file of a client's spool is damaged before its ticks were sent."""
    async with running(home) as client:
        await eventually(lambda: client.uplink.released, timeout_s=60, what="acknowledged ticks")
        client.uplink.held = "a test"
        await eventually(lambda: len(unsent(client)) > 1, timeout_s=60, what="ticks that wait")
        place = unsent(client)[0].path
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 0xFF
    place.write_bytes(data)


def unsent(client: RunningClient) -> list[Any]:
    sealed = client.journal.spool.sealed()
    return [one for one in sealed if one.first_position > client.uplink.released]


def test_what_a_client_lost_is_a_gap_until_it_comes_from_its_terminal(
    platform: Platform, tmp_path: Path
) -> None:
    tenant, person = "losing", "losing/owner"
    platform.cli("tenant", "create", tenant)
    platform.cli("user", "create", "owner", "--tenant", tenant, "--role", "owner")
    code = platform.cli_json("device", "invite", "desk", "--tenant", tenant)["code"]
    home = tmp_path / "desk"
    enrol(DeviceFiles(home), code, parse_server(platform.url))
    asyncio.run(lose_some(home))
    today = now_utc(SystemClock()).date()
    days = [(today - timedelta(days=1)).isoformat(), today.isoformat()]

    def gaps(state: str) -> Any:
        """Missing ticks; where the market is open, a feed that was held is a stretch of time, too."""
        page = platform.get("/api/v1/feeds/gaps?limit=5", person=person)["items"]
        missing = [one for one in page if one["first_sequence"] is not None]
        return missing if [one["state"] for one in missing] == [state] else None

    def told(missing: int) -> Any:
        """The newest day's certificate, once it lacks that many ticks and none is on its way."""
        found = [one for day in days if (one := certificate(platform, day, person)).get("counted")]
        lacks = found[-1]["counted"] - found[-1]["stored"] if found else None
        return found[-1] if lacks == missing else None

    async def until(probe: Any, what: str) -> Any:
        return await asyncio.to_thread(wait_until, probe, what=what, timeout_s=60)

    async def repair() -> None:
        async with running(home) as client:
            repairer, asked = client.uplink.on_repair, list[Repair]()
            client.uplink.on_repair = asked.append
            [gap] = await until(lambda: gaps("OPEN"), "the gap")
            lost = gap["last_sequence"] - gap["first_sequence"] + 1
            assert gap["symbol"] == SYMBOL
            table = await asyncio.to_thread(platform.cli, "feed", "gaps", "--for", person)
            assert f"{gap['first_sequence']}-{gap['last_sequence']}" in table.stdout
            found = await until(lambda: told(lost), "a certificate that says so")
            assert found["state"] == "INCOMPLETE"
            assert {(one["what"], one["ticks"]) for one in wrong(found)} == {("missing", lost)}
            await eventually(lambda: asked, timeout_s=30, what="the question for it")
            assert gaps("OPEN"), "nobody repaired it"
            repairer(asked[0])
            [gap] = await until(lambda: gaps("REPAIRED"), "the repair")
            assert gap["repaired_ticks"] == lost
            await until(lambda: open_behind(platform, person) == [], "the end of gaps that ended")
            found = await until(lambda: told(0), "a certificate without a finding")
            assert (wrong(found), found["state"] == "INCOMPLETE") == ([], False)

    asyncio.run(repair())
    assert platform.get("/api/v1/feeds/gaps", person=STRANGER)["items"] == []


def open_behind(platform: Platform, person: str) -> list[dict[str, Any]]:
    """Open gaps that ended; one of a feed that gives nothing now has no end."""
    page = platform.get("/api/v1/feeds/gaps?open=true", person=person)["items"]
    return [one for one in page if one["first_sequence"] is not None or one["until_time"]]


def wrong(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings of a certificate."""
    return [finding for stream in found["streams"] for finding in stream["findings"]]


def test_gaps_are_listed_for_their_organisation_alone(platform: Platform) -> None:
    def listed(person: str) -> Any:
        return platform.get("/api/v1/feeds/gaps?open=true&limit=5", person=person)["items"]

    wait_until(lambda: listed(OWNER) == [], what="no gap that is open, once every feed is LIVE")
    assert listed(STRANGER) == []
    assert platform.request("GET", "/api/v1/feeds/gaps?cursor=x", person=OWNER)[0] == 400
    assert platform.cli("feed", "gaps", "--for", OWNER).returncode == 0


def test_ticks_that_are_not_believed_are_counted_shown_and_no_quotes(
    platform: Platform, tmp_path: Path
) -> None:
    tenant, person = "doubting", "doubting/owner"
    platform.cli("tenant", "create", tenant)
    owner = platform.cli_json("user", "create", "owner", "--tenant", tenant, "--role", "owner")
    code = platform.cli_json("device", "invite", "desk", "--tenant", tenant)["code"]
    files = DeviceFiles(tmp_path / "desk")
    record = enrol(files, code, parse_server(platform.url))
    context = ssl.create_default_context(cafile=str(platform.home / "trust" / "edge-ca.pem"))
    context.load_cert_chain(files.credential)
    port = int(platform.url.rpartition(":")[2])

    async def send_crossed_ones() -> None:
        device = Device(record.identity)
        await device.connect_to_edge(port, context, declared(1, SYMBOL))
        rows = ticks(20)
        rows["ask"][[3, 4]] = rows["bid"][[3, 4]] - 1
        await device.until_acknowledged(device.send(rows))
        device.cut()
        await device.ended.wait()

    asyncio.run(send_crossed_ones())

    def counted() -> Any:
        return platform.get("/api/v1/feeds/quarantine", person=person)["items"]

    [day] = wait_until(counted, what="the count of the quarantine")
    assert (day["symbol"], day["ticks"], day["reasons"]) == (SYMBOL, 2, {"CROSSED": 2})
    path = f"/api/v1/feeds/quarantine/ticks?symbol={SYMBOL}"
    shown = platform.get(path, person=person)["items"]
    assert [(one["sequence"], one["reasons"]) for one in shown] == [
        (4, ["CROSSED"]),
        (5, ["CROSSED"]),
    ]
    believed = platform.get(f"/api/v1/ticks?symbol={SYMBOL}", person=person)["items"]
    assert len(believed) == 18
    [feed] = platform.get("/api/v1/feeds", person=person)["items"]
    assert (feed["quarantined"], feed["quarantine_reason"]) == (2, "CROSSED")
    assert "CROSSED 2" in platform.cli("feed", "quarantine", "--for", person).stdout
    table = platform.cli("feed", "quarantine", SYMBOL, "--ticks", "9", "--for", person)
    assert table.stdout.count("CROSSED") == 2
    assert platform.get("/api/v1/feeds/quarantine", person=OWNER)["items"] == []
    assert platform.request("GET", path, person=OWNER)[1].get("items") == []
    kept = tmp_path / "day.jws"
    with opened_page(platform.url) as page:
        log_in(page, owner["password"], tenant)
        look_at_the_evidence(page, kept)
    keys = platform.home / "trust" / "evidence-keys.jwks"
    told = platform.cli("feed", "verify", str(kept), "--keys", str(keys), "--json")
    assert json.loads(told.stdout)["quarantined"] == 2


def look_at_the_evidence(page: Page, kept: Path) -> None:
    """What the API says, on the page of the organisation: no count, two ticks not believed."""
    expect(page.locator("#chart-symbol")).to_have_text(SYMBOL)
    page.keyboard.press("e")
    expect(page.locator("#certificate-text")).to_have_text("20 of 0")
    expect(page.locator("#certificate-state")).to_have_text("INCOMPLETE")
    expect(page.locator("#certificate-told")).to_contain_text("2 of them in quarantine")
    expect(page.locator("#certificate-streams")).to_contain_text("told no count of this day")
    told = re.compile("none|as of")  # its device is gone: where the market is open, a gap
    expect(page.locator("#gaps [data-told]")).to_have_text(told)
    page.locator("#quarantine tbody button").click()
    expect(page.locator("#doubted tbody tr")).to_have_count(2)
    expect(page.locator("#doubted tbody tr").first).to_contain_text("crossed")
    with page.expect_download() as download:
        page.locator("#certificate-keep button").click()
    download.value.save_as(kept)
