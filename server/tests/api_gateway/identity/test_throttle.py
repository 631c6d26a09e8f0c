"""The throttle: waits double, memory is bounded, nobody is locked out."""

import asyncio
from contextlib import suppress

import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
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
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
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


class Guesses:
    """Wrong guesses, all sent at once, whose verdicts come when the test says so."""

    def __init__(self, throttle: LoginThrottle, account: bytes = ALICE) -> None:
        self._throttle = throttle
        self._account = account
        self.verdicts: asyncio.Queue[bool | None] = asyncio.Queue()
        self.being_checked = self.checked = self.refused = 0

    async def one(self) -> None:
        try:
            async with self._throttle.guess(self._account, HERE):
                self.checked += 1
                self.being_checked += 1
                try:
                    is_right = await self.verdicts.get()
                finally:
                    self.being_checked -= 1
                if is_right:
                    self._throttle.succeeded(self._account, HERE)
                elif is_right is False:
                    self._throttle.failed(self._account, HERE)
        except AitradingError as exc:
            self.refused += exc.code == "LOGIN_THROTTLED"


@async_test
async def test_guesses_sent_at_once_wait_for_the_verdicts_on_those_before() -> None:
    clock = ManualClock()
    throttle = LoginThrottle(clock)
    guesses = Guesses(throttle)
    for checked, wait in ((5, 1), (6, 2), (7, 4)):
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(guesses.one()) for _ in range(64)]
            await eventually(lambda: throttle._guesses[ALICE, network_of(HERE)].waiting > 50)
            for _verdict in started:
                guesses.verdicts.put_nowait(False)
        assert guesses.checked == checked, "as many as of a sequence"
        assert held_s(throttle) == wait
        guesses.verdicts = asyncio.Queue()
        await clock.advance(wait)
    assert throttle._guesses == {}, "nothing is kept of guesses that are over"


@async_test
async def test_right_ones_at_once_all_get_in_and_others_do_not_wait() -> None:
    throttle = LoginThrottle(ManualClock())
    alice, bob = Guesses(throttle), Guesses(throttle, b"bob")
    async with asyncio.TaskGroup() as tasks:
        for _guess in range(40):
            tasks.create_task(alice.one())
        await eventually(lambda: alice.being_checked == 5)
        tasks.create_task(bob.one())
        await eventually(lambda: bob.being_checked == 1)
        bob.verdicts.put_nowait(True)
        for _guess in range(40):
            alice.verdicts.put_nowait(True)
    assert (alice.checked, alice.refused, bob.checked) == (40, 0, 1)


@async_test
async def test_a_guess_without_a_verdict_gives_its_place_back() -> None:
    throttle = LoginThrottle(ManualClock())
    guesses = Guesses(throttle)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(guesses.one()) for _ in range(5)]
        await eventually(lambda: guesses.being_checked == 5)
        waiting = [tasks.create_task(guesses.one()) for _ in range(2)]
        await eventually(lambda: throttle._guesses[ALICE, network_of(HERE)].waiting == 2)
        running[0].cancel()
        waiting[1].cancel()
        await eventually(lambda: guesses.checked == 6)
        for _outage in range(5):
            guesses.verdicts.put_nowait(None)
    assert held_s(throttle) == 0, "an outage is no failure of the person"
    assert throttle._guesses == {}


@async_test
async def test_who_waits_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    guesses = Guesses(LoginThrottle(ManualClock()))
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(guesses.one()) for _ in range(20)]
            await eventually(lambda: guesses.refused == 12)
            assert guesses.being_checked == 5
            for task in started:
                task.cancel()
