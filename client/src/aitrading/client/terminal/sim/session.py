"""The functions that connect, and those that describe terminal and account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.structs import AccountInfo, TerminalInfo
from aitrading.client.terminal.sim.arguments import (
    CallRefusedError,
    Reader,
    named,
    text,
    unnamed,
    whole,
)
from aitrading.client.terminal.sim.faults import FaultKind, Faults
from aitrading.client.terminal.sim.market.bars import BARS_MAX
from aitrading.client.terminal.sim.trade_server import TradeServer

TERMINAL_VERSION: Final = (500, 5836, "17 Apr 2026")
COMPANY: Final = "aitrading simulated broker"
PING_US: Final = 2_400
CODEPAGE: Final = 1_252
FOLDER: Final = "C:\\Program Files\\Simulated Terminal"
_CONNECTING: Final[dict[str, Reader[Any]]] = {
    "login": whole,
    "password": text,
    "server": text,
    "timeout": whole,
}
_INITIALIZING: Final = _CONNECTING | {"path": text, "portable": whole}


@dataclass(frozen=True, kw_only=True)
class AccountOwner:
    """What the account is called, and what opens it; no password opens it to everybody."""

    server: str
    name: str = "Simulated account"
    password: str = ""


class SessionCalls:
    """Connection and log-in of one terminal."""

    def __init__(self, server: TradeServer, owner: AccountOwner, faults: Faults) -> None:
        self.is_connected = False
        self._server = server
        self._owner = owner
        self._named_login = 0
        self._faults = faults

    def initialize(self, given: Sequence[object], by_name: Mapping[str, object]) -> bool:
        """Connect to the terminal, and log in when an account is named."""
        unnamed(given, text, optional=1)
        wanted = named(by_name, _INITIALIZING)
        self._log_in(wanted)
        self.is_connected = True
        return True

    def login(self, given: Sequence[object], by_name: Mapping[str, object]) -> bool:
        """Log in to an account."""
        placed = unnamed(given, whole, text, text, whole, optional=4)
        wanted = dict(zip(("login", "password", "server", "timeout"), placed, strict=False))
        wanted |= named(by_name, _CONNECTING)
        if "login" not in wanted:
            raise CallRefusedError(errors.INVALID_ARGUMENT_COUNT)
        self._log_in(wanted)
        return True

    def terminal_info(self) -> TerminalInfo:
        """The terminal program and its connection."""
        return TerminalInfo(
            community_account=False,
            community_connection=False,
            connected=True,
            dlls_allowed=False,
            trade_allowed=not self._faults.lasts(FaultKind.TRADE_DISABLED),
            tradeapi_disabled=False,
            email_enabled=False,
            ftp_enabled=False,
            notifications_enabled=False,
            mqid=False,
            build=TERMINAL_VERSION[1],
            maxbars=BARS_MAX,
            codepage=CODEPAGE,
            ping_last=PING_US,
            community_balance=0.0,
            retransmission=0.0,
            company=COMPANY,
            name="Simulated Terminal",
            language="English",
            path=FOLDER,
            data_path=FOLDER,
            commondata_path=FOLDER,
        )

    def account_info(self) -> AccountInfo:
        """The account with its figures of now."""
        account, state = self._server.account, self._server.current().account
        unit = account.money_unit
        return AccountInfo(
            login=self._named_login or account.login,
            trade_mode=int(account.kind),
            leverage=account.leverage,
            limit_orders=account.limit_orders,
            margin_so_mode=int(account.stopout_mode),
            trade_allowed=True,
            trade_expert=True,
            margin_mode=int(account.margin_mode),
            currency_digits=account.currency_digits,
            fifo_close=account.fifo_close,
            balance=state.balance / unit,
            credit=state.credit / unit,
            profit=state.profit / unit,
            equity=state.equity / unit,
            margin=state.margin / unit,
            margin_free=state.margin_free / unit,
            margin_level=float(state.margin_level or 0),
            margin_so_call=float(account.margin_call),
            margin_so_so=float(account.stop_out),
            margin_initial=0.0,
            margin_maintenance=0.0,
            assets=0.0,
            liabilities=0.0,
            commission_blocked=0.0,
            name=self._owner.name,
            server=self._owner.server,
            currency=account.currency,
            company=COMPANY,
        )

    def _log_in(self, wanted: Mapping[str, Any]) -> None:
        """One account lives here: without a password it is opened under any number, and has it."""
        if "login" not in wanted:
            return
        given = (wanted["login"], wanted.get("password"))
        if self._owner.password and given != (self._server.account.login, self._owner.password):
            raise CallRefusedError(errors.AUTH_FAILED)
        self._named_login = wanted["login"]
