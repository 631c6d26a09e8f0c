"""Public scripts written for the real package run unmodified; they are fetched, never committed.

`AITRADING_PUBLIC_SCRIPTS` names a folder with the repositories' files as `owner/name/path`;
`scripts/fetch_public_scripts.sh` makes one.
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
    modules: str = ""
    """Below `owner/name`: where it is imported from; else the folder it is in."""
    environ: tuple[tuple[str, str], ...] = ()


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
TRADINGVIEW: Final = """
import asyncio
import sys
from types import SimpleNamespace

sys.modules["src.utils.database_handler"] = SimpleNamespace(DatabaseHandler=None)  # its own database
from src.services.mt5_service import MT5Service, mt5

async def trade():
    service = MT5Service(1000001, "secret", "Simulated-Demo")
    assert await service.async_initialize()
    order = {"instrument": "EURUSD", "side": "buy", "qty": 0.3}
    opened = await service.async_execute_market_order(order)
    ticket, bid = opened["mt5_position"], mt5.symbol_info_tick("EURUSD.a").bid
    stops = {"stop_loss": bid - 0.01, "take_profit": bid + 0.01}
    moved = service._update_position({"instrument": "EURUSD", "mt5_ticket": ticket, **stops})
    assert moved["stop_loss"] == mt5.positions_get(ticket=int(ticket))[0].sl, moved
    for volume in (0.1, 0.2):
        closed = await service.async_close_position({**order, "mt5_ticket": ticket, "qty": volume})
        print(closed["symbol"], closed["volume"], "closed, left", closed["remaining_volume"])

asyncio.run(trade())
"""
BBSTRADER: Final = """
import sys
from datetime import UTC, datetime, timedelta
from types import ModuleType

structs = "AccountInfo BookInfo MetaTraderHandlers OrderCheckResult OrderSentResult SymbolInfo "
structs += "TerminalInfo TickInfo TradeDeal TradeOrder TradePosition TradeRequest"
client = ModuleType("bbstrader.api.client")
for name in structs.split():  # C++ in the original: classes that have every field
    setattr(client, name, type(name, (), {"__getattr__": lambda self, name: None}))
sys.modules |= {name: ModuleType(name) for name in ("bbstrader", "bbstrader.api")}
sys.modules["bbstrader.api.client"] = client
from handlers import Mt5Handlers as bot, mt5

assert bot.init_auto() and bot.login(1000001, "secret", "Simulated-Demo", 5_000)
assert bot.get_account_info().login == 1000001 and bot.get_terminal_info().connected
assert bot.get_total_symbols() == len(bot.get_symbols_all())
assert [one.name for one in bot.get_symbols_by_group("EUR*")] == ["EURUSD"]
assert bot.select_symbol("EURUSD", True) and bot.get_symbol_info("EURUSD").digits == 5
now, minute, all_ticks = datetime.now(UTC), mt5.TIMEFRAME_M1, mt5.COPY_TICKS_ALL
hour_ago, past, soon = (now + timedelta(hours=hours) for hours in (-1, -24, 24))
assert len(bot.get_rates_by_pos("EURUSD", minute, 0, 20)) == 20
assert len(bot.get_rates_by_date("EURUSD", minute, now, 20)) == 20
assert len(bot.get_rates_by_range("EURUSD", minute, hour_ago, now)) > 50
assert len(bot.get_ticks_by_date("EURUSD", int(hour_ago.timestamp()), 20, all_ticks)) == 20
assert len(bot.get_ticks_by_range("EURUSD", hour_ago, now, all_ticks)) > 20
ask = bot.get_tick_info("EURUSD").ask
order = {"action": mt5.TRADE_ACTION_DEAL, "symbol": "EURUSD", "volume": 0.1, "price": ask,
         "type": mt5.ORDER_TYPE_BUY, "deviation": 20, "type_filling": mt5.ORDER_FILLING_IOC}
assert bot.check_order(order).retcode == 0
sent = bot.send_order(order)
assert (sent.retcode, sent.request["symbol"]) == (mt5.TRADE_RETCODE_DONE, "EURUSD")
assert bot.calc_margin(mt5.ORDER_TYPE_BUY, "EURUSD", 0.1, ask) > 0
assert round(bot.calc_profit(mt5.ORDER_TYPE_BUY, "EURUSD", 0.1, ask, ask + 0.001), 2) == 10
position = bot.get_positions_symbol("EURUSD")[0]
assert bot.get_total_positions() == len(bot.get_positions_all()) == 1
assert bot.get_positions_group("*USD*")[0].ticket == position.ticket
assert bot.get_position_ticket(position.ticket).volume == 0.1 and not bot.get_position_ticket(1)
bid = bot.get_tick_info("EURUSD").bid
assert bot.send_order({**order, "type": mt5.ORDER_TYPE_SELL, "price": bid,
                       "position": position.ticket}).retcode == mt5.TRADE_RETCODE_DONE
assert bot.get_total_positions() == bot.get_total_orders() == 0
assert bot.get_orders_all() == bot.get_orders_by_symbol("EURUSD") == []
deals, orders = bot.get_hist_deals_pos(position.ticket), bot.get_hist_orders_pos(position.ticket)
assert bot.get_hist_deals_group(past, soon, "*EUR*")[-1].ticket == deals[-1].ticket
assert bot.get_hist_orders_range(past, soon)[-1].ticket == orders[-1].ticket
assert bot.subscribe_book("EURUSD") and bot.get_book_info("EURUSD")
assert bot.unsubscribe_book("EURUSD")
print("deals", [deal.entry for deal in deals], "orders", len(orders))
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
    Acceptance(
        "abhidp/tradingview-to-metatrader5/src/services/mt5_service.py", ("dotenv",), TRADINGVIEW,
        ("EURUSD.a 0.1 closed, left 0.2", "EURUSD.a 0.2 closed, left 0.0"), modules=".",
        environ=(("AITRADING_TERMINAL_SIM_SUFFIX", ".a"), ("APPDATA", "/nowhere")),
    ),
    Acceptance(
        "bbalouki/bbstrader/src/bbstrader/api/handlers.py", ("pytz",), BBSTRADER,
        ("deals [0, 1] orders 2",),
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
    owner, name, *_ = script.path.split("/")
    modules = Path(folder) / owner / name / script.modules if script.modules else file.parent
    paths = [str(STAND_IN), str(tmp_path), str(modules), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=150,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | dict(script.environ), cwd=tmp_path,
    )  # fmt: skip
    for module in script.needs:
        if f"No module named '{module}'" in done.stderr:
            pytest.skip(f"the script needs {module}")
    assert done.returncode == 0, done.stderr
    for words in script.expected:
        assert words in done.stdout
