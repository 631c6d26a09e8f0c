"""What the doctor says of a terminal: of the twin in trouble, and of every number it may answer."""

import json
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from aitrading.client.cli import main
from aitrading.client.findings import Finding, Verdict
from aitrading.client.metatrader_connector.terminal_report import (
    Permissions,
    TerminalReport,
    failure,
    of_running,
)
from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api import errors
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.accounts import BrokerAccount
from aitrading.client.terminal.sim.faults import FaultKind, FaultRule
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.client.terminal_findings import ADVICE, clock_finding, terminal_findings
from aitrading.client.terminal_trial import try_terminal
from aitrading.client.testing.polling import CLOCK, polling
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.secret import Secret
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually

MAY = Permissions(terminal=True, interface=True, account=True, programs=True)


@contextmanager
def twin_process(
    home: Path,
    *faults: FaultRule,
    shown: tuple[str, ...] = (),
    accounts: tuple[BrokerAccount, ...] = (),
) -> Generator[SimulatedTerminal]:
    """A twin that the settings in this home name."""
    address = home / "twin.json"
    options = WorldOptions(ticks_per_s=50, shown=shown, accounts=accounts)
    server = TwinServer(SimulatedTerminal(CLOCK, options=options, faults=faults), address)
    thread = threading.Thread(target=server.serve)
    thread.start()
    (home / "aitrading.toml").write_text(f"[terminal_sim]\nprocess = {json.dumps(str(address))}\n")
    try:
        yield server.terminal
    finally:
        server.close()
        thread.join()


def found(report: TerminalReport) -> dict[str, Finding]:
    return {one.what: one for one in terminal_findings(report)}


def tried(home: Path, **environ: str) -> dict[str, Finding]:
    return found(try_terminal(home, TerminalKind.SIM, CLOCK, environ))


def test_a_terminal_that_is_well_is_told_piece_by_piece(home: Path) -> None:
    with twin_process(home):
        told = tried(home)
    assert {name: one.verdict for name, one in told.items()} == {
        "terminal": Verdict.OK, "login": Verdict.OK, "broker link": Verdict.OK,
        "trading": Verdict.OK, "broker time": Verdict.UNVERIFIED, "symbols": Verdict.OK,
    }  # fmt: skip
    assert told["broker time"].found.startswith("UTC+"), "one tick suggests, and proves nothing"
    assert told["login"].found.startswith("account ..."), "never the whole number"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": FaultKind.IPC_TIMEOUT, "call": "initialize"}, "IPC timeout (-10005)"),
        ({"kind": FaultKind.RESTART, "call": "terminal_info"}, "No IPC connection (-10004)"),
    ],
)
def test_a_terminal_that_does_not_answer_has_a_cause_and_a_remedy(
    home: Path, fault: dict[str, object], words: str
) -> None:
    rule = FaultRule(on_call=1, **fault)  # pyright: ignore[reportArgumentType]
    with twin_process(home, rule):
        [problem] = tried(home).values()
    assert (problem.what, problem.verdict) == ("terminal", Verdict.BROKEN)
    assert words in problem.found
    assert problem.remedy


def test_a_terminal_that_is_not_there_is_said_to_be_missing(home: Path) -> None:
    with twin_process(home) as terminal:
        terminal.world.is_running = False
        [problem] = tried(home).values()
    assert "MetaTrader 5 x64 not found (-10003)" in problem.found
    assert "terminal64.exe" in problem.remedy


def test_a_login_that_the_broker_refuses_is_told_with_its_remedy(home: Path) -> None:
    right = Secret("saved in no terminal")
    accounts = (
        BrokerAccount(login=5_000_001, password=right, is_saved=True),
        BrokerAccount(login=5_000_002, password=right),
    )
    with twin_process(home, accounts=accounts):
        assert tried(home, MT5_LOGIN="5000001")["login"].verdict is Verdict.OK
        [problem] = tried(home, MT5_LOGIN="5000002").values()
        assert (problem.what, problem.verdict) == ("login", Verdict.BROKEN)
        assert "Authorization failed (-6)" in problem.found
        assert "credentials set" in problem.remedy
        assert set(tried(home)) == {"login"}, "the terminal has no account now"
        assert tried(home, MT5_LOGIN="5000001")["login"].verdict is Verdict.OK
        assert tried(home)["login"].verdict is Verdict.OK


def test_trading_that_is_switched_off_is_no_trouble_of_the_feed(home: Path) -> None:
    rule = FaultRule(kind=FaultKind.TRADE_DISABLED, on_call=1)
    with twin_process(home, rule):
        told = tried(home)
    assert (told["trading"].verdict, told["terminal"].verdict) == (Verdict.WARNING, Verdict.OK)
    assert "Algo Trading" in told["trading"].remedy


def test_wanted_symbols_that_are_hidden_are_named(home: Path) -> None:
    with twin_process(home, shown=("EURUSD",)):
        told = tried(home, AITRADING_CONNECTOR_SYMBOLS="EURUSD,XAUUSD")
    assert told["hidden symbols"].found == "XAUUSD"


@async_test
async def test_the_running_client_tells_what_its_poller_knows(home: Path) -> None:
    terminal = SimulatedTerminal(CLOCK, ticks_per_s=400)
    here = TerminalHere(terminal)
    async with polling(home, terminal) as (poller, _):
        await eventually(lambda: poller.state is ComponentState.HEALTHY)
        await eventually(lambda: poller.broker_offset_s is not None)
        told = found(await of_running(here, poller, CLOCK))
        assert told["broker time"].verdict is Verdict.OK
        assert told["symbols"].found == "4 are collected"
        terminal.world.is_running = False
        await eventually(lambda: poller.trouble is not None)
        told = found(await of_running(here, poller, CLOCK))
        assert told["terminal"].verdict is Verdict.BROKEN
        assert "symbols" not in told
        terminal.world.is_running = True
        await eventually(lambda: poller.trouble is None)


@pytest.mark.parametrize("number", sorted({*ADVICE, c.RES_E_FAIL, -12_345}))
def test_every_number_has_a_cause_and_a_remedy(number: int) -> None:
    [problem] = terminal_findings(failure((number, "what it says")))
    assert problem.verdict is Verdict.BROKEN
    assert f"what it says ({number}): " in problem.found
    assert problem.remedy.endswith(".")


def test_a_refused_login_is_told_as_such() -> None:
    assert set(found(failure(errors.AUTH_FAILED))) == {"login"}


def test_symbols_that_are_set_aside_have_the_remedy_of_their_reason() -> None:
    words = "USDJPY: TERMINAL_SYMBOL_SILENT, Terminal: Call failed (-1)"
    told = found(TerminalReport(may_trade=MAY, ping_ms=1, symbols=3, set_aside=(words,)))
    finding = told["symbol USDJPY"]
    assert finding.verdict is Verdict.WARNING
    assert "Call failed (-1)" in finding.found
    assert "Market Watch" in finding.remedy
    assert told["broker link"].verdict is Verdict.BROKEN


@pytest.mark.parametrize(
    ("ahead_s", "verdict"),
    [
        (None, Verdict.UNVERIFIED), (0.4, Verdict.OK), (-1.9, Verdict.OK),
        (5.0, Verdict.WARNING), (-3_600.0, Verdict.BROKEN),
    ],
)  # fmt: skip
def test_the_machines_clock_is_held_against_the_servers(
    ahead_s: float | None, verdict: Verdict
) -> None:
    finding = clock_finding(ahead_s)
    assert finding.verdict is verdict
    assert bool(finding.remedy) == (verdict in {Verdict.WARNING, Verdict.BROKEN})


@pytest.mark.skipif(sys.platform == "win32", reason="the package may be there")
def test_nothing_of_it_starts_a_terminal_where_there_is_no_package(home: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--json", "--home", str(home)])
    told = {one["what"]: one for one in json.loads(result.stdout)}
    assert "MetaTrader5 is not installed" in told["terminal"]["found"]
