"""A task that was told to end does so, although a library lost the order."""

import asyncio

import pytest

from aitrading.core.testing.async_test import async_test
from aitrading.server.kit.cancellation import cancellation_kept


async def swallowing(begun: asyncio.Event) -> str:
    """As `asyncio.wait_for` of Python 3.11 does when result and cancellation come together."""
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "result"
    raise AssertionError


@async_test
async def test_a_swallowed_cancellation_is_raised() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        with cancellation_kept():
            await swallowing(begun)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()
    assert task.cancelled()


@async_test
async def test_a_cancellation_that_became_an_error_is_raised() -> None:
    begun = asyncio.Event()

    async def ask() -> None:
        await swallowing(begun)
        raise OSError("the library says: nobody answers")

    async def work() -> None:
        try:
            with cancellation_kept():
                await ask()
        except OSError:
            await asyncio.Event().wait()  # as a loop that tries again

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()
    assert task.cancelled()


@async_test
async def test_one_that_came_before_does_not_break_the_cleaning_up() -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            with cancellation_kept():
                await asyncio.sleep(0)
            cleaned.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await begun.wait()
        task.cancel()
    assert task.cancelled()
    assert cleaned.is_set()


@async_test
async def test_a_time_limit_stays_one() -> None:
    async def late() -> None:
        async with asyncio.timeout(0):
            with cancellation_kept():
                await swallowing(asyncio.Event())

    with pytest.raises(TimeoutError):
        await late()
