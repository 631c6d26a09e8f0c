"""What the client needs from a terminal, shaped after the `MetaTrader5` package.

A terminal never raises for what went wrong in it: a call answers `None` or `False` and
`last_error()` tells why. Every time is the broker server's wall clock counted as if it were UTC
(`broker_time.py`). The package is not thread-safe, so each process calls it from one thread (`pool/program.py`).
"""

from datetime import datetime
from typing import Any, Protocol

from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.errors import ErrorOfTerminal


class AccountInfo(Protocol):
    """The account the terminal is logged in to; the fields the client uses."""

    @property
    def login(self) -> int:
        """The account's number at the broker."""
        ...

    @property
    def server(self) -> str:
        """The broker server's name, for example `MetaQuotes-Demo`."""
        ...

    @property
    def currency(self) -> str:
        """The deposit currency."""
        ...


class SymbolInfo(Protocol):
    """One symbol as the broker defines it; the fields the client uses."""

    @property
    def name(self) -> str:
        """The broker's spelling, suffix and all."""
        ...

    @property
    def digits(self) -> int:
        """Decimals of a price; a change makes a new stream."""
        ...

    @property
    def point(self) -> float:
        """The smallest step of a price."""
        ...

    @property
    def visible(self) -> bool:
        """Selected in Market Watch; a hidden symbol has no fresh ticks."""
        ...


class LastTick(Protocol):
    """The newest tick of a symbol; the fields the client uses."""

    @property
    def time_msc(self) -> int:
        """Broker time in milliseconds; 0 when there was no tick yet."""
        ...


class Terminal(Protocol):
    """The calls of the thin line; `MetaTrader5` itself satisfies them."""

    def initialize(self, *args: Any, **kwargs: Any) -> bool:
        """Connect to the terminal; False when it does not answer."""
        ...

    def shutdown(self) -> None:
        """Disconnect; harmless when not connected."""
        ...

    def last_error(self) -> ErrorOfTerminal:
        """Code and text of the last call, `(1, "Success")` when it went well."""
        ...

    def account_info(self) -> AccountInfo | None:
        """The account, or None without a connection."""
        ...

    def symbols_get(self, group: str = "*") -> tuple[SymbolInfo, ...] | None:
        """The symbols whose names match the masks in `group`."""
        ...

    def symbol_info(self, symbol: str, /) -> SymbolInfo | None:
        """One symbol, or None when the broker does not know it."""
        ...

    def symbol_select(self, symbol: str, wanted: bool = True, /) -> bool:
        """Show or hide the symbol in Market Watch."""
        ...

    def symbol_info_tick(self, symbol: str, /) -> LastTick | None:
        """The newest tick of a symbol."""
        ...

    def copy_ticks_from(
        self, symbol: str, start: int | datetime, count: int, flags: int, /
    ) -> TickRows | None:
        """Up to `count` ticks from a moment on, that moment included, oldest first.

        A whole number is a second: ticks of the same second come again at every call.
        """
        ...
