"""The throttle: waits double, memory is bounded, nobody is locked out."""

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.api_gateway.identity import throttle as module
from aitrading.server.api_gateway.identity.throttle import LoginThrottle, network_of, wait_s

ALICE, HERE = b"alice", "192.0.2.1"


def held_s(throttle: LoginThrottle, account: bytes = ALICE, address: str = HERE) -> int:
    try:
        throttle.check(account, address)
    except AitradingError as exc:
        return int(exc.fields["retry_after_s"] or 0)
    return 0


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert [wait_s(n) for n in range(13)] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_s(10**6) == 60


@async_test
async def test_a_wait_ends_by_itself() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    for _failure in range(8):
        throttle.failed(ALICE, HERE)
    assert held_s(throttle) == 8
    clock.step_wall(3600)
    assert held_s(throttle) == 8
    await clock.advance(5)
    assert held_s(throttle) == 3
    await clock.advance(3)
    assert held_s(throttle) == 0
    throttle.succeeded(ALICE, HERE)
    throttle.failed(ALICE, HERE)
    assert held_s(throttle) == 0


@async_test
async def test_old_failures_are_forgotten() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    for _failure in range(20):
        throttle.failed(ALICE, HERE)
    await clock.advance(module.FORGET_AFTER_S + 1)
    throttle.failed(ALICE, HERE)
    assert held_s(throttle) == 0


def test_others_do_not_wait() -> None:
    throttle = LoginThrottle(ManualClock())
    for _failure in range(20):
        throttle.failed(ALICE, HERE)
    assert held_s(throttle, b"bob") == 0
    assert held_s(throttle, ALICE, "198.51.100.1") == 0
    assert held_s(throttle, ALICE, "192.0.2.200") > 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_a_network_shares_its_fate(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 100)
    throttle = LoginThrottle(ManualClock())
    for number in range(1000):
        throttle.failed(str(number).encode(), HERE)
    assert len(throttle._failures) == 100
