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
from aitrading.server.engines.proc import STATE, stat_fields
from aitrading.server.engines.process import (
    Launch,
    Output,
    Process,
    ProcessId,
    kill_with_descendants,
)
from aitrading.server.supervisor.logs import RotatingLog
from aitrading.server.supervisor.plan import ChildSpec, Kind

POLL_S = 0.006
POLL_SHARE = 0.02
"""Readiness is polled in steps of this share of the time it has already taken."""
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60
NEVER_READY_LIMIT = 3
"""A child that was not ready in time so often, and never before, is given up."""
OWN_ABSENCE_S = 20.0
"""A look that took so much longer than asked for: the supervisor itself was held up."""
WAITS_FOR_DISK = "D"
"""As /proc calls a process that no signal reaches until its disk has answered."""
EXIT_CONFIG_ERROR = 78
"""A child that ends so would end so again: it is not started again."""
SILENT = "it answers nothing; it is ended and started again if that lasts {limit_s:g} s"
NO_REPORT = "it does not tell how it is: no answer on its health endpoint"
NOT_WORKING = "it answers, but does not do its work yet"
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
    cannot do its work is DEGRADED; one that answers nothing at all for long is killed. An end
    counts towards a crash loop only while everything the child depends on works.
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
        self._needs: tuple[Child, ...] = ()
        self._waits_for = ""
        self._late_starts = 0
        self._heard_ns = 0
        self._forgiven_ns = 0
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

    @property
    def note(self) -> str:
        """What a person should know about its state."""
        if self.state is ComponentState.STARTING and self._waits_for:
            waits = f"waits for {self._waits_for}"
            return f"{self.message.partition(chr(10))[0]}; {waits}" if self.message else waits
        return self.message

    async def wait_serving(self) -> None:
        """Wait until it works; an engine that hangs or recovers does not."""
        await self._serving.wait()

    async def wait_over(self) -> None:
        """Wait until `run` has ended."""
        await self._over.wait()

    async def run(self, needs: Mapping[str, "Child"]) -> None:
        """Keep it running; returns when it stopped or was given up."""
        self._needs = tuple(needs[name] for name in self.spec.depends_on)
        try:
            while not self._stopping.is_set():
                await self._run_once()
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

    async def _run_once(self) -> None:
        """From preparation to the end of the process; every failure ends up in the state."""
        began_ns = self._means.clock.monotonic_ns()
        self._process, self._reason = None, ""
        self._become(ComponentState.STARTING)
        try:
            await self._start()
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
        await self._note_exit()

    async def _start(self) -> None:
        """An early starter waits for its dependencies while it loads, the others before."""
        if self.spec.starts_early:
            await self._prepare_and_spawn()
            await self._unless_over(self._wait_for_needs())
            if self._process is not None:
                self._process.release()
        else:
            await self._unless_over(self._wait_for_needs())
            await self._prepare_and_spawn()

    async def _prepare_and_spawn(self) -> None:
        await self._unless_over(self.spec.program.prepare())
        if not self._stopping.is_set():
            launch = self.spec.program.launch()
            self._process = await self._means.start(launch, self.log.write)
            self._means.changed(self)

    async def _wait_for_needs(self) -> None:
        if self.spec.gate is not None:
            await self.spec.gate()
        try:
            for child in self._needs:
                self._waits_for = child.name
                await child.wait_serving()
        finally:
            self._waits_for = ""

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
            if waited_s > self.spec.ready_timeout_s and not await self._is_busy(waited_s):
                self._reason = f"not ready within {self.spec.ready_timeout_s:g} s"
                self._late_starts += 1
                return False
            await asyncio.sleep(max(POLL_S, waited_s * POLL_SHARE))
        return False

    async def _is_busy(self, waited_s: float) -> bool:
        """An engine that reads its files after a crash says "not yet"; killing it starts anew."""
        alive = self.spec.alive
        return waited_s < self.spec.busy_limit_s and alive is not None and await alive()

    async def _watch(self) -> None:
        """Follow a working child until it ends; its own readiness decides HEALTHY or DEGRADED."""
        assert self._process is not None  # noqa: S101 - only called once it was ready
        clock = self._means.clock
        self._heard_ns = clock.monotonic_ns()
        while self._process.returncode is None and not self._stopping.is_set():
            began_ns = clock.monotonic_ns()
            try:
                async with asyncio.timeout(self.spec.watch_s):
                    await self._process.wait()
            except TimeoutError:
                await self._check(began_ns)

    async def _check(self, began_ns: int) -> None:
        if self._stopping.is_set():
            return
        ready = await self.spec.program.ready()
        heard = ready or await self._is_heard()
        now_ns = self._means.clock.monotonic_ns()
        held_up = now_ns - began_ns > (self.spec.watch_s + OWN_ABSENCE_S) * NS_PER_S
        if heard or held_up:
            self._heard_ns = now_ns
        elif now_ns - self._heard_ns >= self.spec.silence_limit_s * NS_PER_S:
            await self._end_silent()
            return
        await self._note_watch(ready=ready, heard=heard)

    async def _is_heard(self) -> bool:
        """Whether it does anything: answers, or waits for a disk, which no signal would shorten."""
        if self.spec.alive is None or await self.spec.alive():
            return True
        running = self.process_id
        found = stat_fields(running.pid) if running is not None else None
        return found is not None and found[STATE] == WAITS_FOR_DISK

    async def _end_silent(self) -> None:
        """A process that hangs serves nobody and would do so for ever, and so do its own."""
        assert self._process is not None  # noqa: S101 - only called while it runs
        self._reason = f"it answered nothing for {self.spec.silence_limit_s:g} s"
        await kill_with_descendants(self._process)

    async def _note_watch(self, *, ready: bool, heard: bool) -> None:
        if ready:
            state, message = ComponentState.HEALTHY, ""
        else:
            state, message = ComponentState.DEGRADED, await self._why(heard=heard)
        if self._stopping.is_set() or (state, message) == (self.state, self.message):
            return
        if ready:
            self._serving.set()
        elif self.spec.kind is Kind.ENGINE:
            self._serving.clear()
        self.message = message
        self._become(state)

    async def _why(self, *, heard: bool) -> str:
        if not heard:
            return SILENT.format(limit_s=self.spec.silence_limit_s)
        if self.spec.told is None:
            return NOT_WORKING
        report = await self.spec.told()
        return NO_REPORT if report is None else report.detail() or NOT_WORKING

    def _note_ready(self, began_ns: int) -> None:
        self.ready_after_s = (self._means.clock.monotonic_ns() - began_ns) / NS_PER_S
        self.message = ""
        self._become(ComponentState.HEALTHY)
        self._serving.set()

    async def _note_exit(self) -> None:
        if self._stopping.is_set() or self.state is ComponentState.FAILED:
            return
        code = self._process.returncode if self._process else None
        self._exits_ns.append(self._means.clock.monotonic_ns())
        self.restarts += 1
        reason = self._reason or _describe_exit(code)
        if code == EXIT_CONFIG_ERROR:
            self._give_up(f"its configuration is wrong\n{self.log.tail()}")
        elif missing := await self._missing_need(ask=bool(times := self._too_often())):
            self._forgiven_ns, self._late_starts = self._means.clock.monotonic_ns(), 0
            self._start_again(f"{reason} while {missing} does not work")
        elif times:
            self._give_up(f"{reason}{times}\n{self.log.tail()}")
        else:
            self._start_again(reason)

    def _too_often(self) -> str:
        """How often it ended or was late, if that is enough to give it up."""
        if self.ready_after_s is None and self._late_starts >= NEVER_READY_LIMIT:
            return f", {NEVER_READY_LIMIT} times"
        if self._recent_exits(self._forgiven_ns) >= CRASH_LOOP_EXITS:
            return f"; {CRASH_LOOP_EXITS} times within {CRASH_LOOP_WINDOW_S} s"
        return ""

    async def _missing_need(self, *, ask: bool) -> str:
        """Which dependency does not work; its users end for its sake, not for their own.

        A dependency that hangs is noticed late; before its user is given up it is asked.
        """
        for child in self._needs:
            if child.state is not ComponentState.HEALTHY:
                return child.name
            if ask and not await child.spec.program.ready():
                return child.name
        return ""

    def _start_again(self, reason: str) -> None:
        self.message = f"{reason}; starting it again"
        _log.warning("%s: %s", self.name, self.message)

    def _recent_exits(self, after_ns: int = 0) -> int:
        window_ns = self._means.clock.monotonic_ns() - CRASH_LOOP_WINDOW_S * NS_PER_S
        return sum(exit_ns > after_ns and exit_ns >= window_ns for exit_ns in self._exits_ns)

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
