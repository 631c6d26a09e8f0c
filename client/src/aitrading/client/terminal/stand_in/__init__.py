"""A folder for `PYTHONPATH`: with it, `import MetaTrader5` finds the twin."""

import sys
from types import ModuleType
from typing import Any, Final

from aitrading.client.terminal.package import PACKAGE, real_package_is_installed
from aitrading.client.terminal.select import TerminalKind, open_terminal
from aitrading.client.terminal.sim.from_settings import settings_of
from aitrading.client.terminal.sim.module import install
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError

NOTICE: Final = "MetaTrader5 is simulated in this process: no broker, no money.\n"
BOTH: Final = (
    "Both the package MetaTrader5 and the simulated terminal answer to this name here, and which "
    "one is meant cannot be guessed. For the real terminal, take the simulated one's folder from "
    "PYTHONPATH; for the simulated one, set AITRADING_TERMINAL_SIM_REPLACES_PACKAGE=true."
)


def stand_in() -> ModuleType:
    """Become what this import gives, and say so; raises `ImportError`.

    Where the real package is installed too, only an explicit setting decides for the twin: a
    script must neither trade for real by accident nor stop trading in silence.
    """
    try:
        settings = settings_of(())
        if real_package_is_installed() and not settings.replaces_package:
            raise ImportError(BOTH, name=PACKAGE)
        terminal: Any = open_terminal(TerminalKind.SIM, settings, SystemClock())
    except AitradingError as exc:
        raise ImportError(f"{exc.message} {exc.spec.remedy}", name=PACKAGE) from exc
    announce()
    return install(terminal)


def announce() -> None:
    """Nobody shall take the twin for a real terminal."""
    sys.stderr.write(NOTICE)
