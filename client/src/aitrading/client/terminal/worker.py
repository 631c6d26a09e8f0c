"""One thread for one terminal: the package blocks and is not thread-safe."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aitrading.client.terminal.port import Terminal

T = TypeVar("T")


class TerminalThread:
    """Runs calls one after the other; a call sees the `last_error` of nobody else."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="terminal")

    async def run(self, call: Callable[[Terminal], T]) -> T:
        """Give the call's answer; it keeps running when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, call, self._terminal
        )

    async def close(self) -> None:
        """Let the running call finish and end the thread."""
        await asyncio.to_thread(self._executor.shutdown)
