"""Waiting for something to become true, with a deadline instead of a guess."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")
POLL_S = 0.01
WAIT_S = 60.0
"""Of no interest to who succeeds: long enough for a machine with much else to do."""


class NeverHappenedError(AssertionError):
    """The deadline passed; the message tells what was seen last."""


async def eventually(
    probe: Callable[[], T | Awaitable[T]],
    *,
    timeout_s: float | None = None,
    what: str = "condition",
) -> T:
    """Poll until the probe answers something true, and return it; for `WAIT_S` unless told.

    An exception of the probe counts as "not yet"; the last one is the cause of the failure.
    """
    timeout_s = WAIT_S if timeout_s is None else timeout_s
    deadline = time.monotonic() + timeout_s
    last: BaseException | None = None
    while True:
        try:
            value = await _answer(probe)
            if value:
                return value
        except Exception as exc:  # noqa: BLE001 - a probe may fail in any way until it succeeds
            last = exc
        if time.monotonic() > deadline:
            raise NeverHappenedError(f"{what} did not become true within {timeout_s} s") from last
        await asyncio.sleep(POLL_S)


async def _answer(probe: Callable[[], T | Awaitable[T]]) -> T:
    answer = probe()
    if inspect.isawaitable(answer):
        return cast("T", await answer)
    return answer
