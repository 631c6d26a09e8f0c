"""The functions that connect, and those that describe terminal and account."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitrading.client.terminal.api import errors
from aitrading.client.terminal.api.structs import AccountInfo, TerminalInfo
from aitrading.client.terminal.sim.accounts import Accounts, BrokerAccount
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


class SessionCalls:
    """Connection and log-in of one terminal."""

    def __init__(
        self, server: TradeServer, accounts: Sequence[BrokerAccount], faults: Faults
    ) -> None:
        self.is_connected = False
        self.accounts = Accounts(accounts)
        self._server = server
        self._faults = faults

    def initialize(self, given: Sequence[object], by_name: Mapping[str, object]) -> bool:
        """Connect to the terminal, and log in when an account is named; without one, to none."""
        unnamed(given, text, optional=1)
        wanted = named(by_name, _INITIALIZING)
        self.is_connected = False
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
            connected=self.accounts.current is not None,
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
        shown = self.accounts.require()
        account, state = self._server.account, self._server.current().account
        unit = account.money_unit
        return AccountInfo(
            login=shown.login or account.login,
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
            name=shown.name,
            server=shown.server,
            currency=account.currency,
            company=COMPANY,
        )

    def _log_in(self, wanted: Mapping[str, Any]) -> None:
        self.accounts.log_in(wanted)
        self._server.change(self.accounts.require().number)
