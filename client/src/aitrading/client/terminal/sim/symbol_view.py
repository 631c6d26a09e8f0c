"""A symbol as `symbol_info` shows it: the broker's terms and the prices of the day."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.structs import SymbolInfo
from aitrading.client.terminal.broker_time import utc_of_broker_s
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.listing import FOLDERS
from aitrading.client.terminal.sim.market.instruments import InstrumentKind, SimulatedInstrument
from aitrading.client.terminal.sim.market_watch import Listing
from aitrading.client.terminal.sim.views import lots_of, price_of

MINUTE_S: Final = 60
DAY_S: Final = 86_400
BOOK_LEVELS: Final = 8
DAYS_REMEMBERED: Final = 64
_EXCHANGES: Final = {InstrumentKind.STOCK: "NASDAQ", InstrumentKind.FUTURES: "NYMEX"}
_SECTORS: Final = {InstrumentKind.STOCK: "Technology", InstrumentKind.FUTURES: "Energy"}


@dataclass(frozen=True, slots=True)
class DayPrices:
    """The bid of a broker's day, and where the day before ended."""

    opened: float
    high: float
    low: float
    closed_before: float


class SymbolView:
    """Makes `SymbolInfo`; what an administrator set is written down once."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._fixed = _terms(listing.instrument, listing.spec)
        self._day = lru_cache(maxsize=DAYS_REMEMBERED)(self._prices)

    def at(self, broker_s: int, tick: TickRows, tick_value: float, *, shown: bool) -> SymbolInfo:
        """The symbol at a second of the broker's clock, with its newest tick."""
        fixed = self._fixed._replace(
            select=shown,
            visible=shown,
            trade_tick_value=tick_value,
            trade_tick_value_profit=tick_value,
            trade_tick_value_loss=tick_value,
        )
        if not len(tick):
            return fixed
        newest = tick[0]
        bid, ask = float(newest["bid"]), float(newest["ask"])
        day = self._day(broker_s // MINUTE_S * MINUTE_S)
        low, high = min(day.low or bid, bid), max(day.high, bid)
        spread = ask - bid
        return fixed._replace(
            time=int(newest["time"]),
            bid=bid,
            ask=ask,
            spread=round(spread * 10**self._listing.spec.digits),
            **_deals(newest, low, self._rounded(high + spread)),
            bidhigh=high,
            bidlow=low,
            askhigh=self._rounded(high + spread),
            asklow=self._rounded(low + spread),
            session_open=day.opened or bid,
            session_close=day.closed_before or bid,
            price_change=_percent(bid, day.closed_before or bid),
            price_volatility=_percent(high, low),
        )

    def _prices(self, broker_s: int) -> DayPrices:
        """From a price a minute where prices are known without ticks, else from bars."""
        day_s = broker_s // DAY_S * DAY_S
        start_s = utc_of_broker_s(day_s)
        minutes = start_s + np.arange(0, max(1, broker_s - day_s), MINUTE_S, dtype=np.float64)
        before = self._listing.history.source.sample(np.append(start_s - 1.0, minutes))
        if before is None:
            return self._prices_of_bars(day_s, broker_s)
        bids = np.rint(before - self._listing.instrument.spread_points / 2)
        closed, opened = float(bids[0]), float(bids[1])
        prices = (opened, float(bids[1:].max()), float(bids[1:].min()), closed)
        return DayPrices(*(price_of(one, self._listing.spec.digits) for one in prices))

    def _prices_of_bars(self, day_s: int, broker_s: int) -> DayPrices:
        days = self._listing.bars.before(c.TIMEFRAME_D1, broker_s, 2)
        today = days[days["time"] == day_s]
        earlier = days[days["time"] < day_s]
        closed = float(earlier["close"][-1]) if len(earlier) else 0.0
        if not len(today):
            return DayPrices(0.0, 0.0, 0.0, closed)
        bar = today[0]
        return DayPrices(float(bar["open"]), float(bar["high"]), float(bar["low"]), closed)

    def _rounded(self, price: float) -> float:
        return round(price, self._listing.spec.digits)


def _deals(newest: np.void, low: float, high: float) -> dict[str, Any]:
    """The fields of the last deal, where an exchange has one."""
    last, volume = float(newest["last"]), float(newest["volume_real"])
    if not last:
        return {}
    prices = {"last": last, "lastlow": min(low, last), "lasthigh": max(high, last)}
    volumes = dict.fromkeys(("volume_real", "volumelow_real", "volumehigh_real"), volume)
    return prices | volumes | dict.fromkeys(("volume", "volumelow", "volumehigh"), int(volume))


def _percent(now: float, then: float) -> float:
    return round(100 * (now - then) / then, 4) if then else 0.0


def _terms(instrument: SimulatedInstrument, spec: SymbolSpec) -> SymbolInfo:
    """Everything that does not depend on prices; the rest is zero."""
    empty: dict[str, Any] = {name: kind() for name, kind in SymbolInfo.__annotations__.items()}
    hedged = spec.contract_size if spec.margin_hedged is None else spec.margin_hedged
    terms: dict[str, Any] = {
        "chart_mode": c.SYMBOL_CHART_MODE_BID,
        "digits": spec.digits,
        "spread": instrument.spread_points,
        "spread_float": True,
        "ticks_bookdepth": BOOK_LEVELS,
        "trade_calc_mode": int(spec.calc_mode),
        "trade_mode": int(spec.trade_mode),
        "trade_stops_level": spec.stops_level_points,
        "trade_freeze_level": spec.freeze_level_points,
        "trade_exemode": int(spec.execution),
        "swap_mode": int(spec.swap_mode),
        "swap_rollover3days": int(spec.swap_rollover3days),
        "margin_hedged_use_leg": spec.margin_hedged_use_leg,
        "expiration_mode": int(spec.expiration_mode),
        "filling_mode": int(spec.filling_mode),
        "order_mode": int(spec.order_mode),
        "order_gtc_mode": int(spec.gtc_mode),
        "point": float(f"1e-{spec.digits}"),
        "trade_tick_size": price_of(spec.tick_size_points, spec.digits),
        "trade_contract_size": float(spec.contract_size),
        "trade_face_value": float(spec.face_value),
        "trade_liquidity_rate": float(spec.liquidity_rate),
        "volume_min": lots_of(spec.volume_min),
        "volume_max": lots_of(spec.volume_max),
        "volume_step": lots_of(spec.volume_step),
        "volume_limit": lots_of(spec.volume_limit),
        "swap_long": float(spec.swap_long),
        "swap_short": float(spec.swap_short),
        "margin_initial": float(spec.margin_initial),
        "margin_maintenance": float(spec.margin_maintenance),
        "margin_hedged": float(hedged),
        "basis": "",
        "category": _SECTORS.get(instrument.kind, ""),
        "currency_base": spec.currency_base,
        "currency_profit": spec.currency_profit,
        "currency_margin": spec.currency_margin,
        "bank": "",
        "description": instrument.description,
        "exchange": _EXCHANGES.get(instrument.kind, ""),
        "name": spec.name,
        "path": f"{FOLDERS[instrument.kind]}\\{spec.name}",
    }
    return SymbolInfo(**(empty | terms))
