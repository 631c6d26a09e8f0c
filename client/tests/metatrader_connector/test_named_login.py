"""MT5_LOGIN and MT5_SERVER: the client uses the account they name, and no other."""

from pathlib import Path

import pytest

from aitrading.client.metatrader_connector.named_login import NamedLogin, account_wanted
from aitrading.client.metatrader_connector.questions import log_in
from aitrading.client.security.login_settings import OWNER_STORE, TerminalLoginSettings
from aitrading.client.service import load_config
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.accounts import BrokerAccount
from aitrading.client.terminal.sim.world import WorldOptions
from aitrading.client.testing.desk import CLOCK
from aitrading.client.testing.terminal_here import TerminalHere
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.testing.async_test import async_test


def named(login: int, server: str = "") -> TerminalLoginSettings:
    return TerminalLoginSettings(login=login, server=server)


def test_the_environment_names_the_account(home: Path) -> None:
    config = load_config(home, {"MT5_LOGIN": "5012345", "MT5_SERVER": "Broker-Live"})
    settings = config.get(TerminalLoginSettings)
    assert account_wanted(settings) == {"login": 5012345, "server": "Broker-Live"}
    assert account_wanted(named(0)) == {}
    assert account_wanted(TerminalLoginSettings(login=5, owner=OWNER_STORE)) == {}


@async_test
async def test_the_terminal_logs_in_to_it_or_is_not_used() -> None:
    terminal = SimulatedTerminal(CLOCK)
    here = TerminalHere(terminal)
    account = await log_in(here)
    found = await NamedLogin(named(account.login, account.server))(here)
    assert (found.login, found.server) == (account.login, account.server)
    found = await NamedLogin(named(account.login + 1))(here)
    assert found.login == account.login + 1, "the terminal was told which"
    for other, way in (
        (named(found.login, "Another-Server"), None),
        (named(account.login), log_in),
    ):
        with pytest.raises(AitradingError, match="not to the account") as refused:
            await NamedLogin(other, way)(here)
        assert refused.value.code == "TERMINAL_ACCOUNT_NOT_NAMED"
        assert str(found.login) not in refused.value.message
        assert terminal.account_info() is None, "it is let go of"


@async_test
async def test_a_terminal_that_saved_no_password_says_so() -> None:
    account = BrokerAccount(login=5_012_345, password=Secret("saved nowhere"))
    terminal = SimulatedTerminal(CLOCK, options=WorldOptions(accounts=(account,)))
    with pytest.raises(AitradingError) as refused:
        await NamedLogin(named(account.login))(TerminalHere(terminal))
    assert refused.value.fields["number"] == -6
