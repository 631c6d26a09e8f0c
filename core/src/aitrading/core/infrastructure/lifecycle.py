"""Starting and stopping: one state enum, one order, no task without an owner.

A process is a set of components. `LifecycleManager` starts them so that each finds its
dependencies running and stops them the other way round; `TaskSet` owns background tasks.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from aitrading.core.infrastructure.error_codes import (
    LIFECYCLE_DEPENDENCY_CYCLE,
    LIFECYCLE_DEPENDENCY_MISSING,
    LIFECYCLE_NAME_TAKEN,
    LIFECYCLE_STOP_TIMEOUT,
    TASK_SET_CLOSED,
    TASK_SET_FULL,
)
from aitrading.core.kit.clock import NS_PER_S, Clock

T = TypeVar("T")
STOP_TIMEOUT_S = 10.0
TASKS_MAX = 10_000
AGAIN_FIRST_S = 1.0
AGAIN_MAX_S = 30.0
AILING_S = 60.0
"""How long after a failure work that went on counts as not well."""

_log = logging.getLogger(__name__)


class ComponentState(StrEnum):
    """The one state of everything that starts and stops: component, service, engine, hop."""

    NEW = "NEW"
    STARTING = "STARTING"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    @property
    def is_serving(self) -> bool:
        """It does its work, perhaps with less than everything it wants."""
        return self in {ComponentState.HEALTHY, ComponentState.DEGRADED}


class Component(Protocol):
    """Something with a beginning and an end; it may also declare `depends_on` (names)."""

    @property
    def name(self) -> str:
        """Unique in its process."""
        ...

    @property
    def state(self) -> ComponentState:
        """What it is doing now; it never lies to look healthy."""
        ...

    async def start(self) -> None:
        """Return when the work can be done; a failure leaves nothing behind."""
        ...

    async def stop(self) -> None:
        """End everything `start` began; harmless when called twice or before `start`."""
        ...


@dataclass(frozen=True, kw_only=True)
class StopFailure:
    """A component that did not stop in order."""

    component: str
    error: Exception


class LifecycleManager:
    """Starts components in dependency order, else in the order given, and stops them in reverse.

    A start that fails or is cancelled stops what already ran and raises the reason.
    """

    def __init__(
        self, components: Iterable[Component], *, stop_timeout_s: float = STOP_TIMEOUT_S
    ) -> None:
        self._components = _by_name(components)
        self._order = dependency_order(
            {name: _depends_on(component) for name, component in self._components.items()}
        )
        self._stop_timeout_s = stop_timeout_s
        self._running: list[Component] = []

    @property
    def order(self) -> tuple[str, ...]:
        """Names in the order of starting."""
        return self._order

    def states(self) -> dict[str, ComponentState]:
        """What each component says about itself, in the order of starting."""
        return {name: self._components[name].state for name in self._order}

    async def start(self) -> None:
        """Start everything, or nothing; raises what the failing component raised."""
        try:
            for name in self._order:
                component = self._components[name]
                self._running.append(component)
                await component.start()
        except BaseException:
            self._report(await self.stop())
            raise

    async def stop(self) -> list[StopFailure]:
        """Stop everything in reverse; one failure or a cancellation keeps no other part running.

        A cancellation is raised again after the last component.
        """
        failures: list[StopFailure] = []
        cancelled: asyncio.CancelledError | None = None
        while self._running:
            component = self._running.pop()
            try:
                await self._stop_one(component)
            except asyncio.CancelledError as exc:
                cancelled = exc
            except Exception as exc:  # noqa: BLE001 - the other components must stop too
                failures.append(StopFailure(component=component.name, error=exc))
        if cancelled is not None:
            self._report(failures)
            raise cancelled
        return failures

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._report(await self.stop())

    async def _stop_one(self, component: Component) -> None:
        deadline = asyncio.timeout(self._stop_timeout_s)
        try:
            async with deadline:
                await component.stop()
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise LIFECYCLE_STOP_TIMEOUT.error(
                name=component.name, timeout_s=self._stop_timeout_s
            ) from exc

    def _report(self, failures: list[StopFailure]) -> None:
        for failure in failures:
            _log.error("%s did not stop: %s", failure.component, failure.error)


@dataclass(frozen=True, kw_only=True)
class TaskSetStatistics:
    """How busy a task set is and how often it failed."""

    name: str
    running: int
    started: int
    failed: int


class TaskSet:
    """Owns background tasks: none is forgotten, none dies in silence, all end with their owner.

    A failing task is reported to `on_error` (by default: the log) and does not touch the others.
    What has to be done as long as its owner lives is given to `keep`: it goes on after a failure.
    """

    def __init__(
        self,
        name: str,
        *,
        on_error: Callable[[str, Exception], None] | None = None,
        limit: int = TASKS_MAX,
    ) -> None:
        self.name = name
        self._on_error = on_error or self._log_error
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = 0
        self._failed = 0
        self._closed = False
        self._ailing: dict[str, tuple[Clock, int]] = {}

    def keep(
        self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str, clock: Clock
    ) -> None:
        """Run work that has no end: what ends it is reported, and after a pause it begins anew."""
        self.start(self._kept(work, name, clock), name=name)

    def judged(self, state: ComponentState) -> ComponentState:
        """The owner's state: not HEALTHY within a minute after something that is kept failed."""
        failures = self._ailing.values()
        is_ailing = any(clock.monotonic_ns() - at < AILING_S * NS_PER_S for clock, at in failures)
        return ComponentState.DEGRADED if is_ailing and state.is_serving else state

    def start(self, coro: Coroutine[Any, Any, T], *, name: str) -> "asyncio.Task[T | None]":
        """Run in the background; the task's result is None when it failed."""
        if self._closed:
            coro.close()
            raise TASK_SET_CLOSED.error(task=name, task_set=self.name)
        if len(self._tasks) >= self._limit:
            coro.close()
            raise TASK_SET_FULL.error(
                task=name, task_set=self.name, running=len(self._tasks), limit=self._limit
            )
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._guard(coro, name), name=f"{self.name}/{name}")
        # A task cancelled before its first step never enters the guard: close what it was given.
        task.add_done_callback(lambda _: coro.close())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._started += 1
        return task

    def statistics(self) -> TaskSetStatistics:
        """Numbers for health and metrics."""
        return TaskSetStatistics(
            name=self.name, running=len(self._tasks), started=self._started, failed=self._failed
        )

    async def close(self) -> None:
        """Cancel every task and wait for its end; no task can start afterwards.

        Cancelling `close` itself cancels the tasks once more and returns at once.
        """
        self._closed = True
        pending = self._tasks - {asyncio.current_task()}
        _cancel(pending)
        try:
            if pending:
                await asyncio.wait(pending)
        except asyncio.CancelledError:
            _cancel(pending)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _kept(
        self, work: Callable[[], Coroutine[Any, Any, None]], name: str, clock: Clock
    ) -> None:
        pause_s = AGAIN_FIRST_S
        while True:
            began_ns = clock.monotonic_ns()
            try:
                return await work()
            except Exception as exc:  # noqa: BLE001 - whatever it was, its work goes on
                self._failed += 1
                self._ailing[name] = clock, clock.monotonic_ns()
                self._on_error(name, exc)
            if clock.monotonic_ns() - began_ns >= AILING_S * NS_PER_S:
                pause_s = AGAIN_FIRST_S
            await clock.sleep(pause_s)
            pause_s = min(AGAIN_MAX_S, 2 * pause_s)

    async def _guard(self, coro: Coroutine[Any, Any, T], name: str) -> T | None:
        try:
            return await coro
        except Exception as exc:  # noqa: BLE001 - one failing task must not end the others
            self._failed += 1
            self._on_error(name, exc)
            return None

    def _log_error(self, task: str, error: Exception) -> None:
        _log.error("background task %s/%s ended: %s", self.name, task, error, exc_info=error)


def dependency_order(graph: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Names so that each follows what it needs, otherwise in the order given.

    Raises `LIFECYCLE_DEPENDENCY_MISSING` or `LIFECYCLE_DEPENDENCY_CYCLE` with the path.
    """
    order: dict[str, None] = {}
    for name in graph:
        _visit(graph, name, [], order)
    return tuple(order)


def _visit(
    graph: Mapping[str, Collection[str]], name: str, path: list[str], order: dict[str, None]
) -> None:
    if name in order:
        return
    if name in path:
        cycle = [*path[path.index(name) :], name]
        raise LIFECYCLE_DEPENDENCY_CYCLE.error(path=" → ".join(cycle))
    if name not in graph:
        raise LIFECYCLE_DEPENDENCY_MISSING.error(
            path=" → ".join([*path_to(graph, path[0])[:-1], *path, name]),
            missing=name,
            known=", ".join(sorted(graph)),
        )
    for needed in graph[name]:
        _visit(graph, needed, [*path, name], order)
    order[name] = None


def path_to(graph: Mapping[str, Collection[str]], name: str) -> list[str]:
    """The way from a name nobody needs down to this one (any way, when there are several)."""
    path = [name]
    while True:
        user = next((user for user, needs in graph.items() if path[0] in needs), None)
        if user is None or user in path:
            return path
        path.insert(0, user)


def _by_name(components: Iterable[Component]) -> dict[str, Component]:
    named: dict[str, Component] = {}
    for component in components:
        if component.name in named:
            raise LIFECYCLE_NAME_TAKEN.error(name=component.name)
        named[component.name] = component
    return named


def _depends_on(component: Component) -> tuple[str, ...]:
    return tuple(getattr(component, "depends_on", ()))


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
