"""The twin as settings describe it."""

import os
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from aitrading.client.terminal.errors import SIMULATED_SYMBOL_UNKNOWN, SIMULATION_OPTION_INVALID
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim.broker.kinds import MarginMode
from aitrading.client.terminal.sim.faults import read_faults
from aitrading.client.terminal.sim.market.instruments import (
    CATALOGUE,
    SimulatedInstrument,
    with_suffix,
)
from aitrading.client.terminal.sim.market.ticks import US_PER_S
from aitrading.client.terminal.sim.terminal import SimulatedTerminal
from aitrading.client.terminal.sim.world import DEFAULT_ACCOUNT, WorldOptions
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.clock import Clock

EVERYTHING = "*"


def settings_of(options: Iterable[str]) -> SimulatedTerminalSettings:
    """Defaults, then the environment, then options; raises what is wrong with them."""
    overrides: dict[str, str] = {}
    for option in options:
        name, is_pair, value = option.partition("=")
        if not is_pair:
            raise SIMULATION_OPTION_INVALID.error(option=option)
        overrides[f"{SimulatedTerminalSettings.SECTION}.{name.strip()}"] = value
    config = ConfigManager.load(
        (SimulatedTerminalSettings,), environ=os.environ, overrides=overrides, strict=False
    )
    return config.get(SimulatedTerminalSettings)


def simulated_terminal(settings: SimulatedTerminalSettings, clock: Clock) -> SimulatedTerminal:
    """A twin in this process; raises what is wrong with a recording, a script or a name."""
    faults = read_faults(settings.faults) if settings.faults else []
    return SimulatedTerminal(clock, options=options_of(settings), faults=faults)


def options_of(settings: SimulatedTerminalSettings) -> WorldOptions:
    """Broker and market; raises `TERMINAL_SIMULATED_SYMBOL_UNKNOWN`."""
    account = DEFAULT_ACCOUNT
    if settings.netting:
        account = msgspec.structs.replace(account, margin_mode=MarginMode.RETAIL_NETTING)
    options = WorldOptions(
        seed=settings.seed,
        ticks_per_s=settings.ticks_per_s,
        instruments=_instruments(settings),
        keeps_hours=settings.keeps_hours,
        account=account,
        replay=settings.replay,
        speed=settings.speed,
        clock_speed=settings.clock_speed,
    )
    if settings.clock_starts_s is not None:
        options = replace(options, clock_starts_us=settings.clock_starts_s * US_PER_S)
    if settings.replay_starts_s is not None:
        options = replace(options, replay_starts_us=settings.replay_starts_s * US_PER_S)
    return options


def _instruments(settings: SimulatedTerminalSettings) -> tuple[SimulatedInstrument, ...]:
    if settings.symbols == (EVERYTHING,):
        chosen = CATALOGUE
    else:
        known = {one.name: one for one in CATALOGUE}
        unknown = [name for name in settings.symbols if name not in known]
        if unknown:
            raise SIMULATED_SYMBOL_UNKNOWN.error(symbol=unknown[0], known=", ".join(known))
        chosen = tuple(known[name] for name in settings.symbols)
    return tuple(with_suffix(one, settings.suffix) for one in chosen)
