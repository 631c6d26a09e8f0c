"""What the broker's administrator sets: the account and its symbols."""

from decimal import Decimal
from typing import Final

import msgspec

from aitrading.client.terminal.sim.broker.kinds import (
    ALL_EXPIRATIONS,
    ALL_ORDERS,
    AccountKind,
    CalcMode,
    Execution,
    ExpirationMask,
    FillingMask,
    GtcMode,
    MarginMode,
    OrderMask,
    StopOutMode,
    SwapMode,
    TradeMode,
    Weekday,
)
from aitrading.client.terminal.sim.broker.units import LOT

HISTORY_DEALS_MAX: Final = 100_000
"""Deals kept in history by default; the oldest go first."""
HISTORY_ORDERS_MAX: Final = 100_000
ORDERS_MAX: Final = 10_000
"""Most orders an account may have when its `limit_orders` is 0."""
POSITIONS_MAX: Final = 10_000
"""Most positions an account may have when its `limit_positions` is 0."""
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)


class DepthLevel(msgspec.Struct, frozen=True, kw_only=True):
    """Volume offered at a distance from the best price."""

    offset_points: int
    volume: int


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the broker's week in which trades are made; minutes since Sunday 00:00."""

    opens_min: int
    closes_min: int


class SymbolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol. Fields mean what they mean in `SymbolInfo`; prices are points, volumes units."""

    name: str
    digits: int
    currency_base: str
    currency_profit: str
    currency_margin: str
    contract_size: Decimal = Decimal(100_000)
    calc_mode: CalcMode = CalcMode.FOREX
    trade_mode: TradeMode = TradeMode.FULL
    execution: Execution = Execution.MARKET
    filling_mode: FillingMask = FillingMask.FOK | FillingMask.IOC
    expiration_mode: ExpirationMask = ALL_EXPIRATIONS
    order_mode: OrderMask = ALL_ORDERS
    gtc_mode: GtcMode = GtcMode.GTC
    volume_min: int = LOT // 100
    volume_max: int = 500 * LOT
    volume_step: int = LOT // 100
    volume_limit: int = 0
    """Most volume in one direction, positions and orders together; 0 is no limit."""
    tick_size_points: int = 1
    tick_value: Decimal = ZERO
    """Worth of one tick of one lot in the profit currency, where the mode asks for it."""
    face_value: Decimal = ZERO
    liquidity_rate: Decimal = ZERO
    stops_level_points: int = 0
    freeze_level_points: int = 0
    margin_initial: Decimal = ZERO
    """A fixed margin per lot in the margin currency; 0 lets the mode's formula count."""
    margin_maintenance: Decimal = ZERO
    """The same for what is open already; 0 is as `margin_initial`."""
    margin_hedged: Decimal | None = None
    """What a covered lot counts as, in contract size or fixed margin; None is a full lot."""
    margin_hedged_use_leg: bool = False
    margin_rate: Decimal = ONE
    margin_rate_pending: Decimal = ZERO
    """Share of the margin that a waiting order reserves."""
    swap_mode: SwapMode = SwapMode.DISABLED
    swap_long: Decimal = ZERO
    swap_short: Decimal = ZERO
    swap_rollover3days: Weekday = Weekday.WEDNESDAY
    commission_per_lot: Decimal = ZERO
    """Charged with each deal, in the account's currency."""
    sessions: tuple[Session, ...] = ()
    """None given is open around the clock."""
    depth: tuple[DepthLevel, ...] = ()
    """Offered anew with each tick; none given is any volume at the best price."""
    only_real: bool = False
    """Closed to demonstration accounts."""


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One account and the rules of its group; money in minor units of its currency."""

    login: int = 1_000_001
    currency: str = "USD"
    currency_digits: int = 2
    kind: AccountKind = AccountKind.DEMO
    margin_mode: MarginMode = MarginMode.RETAIL_HEDGING
    leverage: int = 100
    deposit: int = 1_000_000
    credit: int = 0
    stopout_mode: StopOutMode = StopOutMode.PERCENT
    margin_call: Decimal = Decimal(100)
    stop_out: Decimal = Decimal(50)
    limit_orders: int = 0
    limit_positions: int = 0
    fifo_close: bool = False
    hedge_prohibited: bool = False
    requests_per_s_max: int = 0
    """Trade requests taken within one second of broker time; 0 is no limit."""
    history_delay_ms: int = 0
    """How long after its time a deal or a done order appears in history."""
    history_deals_max: int = HISTORY_DEALS_MAX
    history_orders_max: int = HISTORY_ORDERS_MAX
    slippage_points_max: int = 0
    """How far market execution may miss the quote, either way, by the seed."""
    requotes_per_mille: int = 0
    """How often instant execution asks again although the price would do, by the seed."""
    seed: int = 0
    first_ticket: int = 1_001
    """Orders, and with them positions, count from here; deals from a million later."""

    @property
    def is_hedging(self) -> bool:
        """Whether each deal opens a position of its own."""
        return self.margin_mode is MarginMode.RETAIL_HEDGING

    @property
    def money_unit(self) -> int:
        """Minor units in one unit of the currency."""
        return 10**self.currency_digits
