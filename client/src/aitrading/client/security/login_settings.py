"""Settings of the terminal's login."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting

OWNER_TERMINAL: Final = "terminal"
OWNER_STORE: Final = "store"


@dataclass(frozen=True, kw_only=True)
class TerminalLoginSettings:
    """Who logs the terminal in to the broker."""

    SECTION: ClassVar[str] = "terminal_login"

    owner: Annotated[
        str,
        Setting(
            doc="`terminal`: it logs in by itself and nothing is stored here. `store`: the client "
            "hands over the login that `aitrading-client credentials set` stored.",
            choices=(OWNER_TERMINAL, OWNER_STORE),
        ),
    ] = OWNER_TERMINAL
    login: Annotated[
        int,
        Setting(
            doc="Number of the account that is used, and no other; 0 takes the one that the terminal "
            "is logged in to. With `terminal_login.owner` = `terminal` the terminal logs in to it with "
            "the password that it saved itself.",
            minimum=0,
            env="MT5_LOGIN",
        ),
    ] = 0
    server: Annotated[
        str,
        Setting(
            doc="The broker's server of that account, as the terminal names it; empty takes any.",
            env="MT5_SERVER",
        ),
    ] = ""
    passphrase_file: Annotated[
        str,
        Setting(
            doc="File with the passphrase of a stored login, for a client without a person beside "
            "it; only its owner may read it. Best on a medium of its own."
        ),
    ] = ""
    renew_s: Annotated[
        int,
        Setting(
            doc="How often the server is asked for the stored login's lease, and with it whether "
            "it wants the login sealed anew. A lease lasts a day.",
            unit="s",
            minimum=1,
            maximum=43_200,
        ),
    ] = 3600

    def problems(self) -> Iterable[str]:
        """A server alone names no account."""
        if self.server and not self.login:
            yield "`server` (MT5_SERVER) needs `login` (MT5_LOGIN)"
