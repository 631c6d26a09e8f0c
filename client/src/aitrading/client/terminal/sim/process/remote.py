"""A twin in another process, called like one in this process."""

import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from typing_extensions import override

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.arrays import TickRows
from aitrading.client.terminal.api.errors import ErrorOfTerminal
from aitrading.client.terminal.api.structs import AccountInfo, SymbolInfo, Tick
from aitrading.client.terminal.errors import TWIN_PROCESS_UNREACHABLE
from aitrading.client.terminal.port import Terminal
from aitrading.client.terminal.sim.module import FUNCTIONS
from aitrading.client.terminal.sim.process.server import LOOPBACK, Address
from aitrading.client.terminal.wire import receive, send
from aitrading.core.kit.errors import AitradingError

CALL_TIMEOUT_S: Final = 60.0
_YES_OR_NO: Final = frozenset(
    {"initialize", "login", "symbol_select", "market_book_add", "market_book_release"}
)


def read_address(file: Path) -> Address:
    """Where a twin said it listens; raises `TERMINAL_PROCESS_UNREACHABLE`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError) as exc:
        raise TWIN_PROCESS_UNREACHABLE.error(file=str(file), problem=str(exc)) from exc


class RemoteTerminal(Terminal):
    """Every function of the package; a twin that is gone answers -10004, a silent one -10005.

    The address is read again at each `initialize`, so a twin that was started anew is found.
    """

    def __init__(self, address_file: Path, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._file = address_file
        self._timeout_s = timeout_s
        self._connection: socket.socket | None = None
        self._error: ErrorOfTerminal = errors.SUCCESS

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            raise AttributeError(name)
        return lambda *args, **kwargs: self._call(name, *args, **kwargs)

    @override
    def initialize(self, *args: Any, **kwargs: Any) -> bool:
        self._hang_up()
        try:
            address = read_address(self._file)
            connection = socket.create_connection((LOOPBACK, address.port), self._timeout_s)
            self._connection = connection
            send(connection, address.token)
            receive(connection)
        except OSError as exc:
            return self._failed(exc)
        except AitradingError:
            self._error = errors.initialize_failed("MetaTrader 5 x64 not found")
            return False
        return bool(self._call("initialize", *args, **kwargs))

    @override
    def shutdown(self) -> None:
        self._call("shutdown")
        self._hang_up()
        self._error = errors.SUCCESS

    @override
    def last_error(self) -> ErrorOfTerminal:
        return self._error

    @override
    def account_info(self) -> AccountInfo | None:
        return self._call("account_info")

    @override
    def symbols_get(self, *args: Any, **kwargs: Any) -> tuple[SymbolInfo, ...] | None:
        return self._call("symbols_get", *args, **kwargs)

    @override
    def symbol_info(self, *args: Any) -> SymbolInfo | None:
        return self._call("symbol_info", *args)

    @override
    def symbol_select(self, *args: Any) -> bool:
        return self._call("symbol_select", *args)

    @override
    def symbol_info_tick(self, *args: Any) -> Tick | None:
        return self._call("symbol_info_tick", *args)

    @override
    def copy_ticks_from(
        self, symbol: str, start: int | datetime, count: int, flags: int, /
    ) -> TickRows | None:
        return self._call("copy_ticks_from", symbol, start, count, flags)

    def control(self, name: str, *args: object) -> Any:
        """Step the clock, add a fault, release a wedge, or look: over a connection of its own."""
        address = read_address(self._file)
        with socket.create_connection((LOOPBACK, address.port), self._timeout_s) as connection:
            send(connection, address.token)
            receive(connection)
            message: list[object] = [name, list(args), {}]
            send(connection, message)
            answer, _, refusal = receive(connection)
        if refusal is not None:
            raise ValueError(refusal)
        return answer

    def _call(self, name: str, *args: object, **kwargs: object) -> Any:
        if self._connection is None:
            self._error = errors.NO_CONNECTION
            return False if name in _YES_OR_NO else None
        try:
            send(self._connection, [name, list(args), kwargs])
            answer, error, refusal = receive(self._connection)
        except OSError as exc:
            has_failed = self._failed(exc)
            return has_failed if name in _YES_OR_NO else None
        if refusal is not None:
            raise TypeError(refusal)
        self._error = (int(error[0]), str(error[1]))
        return answer

    def _failed(self, exc: OSError) -> bool:
        """A late answer would be taken for that of the next call: the connection is given up."""
        self._hang_up()
        self._error = errors.IPC_TIMEOUT if isinstance(exc, TimeoutError) else errors.NO_CONNECTION
        return False

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
