"""The symbols of the broker, and which of them the terminal shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.sim.arguments import CallRefusedError
from aitrading.client.terminal.sim.broker.specs import SymbolSpec
from aitrading.client.terminal.sim.market.bars import BarHistory
from aitrading.client.terminal.sim.market.history import SymbolHistory
from aitrading.client.terminal.sim.market.instruments import SimulatedInstrument
from aitrading.client.terminal.sim.symbol_masks import matches


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One symbol with its terms and its past."""

    instrument: SimulatedInstrument
    spec: SymbolSpec
    history: SymbolHistory
    bars: BarHistory


class MarketWatch:
    """Looks symbols up as the terminal does: hidden ones have no fresh prices."""

    def __init__(self, listings: Iterable[Listing], shown: Iterable[str]) -> None:
        self._listings = {listing.spec.name: listing for listing in listings}
        self._shown = set(shown) & self._listings.keys()

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Everything the broker lists."""
        return self._listings

    @property
    def specs(self) -> dict[str, SymbolSpec]:
        """The terms of every symbol."""
        return {name: listing.spec for name, listing in self._listings.items()}

    def known(self, symbol: str) -> Listing:
        """The symbol, shown or not; raises what the package answers."""
        listing = self._listings.get(symbol)
        if listing is None:
            raise CallRefusedError(errors.NOT_FOUND)
        return listing

    def shown(self, symbol: str) -> Listing:
        """The symbol, if it is shown; raises what the package answers."""
        listing = self.known(symbol)
        if symbol not in self._shown:
            raise CallRefusedError(errors.CALL_FAILED)
        return listing

    def is_shown(self, symbol: str) -> bool:
        """Whether the symbol is in Market Watch."""
        return symbol in self._shown

    def show(self, symbol: str, *, wanted: bool) -> None:
        """Add the symbol to Market Watch, or take it out."""
        self.known(symbol)
        if wanted:
            self._shown.add(symbol)
        else:
            self._shown.discard(symbol)

    def matching(self, group: str) -> list[Listing]:
        """The symbols whose names match the masks."""
        return [one for name, one in self._listings.items() if matches(name, group)]
