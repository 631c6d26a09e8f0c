"""A simulated terminal: the port over a made-up market, deterministic by seed and clock."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from typing_extensions import override

from aitrading.client.terminal.api.arrays import TICKS_DTYPE, TickRows
from aitrading.client.terminal.api.constants import (
    COPY_TICKS_TRADE,
    RES_E_FAIL,
    RES_E_INTERNAL_FAIL_CONNECT,
    RES_E_INVALID_PARAMS,
    RES_E_NOT_FOUND,
    RES_S_OK,
)
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.broker_time import (
    is_repeated_hour,
    utc_of_broker_s,
)
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.sim.market.generator import (
    FOUR_SYMBOLS,
    SimulatedInstrument,
    SimulatedMarket,
)
from aitrading.client.terminal.sim.symbol_masks import matches
from aitrading.core.kit.clock import NS_PER_S, Clock

NS_PER_US: Final = 1_000
HISTORY_S: Final = 7 * 24 * 3_600
"""How far back the simulated broker keeps ticks."""
DEFAULT_TICKS_PER_S: Final = 4.0
SIMULATED_LOGIN: Final = 1_000_001
SIMULATED_SERVER: Final = "Simulated-Demo"

T = TypeVar("T")


class SimulatedAccount(NamedTuple):
    """The account of the simulated broker."""

    login: int
    leverage: int
    margin_mode: int
    balance: float
    equity: float
    name: str
    server: str
    currency: str
    company: str


class SimulatedSymbol(NamedTuple):
    """One symbol of the simulated broker."""

    name: str
    digits: int
    point: float
    visible: bool
    description: str


class SimulatedTick(NamedTuple):
    """The newest tick, as `symbol_info_tick` gives it."""

    time: int
    bid: float
    ask: float
    last: float
    volume: int
    time_msc: int
    flags: int
    volume_real: float


class SimulatedTerminal(Terminal):
    """Answers like a terminal whose broker trades around the clock.

    Ticks appear when the injected clock passes their microsecond, so that two ticks of one
    millisecond may come in different calls, as with a real terminal.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 0,
        ticks_per_s: float = DEFAULT_TICKS_PER_S,
        instruments: Iterable[SimulatedInstrument] = FOUR_SYMBOLS,
        login: int = SIMULATED_LOGIN,
    ) -> None:
        self._clock = clock
        self._login = login
        self._instruments = {instrument.name: instrument for instrument in instruments}
        self._markets = {
            name: SimulatedMarket(instrument, seed=seed, ticks_per_s=ticks_per_s)
            for name, instrument in self._instruments.items()
        }
        self._selected = set(self._instruments)
        self._connected = False
        self._error: ErrorOfTerminal = (RES_S_OK, "Success")

    @override
    def initialize(self, *args: Any, **kwargs: Any) -> bool:
        self._connected = True
        return self._well(True)

    @override
    def shutdown(self) -> None:
        self._connected = False
        self._well(None)

    @override
    def last_error(self) -> ErrorOfTerminal:
        return self._error

    @override
    def account_info(self) -> SimulatedAccount | None:
        if not self._reachable():
            return None
        return self._well(
            SimulatedAccount(
                login=self._login,
                leverage=100,
                margin_mode=2,
                balance=10_000.0,
                equity=10_000.0,
                name="Simulated account",
                server=SIMULATED_SERVER,
                currency="USD",
                company="aitrading simulated broker",
            )
        )

    @override
    def symbols_get(self, group: str = "*") -> tuple[SimulatedSymbol, ...] | None:
        if not self._reachable():
            return None
        names = [name for name in self._instruments if matches(name, group)]
        return self._well(tuple(self._symbol(name) for name in names))

    @override
    def symbol_info(self, symbol: str, /) -> SimulatedSymbol | None:
        if not self._reachable() or not self._known(symbol):
            return None
        return self._well(self._symbol(symbol))

    @override
    def symbol_select(self, symbol: str, enable: bool = True, /) -> bool:
        if not self._reachable() or not self._known(symbol):
            return False
        if enable:
            self._selected.add(symbol)
        else:
            self._selected.discard(symbol)
        return self._well(True)

    @override
    def symbol_info_tick(self, symbol: str, /) -> SimulatedTick | None:
        if not self._reachable() or not self._known(symbol):
            return None
        if symbol not in self._selected:
            return self._refuse(RES_E_FAIL, "Terminal: Call failed")
        return self._well(self._newest(symbol))

    @override
    def copy_ticks_from(
        self, symbol: str, date_from: int | datetime, count: int, flags: int, /
    ) -> TickRows | None:
        if not self._reachable() or not self._known(symbol):
            return None
        if count < 0:
            return self._refuse(RES_E_INVALID_PARAMS, "Terminal: Invalid params")
        if symbol not in self._selected:
            return self._refuse(RES_E_FAIL, "Terminal: Call failed")
        if flags == COPY_TICKS_TRADE:
            return self._well(np.empty(0, TICKS_DTYPE))
        return self._well(self._ticks(symbol, _broker_ms(date_from), count))

    def _ticks(self, symbol: str, from_ms: int, count: int) -> TickRows:
        parts: list[TickRows] = []
        missing = count
        for ticks in self._seconds(symbol, from_ms):
            part = ticks[ticks["time_msc"].searchsorted(from_ms) :][:missing]
            parts.append(part)
            missing -= len(part)
            if missing <= 0:
                break
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, TICKS_DTYPE)

    def _newest(self, symbol: str) -> SimulatedTick:
        now_s = self._clock.now_ns() // NS_PER_S
        for utc_s in range(now_s, now_s - HISTORY_S, -1):
            ticks = self._visible(symbol, utc_s)
            if len(ticks):
                return SimulatedTick(*ticks[-1].item())
        return SimulatedTick(0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0)

    def _seconds(self, symbol: str, from_ms: int) -> Iterator[TickRows]:
        now_s = self._clock.now_ns() // NS_PER_S
        first_s = max(utc_of_broker_s(from_ms // 1_000), now_s - HISTORY_S)
        for utc_s in range(first_s, now_s + 1):
            yield self._visible(symbol, utc_s)

    def _visible(self, symbol: str, utc_s: int) -> TickRows:
        """The ticks of one second that have happened by now."""
        if is_repeated_hour(utc_s):
            return np.empty(0, TICKS_DTYPE)
        second = self._markets[symbol].second(utc_s)
        now_us = self._clock.now_ns() // NS_PER_US
        return second.ticks[: second.time_us.searchsorted(now_us, side="right")]

    def _symbol(self, name: str) -> SimulatedSymbol:
        instrument = self._instruments[name]
        return SimulatedSymbol(
            name=name,
            digits=instrument.digits,
            point=instrument.point,
            visible=name in self._selected,
            description=instrument.description,
        )

    def _reachable(self) -> bool:
        if not self._connected:
            self._error = (RES_E_INTERNAL_FAIL_CONNECT, "No IPC connection")
        return self._connected

    def _known(self, symbol: str) -> bool:
        known = symbol in self._instruments
        if not known:
            self._error = (RES_E_NOT_FOUND, "Terminal: Not found")
        return known

    def _refuse(self, code: int, text: str) -> None:
        self._error = (code, text)

    def _well(self, answer: T) -> T:
        self._error = (RES_S_OK, "Success")
        return answer


def _broker_ms(date_from: int | datetime) -> int:
    if isinstance(date_from, datetime):
        return round(date_from.timestamp() * 1_000)
    return date_from * 1_000
