"""Which life of a device is taken, and which one proves that there are two."""

from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.data_bridge import lives as lives_module
from aitrading.server.data_bridge.lives import LIVES_PER_DEVICE, Lives

ONE, TWO = DeviceId(UUID(int=1)), DeviceId(UUID(int=2))
QUIET_S = 300


def made() -> tuple[Lives, ManualClock]:
    clock = ManualClock()
    return Lives(clock, quiet_ns=QUIET_S * NS_PER_S), clock


def require_refused(lives: Lives, life: str, *, is_linked: bool) -> None:
    with pytest.raises(AitradingError) as caught:
        lives.enter(ONE, life, is_linked=is_linked)
    assert caught.value.code == "LINK_DEVICE_SHARED"


def test_a_client_that_is_started_again_and_again_is_taken() -> None:
    lives, _ = made()
    for run in range(3 * LIVES_PER_DEVICE):
        for _ in range(2):
            lives.enter(ONE, str(run), is_linked=True)


@async_test
async def test_one_that_comes_back_is_refused_while_the_other_is_here_or_just_left() -> None:
    lives, clock = made()
    lives.enter(ONE, "a", is_linked=False)
    lives.enter(ONE, "b", is_linked=True)
    require_refused(lives, "a", is_linked=True)
    lives.enter(ONE, "b", is_linked=True)
    lives.enter(TWO, "a", is_linked=False)
    lives.left(ONE)
    await clock.advance(QUIET_S - 1)
    require_refused(lives, "a", is_linked=False)
    await clock.advance(1)
    lives.enter(ONE, "a", is_linked=False)
    require_refused(lives, "b", is_linked=True)


def test_clients_from_before_lives_are_not_told_apart() -> None:
    """An upgrade that is taken back within the quiet time is no second client."""
    lives, _ = made()
    for life in ("", "a", "", "a"):
        lives.enter(ONE, life, is_linked=False)
        lives.left(ONE)


def test_what_is_remembered_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives_module, "DEVICES_MAX", 2)
    lives, _ = made()
    lives.enter(ONE, "a", is_linked=False)
    lives.enter(ONE, "b", is_linked=True)
    for number in range(5, 9):
        lives.enter(DeviceId(UUID(int=number)), "a", is_linked=False)
    lives.enter(ONE, "a", is_linked=True)
