"""A broker with accounts of its own lets in who names one of them, and refuses everybody else."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.select import TerminalKind
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim import SimulatedTerminal
from aitrading.client.terminal.sim.accounts import BrokerAccount, read_accounts
from aitrading.client.terminal.sim.from_settings import (
    options_of,
    settings_of,
    simulated_terminal,
)
from aitrading.client.terminal.sim.module import FUNCTIONS, twin_module
from aitrading.client.terminal.sim.process.remote import RemoteTerminal
from aitrading.client.terminal.sim.process.server import TwinServer
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock

REFUSED: Final = (-6, "Terminal: Authorization failed")
FIRST: Final = {"login": 5_000_001, "password": "first-canary", "server": "Simulated-Demo"}
SECOND: Final = {"login": 5_000_002, "password": "second-canary", "server": "Simulated-Live"}
LISTED: Final = """
[[account]]
login = 5000001
password = "first-canary"

[[account]]
login = 5000002
password = "second-canary"
server = "Simulated-Live"
name = "The second"

[[account]]
login = 5000003
password = "third-canary"
saved = true
"""
WRONG: Final = {
    "another password": FIRST | {"password": "second-canary"},
    "no password": {"login": FIRST["login"]},
    "an empty password": FIRST | {"password": ""},
    "another number": FIRST | {"login": 5_000_009},
    "another server": FIRST | {"server": "Simulated-Live"},
    "a server that is not the last one": {k: SECOND[k] for k in ("login", "password")},
}
NEED_NO_ACCOUNT: Final = {
    "initialize", "login", "shutdown", "version", "last_error", "terminal_info",
}  # fmt: skip
ASKED: Final[dict[str, tuple[Any, ...]]] = {
    "symbol_info": ("EURUSD",),
    "symbol_info_tick": ("EURUSD",),
    "symbol_select": ("EURUSD", True),
    "market_book_add": ("EURUSD",),
    "market_book_get": ("EURUSD",),
    "market_book_release": ("EURUSD",),
    "copy_rates_from": ("EURUSD", 1, 1_700_000_000, 3),
    "copy_rates_from_pos": ("EURUSD", 1, 0, 3),
    "copy_rates_range": ("EURUSD", 1, 1_699_999_000, 1_700_000_000),
    "copy_ticks_from": ("EURUSD", 1_700_000_000, 3, -1),
    "copy_ticks_range": ("EURUSD", 1_699_999_000, 1_700_000_000, -1),
    "history_orders_total": (0, 1 << 32),
    "history_orders_get": (0, 1 << 32),
    "history_deals_total": (0, 1 << 32),
    "history_deals_get": (0, 1 << 32),
    "order_calc_margin": (0, "EURUSD", 1.0, 1.1),
    "order_calc_profit": (0, "EURUSD", 1.0, 1.1, 1.2),
    "order_check": ({"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0},),
    "order_send": ({"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0},),
}


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "accounts.toml"
    file.touch(mode=0o600)
    file.write_text(LISTED)
    return file


@pytest.fixture(params=["here", "module", "process"])
def mt5(request: pytest.FixtureRequest, listed: Path, tmp_path: Path) -> Generator[Any]:
    """The same settings, however the twin is reached."""
    terminal = simulated_terminal(settings_of([f"accounts={listed}"]), ManualClock())
    if request.param != "process":
        yield terminal if request.param == "here" else twin_module(terminal)
        return
    server = TwinServer(terminal, tmp_path / "twin.json")
    thread = threading.Thread(target=server.serve)
    thread.start()
    remote = RemoteTerminal(tmp_path / "twin.json")
    yield remote
    remote.shutdown()
    server.close()
    thread.join()


def whose(mt5: Any) -> tuple[int, str, str]:
    account = mt5.account_info()
    return account.login, account.server, account.name


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_initialize_refuses_what_opens_no_account(mt5: Any, wrong: dict[str, Any]) -> None:
    assert mt5.initialize(**wrong) is False
    assert mt5.last_error() == REFUSED
    assert mt5.account_info() is None
    assert mt5.last_error() == (-10004, "No IPC connection")
    assert mt5.initialize() is False, "the terminal has no account now"
    assert mt5.last_error() == REFUSED
    assert mt5.initialize(**FIRST) is True
    assert mt5.last_error() == (1, "Success")
    assert whose(mt5) == (5_000_001, "Simulated-Demo", "Simulated account")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_after_a_refused_login_the_terminal_has_no_account(
    mt5: Any, wrong: dict[str, Any]
) -> None:
    assert mt5.initialize(**FIRST)
    assert mt5.terminal_info().connected is True
    assert mt5.login(**wrong) is False
    assert mt5.last_error() == REFUSED
    for name in sorted(set(FUNCTIONS) - NEED_NO_ACCOUNT):
        assert not getattr(mt5, name)(*ASKED.get(name, ())), name
        assert mt5.last_error() == REFUSED, name
    assert mt5.version()
    assert mt5.terminal_info().connected is False
    assert mt5.login(FIRST["login"], FIRST["password"], FIRST["server"]) is True
    assert mt5.terminal_info().connected is True
    assert whose(mt5)[0] == FIRST["login"]
    assert mt5.symbol_info_tick("EURUSD")


def test_a_password_that_is_no_utf8_opens_nothing(mt5: Any) -> None:
    assert mt5.initialize(**FIRST | {"password": "\ud800"}) is False
    assert mt5.last_error() in {REFUSED, (-2, 'Invalid "password" argument')}


def test_the_terminal_is_logged_in_to_the_first_and_changes_between_them(mt5: Any) -> None:
    assert mt5.initialize()
    assert whose(mt5) == (5_000_001, "Simulated-Demo", "Simulated account")
    assert mt5.login(**SECOND)
    assert whose(mt5) == (5_000_002, "Simulated-Live", "The second")
    assert mt5.initialize()
    assert whose(mt5)[0] == SECOND["login"], "it stays where it is when none is named"
    assert mt5.login(SECOND["login"], password=SECOND["password"]), "at the last server"
    assert mt5.initialize(**FIRST)
    assert whose(mt5)[0] == FIRST["login"]
    assert mt5.login(5_000_003), "its password is saved in the terminal"
    assert whose(mt5)[0] == 5_000_003
    assert mt5.login(5_000_003, "third-canary")
    assert mt5.login(5_000_003, "first-canary") is False, "a wrong password is no missing one"
    assert mt5.last_error() == REFUSED


BUY: Final = {"action": 1, "symbol": "EURUSD", "volume": 0.1, "type": 0, "type_filling": 0}
EVER: Final = (0, 1 << 32)


def tickets(mt5: Any) -> dict[str, set[int]]:
    """What the account that is logged in to has."""
    asked = {
        "positions": mt5.positions_get(), "orders": mt5.orders_get(),
        "done": mt5.history_orders_get(*EVER), "deals": mt5.history_deals_get(*EVER),
    }  # fmt: skip
    return {name: {one.ticket for one in found} for name, found in asked.items()}


def test_orders_deals_and_positions_are_those_of_the_account(mt5: Any) -> None:
    assert mt5.initialize()
    opened = mt5.order_send(BUY)
    low = mt5.symbol_info_tick("EURUSD").bid - 0.05
    waits = mt5.order_send(BUY | {"action": 5, "type": 2, "price": low})
    first = tickets(mt5)
    assert (first["positions"], first["orders"]) == ({opened.order}, {waits.order})
    spent = mt5.account_info()
    assert mt5.login(**SECOND)
    assert (mt5.positions_total(), mt5.orders_total()) == (0, 0)
    fresh = mt5.account_info()
    assert (fresh.balance, fresh.equity, fresh.margin) == (10_000.0, 10_000.0, 0.0)
    assert spent.margin > 0
    assert not mt5.order_send({"action": 8, "order": waits.order}).order, "it is another's"
    assert mt5.order_send(BUY | {"type": 1}).retcode == 10_009
    second = tickets(mt5)
    assert len(second["positions"]) == 1
    assert mt5.positions_get()[0].type == 1
    for name, mine in first.items():
        assert not mine & second[name], name
    assert mt5.login(**FIRST)
    assert tickets(mt5) == first
    assert mt5.login(**SECOND)
    assert tickets(mt5) == second


def test_what_happens_to_an_account_while_another_is_looked_at(listed: Path) -> None:
    """It hears of the prices it missed when somebody logs in to it again, in their order."""
    clock = ManualClock()

    def waiting() -> tuple[SimulatedTerminal, int]:
        terminal = simulated_terminal(settings_of([f"accounts={listed}"]), clock)
        assert terminal.initialize()
        tick = terminal.symbol_info_tick("EURUSD")
        assert tick is not None
        sent = terminal.order_send(BUY | {"action": 5, "type": 2, "price": tick.ask - 0.0003})
        assert sent is not None
        return terminal, sent.order

    (left, ticket), (stayed, same) = waiting(), waiting()
    assert left.login(**SECOND)
    clock.step_wall(3_600.0)
    assert left.positions_total() == 0
    assert left.login(**FIRST)
    assert ticket == same
    assert left.positions_get() == stayed.positions_get()
    assert [one.ticket for one in left.positions_get() or ()] == [ticket]
    assert left.history_deals_get(*EVER) == stayed.history_deals_get(*EVER)


def test_without_a_list_everybody_opens_the_one_account() -> None:
    terminal = SimulatedTerminal(ManualClock())
    assert terminal.initialize()
    usual = terminal.account_info()
    assert usual is not None
    assert terminal.initialize(login=7, password="any", server="Any")  # noqa: S106 - any will do
    found = terminal.account_info()
    assert found is not None
    assert (found.login, found.server, found.balance) == (7, usual.server, usual.balance)


def test_whoever_is_at_the_same_terminal_loses_its_account_too(
    listed: Path, tmp_path: Path
) -> None:
    """As with a real one, which has one account for all programs."""
    address = tmp_path / "twin.json"
    settings = settings_of([f"accounts={listed}"])
    server = TwinServer(simulated_terminal(settings, ManualClock()), address)
    thread = threading.Thread(target=server.serve)
    thread.start()
    one, other = RemoteTerminal(address), RemoteTerminal(address)
    try:
        assert one.initialize()
        assert not other.initialize(**FIRST | {"password": "guessed"})
        assert one.account_info() is None
        assert one.last_error() == REFUSED
        assert other.initialize(**SECOND)
        account = one.account_info()
        assert account is not None
        assert account.login == SECOND["login"]
    finally:
        one.shutdown()
        other.shutdown()
        server.close()
        thread.join()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "missing required field `account`"),
        ("account = []", "length >= 1"),
        ("[[account]]\nlogin = 5\n", "missing required field `password`"),
        ("[[account]]\nlogin = 0\npassword = 'canary'", ">= 1"),
        ("[[account]]\nlogin = 'canary'\npassword = 'canary'", "Expected `int`"),
        ("[[account]]\nlogin = 5\npassword = ''", "length >= 1"),
        ("[[account]]\nlogin = 5\npassword = 'canary'\nsarver = 'X'", "unknown field `sarver`"),
        ("[[account]]\nlogin = 5\npassword = canary", "it is no TOML"),
        ("[[account]]\nlogin = 5\npassword = 'canary'\n" * 2, "listed twice"),
        ("\xff", "it is no TOML"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_without_quoting_it(
    listed: Path, content: str, told: str
) -> None:
    listed.write_bytes(content.encode("latin-1"))
    with pytest.raises(AitradingError) as refused:
        simulated_terminal(settings_of([f"accounts={listed}"]), ManualClock())
    assert refused.value.code == "TERMINAL_SIMULATED_ACCOUNTS_INVALID"
    assert told in refused.value.message
    assert "canary" not in repr(refused.value.fields) + refused.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="rights of a file are others there")
def test_a_list_that_others_may_read_is_refused(listed: Path) -> None:
    listed.chmod(0o640)
    with pytest.raises(AitradingError, match="chmod 600"):
        read_accounts(listed)
    with pytest.raises(AitradingError, match="No such file"):
        read_accounts(listed.with_name("nowhere"))


def test_no_password_is_in_anything_that_is_shown(listed: Path) -> None:
    settings = settings_of([f"accounts={listed}"])
    config = ConfigManager.load(
        (SimulatedTerminalSettings,), overrides={"terminal_sim.accounts": str(listed)}
    )
    opening = Opening.of(TerminalKind.SIM, settings, ManualClock())
    shown = [
        settings, options_of(settings), read_accounts(listed), opening, opening.encoded(),
        config.explain_all(),
    ]  # fmt: skip
    assert "canary" not in repr(shown)
    assert opening.needs.files == (listed,), "a worker may read it"
    assert all(isinstance(one, BrokerAccount) for one in read_accounts(listed))


@contextmanager
def served(listed: Path, address: Path, said: Path) -> Generator[int]:
    """The process of a twin with these accounts."""
    command = [sys.executable, "-m", "aitrading.client", "sim", "serve",
               "--address-file", str(address), "--set", f"accounts={listed}"]  # fmt: skip
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


@async_test
async def test_a_served_twin_refuses_and_says_no_password(listed: Path, tmp_path: Path) -> None:
    address, said = tmp_path / "twin.json", tmp_path / "said"
    terminal = RemoteTerminal(address)
    with served(listed, address, said) as pid:
        try:
            await eventually(terminal.initialize, timeout_s=60)
            assert whose(terminal)[0] == FIRST["login"]
            assert not terminal.initialize(**FIRST | {"password": "guessed"})
            assert terminal.last_error() == REFUSED
            assert terminal.initialize(**SECOND)
            assert "canary" not in repr(terminal.control("inspect"))
            assert b"canary" not in shown_of(pid)
        finally:
            terminal.shutdown()
    assert b"canary" not in said.read_bytes()


def shown_of(pid: int) -> bytes:
    """What every program of its user sees of a process, where the system tells."""
    files = (Path(f"/proc/{pid}/{name}") for name in ("cmdline", "environ"))
    return b"".join(file.read_bytes() for file in files if file.exists())


SCRIPT = """
import MetaTrader5 as mt5
print(mt5.initialize(login=5000001, password="guessed"), mt5.last_error())
print(mt5.initialize(login=5000001, password="first-canary"), mt5.account_info().login)
"""


def asked(*command: str, **environ: str) -> str:
    """What a command prints."""
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=90, env=os.environ | environ
    ).stdout


def test_a_script_on_the_drop_in_module_is_refused_alike(listed: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    printed = f"False {REFUSED}\nTrue 5000001\n"
    command = [sys.executable, "-m", "aitrading.client", "sim"]
    assert asked(*command, "run", "--set", f"accounts={listed}", str(script)) == printed
    folder = asked(*command, "path").strip()
    environ = {"PYTHONPATH": folder, "AITRADING_TERMINAL_SIM_ACCOUNTS": str(listed)}
    assert asked(sys.executable, str(script), **environ) == printed
