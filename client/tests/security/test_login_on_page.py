"""What a client without its server tells on its page: its age in all things, and no secret."""

import asyncio
import http.client
from importlib.metadata import version
from typing import Any

import msgspec
from click.testing import CliRunner

from aitrading.client.cli import main
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.page.app import DATA_PATH
from aitrading.client.service import SECTIONS, Surroundings, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

CANARY = "canary-77aa"
LOGIN = 1_000_001
SYMBOLS = {"EURUSD", "GBPUSD", "USDJPY", "XAUUSD"}


def config(desk: Any) -> ConfigManager:
    file = desk.home / "passphrase"
    file.touch(mode=0o600)
    file.write_text(desk.passphrase)
    overrides = {
        f"{ConnectorSettings.SECTION}.probe_port": "0",
        "terminal_sim.ticks_per_s": "200",
        "terminal_login.owner": "store",
        "terminal_login.renew_s": "1",
        "terminal_login.passphrase_file": str(file),
    }
    return ConfigManager.load(SECTIONS, overrides=overrides)


def asked(port: int) -> dict[str, Any]:
    """The page's content over HTTP; neither login nor password is ever part of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", DATA_PATH)
        content = connection.getresponse().read()
    finally:
        connection.close()
    assert CANARY.encode() not in content
    assert str(LOGIN).encode() not in content
    return msgspec.json.decode(content)


def fields(page: dict[str, Any], name: str) -> dict[str, Any]:
    return page["components"][name]["fields"]


@async_test
async def test_a_client_alone_tells_its_login_its_queue_and_its_versions(desk: Any) -> None:
    settings = config(desk)
    command = (
        "credentials", "set", "--login", str(LOGIN), "--server-name", "Simulated-Demo",
        "--protect", "passphrase", "--passphrase-file", str(desk.home / "passphrase"),
        "--password-stdin", "--home", str(desk.home),
    )  # fmt: skip
    done = await asyncio.to_thread(CliRunner().invoke, main, command, input=f"{CANARY}\n")
    assert done.exit_code == 0, done.output
    surroundings = Surroundings.of_machine()
    async with running_client(desk.home, TerminalKind.SIM, settings, surroundings) as client:
        port = client.probes.port

        async def told(name: str, field: str) -> Any:
            return fields(await asyncio.to_thread(asked, port), name)[field]

        async def with_feeds() -> dict[str, Any] | None:
            page = await asyncio.to_thread(asked, port)
            return page if len(page["feeds"]) == len(SYMBOLS) else None

        page = await eventually(with_feeds)
        desk.server.is_revoked = True
        await eventually(lambda: told("broker-login", "refused_by"))
        later = fields(await asyncio.to_thread(asked, port), "broker-login")
        assert (later["refused_by"], later["lease_left_s"]) == ("DEVICE_REQUEST_REFUSED", None)
    link, login, journal = (fields(page, name) for name in ("link", "broker-login", "journal"))
    assert (link["link"] in {"DISCONNECTED", "CONNECTING"}, link["connections"]) == (True, 0)
    assert 0 < login["lease_left_s"] <= 24 * 3600
    assert login["stored_at"] <= page["now"]
    assert journal["used_bytes"] > 0
    assert page["certificate"]["age_s"] > 0
    assert page["certificate"]["left_s"] > 0
    assert page["versions"]["client"] == version("aitrading-client")
    assert {feed["symbol"] for feed in page["feeds"]} == SYMBOLS
    assert fields(page, "uplink")["pending_ticks"] > 0
