"""What the supervisor measures of itself and of every child, written for the history of metrics.

It and the engines have no listener for peers, so each leaves a file of Prometheus text in
`run/told`, replaced in one step; a file that grows old says that nobody writes any more.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from typing import Final

from aitrading.core.infrastructure.health.readings import PROCESS_INFO, PROCESS_UPTIME
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics, Reading
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.server.engines.envoy import NAME as ENVOY
from aitrading.server.engines.envoy import EnvoyStats
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.proc import descendants, use_of
from aitrading.server.kit.bundle import TOLD_EVERY_S, TOLD_SUFFIX
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.state import ChildState, PlatformState

NAME: Final = "supervisor"
SERVING: Final = Metric(
    name="aitrading_child_serving",
    kind=MetricKind.GAUGE,
    help="1 while an engine, service or client does its work.",
    labels=("child",),
)
RESTARTS: Final = Metric(
    name="aitrading_child_restarts_total",
    kind=MetricKind.COUNTER,
    help="How often a child ended by itself and was started again.",
    labels=("child",),
)
PROCESSES: Final = Metric(
    name="aitrading_child_processes",
    kind=MetricKind.GAUGE,
    help="Processes of a child: its own and those below it; of the supervisor itself alone.",
    labels=("child",),
)
CPU_SECONDS: Final = Metric(
    name="aitrading_child_cpu_s_total",
    kind=MetricKind.COUNTER,
    help="Processor time of a child and everything below it; begins again with the child.",
    labels=("child",),
)
PRIVATE_BYTES: Final = Metric(
    name="aitrading_child_private_bytes",
    kind=MetricKind.GAUGE,
    help="Memory that a child and everything below it have for themselves.",
    labels=("child",),
)

_log = logging.getLogger(__name__)


class Vitals:
    """Writes the files every few seconds, for as long as the platform runs."""

    def __init__(self, home: Home, state: Callable[[], PlatformState], clock: Clock) -> None:
        self._folder = home.told
        self._envoy = EnvoyStats(home.run)
        self._state = state
        self._now = state()
        self._clock = clock
        self._began_ns = clock.monotonic_ns()
        self._metrics = Metrics()
        self._metrics.add_source(self._readings)

    async def run(self) -> None:
        """Never raises: where nothing is written the history has a gap, and the platform runs on."""
        while True:
            try:
                self._now = self._state()
                await asyncio.to_thread(self._write)
            except Exception as exc:  # noqa: BLE001 - measuring must not end what is measured
                _log.warning("metrics of the supervisor cannot be written: %s", exc)
            await self._clock.sleep(TOLD_EVERY_S)

    def _write(self) -> None:
        replace_private(self._folder / f"{NAME}{TOLD_SUFFIX}", self._metrics.render())
        stats = self._envoy.text()
        if stats is not None:
            replace_private(self._folder / f"{ENVOY}{TOLD_SUFFIX}", stats)

    def _readings(self) -> Iterable[Reading]:
        state, pid = self._now, os.getpid()
        yield Reading(PROCESS_INFO, 1.0, (NAME, f"{NAME}-{pid}", state.version))
        uptime_ns = self._clock.monotonic_ns() - self._began_ns
        yield Reading(PROCESS_UPTIME, uptime_ns / NS_PER_S)
        yield from _of_processes(NAME, [pid])
        for children in (state.services, state.engines, state.clients):
            for name, child in children.items():
                yield from _of_child(name, child)


def _of_child(name: str, child: ChildState) -> Iterable[Reading]:
    yield Reading(SERVING, float(child.state.is_serving), (name,))
    yield Reading(RESTARTS, child.restarts, (name,))
    if child.pid is not None:
        yield from _of_processes(name, descendants(child.pid))


def _of_processes(name: str, pids: Iterable[int]) -> Iterable[Reading]:
    use = use_of(pids)
    yield Reading(PROCESSES, use.processes, (name,))
    yield Reading(CPU_SECONDS, use.cpu_s, (name,))
    yield Reading(PRIVATE_BYTES, use.private_bytes, (name,))
