"""The twin as settings describe it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

import msgspec

from aitrading.client.terminal.errors import (
    SIMULATED_SYMBOL_UNKNOWN,
    SIMULATED_TERM_WITHOUT_EFFECT,
    SIMULATION_OPTION_INVALID,
)
from aitrading.client.terminal.settings import AS_USUAL, SimulatedTerminalSettings
from aitrading.client.terminal.sim.accounts import read_accounts
from aitrading.client.terminal.sim.broker.kinds import Execution, FillingMask, MarginMode
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT
from aitrading.client.terminal.sim.faults import read_faults
from aitrading.client.terminal.sim.listing import Terms
from aitrading.client.terminal.sim.market.instruments import (
    CATALOGUE,
    SimulatedInstrument,
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
    """A twin in this process; raises what is wrong with a file, a script, a name or a term."""
    faults = read_faults(settings.faults) if settings.faults else []
    terminal = SimulatedTerminal(clock, options=options_of(settings), faults=faults)
    _check(settings, terminal.world.watch.specs)
    return terminal


def options_of(settings: SimulatedTerminalSettings) -> WorldOptions:
    """Broker and market; raises `TERMINAL_SIMULATED_…` for what the broker cannot have."""
    options = WorldOptions(
        seed=settings.seed,
        ticks_per_s=settings.ticks_per_s,
        instruments=_chosen(settings.symbols),
        suffix=settings.suffix,
        shown=tuple(name + settings.suffix for name in settings.shown),
        keeps_hours=settings.keeps_hours,
        terms=_terms(settings),
        account=_account(settings),
        accounts=read_accounts(settings.accounts) if settings.accounts else (),
        replay=settings.replay,
        speed=settings.speed,
        clock_speed=settings.clock_speed,
    )
    if settings.clock_starts_s is not None:
        options = replace(options, clock_starts_us=settings.clock_starts_s * US_PER_S)
    if settings.replay_starts_s is not None:
        options = replace(options, replay_starts_us=settings.replay_starts_s * US_PER_S)
    return options


def _chosen(names: tuple[str, ...]) -> tuple[SimulatedInstrument, ...]:
    if names == (EVERYTHING,):
        return CATALOGUE
    known = {one.name: one for one in CATALOGUE}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SIMULATED_SYMBOL_UNKNOWN.error(symbol=unknown[0], known=", ".join(known))
    return tuple(known[name] for name in names)


def _check(settings: SimulatedTerminalSettings, specs: Mapping[str, SymbolSpec]) -> None:
    """What is asked for can happen with the symbols that this broker has."""
    for name in settings.shown:
        if name + settings.suffix not in specs:
            raise SIMULATED_SYMBOL_UNKNOWN.error(symbol=name, known=", ".join(specs))
    executions = {spec.execution for spec in specs.values()}
    for setting, value, needed in (
        ("requotes_per_mille", settings.requotes_per_mille, Execution.INSTANT),
        ("slippage_points", settings.slippage_points, Execution.MARKET),
    ):
        if value and needed not in executions:
            raise SIMULATED_TERM_WITHOUT_EFFECT.error(
                setting=setting, execution=needed.name.lower()
            )


def _account(settings: SimulatedTerminalSettings) -> AccountSpec:
    mode = MarginMode.RETAIL_NETTING if settings.netting else MarginMode.RETAIL_HEDGING
    return msgspec.structs.replace(
        DEFAULT_ACCOUNT,
        margin_mode=mode,
        leverage=settings.leverage,
        deposit=round(settings.deposit * DEFAULT_ACCOUNT.money_unit),
        margin_call=Decimal(str(settings.margin_call_percent)),
        stop_out=Decimal(str(settings.stop_out_percent)),
        slippage_points_max=settings.slippage_points,
        requotes_per_mille=settings.requotes_per_mille,
        history_delay_ms=settings.history_delay_ms,
        seed=settings.seed,
    )


def _terms(settings: SimulatedTerminalSettings) -> Terms:
    masks = {FillingMask[name.upper()] for name in settings.filling}
    lots = settings.offered_lots
    return Terms(
        execution=None
        if settings.execution == AS_USUAL
        else Execution[settings.execution.upper()],
        filling_mode=FillingMask(sum(masks)) if masks else None,
        offered=None if lots is None else round(lots * LOT),
        stops_level_points=settings.stops_level_points,
        freeze_level_points=settings.freeze_level_points,
        swap_long_points=_exact(settings.swap_long_points),
        swap_short_points=_exact(settings.swap_short_points),
    )


def _exact(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(str(number))
