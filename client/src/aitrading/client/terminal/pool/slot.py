"""The place of one worker: its process, its log-in, and what happened to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from typing_extensions import override

from aitrading.client.terminal.calls import Answer, Asks, Call, Lane
from aitrading.client.terminal.pool.errors import OTHER_ACCOUNT
from aitrading.client.terminal.pool.opening import Opening
from aitrading.client.terminal.pool.settings import TerminalPoolSettings
from aitrading.client.terminal.pool.worker import WorkerProcess
from aitrading.client.terminal.port import AccountInfo
from aitrading.core.infrastructure.resilience import RetryPolicy
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.randomness import Randomness

LogIn = Callable[[Asks], Awaitable[AccountInfo]]
RESTARTS: Final = RetryPolicy(first_s=0.5, max_s=30.0)
CALM_NS: Final = 30 * NS_PER_S
"""A worker that served this long starts with a clean sheet."""
FRESH_PROCESS_AFTER: Final = 3
"""Log-ins that failed in one process before another process tries."""


class Slot:
    """One worker after the other in the same place."""

    def __init__(
        self,
        number: int,
        opening: Opening,
        settings: TerminalPoolSettings,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        paths = settings.paths
        self.number = number
        self.path = paths[number % len(paths)] if paths else ""
        self.process: WorkerProcess | None = None
        self.account: AccountInfo | None = None
        self.began_ns = 0
        """When the running question was handed over, or the last one answered."""
        self.watched: WorkerProcess | None = None
        """The process whose end is waited for already."""
        self.disturbed = asyncio.Event()
        """Set when it cannot be asked any more."""
        self.restarts = 0
        self.has_broker = True
        """What the terminal said last of its own connection."""
        self._opening = opening
        self._settings = settings
        self._clock = clock
        self._randomness = randomness
        self._troubles = 0
        self._logins_failed = 0
        self._opened_ns: int | None = None

    @property
    def pid(self) -> int | None:
        """The process that serves here."""
        return self.process.pid if self.process else None

    @property
    def troubles(self) -> int:
        """How often in a row it could not be opened or did not last."""
        return self._troubles

    @property
    def may_serve(self) -> bool:
        """It can be asked, or soon: not if opening it failed again and again."""
        return self.account is not None or self._troubles <= FRESH_PROCESS_AFTER

    async def open(self, log_in: LogIn, same_as: AccountInfo | None) -> AccountInfo:
        """A process with a logged-in terminal; raises why there is none.

        What failed before is not tried again at once.
        """
        if self._troubles:
            await self._clock.sleep(RESTARTS.delay_s(self._troubles, self._randomness))
        self._troubles += 1
        if self.process is None:
            self.process = await WorkerProcess.start(self._opening)
            self._logins_failed = 0
        try:
            account = await log_in(_Within(self, self._settings.connect_timeout_s))
            _require_same(account, same_as)
        except BaseException:
            self._logins_failed += 1
            is_gone = self.pid is None or self.process.is_gone  # a watcher may have seen it end
            if is_gone or self._logins_failed >= FRESH_PROCESS_AFTER:
                await self.end()
            raise
        self.account = account
        self.disturbed.clear()
        self._opened_ns = self._clock.monotonic_ns()
        return account

    def disturb(self) -> None:
        """It cannot be asked before it is opened again."""
        self.account = None
        self.disturbed.set()
        if self._opened_ns is not None:
            self.restarts += 1
            if self._clock.monotonic_ns() - self._opened_ns >= CALM_NS:
                self._troubles = 0
            self._opened_ns = None
        if self.process is not None and self.process.is_gone:
            self.process = None

    async def end(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        self.account = None
        if process is not None:
            await process.close()


class _Within(Asks):
    """The worker of a slot, asked while nobody else can."""

    def __init__(self, slot: Slot, timeout_s: float) -> None:
        self._slot = slot
        self._timeout_s = timeout_s

    @override
    async def ask(self, *calls: Call, lane: Lane = Lane.READS) -> list[Answer]:
        process = self._slot.process
        assert process is not None  # noqa: S101 - opened by who gave this away
        return await process.ask(tuple(map(self._placed, calls)), timeout_s=self._timeout_s)

    def _placed(self, call: Call) -> Call:
        """Each slot connects to its own terminal."""
        if call.name != "initialize" or not self._slot.path:
            return call
        return call._replace(arguments=(self._slot.path, *call.arguments))


def is_same(account: AccountInfo, other: AccountInfo) -> bool:
    """Whether both are one account, whatever has changed in it."""
    return (account.server, account.login) == (other.server, other.login)


def _require_same(account: AccountInfo, first: AccountInfo | None) -> None:
    if first and not is_same(account, first):
        raise OTHER_ACCOUNT.error()
