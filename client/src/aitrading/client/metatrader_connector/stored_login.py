"""Logs the terminal in with the stored login: opened for the call, wiped after it."""

from aitrading.client.metatrader_connector.questions import unavailable
from aitrading.client.security.credential_errors import CREDENTIALS_OTHER_ACCOUNT
from aitrading.client.security.credential_manager import CredentialManager
from aitrading.client.terminal.port import AccountInfo, Terminal


class StoredLogin:
    """Runs in the terminal's own thread, which may wait for the server."""

    def __init__(self, manager: CredentialManager) -> None:
        self._manager = manager

    def __call__(self, terminal: Terminal) -> AccountInfo:
        """Connect and tell which account it is; raises `CREDENTIALS_…` or `TERMINAL_UNAVAILABLE`.

        The password is given to `initialize` once, by keyword, and to nothing else.
        """
        stored = self._manager.open()
        with stored.password as password:
            done = terminal.initialize(
                login=stored.login, password=password.text(), server=stored.server
            )
        account = terminal.account_info() if done else None
        if account is None:
            raise unavailable(terminal)
        if account.login != stored.login:
            terminal.shutdown()
            raise CREDENTIALS_OTHER_ACCOUNT.error()
        return account
