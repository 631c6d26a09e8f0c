"""`import MetaTrader5` in a process of its own: the twin where it is wanted, never by accident."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitrading.client.terminal.package import STAND_IN

SCRIPT = """
import importlib.util
import MetaTrader5 as mt5
from MetaTrader5 import ORDER_TYPE_BUY, Tick
assert importlib.util.find_spec("MetaTrader5").name == mt5.__name__ == "MetaTrader5"
assert mt5.initialize(), mt5.last_error()
tick = mt5.symbol_info_tick("EURUSDm")
assert type(tick) is Tick
request = {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSDm", "volume": 0.1,
           "type": ORDER_TYPE_BUY, "type_filling": mt5.ORDER_FILLING_IOC, "price": tick.ask}
print(mt5.order_send(request).retcode, mt5.account_info().server)
"""
REAL = "print('the real package')\n"


def python(
    *arguments: str, paths: tuple[Path, ...] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=90,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))} | environ,
    )  # fmt: skip


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder in which a package of that name is installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    folder.joinpath("MetaTrader5.py").write_text(REAL)
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_with_one_folder_on_the_path_a_script_runs_unmodified(script: Path) -> None:
    told = python("-m", "aitrading.client", "sim", "path")
    folder = Path(told.stdout.strip())
    assert folder == STAND_IN
    done = python(str(script), paths=(folder,), AITRADING_TERMINAL_SIM_SUFFIX="m")
    assert done.stdout == "10009 Simulated-Demo\n", done.stderr
    assert "MetaTrader5 is simulated in this process" in done.stderr


def test_two_of_that_name_are_refused_until_somebody_decides(real: Path, script: Path) -> None:
    refused = python(str(script), paths=(STAND_IN, real))
    assert refused.returncode == 1
    assert "ImportError: Both the package MetaTrader5 and the simulated" in refused.stderr
    assert refused.stdout == ""
    decided = {"AITRADING_TERMINAL_SIM_REPLACES_PACKAGE": "true"}
    taken = python(
        str(script), paths=(STAND_IN, real), AITRADING_TERMINAL_SIM_SUFFIX="m", **decided
    )
    assert taken.stdout == "10009 Simulated-Demo\n", taken.stderr
    before = python("-c", "import MetaTrader5", paths=(real, STAND_IN))
    assert (before.stdout, before.stderr) == ("the real package\n", "")


def test_a_wrong_setting_is_the_reason_of_a_failed_import() -> None:
    failed = python("-c", "import MetaTrader5", paths=(STAND_IN,), AITRADING_TERMINAL_SIM_SEED="x")
    assert failed.returncode == 1
    assert "terminal_sim.seed" in failed.stderr


OPENS = """
from aitrading.client.terminal.select import TerminalKind, open_terminal, require_terminal
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
for ask in (require_terminal, open_terminal):
    try:
        ask(TerminalKind.MT5, SimulatedTerminalSettings(), SystemClock())
    except AitradingError as exc:
        print(exc.code)
"""


@pytest.mark.parametrize("decided", ["true", "false"])
def test_a_client_never_takes_the_twin_for_the_real_terminal(real: Path, decided: str) -> None:
    environ = {"AITRADING_TERMINAL_SIM_REPLACES_PACKAGE": decided}
    done = python("-c", OPENS, paths=(STAND_IN, real), **environ)
    assert done.stdout == "TERMINAL_REPLACED\n" * 2, done.stderr


PARENT = """
import multiprocessing, subprocess, sys
import MetaTrader5 as mt5

def child():
    mt5.initialize()
    print(mt5.account_info().server, mt5.symbols_total(), flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    print(sys.argv[1:], flush=True)
    subprocess.run([sys.executable, "-c", "import MetaTrader5 as m; m.initialize(); print(m.symbols_total())"])
"""


def test_processes_of_a_script_get_a_twin_too_and_its_arguments_are_its_own(
    real: Path, script: Path
) -> None:
    script.write_text(PARENT)
    run = ("-m", "aitrading.client", "sim", "run", "--set", "symbols=EURUSD,US500", str(script))
    done = python(*run, "--set", "x", "--help", paths=(real,))
    assert done.stdout.splitlines() == [
        "Simulated-Demo 2", "['--set', 'x', '--help']", "2"
    ], done.stderr  # fmt: skip
