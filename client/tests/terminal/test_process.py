"""A twin in its own process answers like one in this process, and control reaches it wedged."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from aitrading.client.cli import main
from aitrading.client.terminal.errors import TWIN_PROCESS_UNREACHABLE
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.select import TerminalKind, open_terminal
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.process.remote import RemoteTerminal, read_address
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock

ORDER = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "twin.json"


@pytest.fixture
def remote() -> Generator[Callable[..., RemoteTerminal]]:
    """Makes terminals whose connections are closed in the end."""
    made: list[RemoteTerminal] = []

    def make(file: Path, **options: float) -> RemoteTerminal:
        made.append(RemoteTerminal(file, **options))
        return made[-1]

    yield make
    for one in made:
        one.shutdown()


Remote = Callable[..., RemoteTerminal]


@pytest.fixture
def server(file: Path) -> Generator[TwinServer]:
    server = TwinServer(SimulatedTerminal(ManualClock()), file)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.close()
    thread.join()


def test_answers_are_those_of_a_twin_in_this_process(
    server: TwinServer, file: Path, remote: Remote
) -> None:
    del server
    here, there = SimulatedTerminal(ManualClock()), remote(file)
    for call, arguments in (
        ("account_info", ()),
        ("initialize", ()),
        ("account_info", ()),
        ("terminal_info", ()),
        ("version", ()),
        ("symbols_get", ("EUR*",)),
        ("symbol_info", ("NOPE",)),
        ("symbol_info_tick", ("EURUSD",)),
        ("copy_ticks_from", ("EURUSD", datetime(2023, 11, 14, 22, tzinfo=UTC), 100, -1)),
        ("copy_rates_from_pos", ("EURUSD", 1, 0, 5)),
        ("order_send", (ORDER,)),
        ("order_send", (ORDER | {"volume": np.float32(0.1)},)),
        ("order_check", (ORDER,)),
        ("positions_get", ()),
        ("history_deals_get", (0, 1 << 32)),
        ("order_calc_margin", (0, "EURUSD", 1.0, 1.1)),
        ("symbol_select", ("GBPUSD", False)),
        ("last_error", ()),
    ):
        mine, theirs = getattr(here, call)(*arguments), getattr(there, call)(*arguments)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            assert mine.tobytes() == theirs.tobytes()
        else:
            assert mine == theirs
            assert type(mine) is type(theirs)
        assert here.last_error() == there.last_error(), call
    with pytest.raises(TypeError):
        there.version(1)  # type: ignore[attr-defined]


@async_test
async def test_control_reaches_a_wedged_twin(
    server: TwinServer, file: Path, remote: Remote
) -> None:
    terminal = remote(file)
    assert terminal.initialize()
    terminal.control("inject", {"kind": "wedge", "call": "symbol_info", "on_call": 1})
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(terminal.symbol_info("EURUSD")))
    thread.start()
    await eventually(
        lambda: terminal.control("inspect")["happened"] == [[2, "symbol_info", "wedge"]]
    )
    assert thread.is_alive()
    await eventually(lambda: terminal.control("release") or not thread.is_alive())
    assert answers == [None]
    assert terminal.last_error() == (-10005, "IPC timeout")
    before = terminal.control("inspect")["now_us"]
    terminal.control("step_clock", 3_600.0)
    assert terminal.control("inspect")["now_us"] - before == 3_600_000_000
    terminal.control("set_running", False)
    assert terminal.symbol_info("EURUSD") is None
    assert terminal.last_error() == (-10004, "No IPC connection")
    with pytest.raises(ValueError, match="exactly one"):
        terminal.control("inject", {"kind": "wedge"})
    with pytest.raises(ValueError, match="start the twin with a script"):
        terminal.control("inject", {"kind": "duplicate_tick", "probability": 0.5})
    assert server.terminal.world.is_running is False


def test_a_running_twin_is_told_to_requote(server: TwinServer, file: Path, remote: Remote) -> None:
    del server
    terminal = remote(file)
    assert terminal.initialize()
    terminal.control("inject", {"kind": "requote", "call": "order_send", "on_call": 2})
    comments = [terminal.order_send(ORDER).comment for _ in range(3)]  # type: ignore[union-attr]
    assert comments == ["Request executed", "Requote", "Request executed"]


def test_a_stranger_without_the_token_learns_nothing(server: TwinServer, file: Path) -> None:
    del server
    address = read_address(file)
    assert file.stat().st_mode & 0o077 == 0
    file.write_text(f'{{"port": {address.port}, "token": "{"0" * 64}"}}')
    stranger = RemoteTerminal(file)
    assert stranger.initialize() is False
    assert stranger.last_error() == (-10004, "No IPC connection")


def test_a_silent_twin_is_given_up_after_the_timeout(
    server: TwinServer, file: Path, remote: Remote
) -> None:
    terminal = remote(file, timeout_s=1.0)
    assert terminal.initialize()
    terminal.control("inject", {"kind": "wedge", "call": "symbol_info", "on_call": 1})
    assert terminal.symbol_info("EURUSD") is None
    assert terminal.last_error() == (-10005, "IPC timeout")
    assert terminal.symbol_info("EURUSD") is None
    assert terminal.last_error() == (-10004, "No IPC connection"), "the connection is given up"
    server.terminal.world.faults.gate.release()
    assert terminal.initialize()
    assert terminal.symbol_info("EURUSD")


def started(file: Path) -> "subprocess.Popen[bytes]":
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "aitrading.client", "sim", "serve",
               "--address-file", str(file), "--set", "seed=5"]  # fmt: skip
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@async_test
async def test_a_process_can_be_killed_and_started_again(file: Path) -> None:
    terminal: Terminal = open_terminal(
        TerminalKind.SIM, SimulatedTerminalSettings(process=file), ManualClock()
    )
    assert not terminal.initialize()
    assert terminal.last_error()[0] == -10003
    for ending in (signal.SIGKILL, signal.SIGTERM):
        process = started(file)
        try:
            await eventually(terminal.initialize, timeout_s=60)
            assert terminal.account_info() is not None
        finally:
            process.send_signal(ending)
            code = process.wait(30)
        assert code == (0 if ending == signal.SIGTERM else -ending)
        assert terminal.account_info() is None
        assert terminal.last_error() == (-10004, "No IPC connection")


def test_a_missing_address_file_is_told(file: Path) -> None:
    with pytest.raises(AitradingError) as told:
        read_address(file)
    assert told.value.spec is TWIN_PROCESS_UNREACHABLE


SCRIPT = """
import sys
import MetaTrader5 as mt5
assert mt5.initialize()
print(mt5.__version__, sys.argv[1:], mt5.symbols_total(), mt5.symbol_info("XAUUSDm").digits)
print(mt5.Buy("XAUUSDm", 0.01).comment)
mt5.shutdown()
"""


def test_a_script_runs_unmodified(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = ("--set", "suffix=m", "--set", "symbols=XAUUSD,EURUSD")
    done = subprocess.run(
        [sys.executable, "-m", "aitrading.client", "sim", "run", *options, str(script), "--fast"],
        capture_output=True, text=True, check=True, timeout=90,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["5.0.6231 ['--fast'] 2 2", "Request executed"]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("seed", "TERMINAL_SIMULATION_OPTION_INVALID"),
        ("seed=x", "CONFIG_INVALID"),
        ("sead=1", "CONFIG_INVALID"),
        ("symbols=NOPE", "TERMINAL_SIMULATED_SYMBOL_UNKNOWN"),
        ("replay=/nowhere/20140508_eurusd_x.csv", "TERMINAL_RECORDING_INVALID"),
        ("faults=/nowhere.toml", "TERMINAL_FAULT_SCRIPT_INVALID"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, option: str, code: str) -> None:
    script = tmp_path / "script.py"
    script.write_text("")
    result = CliRunner().invoke(main, ["sim", "run", "--set", option, str(script)])
    assert result.exit_code == 1
    assert code in result.stderr
