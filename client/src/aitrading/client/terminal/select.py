"""Which terminal to use."""

import importlib
import sys
from enum import StrEnum
from typing import Any

from aitrading.client.terminal.errors import TERMINAL_NOT_AVAILABLE, TERMINAL_REPLACED
from aitrading.client.terminal.package import (
    PACKAGE,
    import_gives_twin,
    real_package_is_installed,
)
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim.from_settings import simulated_terminal
from aitrading.client.terminal.sim.process.remote import RemoteTerminal
from aitrading.core.kit.clock import Clock


class TerminalKind(StrEnum):
    """What stands behind the port."""

    SIM = "sim"
    MT5 = "mt5"


def open_terminal(
    kind: TerminalKind, settings: SimulatedTerminalSettings, clock: Clock
) -> Terminal:
    """The terminal, not connected yet; raises `TERMINAL_NOT_AVAILABLE` or `TERMINAL_REPLACED`."""
    if kind is TerminalKind.SIM:
        if settings.process is not None:
            return RemoteTerminal(settings.process)
        return simulated_terminal(settings, clock)
    _require_real_package()
    try:
        package: Any = importlib.import_module(PACKAGE)
    except ImportError as exc:
        raise TERMINAL_NOT_AVAILABLE.error(platform=sys.platform) from exc
    return package


def require_terminal(
    kind: TerminalKind, settings: SimulatedTerminalSettings, clock: Clock
) -> None:
    """Raise what `open_terminal` would raise in every worker, without loading the package."""
    if kind is TerminalKind.SIM:
        open_terminal(kind, settings, clock)
    else:
        _require_real_package()


def _require_real_package() -> None:
    if import_gives_twin():
        raise TERMINAL_REPLACED.error()
    if not real_package_is_installed():
        raise TERMINAL_NOT_AVAILABLE.error(platform=sys.platform)
