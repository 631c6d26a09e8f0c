"""Passwords: the same work for nobody, bounded room, weak ones refused."""

import asyncio
import time

import pytest
from argon2 import extract_parameters

from aitrading.core.infrastructure.resilience.bulkhead import Bulkhead
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.authority.common_passwords import common_words, is_easily_guessed
from aitrading.server.authority.passwords import (
    Argon2Cost,
    PasswordHasher,
    generate_password,
    hashing_bulkhead,
    require_strong,
)

CHEAP = Argon2Cost(memory_kib=64, passes=1)
GOOD = Secret("correct horse battery staple")


@async_test
async def test_only_the_right_password_matches() -> None:
    hasher = PasswordHasher(hashing_bulkhead(), CHEAP)
    stored = await hasher.hash(GOOD)
    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert stored != await hasher.hash(GOOD)
    assert await hasher.verify(GOOD, stored)
    for wrong in ("correct horse battery stapl", "", "x" * 10_000, "Correct horse battery staple"):
        assert not await hasher.verify(Secret(wrong), stored)
    assert not await hasher.verify(GOOD, "nonsense")


@async_test
async def test_letters_typed_in_another_way_match() -> None:
    hasher = PasswordHasher(hashing_bulkhead(), CHEAP)
    stored = await hasher.hash(Secret("caf\u00e9 au lait deluxe"))
    assert await hasher.verify(Secret("cafe\u0301 au lait deluxe"), stored)


@async_test
async def test_nobody_has_no_password_and_costs_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cost = Argon2Cost(memory_kib=1024, passes=1)
    hasher = PasswordHasher(hashing_bulkhead(), cost)
    stored = await hasher.hash(GOOD)
    checked: list[str] = []
    verify = hasher._argon2.verify

    def spy(text: str, password: str) -> bool:
        checked.append(text)
        return bool(verify(text, password))

    monkeypatch.setattr(type(hasher._argon2), "verify", lambda _, *given: spy(*given))
    for of in (stored, None):
        assert not await hasher.verify(Secret("wrong"), of)
    assert extract_parameters(checked[0]) == extract_parameters(checked[1])


@async_test
async def test_a_flood_is_refused_and_leaves_the_loop_free() -> None:
    bulkhead = Bulkhead("hashing", limit=1, queue_limit=1)
    hasher = PasswordHasher(bulkhead, Argon2Cost(memory_kib=32 * 1024, passes=8))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(hasher.hash(GOOD)) for _ in range(2)]
        await eventually(lambda: bulkhead.statistics().waiting == 1)
        with pytest.raises(AitradingError) as caught:
            hasher.hash(GOOD).send(
                None
            )  # its first step: it is refused before it waits for anything
    assert caught.value.code == "BULKHEAD_FULL"
    assert all(task.result() for task in running)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "tiny",
        "fourteen chars",
        "aaaaaaaaaaaaaaaaaaaa",
        "abababababababababab",
        "x" * 257,
        "my name is Trader, hello",
        "Password1234567890",
        "P@ssw0rdP@ssw0rd!!",
        "qwertyqwertyqwerty",
        "monkey-dragon-2026",
        "1234567890123456789",
        "aitrading-password",
        "HarborStreet2026!!!",
        "Ann Example, 1.1.2026",
    ],
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(AitradingError) as caught:
        require_strong(
            Secret(password), login_name="trader@example.com", names=("Ann", "harbor-street")
        )
    assert caught.value.code == "PASSWORD_TOO_WEAK"
    assert password not in str(caught.value) or not password


@pytest.mark.parametrize(
    "password",
    ["monkey dragon sunshine", "password of the harbor street", "summer rain on a green ladder"],
)
def test_several_words_are_good_whatever_the_words(password: str) -> None:
    require_strong(Secret(password), login_name="owner", names=("Ann", "harbor-street"))


def test_the_list_is_one_of_thousands_and_has_no_disguise() -> None:
    words = common_words()
    assert len(words) >= 4900
    assert {"password", "qwerty", "dragon", "iloveyou"} <= words


def test_the_longest_password_is_judged_at_once() -> None:
    """No password makes the judge work: it runs before anybody is known to be right."""
    for long in ("monkey" * 42, "ab1" * 85, "a@4" * 85, "".join(map(chr, range(97, 123))) * 9):
        began = time.thread_time()
        is_easily_guessed(long, ("Ann",) * 10)
        assert time.thread_time() - began < 0.5


def test_good_passwords_are_accepted() -> None:
    require_strong(GOOD, login_name="owner")
    made = {generate_password(SystemRandomness()).reveal() for _ in range(100)}
    assert len(made) == 100
    for password in made:
        require_strong(Secret(password), login_name="demo-owner")


@async_test
async def test_long_passwords_are_accepted_whole() -> None:
    long = "".join(chr(ord("a") + number % 26) for number in range(256))
    require_strong(Secret(long[:64]), login_name="owner")
    require_strong(Secret(long), login_name="owner")
    hasher = PasswordHasher(hashing_bulkhead(), CHEAP)
    stored = await hasher.hash(Secret(long))
    assert await hasher.verify(Secret(long), stored)
    assert not await hasher.verify(Secret(long[:-1] + "!"), stored)
