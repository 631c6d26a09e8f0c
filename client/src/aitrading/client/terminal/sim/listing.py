"""What the broker's administrator says of an instrument: contract, margin, swaps, hours."""

from decimal import Decimal
from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.kinds import (
    CalcMode,
    Execution,
    FillingMask,
    SwapMode,
    Weekday,
)
from aitrading.client.terminal.sim.broker.specs import DepthLevel, SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT
from aitrading.client.terminal.sim.market.instruments import InstrumentKind, SimulatedInstrument
from aitrading.client.terminal.sim.market.sessions import HOURS

_PAIRS: Final = frozenset({InstrumentKind.FOREX, InstrumentKind.METAL, InstrumentKind.CRYPTO})
_EXCHANGE_DEPTH: Final = tuple(
    DepthLevel(offset_points=place, volume=(50 + 25 * place) * LOT) for place in range(8)
)
_BASE: Final = SymbolSpec(
    name="", digits=0, currency_base="", currency_profit="", currency_margin=""
)
TERMS: Final[dict[InstrumentKind, SymbolSpec]] = {
    InstrumentKind.FOREX: msgspec.structs.replace(
        _BASE,
        volume_max=200 * LOT,
        swap_mode=SwapMode.POINTS,
        swap_long=Decimal("-6.4"),
        swap_short=Decimal("1.1"),
    ),
    InstrumentKind.METAL: msgspec.structs.replace(
        _BASE,
        contract_size=Decimal(100),
        calc_mode=CalcMode.CFDLEVERAGE,
        volume_max=50 * LOT,
        swap_mode=SwapMode.POINTS,
        swap_long=Decimal("-34.5"),
        swap_short=Decimal("12.2"),
    ),
    InstrumentKind.INDEX: msgspec.structs.replace(
        _BASE,
        contract_size=Decimal(1),
        calc_mode=CalcMode.CFD,
        execution=Execution.INSTANT,
        filling_mode=FillingMask.FOK,
        margin_rate=Decimal("0.05"),
        volume_min=LOT // 10,
        volume_step=LOT // 10,
        swap_mode=SwapMode.INTEREST_CURRENT,
        swap_long=Decimal("-6.5"),
        swap_short=Decimal("1.5"),
        swap_rollover3days=Weekday.FRIDAY,
    ),
    InstrumentKind.STOCK: msgspec.structs.replace(
        _BASE,
        contract_size=Decimal(1),
        calc_mode=CalcMode.EXCH_STOCKS,
        execution=Execution.EXCHANGE,
        volume_min=LOT,
        volume_max=10_000 * LOT,
        volume_step=LOT,
        commission_per_lot=Decimal("0.02"),
        depth=_EXCHANGE_DEPTH,
    ),
    InstrumentKind.FUTURES: msgspec.structs.replace(
        _BASE,
        contract_size=Decimal(1_000),
        calc_mode=CalcMode.FUTURES,
        execution=Execution.EXCHANGE,
        tick_value=Decimal(10),
        margin_initial=Decimal(5_000),
        volume_min=LOT,
        volume_max=500 * LOT,
        volume_step=LOT,
        commission_per_lot=Decimal("1.25"),
        depth=_EXCHANGE_DEPTH,
    ),
    InstrumentKind.CRYPTO: msgspec.structs.replace(
        _BASE,
        contract_size=Decimal(1),
        calc_mode=CalcMode.CFD,
        margin_rate=Decimal("0.5"),
        volume_max=20 * LOT,
        swap_mode=SwapMode.INTEREST_CURRENT,
        swap_long=Decimal(-18),
        swap_short=Decimal(-4),
    ),
}
"""The usual terms of each class."""

FOLDERS: Final = {
    InstrumentKind.FOREX: "Forex",
    InstrumentKind.METAL: "Metals",
    InstrumentKind.INDEX: "Indices",
    InstrumentKind.STOCK: "Stocks",
    InstrumentKind.FUTURES: "Futures",
    InstrumentKind.CRYPTO: "Crypto",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker has otherwise than usual, for all its symbols; None is as usual."""

    execution: Execution | None = None
    filling_mode: FillingMask | None = None
    offered: int | None = None
    """Volume at the best price of each tick."""
    stops_level_points: int = 0
    freeze_level_points: int = 0
    swap_long_points: Decimal | None = None
    swap_short_points: Decimal | None = None

    def applied(self, usual: SymbolSpec) -> SymbolSpec:
        """A symbol's terms under this broker."""
        spec = msgspec.structs.replace(
            usual,
            execution=usual.execution if self.execution is None else self.execution,
            filling_mode=usual.filling_mode if self.filling_mode is None else self.filling_mode,
            stops_level_points=self.stops_level_points,
            freeze_level_points=self.freeze_level_points,
        )
        if self.offered is not None:
            depth = (DepthLevel(offset_points=0, volume=self.offered),)
            spec = msgspec.structs.replace(spec, depth=depth)
        if self.swap_long_points is None and self.swap_short_points is None:
            return spec
        return msgspec.structs.replace(
            spec,
            swap_mode=SwapMode.POINTS,
            swap_long=self.swap_long_points or Decimal(0),
            swap_short=self.swap_short_points or Decimal(0),
        )


AS_USUAL: Final = Terms()


def spec_of(
    instrument: SimulatedInstrument, *, keeps_hours: bool, terms: Terms = AS_USUAL
) -> SymbolSpec:
    """The terms of an instrument; without hours it trades around the clock."""
    kind = instrument.kind
    base, profit = instrument.currency, instrument.currency
    if kind in _PAIRS:
        base, profit = instrument.name[:3], instrument.name[3:6]
    return msgspec.structs.replace(
        terms.applied(TERMS[kind]),
        name=instrument.name,
        digits=instrument.digits,
        currency_base=base,
        currency_profit=profit,
        currency_margin=base if kind is InstrumentKind.FOREX else profit,
        sessions=HOURS[kind] if keeps_hours else (),
    )
