"""Which symbols the simulated broker can list, and how the price of each behaves."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class InstrumentKind(StrEnum):
    """The class an instrument belongs to: its trading hours, margin and swaps follow from it."""

    FOREX = "forex"
    METAL = "metal"
    INDEX = "index"
    STOCK = "stock"
    FUTURES = "futures"
    CRYPTO = "crypto"


EXCHANGE_KINDS: Final = frozenset({InstrumentKind.STOCK, InstrumentKind.FUTURES})
"""Whose ticks have deals with a last price and a volume; others are quoted by a dealer."""


@dataclass(frozen=True, kw_only=True)
class SimulatedInstrument:
    """A symbol and how it behaves."""

    name: str
    digits: int
    price_points: int
    """Where the price wanders around."""
    step_points: float
    """How far it moves in about a second."""
    spread_points: int
    """The narrowest spread."""
    description: str = ""
    kind: InstrumentKind = InstrumentKind.FOREX
    currency: str = "USD"
    """What an instrument that is no pair of currencies is quoted in."""

    @property
    def point(self) -> float:
        """The smallest step of a price."""
        return float(f"1e-{self.digits}")


FOUR_SYMBOLS: Final = (
    SimulatedInstrument(
        name="EURUSD", digits=5, price_points=108_400, step_points=2.2, spread_points=6,
        description="Euro vs US Dollar",
    ),
    SimulatedInstrument(
        name="GBPUSD", digits=5, price_points=127_150, step_points=2.8, spread_points=9,
        description="Great Britain Pound vs US Dollar",
    ),
    SimulatedInstrument(
        name="USDJPY", digits=3, price_points=149_820, step_points=3.0, spread_points=8,
        description="US Dollar vs Japanese Yen",
    ),
    SimulatedInstrument(
        name="XAUUSD", digits=2, price_points=234_115, step_points=7.0, spread_points=18,
        description="Gold vs US Dollar", kind=InstrumentKind.METAL,
    ),
)  # fmt: skip

CATALOGUE: Final = (
    *FOUR_SYMBOLS,
    SimulatedInstrument(
        name="AUDUSD", digits=5, price_points=65_800, step_points=1.8, spread_points=7,
        description="Australian Dollar vs US Dollar",
    ),
    SimulatedInstrument(
        name="NZDUSD", digits=5, price_points=59_900, step_points=1.7, spread_points=11,
        description="New Zealand Dollar vs US Dollar",
    ),
    SimulatedInstrument(
        name="USDCHF", digits=5, price_points=88_300, step_points=2.0, spread_points=10,
        description="US Dollar vs Swiss Franc",
    ),
    SimulatedInstrument(
        name="USDCAD", digits=5, price_points=136_400, step_points=2.3, spread_points=10,
        description="US Dollar vs Canadian Dollar",
    ),
    SimulatedInstrument(
        name="EURGBP", digits=5, price_points=85_250, step_points=1.6, spread_points=8,
        description="Euro vs Great Britain Pound",
    ),
    SimulatedInstrument(
        name="EURJPY", digits=3, price_points=162_400, step_points=3.6, spread_points=12,
        description="Euro vs Japanese Yen",
    ),
    SimulatedInstrument(
        name="EURAUD", digits=5, price_points=164_700, step_points=3.9, spread_points=16,
        description="Euro vs Australian Dollar",
    ),
    SimulatedInstrument(
        name="EURCAD", digits=5, price_points=147_900, step_points=3.2, spread_points=17,
        description="Euro vs Canadian Dollar",
    ),
    SimulatedInstrument(
        name="XAGUSD", digits=3, price_points=27_450, step_points=1.6, spread_points=21,
        description="Silver vs US Dollar", kind=InstrumentKind.METAL,
    ),
    SimulatedInstrument(
        name="US500", digits=1, price_points=52_300, step_points=1.9, spread_points=4,
        description="Index of 500 large US companies", kind=InstrumentKind.INDEX,
    ),
    SimulatedInstrument(
        name="DE40", digits=1, price_points=184_600, step_points=6.1, spread_points=12,
        description="Index of 40 large German companies", kind=InstrumentKind.INDEX,
        currency="EUR",
    ),
    SimulatedInstrument(
        name="AAPL", digits=2, price_points=22_450, step_points=1.2, spread_points=3,
        description="Apple Inc.", kind=InstrumentKind.STOCK,
    ),
    SimulatedInstrument(
        name="OIL.F", digits=2, price_points=7_840, step_points=0.8, spread_points=3,
        description="Crude oil, the nearest future", kind=InstrumentKind.FUTURES,
    ),
    SimulatedInstrument(
        name="BTCUSD", digits=2, price_points=6_740_000, step_points=420.0, spread_points=1_500,
        description="Bitcoin vs US Dollar", kind=InstrumentKind.CRYPTO,
    ),
    SimulatedInstrument(
        name="ETHUSD", digits=2, price_points=348_000, step_points=31.0, spread_points=140,
        description="Ether vs US Dollar", kind=InstrumentKind.CRYPTO,
    ),
)  # fmt: skip
"""Everything the broker can list; the first four are shown from the start."""


def with_suffix(instrument: SimulatedInstrument, suffix: str) -> SimulatedInstrument:
    """The same instrument under the name of a broker that marks its account types: `EURUSDm`."""
    return replace(instrument, name=instrument.name + suffix)
