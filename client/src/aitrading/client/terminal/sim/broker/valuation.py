"""What a position is worth and how much margin it binds: exact fractions, rounded once."""

from collections.abc import Mapping
from typing import Final

from aitrading.client.terminal.sim.broker.conversion import Converter
from aitrading.client.terminal.sim.broker.kinds import CalcMode, Side
from aitrading.client.terminal.sim.broker.quotes import Quote
from aitrading.client.terminal.sim.broker.records import Position
from aitrading.client.terminal.sim.broker.specs import ONE, AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.broker.units import LOT, MICRO, Ratio, ratio, rounded, times

_BY_TICK_VALUE: Final = (
    CalcMode.FUTURES,
    CalcMode.EXCH_FUTURES,
    CalcMode.EXCH_OPTIONS,
    CalcMode.EXCH_OPTIONS_MARGIN,
)
_BONDS: Final = (CalcMode.EXCH_BONDS, CalcMode.EXCH_BONDS_MOEX)
_PER_CENT: Final = 100


class Valuation:
    """Turns points and volumes into the account's money at the prices of now."""

    def __init__(
        self,
        account: AccountSpec,
        symbols: Mapping[str, SymbolSpec],
        quotes: Mapping[str, Quote],
    ) -> None:
        self._account = account
        self._quotes = quotes
        self.converter = Converter(symbols, quotes)
        self._point_values = {
            name: times(_point_value(spec), (account.money_unit, LOT))
            for name, spec in symbols.items()
        }

    def point_value(self, spec: SymbolSpec) -> Ratio:
        """Minor units of the profit currency that a point earns per unit of volume."""
        return self._point_values[spec.name]

    def is_plain(self, spec: SymbolSpec) -> bool:
        """Whether results need no rate."""
        return spec.currency_profit == self._account.currency

    def is_own_rate(self, spec: SymbolSpec) -> bool:
        """Whether results are divided by the symbol's own price, as those of USDJPY in USD."""
        path = self.converter.path(spec.currency_profit, self._account.currency)
        return path is not None and [(hop.symbol, hop.is_inverse) for hop in path] == [
            (spec.name, True)
        ]

    @staticmethod
    def worth_of_point(spec: SymbolSpec) -> Ratio:
        """What a point earns per lot, in the profit currency."""
        return _point_value(spec)

    def profit(self, spec: SymbolSpec, side: Side, cost: int, proceeds: int) -> int | None:
        """The result in minor units; None when a rate is missing.

        `cost` and `proceeds` are points times units of volume.
        """
        gain = (proceeds - cost) * side.sign
        numerator, denominator = self._point_values[spec.name]
        if spec.currency_profit != self._account.currency:
            rate = self.converter.result_rate(
                spec.currency_profit, self._account.currency, is_gain=gain >= 0
            )
            if rate is None:
                return None
            numerator, denominator = times((numerator, denominator), rate)
        return rounded(gain * numerator, denominator)

    def floating(self, spec: SymbolSpec, position: Position) -> int:
        """What closing the position now would earn, without swap; 0 while a rate is missing."""
        price = self._quotes[spec.name].price(position.side.opposite)
        if not price:
            return 0
        proceeds = price * position.volume
        return self.profit(spec, position.side, position.cost, proceeds) or 0

    def margin_micro(
        self, spec: SymbolSpec, side: Side, volume: int, price: int, *, is_open: bool = False
    ) -> int | None:
        """Margin for a volume by itself, in millionths; None when a rate is missing."""
        fixed = spec.margin_initial
        if is_open and spec.margin_maintenance:
            fixed = spec.margin_maintenance
        per_lot = ratio(fixed) if fixed else _margin_per_lot(spec, price)
        per_lot = times(per_lot, ratio(spec.margin_rate))
        currency = spec.currency_margin
        if not fixed and spec.calc_mode in _BY_TICK_VALUE:
            currency = spec.currency_profit
        rate = self.converter.margin_rate(currency, self._account.currency, side)
        if rate is None:
            return None
        if not fixed and spec.calc_mode in {CalcMode.FOREX, CalcMode.CFDLEVERAGE}:
            rate = times(rate, (1, max(1, self._account.leverage)))
        numerator, denominator = times(per_lot, rate)
        scale = volume * self._account.money_unit * MICRO
        return rounded(numerator * scale, denominator * LOT)

    def converted(self, amount: Ratio, currency: str) -> int | None:
        """An amount of a currency in the account's minor units; None when a rate is missing."""
        rate = self.converter.result_rate(currency, self._account.currency, is_gain=amount[0] >= 0)
        if rate is None:
            return None
        numerator, denominator = times(amount, rate)
        return rounded(numerator * self._account.money_unit, denominator)


def _margin_per_lot(spec: SymbolSpec, price: int) -> Ratio:
    """The mode's formula without leverage and rates."""
    contract = ratio(spec.contract_size)
    at_market = times(contract, (price, 10**spec.digits))
    match spec.calc_mode:
        case CalcMode.FOREX | CalcMode.FOREX_NO_LEVERAGE:
            return contract
        case CalcMode.CFDINDEX:
            tick = times(ratio(spec.tick_value or ONE), (1, spec.tick_size_points))
            return times(at_market, times(tick, (10**spec.digits, 1)))
        case CalcMode.EXCH_BONDS | CalcMode.EXCH_BONDS_MOEX:
            return times(at_market, times(ratio(spec.face_value), (1, _PER_CENT)))
        case CalcMode.FUTURES | CalcMode.EXCH_FUTURES | CalcMode.SERV_COLLATERAL:
            return 0, 1
        case _:
            return at_market


def _point_value(spec: SymbolSpec) -> Ratio:
    """What a point earns per lot, in the profit currency."""
    if spec.calc_mode is CalcMode.SERV_COLLATERAL:
        return 0, 1
    if spec.calc_mode in _BY_TICK_VALUE:
        return times(ratio(spec.tick_value), (1, spec.tick_size_points))
    point = times(ratio(spec.contract_size), (1, 10**spec.digits))
    if spec.calc_mode in _BONDS:
        return times(times(point, ratio(spec.face_value)), (1, _PER_CENT))
    return point
