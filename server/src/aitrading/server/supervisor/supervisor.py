"""The `up` loop: everything starts at once, is watched together and ends together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.kit.clock import NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.randomness import Randomness
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.proc import rss_mb
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.children import Child, Means
from aitrading.server.supervisor.errors import CHILD_START_FAILED
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.leftovers import remember_children
from aitrading.server.supervisor.logs import RotatingLog
from aitrading.server.supervisor.plan import ChildSpec, Kind, Plan
from aitrading.server.supervisor.state import ChildState, PlatformState, overall

STAMP_INTERVAL_S = 5.0
RENEW_INTERVAL_S = 8 * 3_600.0
CLIENT_PATIENCE_S = 15.0
POLL_S = 0.01
_DECIDED = frozenset({ComponentState.HEALTHY, ComponentState.FAILED})

_log = logging.getLogger(__name__)


class Reporter(Protocol):
    """Who watches a start: a person at a terminal, or nobody."""

    def child_ready(self, name: str, seconds: float) -> None:
        """An engine, service or client works."""
        ...

    def child_troubled(self, name: str, state: ComponentState, message: str) -> None:
        """It ended, was given up, or works only partly."""
        ...

    def child_stopped(self, name: str) -> None:
        """It ended in order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What does not change while the platform runs; part of its state."""

    home: Home
    url: str
    version: str
    environment: str
    demo: bool
    pid: int
    began_ns: int
    """Monotonic time at which the command began: what `started_in_s` counts from."""


class Supervisor:
    """Runs a plan; `ready` when every engine and service works."""

    def __init__(
        self,
        plan: Plan,
        facts: Facts,
        *,
        clock: Clock,
        randomness: Randomness,
        births: Births,
        reporter: Reporter,
        fingerprint: Callable[[], str | None],
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        self._plan = plan
        self._facts = facts
        self._clock = clock
        self._reporter = reporter
        self._fingerprint = fingerprint
        self._renew = renew
        self._since = rfc3339_of_ns(clock.now_ns())
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._started_in_s: float | None = None
        means = Means(
            clock=clock, randomness=randomness, start=births.start, changed=self._on_change
        )
        self._children = {
            name: Child(spec, RotatingLog(facts.home.logs / f"{name}.log"), means)
            for name, spec in plan.specs.items()
        }
        self._reported: dict[str, tuple[ComponentState, str, int]] = {}

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Start, stay, stop. Returns after an orderly end with nothing left running.

        Raises CHILD_START_FAILED when a part is given up before everything was ready once.
        """
        failure: AitradingError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children.values():
                    group.create_task(child.run(self._children), name=child.name)
                keepers = [
                    group.create_task(self._keep_stamp()),
                    group.create_task(self._keep_certificates()),
                ]
                try:
                    await self._start_and_stay(on_ready)
                except AitradingError as exc:
                    failure = exc
                for keeper in keepers:
                    keeper.cancel()
                await self._stop_all()
        finally:
            for child in self._children.values():
                child.log.close()
        if failure is not None:
            raise failure

    def request_stop(self) -> None:
        """End in order; asking again kills what is still there."""
        if self._stop.is_set():
            for child in self._children.values():
                child.kill()
        self._stop.set()

    async def renew_certificates(self) -> None:
        """Issue the next certificate of every part, and tell those that do not watch the files."""
        await self._renew()
        for child in self._children.values():
            child.note_renewal()

    def tell_renewal(self, name: str) -> None:
        """Let one part read its files again, if it runs here and has to be told."""
        child = self._children.get(name)
        if child is not None:
            child.note_renewal()

    def state(self) -> PlatformState:
        """Everything there is to tell right now."""
        facts = self._facts
        return PlatformState(
            ready=self._all_serving(),
            status=overall(child.state for child in self._required()),
            started_in_s=self._started_in_s,
            services=self._states(Kind.SERVICE),
            engines=self._states(Kind.ENGINE),
            clients=self._states(Kind.CLIENT),
            home=str(facts.home.root),
            url=facts.url,
            version=facts.version,
            environment=facts.environment,
            demo=facts.demo,
            since=self._since,
            pid=facts.pid,
            ca_fingerprint=self._fingerprint(),
            warnings=tuple(facts.home.warnings(self._clock)),
        )

    async def _start_and_stay(self, on_ready: Callable[[], None]) -> None:
        await self._until(self._settled)
        if self._stop.is_set():
            return
        self._raise_if_failed()
        elapsed_ns = self._clock.monotonic_ns() - self._facts.began_ns
        self._started_in_s = round(elapsed_ns / NS_PER_S, 3)
        self._save()
        await self._wait_for_clients()
        if not self._stop.is_set():
            on_ready()
        await self._stop.wait()

    async def _wait_for_clients(self) -> None:
        """Give clients a moment: a person wants to see quotes, but need not wait for them."""
        clients = [child for child in self._children.values() if child.spec.kind is Kind.CLIENT]
        deadline_ns = self._clock.monotonic_ns() + round(CLIENT_PATIENCE_S * NS_PER_S)
        while not all(client.state in _DECIDED for client in clients):
            if self._stop.is_set() or self._clock.monotonic_ns() > deadline_ns:
                return
            await asyncio.sleep(POLL_S)

    async def _until(self, event: asyncio.Event) -> None:
        """Wait for the event or for a request to stop."""
        async with asyncio.TaskGroup() as group:
            tasks = {group.create_task(event.wait()), group.create_task(self._stop.wait())}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    def _on_change(self, child: Child) -> None:
        self._save()
        self._report(child)
        required = self._required()
        if all(one.state.is_serving for one in required) or self._failed(required):
            self._settled.set()

    def _report(self, child: Child) -> None:
        news = (child.state, child.message, child.restarts)
        if self._reported.get(child.name) == news:
            return
        self._reported[child.name] = news
        if child.state is ComponentState.HEALTHY:
            self._reporter.child_ready(child.name, child.ready_after_s or 0.0)
        elif child.state is ComponentState.STOPPED:
            self._reporter.child_stopped(child.name)
        elif child.message and child.state is not ComponentState.STOPPING:
            self._reporter.child_troubled(child.name, child.state, child.message)

    def _required(self) -> list[Child]:
        return [child for child in self._children.values() if child.spec.kind is not Kind.CLIENT]

    def _all_serving(self) -> bool:
        return all(child.state.is_serving for child in self._required())

    def _failed(self, children: list[Child]) -> list[Child]:
        return [child for child in children if child.state is ComponentState.FAILED]

    def _raise_if_failed(self) -> None:
        for child in self._failed(self._required()):
            raise CHILD_START_FAILED.error(
                child=child.name,
                detail=child.message,
                timeout_s=child.spec.ready_timeout_s,
                log=str(child.log.path),
            )

    async def _stop_all(self) -> None:
        """Stop users before what they use, as much at once as that allows."""
        async with asyncio.TaskGroup() as group:
            for spec in self._plan.specs.values():
                group.create_task(self._stop_after_users(spec))

    async def _stop_after_users(self, spec: ChildSpec) -> None:
        for user in self._plan.users_of(spec.name):
            await self._children[user].wait_over()
        await self._children[spec.name].stop()

    async def _keep_stamp(self) -> None:
        while True:
            try:
                self._facts.home.stamp(self._clock)
            except OSError as exc:
                _log.warning("the home cannot be stamped: %s", exc)
            if not self._facts.home.lock_file.exists():
                _log.critical("the home was removed: the platform ends")
                self.request_stop()
                return
            await self._clock.sleep(STAMP_INTERVAL_S)

    async def _keep_certificates(self) -> None:
        """Renew while two thirds of their life are left; a failure is tried again each time."""
        while True:
            await self._clock.sleep(RENEW_INTERVAL_S)
            try:
                await self.renew_certificates()
            except (AitradingError, OSError, TimeoutError) as exc:
                _log.error("certificates could not be renewed: %s", exc)

    def _states(self, kind: Kind) -> dict[str, ChildState]:
        return {
            name: _child_state(child)
            for name, child in self._children.items()
            if child.spec.kind is kind
        }

    def _save(self) -> None:
        """Leave state and process list on disk; a full disk must not end the platform."""
        home = self._facts.home
        running = {
            name: child.process_id
            for name, child in self._children.items()
            if child.process_id is not None
        }
        try:
            remember_children(home.children_file, running)
            replace_private(home.state_file, msgspec.json.encode(self.state()))
        except OSError as exc:
            _log.warning("the state cannot be written: %s", exc)


def _child_state(child: Child) -> ChildState:
    process = child.process_id
    return ChildState(
        state=child.state,
        port=child.spec.port,
        pid=process.pid if process else None,
        rss_mb=rss_mb(process.pid) if process else None,
        restarts=child.restarts,
        ready_after_s=round(child.ready_after_s, 3) if child.ready_after_s else None,
        message=child.note,
    )
