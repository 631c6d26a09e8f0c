"""The real package against our twin's tables: names, numbers, fields, and what it says alone."""

import sys
from typing import Any

import pytest

from aitrading.client.terminal.api.constants import CONSTANTS
from aitrading.client.terminal.api.structs import STRUCTS
from aitrading.client.terminal.select import TerminalKind, require_terminal
from aitrading.client.terminal.settings import SimulatedTerminalSettings
from aitrading.client.terminal.sim.module import FUNCTIONS, VERSION
from aitrading.core.kit.clock import SystemClock

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows: make test-windows")


@pytest.fixture
def package() -> Any:
    return pytest.importorskip("MetaTrader5")


def test_our_numbers_are_the_packages(package: Any) -> None:
    assert package.__version__ == VERSION
    theirs = {
        name: value
        for name, value in vars(package).items()
        if name.isupper() and isinstance(value, int) and not name.startswith("_")
    }
    assert dict(CONSTANTS) == theirs


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_our_fields_are_the_packages(package: Any, struct: Any) -> None:
    theirs = getattr(package, struct.__name__)
    fields = [name for name in theirs.__match_args__ if not name.startswith("_")]
    assert list(struct._fields) == fields
    value = theirs(range(len(fields)))
    assert list(value._asdict()) == fields


def test_every_function_is_there_and_alone_it_says_so(package: Any) -> None:
    for name in (*FUNCTIONS, "Buy", "Sell", "Close"):
        assert callable(getattr(package, name))
    assert package.last_error()[0] in {0, 1, -10003, -10004}
    assert package.account_info() is None
    assert package.last_error() == (-10004, "No IPC connection")
    assert package.initialize() is False
    assert package.last_error() == (
        -10003, "IPC initialize failed, MetaTrader 5 x64 not found"
    )  # fmt: skip
    package.shutdown()


def test_the_client_takes_the_package_for_its_terminal(package: Any) -> None:
    del package
    require_terminal(TerminalKind.MT5, SimulatedTerminalSettings(), SystemClock())
