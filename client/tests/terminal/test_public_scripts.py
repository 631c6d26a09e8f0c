"""Public scripts written for the real package run unmodified; they are fetched, never committed.

`AITRADING_PUBLIC_SCRIPTS` names a folder with the repositories' files as `owner/name/path`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from aitrading.client.terminal.package import STAND_IN

FOLDER: Final = "AITRADING_PUBLIC_SCRIPTS"


class Acceptance(NamedTuple):
    """A file of somebody else, what is done with it, and what must be printed."""

    path: str
    needs: tuple[str, ...]
    driver: str
    expected: tuple[str, ...]


QUANTREO: Final = """
from Personal_MT5_library import MT5, mt5
assert mt5.initialize()
assert len(MT5.get_ticks("EURUSD", 100)) <= 100
assert len(MT5.get_rates("EURUSD", 50, mt5.TIMEFRAME_M1)) == 50
MT5.run("EURUSD", True, False, 0.01, pct_tp=5, pct_sl=5)
assert mt5.positions_total() == 1
MT5.trailing_stop_loss()
MT5.run("EURUSD", False, False, 0.01)
assert mt5.positions_total() == 0
"""
JIMTIN: Final = """
import mt5_interface as bot
assert bot.start_mt5("1000001", "secret", "Simulated-Demo", "terminal64.exe")
assert bot.initialize_symbols(["EURUSD", "USDJPY"]) is True
assert len(bot.query_historic_data("USDJPY", "M5", 20)) == 20
tick = bot.MetaTrader5.symbol_info_tick("USDJPY")
ticket = bot.place_order("BUY_STOP", "USDJPY", 0.1, tick.ask + 1, tick.ask, tick.ask + 2, "x")[2]
print("waiting", bot.get_open_orders() == [ticket], bot.cancel_order(ticket)[0], bot.get_open_orders())
"""
OUR_SCRIPTS: Final = (
    Acceptance(
        "metaperl/telegram-autotrader/src/etc/order_send.py", ("conf",), "",
        ("MetaTrader5 package version:  5.0.6231", "2. order_send done,"),
    ),
    Acceptance(
        "Quantreo/MetaTrader-5-AUTOMATED-TRADING-using-Python/Personal_MT5_library.py",
        ("pandas",), QUANTREO, ("OPEN BUY POSITION: Request executed",
                                "CLOSE BUY POSITION: Request executed"),
    ),
    Acceptance(
        "jimtin/how_to_build_a_metatrader5_trading_bot_expert_advisor/mt5_interface.py",
        (), JIMTIN, ("Trading Bot Logged in", "waiting True 10009 []"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("script", OUR_SCRIPTS, ids=lambda one: one.path.split("/")[0])
def test_a_public_script_runs_unmodified(tmp_path: Path, script: Acceptance) -> None:
    folder = os.environ.get(FOLDER)
    if folder is None or not (file := Path(folder) / script.path).exists():
        pytest.skip(f"{script.path} is not in the folder {FOLDER} names")
    tmp_path.joinpath("conf.py").write_text("account, password = 1, 'x'\n")
    program = file
    if script.driver:
        program = tmp_path / "driver.py"
        program.write_text(script.driver)
    paths = [str(STAND_IN), str(tmp_path), str(file.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=150,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    for module in script.needs:
        if f"No module named '{module}'" in done.stderr:
            pytest.skip(f"the script needs {module}")
    assert done.returncode == 0, done.stderr
    for words in script.expected:
        assert words in done.stdout
