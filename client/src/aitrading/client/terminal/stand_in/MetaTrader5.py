# ruff: noqa: N999 - scripts import it under this name
"""Becomes the simulated terminal where nothing else is meant by `import MetaTrader5`."""

from aitrading.client.terminal.package import PACKAGE
from aitrading.client.terminal.stand_in import stand_in

if __name__ == PACKAGE:
    stand_in()
