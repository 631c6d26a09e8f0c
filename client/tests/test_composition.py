"""What the composition of the running client ties together, over a twin and without a server."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitrading.client.findings import Verdict
from aitrading.client.metatrader_connector.poller import REASON_NOT_NAMED
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.metatrader_connector.terminal_report import PATH, TerminalReport
from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.client.service import SECTIONS, RunningClient, Surroundings, running_client
from aitrading.client.status import asked, client_symbols
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.accounts import BrokerAccount
from aitrading.client.terminal.sim.process.remote import RemoteTerminal
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.client.terminal_findings import terminal_findings
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import TlsKey
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa

PORTS = ("connector.probe_port", "client_parts.config_manager_port",
         "client_parts.market_monitor_port", "client_parts.data_collector_port")  # fmt: skip


@asynccontextmanager
async def client_of(
    home: Path, twin: SimulatedTerminal
) -> AsyncGenerator[tuple[RunningClient, ConfigManager, DeviceRecord]]:
    ca, key = ThrowawayCa(), TlsKey.generate()
    record = DeviceRecord(
        tenant=IDENTITY.tenant, device=IDENTITY.device,
        server=ServerAddress(host="localhost", port=1), server_ca=ca.pem.decode(), server_keys=(),
    )  # fmt: skip
    DeviceFiles(home).store(record, key, ca.device(key))
    server = TwinServer(twin, home / "twin.json")
    thread = threading.Thread(target=server.serve)
    thread.start()
    overrides = {"terminal_sim.process": str(home / "twin.json")} | dict.fromkeys(PORTS, "0")
    config = ConfigManager.load(SECTIONS, overrides=overrides)
    try:
        async with running_client(
            home, TerminalKind.SIM, config, Surroundings.of_machine()
        ) as client:
            yield client, config, record
    finally:
        server.close()
        thread.join()


def fields(client: RunningClient, component: str) -> dict[str, Any]:
    return dict(client.health.report()["components"][component]["fields"])


@async_test
async def test_nothing_is_remembered_of_an_account_that_was_left(home: Path) -> None:
    twin = SimulatedTerminal(SystemClock())
    async with client_of(home, twin) as (client, _, record):
        await eventually(lambda: fields(client, "terminal-poller")["last_tick_ms"])
        listed = await asyncio.to_thread(client_symbols, home, record)
        assert listed
        assert fields(client, "terminal-reads")["answers"] > 1
        server = twin.world.server
        server.account = msgspec.structs.replace(server.account, login=server.account.login + 1)
        await eventually(lambda: fields(client, "terminal-reads")["answers"] == 0)


@async_test
async def test_a_refused_login_is_told_by_the_doctor_and_on_the_page_until_one_succeeds(
    home: Path,
) -> None:
    """Somebody else at the same terminal names a wrong password, and later the right one."""
    account = BrokerAccount(login=5_000_001, password=Secret("the right one"))
    options = WorldOptions(accounts=(account,), ticks_per_s=50)
    twin = SimulatedTerminal(SystemClock(), options=options)

    async def told() -> tuple[str | None, dict[str, Verdict]]:
        """What the page shows of the terminal, and what the doctor finds."""
        page = await asyncio.to_thread(asked, home, "/page.json")
        report = msgspec.convert(await asyncio.to_thread(asked, home, PATH), TerminalReport)
        found = {one.what: one.verdict for one in terminal_findings(report)}
        return page["components"]["terminal-poller"]["fields"]["trouble"], found

    async with client_of(home, twin) as (client, _, _record):
        await eventually(lambda: fields(client, "terminal-poller")["last_tick_ms"])
        on_page, found = await told()
        assert (on_page, found["login"]) == (None, Verdict.OK)
        other = RemoteTerminal(home / "twin.json")
        try:
            assert not other.initialize(login=account.login, password="guessed")  # noqa: S106 - it is wrong
            await eventually(lambda: "(-6)" in str(client.poller.trouble), timeout_s=60)
            on_page, found = await told()
            assert "Authorization failed (-6)" in str(on_page)
            assert found["login"] is Verdict.BROKEN
            assert "terminal" not in found
            assert other.initialize(login=account.login, password=account.password.reveal())
            await eventually(lambda: client.poller.trouble is None, timeout_s=60)
            assert (await told())[1]["login"] is Verdict.OK
        finally:
            other.shutdown()


def test_of_the_connector_a_bundle_sets_the_symbols_and_nothing_else() -> None:
    config = ConfigManager.load(SECTIONS, overrides={"connector.symbols": "EURUSD"})
    config.apply_bundle({"connector.symbols": ["XAUUSD", "US500"]}, "bundle 1")
    assert config.get(ConnectorSettings).symbols == ("XAUUSD", "US500")
    for wrong in ({"connector.backfill_s": 5}, {"connector.symbols": ["X" * 99]}):
        with pytest.raises(AitradingError, match="connector"):
            config.apply_bundle(wrong, "bundle 2")
    assert config.get(ConnectorSettings).symbols == ("XAUUSD", "US500")
    config.apply_bundle({}, "bundle 3")
    assert config.get(ConnectorSettings).symbols == ("EURUSD",)


@async_test
async def test_a_bundle_of_the_server_chooses_the_symbols_while_the_client_runs(
    home: Path,
) -> None:
    twin = SimulatedTerminal(SystemClock(), ticks_per_s=50)
    async with client_of(home, twin) as (client, config, _):
        await eventually(lambda: len(client.journal.streams) == 4)
        config.apply_bundle({"connector.symbols": ["XAUUSD"]}, "bundle 1")
        await eventually(lambda: client.poller.symbols == ("XAUUSD",))
        streams = {one.key.symbol: one for one in client.journal.streams}
        silent = streams["EURUSD"].next_sequence
        loud = streams["XAUUSD"].next_sequence
        await eventually(lambda: streams["XAUUSD"].next_sequence > loud + 50)
        assert streams["EURUSD"].next_sequence == silent
        assert client.poller.silent()[streams["EURUSD"].id] == REASON_NOT_NAMED, "for the server"
        config.apply_bundle({}, "bundle 2")
        await eventually(lambda: streams["EURUSD"].next_sequence > silent)
        assert len(client.poller.symbols) == 4
