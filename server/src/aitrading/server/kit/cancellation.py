"""A cancellation that a library swallows is raised nevertheless."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def cancellation_kept() -> Generator[None]:
    """Around calls of the bus's library: a task cancelled in them ends, whatever they answer.

    The library waits with `asyncio.wait_for`, which on Python 3.11 gives the awaited result and
    loses a cancellation that arrives together with it. A service that was told to stop would stay.
    What was cancelled before, as in a `finally`, is not raised again.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
