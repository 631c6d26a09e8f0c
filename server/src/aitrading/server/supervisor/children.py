"""One child under supervision: started in order, watched, started again, stopped."""

import asyncio
import logging
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.resilience.retry import RetryPolicy
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import Randomness
from aitrading.server.engines.process import Launch, Output, Process, ProcessId
from aitrading.server.supervisor.logs import RotatingLog
from aitrading.server.supervisor.plan import ChildSpec

POLL_S = 0.006
POLL_SHARE = 0.02
"""Readiness is polled in steps of this share of the time it has already taken."""
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60
NEVER_READY_LIMIT = 3
"""A child that was not ready in time so often, and never before, is given up."""
EXIT_CONFIG_ERROR = 78
"""A child that ends so would end so again: it is not started again."""
RESTART = RetryPolicy(first_s=1.0, max_s=30.0, attempts=None)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Means:
    """What every child needs from its supervisor."""

    clock: Clock
    randomness: Randomness
    start: Callable[[Launch, Output], Awaitable[Process]]
    changed: Callable[["Child"], None]


class Child:
    """Runs one specification until it is stopped or given up.

    `run` ends in STOPPED (asked to) or FAILED (crash loop, configuration error); a child that
    ends for another reason is started again after a growing, random wait. One that works but
    cannot do its work is DEGRADED; one that answers nothing at all for long is killed.
    """

    def __init__(self, spec: ChildSpec, log: RotatingLog, means: Means) -> None:
        self.spec = spec
        self.log = log
        self.state = ComponentState.NEW
        self.message = ""
        self.restarts = 0
        self.ready_after_s: float | None = None
        self._means = means
        self._process: Process | None = None
        self._reason = ""
        self._late_starts = 0
        self._heard_ns = 0
        self._exits_ns: deque[int] = deque(maxlen=CRASH_LOOP_EXITS)
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def name(self) -> str:
        """As in the plan."""
        return self.spec.name

    @property
    def process_id(self) -> ProcessId | None:
        """The process that runs now."""
        running = self._process is not None and self._process.returncode is None
        return self._process.id if running and self._process else None

    async def wait_serving(self) -> None:
        """Wait until it works."""
        await self._serving.wait()

    async def wait_over(self) -> None:
        """Wait until `run` has ended."""
        await self._over.wait()

    async def run(self, needs: Mapping[str, "Child"]) -> None:
        """Keep it running; returns when it stopped or was given up."""
        try:
            while not self._stopping.is_set():
                await self._run_once([needs[name] for name in self.spec.depends_on])
                if self.state is ComponentState.FAILED:
                    return
                await self._wait_before_restart()
            self._become(ComponentState.STOPPED)
        finally:
            await self._end_process()
            self._over.set()

    async def stop(self) -> None:
        """Ask it to end, wait for that, kill it when its time is up."""
        self._stopping.set()
        if not self._over.is_set():
            self._become(ComponentState.STOPPING)
        await self._end_process()

    def note_renewal(self) -> None:
        """Tell the process that its certificates were renewed, if it has to be told."""
        if self._process is not None and self.spec.renew_signal is not None:
            self._process.send_signal(self.spec.renew_signal)

    def kill(self) -> None:
        """End the process now; for somebody who does not want to wait."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)

    async def _run_once(self, needs: list["Child"]) -> None:
        """From preparation to the end of the process; every failure ends up in the state."""
        began_ns = self._means.clock.monotonic_ns()
        self._process, self._reason = None, ""
        self._become(ComponentState.STARTING)
        try:
            await self._start(needs)
            if await self._reach_ready():
                self._note_ready(began_ns)
                await self._watch()
        except AitradingError as exc:
            self._give_up(str(exc))
        except OSError as exc:
            self._reason = f"the machine refused: {exc}"
        finally:
            self._serving.clear()
            await self._end_process()
        self._note_exit()

    async def _start(self, needs: list["Child"]) -> None:
        """An early starter waits for its dependencies while it loads, the others before."""
        if self.spec.starts_early:
            await self._prepare_and_spawn()
            await self._unless_over(self._wait_for(needs))
            if self._process is not None:
                self._process.release()
        else:
            await self._unless_over(self._wait_for(needs))
            await self._prepare_and_spawn()

    async def _prepare_and_spawn(self) -> None:
        await self._unless_over(self.spec.program.prepare())
        if not self._stopping.is_set():
            launch = self.spec.program.launch()
            self._process = await self._means.start(launch, self.log.write)
            self._means.changed(self)

    async def _wait_for(self, needs: list["Child"]) -> None:
        if self.spec.gate is not None:
            await self.spec.gate()
        for child in needs:
            await child.wait_serving()

    async def _reach_ready(self) -> bool:
        """Poll until it works; False when it ended, was stopped, or took too long."""
        process = self._process
        if process is None:
            return False
        clock = self._means.clock
        began_ns = clock.monotonic_ns()
        while process.returncode is None and not self._stopping.is_set():
            if await self.spec.program.ready():
                await self.spec.program.settle()
                return True
            waited_s = (clock.monotonic_ns() - began_ns) / NS_PER_S
            if waited_s > self.spec.ready_timeout_s:
                self._reason = f"not ready within {self.spec.ready_timeout_s:g} s"
                self._late_starts += 1
                return False
            await asyncio.sleep(max(POLL_S, waited_s * POLL_SHARE))
        return False

    async def _watch(self) -> None:
        """Follow a working child until it ends; its own readiness decides HEALTHY or DEGRADED."""
        assert self._process is not None  # noqa: S101 - only called once it was ready
        self._heard_ns = self._means.clock.monotonic_ns()
        while self._process.returncode is None and not self._stopping.is_set():
            try:
                async with asyncio.timeout(self.spec.watch_s):
                    await self._process.wait()
            except TimeoutError:
                await self._check()

    async def _check(self) -> None:
        if self._stopping.is_set():
            return
        ready = await self.spec.program.ready()
        await self._end_if_silent(ready=ready)
        state = ComponentState.HEALTHY if ready else ComponentState.DEGRADED
        if state is not self.state and not self._stopping.is_set():
            self._become(state)

    async def _end_if_silent(self, *, ready: bool) -> None:
        """A process that hangs serves nobody and would do so for ever."""
        alive = self.spec.alive
        now_ns = self._means.clock.monotonic_ns()
        if ready or alive is None or await alive():
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns >= self.spec.silence_limit_s * NS_PER_S:
            self._reason = f"it answered nothing for {self.spec.silence_limit_s:g} s"
            self.kill()

    def _note_ready(self, began_ns: int) -> None:
        self.ready_after_s = (self._means.clock.monotonic_ns() - began_ns) / NS_PER_S
        self.message = ""
        self._become(ComponentState.HEALTHY)
        self._serving.set()

    def _note_exit(self) -> None:
        if self._stopping.is_set() or self.state is ComponentState.FAILED:
            return
        code = self._process.returncode if self._process else None
        self._exits_ns.append(self._means.clock.monotonic_ns())
        self.restarts += 1
        reason = self._reason or _describe_exit(code)
        if code == EXIT_CONFIG_ERROR:
            self._give_up(f"its configuration is wrong\n{self.log.tail()}")
        elif self.ready_after_s is None and self._late_starts >= NEVER_READY_LIMIT:
            self._give_up(f"{reason}, {NEVER_READY_LIMIT} times\n{self.log.tail()}")
        elif self._recent_exits() >= CRASH_LOOP_EXITS:
            self._give_up(
                f"{reason}; {CRASH_LOOP_EXITS} times within {CRASH_LOOP_WINDOW_S} s\n"
                f"{self.log.tail()}"
            )
        else:
            self.message = f"{reason}; starting it again"
            _log.warning("%s: %s", self.name, self.message)

    def _recent_exits(self) -> int:
        since_ns = self._means.clock.monotonic_ns() - CRASH_LOOP_WINDOW_S * NS_PER_S
        return sum(exit_ns >= since_ns for exit_ns in self._exits_ns)

    async def _wait_before_restart(self) -> None:
        if self._stopping.is_set():
            return
        self._become(ComponentState.STARTING)
        delay_s = RESTART.delay_s(self._recent_exits(), self._means.randomness)
        self._process = None
        await self._unless_over(self._means.clock.sleep(delay_s))

    def _give_up(self, message: str) -> None:
        self.message = message
        _log.error("%s is given up: %s", self.name, message)
        self._become(ComponentState.FAILED)

    def _become(self, state: ComponentState) -> None:
        self.state = state
        self._means.changed(self)

    async def _end_process(self) -> None:
        if self._process is not None:
            await self._process.stop()

    async def _unless_over(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, but leave it when we are stopped or the process ends."""
        failures: list[Exception] = []

        async def guarded() -> None:
            try:
                await work
            except Exception as exc:  # noqa: BLE001 - raised below, outside of the group
                failures.append(exc)

        async with asyncio.TaskGroup() as group:
            tasks: set[asyncio.Task[Any]] = {
                group.create_task(guarded()),
                group.create_task(self._stopping.wait()),
            }
            if self._process is not None:
                tasks.add(group.create_task(self._process.wait()))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        if failures:
            raise failures[0]


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "it could not be started"
    if code >= 0:
        return f"it exited with code {code}"
    return f"it was killed by {signal.Signals(-code).name}"
