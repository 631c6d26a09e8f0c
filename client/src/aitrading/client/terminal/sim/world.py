"""Everything behind one simulated terminal, put together."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from aitrading.client.terminal.sim.accounts import BrokerAccount
from aitrading.client.terminal.sim.arguments import COMMENT_CHARS, RequestReader
from aitrading.client.terminal.sim.broker.specs import AccountSpec, SymbolSpec
from aitrading.client.terminal.sim.clock import TerminalClock
from aitrading.client.terminal.sim.faults import FaultKind, FaultRule, Faults, Gate
from aitrading.client.terminal.sim.listing import AS_USUAL, Terms, spec_of
from aitrading.client.terminal.sim.market.bars import BarHistory
from aitrading.client.terminal.sim.market.faulty import FaultyMarket, TickFault
from aitrading.client.terminal.sim.market.generator import SimulatedMarket
from aitrading.client.terminal.sim.market.history import SymbolHistory
from aitrading.client.terminal.sim.market.instruments import (
    CATALOGUE,
    FOUR_SYMBOLS,
    SimulatedInstrument,
    with_suffix,
)
from aitrading.client.terminal.sim.market.recording import Recording, open_recordings
from aitrading.client.terminal.sim.market.replay import Playback, ReplayMarket
from aitrading.client.terminal.sim.market.sessions import Calendar
from aitrading.client.terminal.sim.market.ticks import US_PER_S, TickSource
from aitrading.client.terminal.sim.market_watch import Listing, MarketWatch
from aitrading.client.terminal.sim.quotes import QuoteCalls
from aitrading.client.terminal.sim.session import SessionCalls
from aitrading.client.terminal.sim.trade_server import TradeServer
from aitrading.client.terminal.sim.trading import TradingCalls
from aitrading.core.kit.clock import Clock

DEFAULT_TICKS_PER_S: Final = 4.0
HISTORY_S: Final = 5 * 365 * 24 * 3_600
"""How far back the simulated broker keeps ticks and bars."""
DENSE_S: Final = 7 * 24 * 3_600
"""How many seconds before the terminal was opened have all their ticks, at the least."""
DEFAULT_ACCOUNT: Final = AccountSpec()
TICKETS_APART: Final = 10_000_000
"""Tickets are the broker's: no two accounts have one."""


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """What kind of broker and market the terminal is connected to."""

    seed: int = 0
    ticks_per_s: float = DEFAULT_TICKS_PER_S
    instruments: tuple[SimulatedInstrument, ...] = FOUR_SYMBOLS
    suffix: str = ""
    """What the broker adds to every symbol's name."""
    shown: tuple[str, ...] = ()
    """Symbols in Market Watch from the start; none given is all of them."""
    keeps_hours: bool = False
    """Closed at night and on weekends as the class of the instrument is, or always open."""
    terms: Terms = AS_USUAL
    account: AccountSpec = DEFAULT_ACCOUNT
    accounts: tuple[BrokerAccount, ...] = ()
    """What each log-in is held against; none given is one account that everybody opens."""
    comment_chars: int = COMMENT_CHARS
    replay: Path | None = None
    """A recorded day, or a folder of them, instead of made-up prices."""
    replay_starts_us: int | None = None
    """When the recording begins to happen; None is when the terminal is opened."""
    speed: float = 1.0
    """How many times as fast a recording is replayed."""
    history_s: int = HISTORY_S
    clock_starts_us: int | None = None
    """What the clock shows when the terminal is opened; None is the time of now."""
    clock_speed: float = 1.0
    """How many times as fast it runs."""


class World:
    """The clock, the market, the broker and the account of one terminal."""

    def __init__(
        self,
        clock: Clock,
        options: WorldOptions,
        *,
        faults: Iterable[FaultRule] = (),
        gate: Gate | None = None,
    ) -> None:
        self.is_running = True
        self.clock = TerminalClock(
            clock, starts_us=options.clock_starts_us, speed=options.clock_speed
        )
        self.faults = Faults(faults, seed=options.seed, now_us=self.clock.now_us, gate=gate)
        self._options = options
        listings = self._recorded() if options.replay else self._made_up()
        self.watch = MarketWatch(
            listings, options.shown or [listing.spec.name for listing in listings]
        )
        self.server = TradeServer(
            _specs(options), self.watch, self.clock.now_us, faults=self.faults
        )
        self.session = SessionCalls(self.server, options.accounts, self.faults)
        self.quotes = QuoteCalls(self.watch, self.server, self.faults)
        reader = RequestReader(options.comment_chars)
        self.trading = TradingCalls(self.server, self.watch, reader)

    def _made_up(self) -> list[Listing]:
        options = self._options
        dense_from_s = (self.clock.now_us() // US_PER_S - DENSE_S) // DENSE_S * DENSE_S
        return [
            self._listing(
                instrument,
                SimulatedMarket(
                    instrument,
                    seed=options.seed,
                    ticks_per_s=options.ticks_per_s,
                    calendar=self._calendar(instrument),
                    history_s=options.history_s,
                    dense_from_s=dense_from_s,
                ),
            )
            for instrument in (with_suffix(one, options.suffix) for one in options.instruments)
        ]

    def _recorded(self) -> list[Listing]:
        options = self._options
        recordings = open_recordings(options.replay or Path())
        from_us = min(recording.days[0] for recording in recordings) * US_PER_S
        starts_us = options.replay_starts_us
        playback = Playback(
            from_us, self.clock.now_us() if starts_us is None else starts_us, options.speed
        )
        return [
            self._listing(
                with_suffix(instrument_of(recording), options.suffix),
                ReplayMarket(recording, playback),
            )
            for recording in recordings
        ]

    def _listing(self, instrument: SimulatedInstrument, source: TickSource) -> Listing:
        faults = [
            TickFault(key, rule.probability or 0.0, rule.kind is FaultKind.DUPLICATE_TICK)
            for key, rule in self.faults.tick_rules(instrument.name)
        ]
        history = SymbolHistory(
            FaultyMarket(source, faults) if faults else source, self.clock.now_us
        )
        return Listing(
            instrument=instrument,
            spec=self._spec(instrument),
            history=history,
            bars=BarHistory(history, self.clock.now_us),
        )

    def _calendar(self, instrument: SimulatedInstrument) -> Calendar:
        return Calendar(self._spec(instrument).sessions)

    def _spec(self, instrument: SimulatedInstrument) -> SymbolSpec:
        options = self._options
        return spec_of(instrument, keeps_hours=options.keeps_hours, terms=options.terms)


def _specs(options: WorldOptions) -> list[AccountSpec]:
    """Listed accounts are alike but for their numbers; each has money and orders of its own."""
    return [
        msgspec.structs.replace(
            options.account,
            login=one.login,
            first_ticket=options.account.first_ticket + number * TICKETS_APART,
        )
        for number, one in enumerate(options.accounts)
    ] or [options.account]


def instrument_of(recording: Recording) -> SimulatedInstrument:
    """What the catalogue says of a recorded symbol, with the recording's own decimals."""
    for known in CATALOGUE:
        if known.name == recording.symbol:
            return replace(known, digits=recording.digits)
    return SimulatedInstrument(
        name=recording.symbol,
        digits=recording.digits,
        price_points=recording.price_points(),
        step_points=1.0,
        spread_points=1,
    )
