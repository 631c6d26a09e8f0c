"""The simulated terminal: a twin of MetaTrader 5 that needs neither Windows nor a broker."""

from aitrading.client.terminal.sim.terminal import SimulatedTerminal

__all__ = ["SimulatedTerminal"]
