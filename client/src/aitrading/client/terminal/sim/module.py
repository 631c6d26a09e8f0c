"""The twin as a module: whatever does `import MetaTrader5` gets it instead of the package."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from aitrading.client.terminal.api.constants import CONSTANTS
from aitrading.client.terminal.api.structs import STRUCTS
from aitrading.client.terminal.package import PACKAGE, TWIN_ORIGIN
from aitrading.client.terminal.sim.helpers import Helpers, TradingTerminal

AUTHOR: Final = "MetaQuotes Ltd."
"""Scripts print it; it names whose interface this is."""
VERSION: Final = "5.0.6231"
FUNCTIONS: Final = (
    "initialize",
    "login",
    "shutdown",
    "version",
    "last_error",
    "terminal_info",
    "account_info",
    "symbols_total",
    "symbols_get",
    "symbol_info",
    "symbol_info_tick",
    "symbol_select",
    "market_book_add",
    "market_book_get",
    "market_book_release",
    "copy_rates_from",
    "copy_rates_from_pos",
    "copy_rates_range",
    "copy_ticks_from",
    "copy_ticks_range",
    "orders_total",
    "orders_get",
    "positions_total",
    "positions_get",
    "history_orders_total",
    "history_orders_get",
    "history_deals_total",
    "history_deals_get",
    "order_calc_margin",
    "order_calc_profit",
    "order_check",
    "order_send",
)
"""The functions of the package that the terminal itself answers."""


def twin_module(terminal: TradingTerminal) -> ModuleType:
    """A module with every name of the package, over one terminal."""
    module = ModuleType(
        PACKAGE, "A simulated terminal under the names of the package MetaTrader5."
    )
    helpers = Helpers(terminal)
    names: dict[str, object] = dict(CONSTANTS)
    names |= {struct.__name__: struct for struct in STRUCTS}
    names |= {name: getattr(terminal, name) for name in FUNCTIONS}
    names |= {"Buy": helpers.buy, "Sell": helpers.sell, "Close": helpers.close}
    names |= {"__version__": VERSION, "__author__": AUTHOR, "__all__": sorted(names)}
    vars(module).update(names)
    module.__spec__ = ModuleSpec(PACKAGE, None, origin=str(TWIN_ORIGIN))
    return module


def install(terminal: TradingTerminal) -> ModuleType:
    """Let `import MetaTrader5` give the twin, in this process."""
    module = twin_module(terminal)
    sys.modules[PACKAGE] = module
    return module
