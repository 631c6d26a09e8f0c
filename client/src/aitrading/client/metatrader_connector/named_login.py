"""Keeps the client to the account that its settings name."""

from typing import Any

from aitrading.client.security.login_settings import OWNER_TERMINAL, TerminalLoginSettings
from aitrading.client.terminal.calls import Asks, call, unavailable
from aitrading.client.terminal.pool.errors import ACCOUNT_NOT_NAMED
from aitrading.client.terminal.pool.slot import LogIn
from aitrading.client.terminal.port import AccountInfo


def account_wanted(settings: TerminalLoginSettings) -> dict[str, Any]:
    """What `initialize` is told of the account; without a password the terminal uses its saved one."""
    if not settings.login or settings.owner != OWNER_TERMINAL:
        return {}
    return {"login": settings.login} | ({"server": settings.server} if settings.server else {})


class NamedLogin:
    """Logs in as `log_in` does, or lets the terminal do it, and takes no other account."""

    def __init__(self, settings: TerminalLoginSettings, log_in: LogIn | None = None) -> None:
        self._settings = settings
        self._log_in = log_in or self._by_terminal

    async def __call__(self, terminal: Asks) -> AccountInfo:
        """Raises `TERMINAL_ACCOUNT_NOT_NAMED`, or what logging in raises."""
        account, wanted = await self._log_in(terminal), self._settings
        if account.login != wanted.login or wanted.server not in {"", account.server}:
            await terminal.ask(call("shutdown"))
            raise ACCOUNT_NOT_NAMED.error(server=account.server)
        return account

    async def _by_terminal(self, terminal: Asks) -> AccountInfo:
        done, account = await terminal.ask(
            call("initialize", **account_wanted(self._settings)), call("account_info")
        )
        if not done.value or account.value is None:
            raise unavailable(account.error if done.value else done.error)
        logged_in: AccountInfo = account.value
        return logged_in
