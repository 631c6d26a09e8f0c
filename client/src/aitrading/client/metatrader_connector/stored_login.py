"""Logs the terminal in with the stored login: opened for the call, wiped after it."""

import asyncio

from aitrading.client.security.credential_errors import CREDENTIALS_OTHER_ACCOUNT
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.terminal.calls import Asks, call, unavailable
from aitrading.client.terminal.port import AccountInfo


class StoredLogin:
    """Every worker logs in with it; opening it may wait for the server."""

    def __init__(self, manager: CredentialManager) -> None:
        self._manager = manager

    async def __call__(self, terminal: Asks) -> AccountInfo:
        """Connect and tell which account it is; raises `CREDENTIALS_…` or `TERMINAL_UNAVAILABLE`.

        The password is given to `initialize` once, by keyword, and to nothing else; on its way to
        the worker it is in a pipe that nobody else can open. Once answered, neither side refers to it.
        Its characters, and the bytes of the frame in the buffers of both processes, cannot be wiped:
        they stay in memory until it is used again.
        """
        stored = await asyncio.to_thread(self._manager.open)
        with stored.password as password:
            done, account = await terminal.ask(
                call(
                    "initialize",
                    login=stored.login,
                    password=password.text(),
                    server=stored.server,
                ),
                call("account_info"),
            )
        if not done.value or account.value is None:
            raise unavailable(account.error if done.value else done.error)
        logged_in: AccountInfo = account.value
        if logged_in.login != stored.login:
            await terminal.ask(call("shutdown"))
            raise CREDENTIALS_OTHER_ACCOUNT.error()
        return logged_in
